"""Processes that cannot be confused: pidfds, and identity by boot, pid and start time."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
from ctypes import c_char_p, c_int, c_uint, c_ulong, c_void_p
from enum import IntEnum
from functools import cache
from pathlib import Path

from podrun.kernel.calls import Call

_clone = Call("clone", c_ulong, c_void_p, c_void_p, c_void_p, c_void_p)
_pidfd_open = Call("pidfd_open", c_int, c_uint)
_pidfd_send_signal = Call("pidfd_send_signal", c_int, c_int, c_void_p, c_uint)
_close_range = Call("close_range", c_uint, c_uint, c_uint)
_execveat = Call("execveat", c_int, c_char_p, c_void_p, c_void_p, c_int)
_prctl = Call("prctl", c_int, c_ulong, c_ulong, c_ulong, c_ulong)
_prctl_text = Call("prctl", c_int, c_char_p, c_ulong, c_ulong, c_ulong)

_CLONE_PARENT = 0x8000
_CLOSE_RANGE_CLOEXEC = 4
_LAST = 0xFFFFFFFF
_AT_EMPTY_PATH = 0x1000


class Prctl(IntEnum):
    """Options of prctl(2) that are used here."""

    SET_PDEATHSIG = 1
    SET_DUMPABLE = 4
    SET_KEEPCAPS = 8
    SET_NAME = 15
    CAPBSET_DROP = 24
    SET_CHILD_SUBREAPER = 36
    SET_NO_NEW_PRIVS = 38
    CAP_AMBIENT = 47


def prctl(option: Prctl, second: int = 0, third: int = 0) -> int:
    """prctl(2) with numbers."""
    return _prctl(int(option), second, third, 0, 0, path=option.name)


def set_name(name: str) -> None:
    """The thread's short name (/proc/PID/comm), at most 15 bytes."""
    _prctl_text(int(Prctl.SET_NAME), os.fsencode(name), 0, 0, 0, path=name)


def fork_sibling() -> int:
    """fork(2), but the new process is a child of the caller's parent (CLONE_PARENT), which is the one to wait for it.

    0 in the new process. Only for a process of one thread: nothing of the C library or Python hears of this fork.
    """
    return _clone(_CLONE_PARENT | signal.SIGCHLD, None, None, None, None)


def pidfd_open(pid: int) -> int:
    """A descriptor of the process (close-on-exec); readable when it has ended. Raises KernelError(ESRCH)."""
    return _pidfd_open(pid, 0, path=str(pid))


_PIDFD_GET_INFO = 0xC040FF0B
_PIDFD_INFO_EXIT = 1 << 3
_INFO = struct.Struct("=QQ11Ii")
"""struct pidfd_info of include/uapi/linux/pidfd.h: mask, cgroup, ten numbers and a gap of this size, exit code."""


def wait_status(pidfd: int) -> int | None:
    """How a process that somebody else has waited for ended, as waitpid(2) says it; None while nobody has.

    Raises OSError where the kernel does not keep it (before Linux 6.15).
    """
    info = bytearray(_INFO.size)
    _INFO.pack_into(info, 0, _PIDFD_INFO_EXIT, *[0] * 13)
    fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info)
    mask, *_, status = _INFO.unpack(info)
    return int(status) if mask & _PIDFD_INFO_EXIT else None


def send_signal(pidfd: int, number: int) -> None:
    """Raises KernelError(ESRCH) when the process has been reaped."""
    _pidfd_send_signal(pidfd, number, None, 0, path=f"signal {number}")


def close_descriptors(first: int, last: int = _LAST) -> None:
    """Close every descriptor of this range."""
    if first <= last:
        _close_range(first, last, 0)


def close_on_exec(first: int) -> None:
    """Mark every descriptor from `first` on as close-on-exec."""
    _close_range(first, _LAST, _CLOSE_RANGE_CLOEXEC)


def execute_descriptor(program: int, argv: list[bytes], env: list[bytes]) -> None:
    """execveat(2) of an open program; does not return. Not for scripts. Raises KernelError."""
    arguments = (c_char_p * (len(argv) + 1))(*argv, None)
    environment = (c_char_p * (len(env) + 1))(*env, None)
    _execveat(program, b"", arguments, environment, _AT_EMPTY_PATH, path=os.fsdecode(argv[0]))


def start_time(pid: int) -> int:
    """Clock ticks since boot at which the process began (field 22 of /proc/PID/stat). Raises OSError."""
    return int(_stat(pid)[19])


def is_alive(pid: int, started: int) -> bool:
    """Whether the process that began then still runs (a zombie does not)."""
    try:
        fields = _stat(pid)
    except OSError:
        return False
    return int(fields[19]) == started and fields[0] not in ("Z", "X")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on: the second, the command in parentheses, may hold anything."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].decode().split()


@cache
def boot_id() -> str:
    """Another value after each boot: pids and start times mean nothing across one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
