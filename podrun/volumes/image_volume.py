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
    if not layers:
        mounts.mount(str(below), str(path), "", MountFlags.BIND)
        return
    with mounts.lower_layers([str(layer) for layer in (*reversed(layers), below)]) as options:
        mounts.mount("overlay", str(path), "overlay", MountFlags.RDONLY, options)
