"""How the checks read a pod's spec, and how they word what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

Object = Mapping[str, Any]


class Violation(NamedTuple):
    """Why a check says no: in a word for many pods (`reason`), and whose fault it is in one pod (`detail`)."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


Check = Callable[[Object, Object], Violation | None]
"""(a pod's metadata, its spec) -> None where it may be."""


def containers(spec: Object) -> Iterator[Object]:
    """Every container: the init ones, the others, the ephemeral ones."""
    for group in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(group) or ()


def context(owner: Object) -> Object:
    """The securityContext of a spec or of a container."""
    return owner.get("securityContext") or {}


def names(found: Iterable[Object]) -> list[str]:
    return [one.get("name", "") for one in found]


def quoted(items: Iterable[str]) -> str:
    """`"a", "b"`."""
    return ", ".join(f'"{item}"' for item in items)


def plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def called(bad: list[str]) -> str:
    """`container "a"` or `containers "a", "b"`."""
    return f"{plural('container', len(bad))} {quoted(bad)}"


def setters(pod_too: bool, bad: list[str]) -> str:
    """Who set something: `pod`, `container "a"`, or both; "" for nobody."""
    return " and ".join([*(["pod"] if pod_too else []), *([called(bad)] if bad else [])])


def is_windows(spec: Object) -> bool:
    return bool((spec.get("os") or {}).get("name") == "windows")


def has_own_users(spec: Object) -> bool:
    """Whether the pod is in a user namespace, where its root is nobody outside (KEP-127)."""
    return spec.get("hostUsers") is False
