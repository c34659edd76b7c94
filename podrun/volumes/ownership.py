"""fsGroup: a volume's files belong to a group that the pod's containers are members of.

Rules: the kubelet's SetVolumeOwnership (pkg/volume/volume_linux.go).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_READ_WRITE = 0o660
_READ_ONLY = 0o440
_ENTER = 0o110


def set_group(directory: Path, group: int, *, read_only: bool) -> None:
    """Give everything below `directory`, and it itself last, to `group`, with modes that let the group in.

    Links get the group but no mode, and are not followed. fsGroupChangePolicy is for volumes that outlive their pod;
    those that podrun has are always gone through, as by a kubelet.
    """
    for where, names, files in os.walk(directory, topdown=False):
        for name in (*files, *(name for name in names if os.path.islink(os.path.join(where, name)))):
            _set_one(os.path.join(where, name), group, read_only)
        _set_one(where, group, read_only)


def group_mode(mode: int, *, read_only: bool) -> int:
    """The mode (permission bits and above) that an entry of this st_mode gets."""
    bits = _READ_ONLY if read_only else _READ_WRITE
    if stat.S_ISDIR(mode):
        bits |= _ENTER | stat.S_ISGID
    return stat.S_IMODE(mode) | bits


def _set_one(path: str, group: int, read_only: bool) -> None:
    facts = os.lstat(path)
    os.lchown(path, -1, group)
    if not stat.S_ISLNK(facts.st_mode):
        os.chmod(path, group_mode(facts.st_mode, read_only=read_only))
