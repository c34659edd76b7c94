"""Reading a small file of an image without mounting it: the layers are looked through as overlayfs would.

`/etc/passwd` is wanted before the container has a root. The path is walked name by name through the layers, topmost
first: a whiteout (character device 0:0) hides what is below, an opaque directory hides the directories below it, and
symlinks are followed inside the image only. Nothing outside a layer is ever opened: each name is looked up by itself,
relative to a directory that is known to be the layer's.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

_MOST_LINKS = 40
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")


def read(layers: Sequence[Path], path: str, limit: int = 1 << 20) -> bytes:
    """At most `limit` bytes of the file that the image has at `path`. `layers` are lowest first.

    Raises FileNotFoundError when there is none, OSError for what is no regular file or a loop of links.
    """
    upper_first = tuple(reversed(layers))
    remaining = _parts(path)
    walked: list[str] = []
    links = 0
    found: tuple[Path, ...] = upper_first
    while remaining:
        name = remaining.pop(0)
        if name == "..":
            walked = walked[:-1]
            found = _directories(upper_first, walked)
            continue
        entry = _entry(found, name)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        mode = entry.lstat().st_mode
        if stat.S_ISLNK(mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink(entry)
            if target.startswith("/"):
                walked, found = [], upper_first
            remaining = _parts(target) + remaining
        elif stat.S_ISDIR(mode):
            walked.append(name)
            found = _below(found, name)
        elif stat.S_ISREG(mode) and not remaining:
            return _content(entry, limit)
        else:
            raise OSError(errno.EINVAL, "not a regular file", path)
    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _entry(directories: Sequence[Path], name: str) -> Path | None:
    """The topmost entry of this name in a merged directory; None where there is none or a whiteout hides it."""
    for directory in directories:
        entry = directory / name
        try:
            status = entry.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        return None if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0 else entry
    return None


def _below(directories: Sequence[Path], name: str) -> tuple[Path, ...]:
    """The directories that make up the merged directory `name`, topmost first."""
    found: list[Path] = []
    for directory in directories:
        entry = directory / name
        try:
            status = entry.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not stat.S_ISDIR(status.st_mode):
            break  # a whiteout or another kind of file hides what is below
        found.append(entry)
        if _opaque(entry):
            break
    return tuple(found)


def _directories(layers: Sequence[Path], walked: Sequence[str]) -> tuple[Path, ...]:
    found = tuple(layers)
    for name in walked:
        found = _below(found, name)
    return found


def _opaque(directory: Path) -> bool:
    for attribute in _OPAQUE:
        try:
            if os.getxattr(directory, attribute, follow_symlinks=False) == b"y":
                return True
        except OSError:
            continue
    return False


def _content(entry: Path, limit: int) -> bytes:
    descriptor = os.open(entry, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit)
