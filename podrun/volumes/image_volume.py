"""image: the files of an image, read-only (KEP-4639)."""

from __future__ import annotations

import os
from pathlib import Path

from podrun.kernel import mounts
from podrun.kernel.flags import MountFlags


def set_up(path: Path, layers: tuple[Path, ...]) -> None:
    """Mount the layers (lowest first) over each other at `path`, if they are not there yet.

    An overlay needs two layers: one alone gets an empty directory below it. Raises OSError.
    """
    path.mkdir(parents=True, exist_ok=True)
    if os.path.ismount(path):
        return
    below = path.with_name(f".{path.name}.below")
    below.mkdir(exist_ok=True)
    lower = ":".join(_escaped(str(layer)) for layer in (*reversed(layers), below))
    if not layers:
        mounts.mount(str(below), str(path), "", MountFlags.BIND)
        return
    mounts.mount("overlay", str(path), "overlay", MountFlags.RDONLY, f"lowerdir={lower}")


def _escaped(path: str) -> str:
    """A directory in an overlay's option: colons, commas and backslashes mean something there."""
    return "".join(f"\\{char}" if char in "\\:," else char for char in path)
