"""Mount points as a layer below the image's own.

Making a mount point that the image lacks (/etc/resolv.conf, the service account's directory) in a fresh overlay copies
each directory on the way up into the writable layer, one journalled file system change after the other: several times
the cost of the mounts themselves. A lowest layer that holds the mount points costs nothing at start and leaves the
writable layer as empty as it was. One layer serves all containers with the same mount points; where the image has
something at a path, the image's is what is seen.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterable
from pathlib import Path

_MOST = 512
"""Different layers kept; a container with yet another set of mount points has them made in its writable layer."""
_EMPTY = "empty"
_ALWAYS = (
    ("/proc", True),
    ("/sys", True),
    ("/dev", True),
    ("/etc/hosts", False),
    ("/etc/hostname", False),
    ("/etc/resolv.conf", False),
)


class Skeletons:
    """The layers of mount points, in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.empty = directory / _EMPTY
        """A directory with nothing in it."""
        self.empty.mkdir(mode=0o755, exist_ok=True)
        self._known = {entry.name for entry in directory.iterdir()}

    def layer(self, points: Iterable[tuple[str, bool]]) -> Path:
        """The layer with these mount points (absolute path, whether it is a directory). Raises OSError."""
        wanted = sorted({(posixpath.normpath(path), is_directory) for path, is_directory in (*_ALWAYS, *points)})
        name = hashlib.sha256(repr(wanted).encode()).hexdigest()[:32]
        if name not in self._known and len(self._known) >= _MOST:
            return self.layer(())
        place = self._directory / name
        if name not in self._known:
            _make(place, wanted)
            self._known.add(name)
        return place


def _make(place: Path, points: list[tuple[str, bool]]) -> None:
    """Made aside and renamed, so that a layer is whole or not there."""
    temporary = place.with_name(f".{place.name}.{os.getpid()}")
    for path, is_directory in points:
        point = temporary / path.lstrip("/")
        if is_directory:
            point.mkdir(mode=0o755, parents=True, exist_ok=True)
        else:
            point.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            point.touch(mode=0o644)
    temporary.rename(place)
