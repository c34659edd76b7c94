"""inotify(7): being told that a file has changed."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from ctypes import c_char_p, c_int, c_uint
from enum import IntFlag

from podrun.kernel.calls import Call, bytes_of

_init = Call("inotify_init1", c_int)
_add = Call("inotify_add_watch", c_int, c_char_p, c_uint)
_remove = Call("inotify_rm_watch", c_int, c_int)
_HEADER = struct.Struct("=iIII")


class Change(IntFlag):
    """What is watched for, and what is told."""

    MODIFY = 0x2
    DELETE_SELF = 0x400
    IGNORED = 0x8000
    """The watch has ended: the file is gone, or it was removed."""


def create() -> int:
    """A non-blocking, close-on-exec descriptor that watches nothing yet."""
    return _init(os.O_NONBLOCK | os.O_CLOEXEC)


def watch(descriptor: int, path: str, changes: Change) -> int:
    """Watch `path`; the watch's number. Raises KernelError: ENOENT, or ENOSPC past the user's limit of watches."""
    return _add(descriptor, bytes_of(path), int(changes), path=path)


def unwatch(descriptor: int, number: int) -> None:
    """End a watch. Raises KernelError(EINVAL) when it has ended by itself."""
    _remove(descriptor, number)


def read(descriptor: int) -> Iterator[tuple[int, Change]]:
    """What was told since: (watch number, change). Nothing when there is nothing."""
    try:
        data = os.read(descriptor, 65536)
    except BlockingIOError:
        return
    at = 0
    while at < len(data):
        number, mask, _, length = _HEADER.unpack_from(data, at)
        at += _HEADER.size + length
        yield number, Change(mask & (Change.MODIFY | Change.DELETE_SELF | Change.IGNORED))
