"""What a container's request is made of beside its plan: who it runs as, its opened volumes, its mount points."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from podrun.runtime import apparmor, container_plan, identity, image_files, volumes
from podrun.runtime.errors import CreateFailed
from podrun.runtime.identity import Identity, UnknownIdentity
from podrun.runtime.model import ContainerConfig, Security, User


def identity_of(config: ContainerConfig) -> Identity:
    """Who its process is. Raises CreateFailed for a name that the image does not know."""
    try:
        return _identity(config.user, config.layers)
    except UnknownIdentity as error:
        raise CreateFailed(f"failed to create containerd container: {error}") from None


@functools.lru_cache(maxsize=256)
def _identity(user: User, layers: Sequence[Path]) -> Identity:
    """Layers never change, so neither does what their passwd file says."""

    def read(path: str) -> str:
        try:
            return image_files.read(layers, path).decode(errors="replace")
        except OSError:
            return ""

    return identity.resolve(user, read)


def check_security(security: Security) -> None:
    """Raises CreateFailed where what it names on this machine cannot be used."""
    if security.apparmor and not apparmor.is_loaded(security.apparmor):
        words = f"failed to generate apparmor spec opts: apparmor profile not found {security.apparmor}"
        raise CreateFailed(f"failed to get container spec opts: {words}")
    if isinstance(security.seccomp, Path) and not security.privileged:
        try:
            container_plan.local_profile(security.seccomp)
        except ValueError as error:
            raise CreateFailed(f"failed to create containerd container: {error}") from None


def open_volumes(config: ContainerConfig, users: int | None) -> tuple[int, ...]:
    """A detached tree per mount (the caller's to close), mapped into the user namespace `users` if there is one.

    Raises CreateFailed.
    """
    trees: list[int] = []
    try:
        for mount in config.mounts:
            trees.append(volumes.open_tree(mount, config.name, users))  # noqa: PERF401 - what is open is closed on failure
    except CreateFailed:
        for tree in trees:
            os.close(tree)
        raise
    return tuple(trees)


def mount_points(config: ContainerConfig, trees: Sequence[int]) -> list[tuple[str, bool]]:
    """Where its volumes are mounted, and whether each is a directory."""
    return [
        (mount.target, stat.S_ISDIR(os.fstat(tree).st_mode)) for mount, tree in zip(config.mounts, trees, strict=True)
    ]
