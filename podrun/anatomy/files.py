"""What a container's file systems hold: the layers of its root, and the bytes of its writable layer and of volumes."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from podrun.kernel import paths

MOST_ENTRIES = 20_000
"""Files and folders after which a tree is left: a picture that is drawn every second must not read a whole disk."""
_MEMORY = ("tmpfs", "ramfs")


@dataclass(frozen=True, slots=True)
class Place:
    """A line of mountinfo (proc_pid_mountinfo(5)); `options` are the mount's own, `super_options` the file system's."""

    target: str
    file_system: str
    options: tuple[str, ...]
    super_options: str


@dataclass(frozen=True, slots=True)
class Root:
    """A container's root; `layers` of its image, `written` bytes in the writable layer."""

    layers: int = 0
    written: int = 0
    read_only: bool = False


def places(proc: Path, pid: int) -> list[Place]:
    """What is mounted in a process's mount namespace, in the kernel's order; [] when it has ended."""
    try:
        lines = (proc / str(pid) / "mountinfo").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        found.append(Place(_unescaped(fields[4]), rest[0], tuple(fields[5].split(",")), rest[2] if rest[2:] else ""))
    return found


def root_of(mounted: list[Place]) -> Root:
    """The root of a container whose overlay's directories are where podrun keeps them."""
    root = next((place for place in mounted if place.target == "/"), None)
    if root is None:
        return Root()
    layers = re.findall(r"lowerdir\+?=((?:\\.|[^,])*)", root.super_options)
    upper = re.search(r"upperdir=((?:\\.|[^,])*)", root.super_options)
    count = sum(len(part.split(":")) for part in layers)
    written = size_below(_unescaped(upper[1])) if upper is not None else 0
    return Root(max(count - 1, 0), written, "ro" in root.options)


def size_in(proc: Path, pid: int, target: str, file_system: str) -> int:
    """Bytes at a mount of a process's namespace. Its own links are followed inside its own root only."""
    try:
        root = os.open(proc / str(pid) / "root", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        where = paths.open_in_root(root, target, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return 0
    finally:
        os.close(root)
    try:
        if file_system in _MEMORY and stat.S_ISDIR(os.fstat(where).st_mode):
            room = os.statvfs(where)
            return (room.f_blocks - room.f_bfree) * room.f_frsize
        if not stat.S_ISDIR(os.fstat(where).st_mode):
            return os.fstat(where).st_blocks * 512
        return _summed(where)
    except OSError:
        return 0
    finally:
        os.close(where)


def size_below(directory: str) -> int:
    """Bytes on the disk of all files below a directory of the host; 0 where it is not to be read."""
    try:
        where = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return 0
    try:
        return _summed(where)
    finally:
        os.close(where)


def _summed(where: int) -> int:
    """Of a directory's descriptor, which is left open: no link is followed, and at most MOST_ENTRIES are looked at.

    Who fills the tree may mean harm: one that is nested too deeply is left where it becomes so.
    """
    total = seen = 0
    with contextlib.suppress(RecursionError):
        for _, _, files, directory in os.fwalk(".", dir_fd=where, follow_symlinks=False):
            seen += 1 + len(files)
            for name in files:
                with contextlib.suppress(OSError):
                    total += os.stat(name, dir_fd=directory, follow_symlinks=False).st_blocks * 512
            if seen >= MOST_ENTRIES:
                break
    return total


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
