"""Namespaces: make, join, and tell apart."""

from __future__ import annotations

import os
from ctypes import c_char_p, c_int, c_size_t
from typing import Literal

from podrun.kernel.calls import Call, bytes_of
from podrun.kernel.flags import Clone

Kind = Literal["cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "user", "uts"]

_unshare = Call("unshare", c_int)
_setns = Call("setns", c_int, c_int)
_sethostname = Call("sethostname", c_char_p, c_size_t)


def unshare(kinds: Clone) -> None:
    """unshare(2); a new pid namespace is for the next child."""
    _unshare(int(kinds), path=kinds.names())


def setns(descriptor: int, kinds: Clone) -> None:
    """setns(2). `descriptor` is a file of /proc/PID/ns, or a pidfd (Linux 5.8) with several kinds at once."""
    _setns(descriptor, int(kinds), path=kinds.names())


def set_hostname(name: str) -> None:
    """sethostname(2) of the current uts namespace; at most 64 bytes."""
    raw = bytes_of(name)
    _sethostname(raw, len(raw), path=name)


def open_namespace(kind: Kind, process: int | Literal["self"] = "self") -> int:
    """A descriptor (close-on-exec) that keeps a process's namespace alive and can be joined."""
    return os.open(f"/proc/{process}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


def inode(kind: Kind, process: int | Literal["self"] = "self") -> int:
    """The number that names a namespace: `net:[4026531840]`. Raises OSError when the process has gone."""
    return os.stat(f"/proc/{process}/ns/{kind}").st_ino
