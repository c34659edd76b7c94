"""Remove what belonged to a pod: first every mount below its directory, then the directory."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

from podrun.kernel import mounts
from podrun.kernel.calls import KernelError
from podrun.kernel.flags import UmountFlags

_ESCAPE = re.compile(r"\\([0-7]{3})")


def remove(directory: Path) -> None:
    """Unmount and remove; links are removed and not followed. Raises OSError, and what is left can be tried again."""
    for point in reversed(mount_points(directory)):
        _unmount(point)
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        if directory.exists():  # something else went away while it was being removed
            shutil.rmtree(directory)


def mount_points(directory: Path) -> list[str]:
    """The mount points at and below a directory in this mount namespace, in the order they were mounted."""
    top = str(directory.resolve())
    name = os.path.basename(top)
    below = f"{top}/"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        near = [line for line in lines if name in line or "\\" in line]  # of a hundred pods' mounts, its own
    points = [_ESCAPE.sub(lambda match: chr(int(match[1], 8)), line.split(" ", 5)[4]) for line in near]
    return [point for point in points if point == top or point.startswith(below)]


def _unmount(point: str) -> None:
    try:
        mounts.umount(point, UmountFlags.NOFOLLOW)
    except KernelError as error:
        if error.errno != errno.EBUSY:
            raise
        # someone's shell stands in it: the mount goes when they leave, the pod's files are out of sight now
        mounts.umount(point, UmountFlags.NOFOLLOW | UmountFlags.DETACH)
