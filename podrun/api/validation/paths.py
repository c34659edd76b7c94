"""Paths of files that end up inside a volume or a container."""

from __future__ import annotations

from podrun.api.validation.field import Causes, Path, invalid


def no_backsteps(value: str, path: Path) -> Causes:
    """No element of the path is `..`."""
    if ".." in value.split("/"):
        yield invalid(path, value, "must not contain '..'")


def descending(value: str, path: Path) -> Causes:
    """A relative path that stays below where it starts."""
    if value.startswith("/"):
        yield invalid(path, value, "must be a relative path")
    yield from no_backsteps(value, path)


def not_reserved(value: str, path: Path) -> Causes:
    """A descending path that also leaves alone the names that begin with `..`, which atomic writers use."""
    yield from descending(value, path)
    if value.startswith("..") and not value.startswith("../"):
        yield invalid(path, value, "must not start with '..'")
