"""System call numbers, where x86-64 and arm64 differ and where they do not.

Calls since Linux 5.1 have one number on every architecture. Source: the kernel's syscall tables
(arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
"""

from __future__ import annotations

import platform
from typing import Final

_DIFFERENT: Final[dict[str, dict[str, int]]] = {
    "x86_64": {
        "clone": 56,
        "mount": 165,
        "umount2": 166,
        "pivot_root": 155,
        "unshare": 272,
        "setns": 308,
        "syncfs": 306,
        "sethostname": 170,
        "prctl": 157,
        "capget": 125,
        "capset": 126,
        "seccomp": 317,
        "waitid": 247,
        "execveat": 322,
        "bpf": 321,
        "inotify_init1": 294,
        "inotify_add_watch": 254,
        "inotify_rm_watch": 255,
        "timerfd_create": 283,
        "timerfd_settime": 286,
    },
    "aarch64": {
        "clone": 220,
        "mount": 40,
        "umount2": 39,
        "pivot_root": 41,
        "unshare": 97,
        "setns": 268,
        "syncfs": 267,
        "sethostname": 161,
        "prctl": 167,
        "capget": 90,
        "capset": 91,
        "seccomp": 277,
        "waitid": 95,
        "execveat": 281,
        "bpf": 280,
        "timerfd_create": 85,
        "timerfd_settime": 86,
        "inotify_init1": 26,
        "inotify_add_watch": 27,
        "inotify_rm_watch": 28,
    },
}

_COMMON: Final[dict[str, int]] = {
    "pidfd_send_signal": 424,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "pidfd_open": 434,
    "close_range": 436,
    "openat2": 437,
    "mount_setattr": 442,
}


class UnsupportedMachine(RuntimeError):
    """podrun knows x86-64 and arm64."""


def number(call: str, machine: str = platform.machine()) -> int:
    """The number of `call` on `machine` (as uname -m says it). Raises UnsupportedMachine."""
    if machine not in _DIFFERENT:
        raise UnsupportedMachine(f"podrun runs on x86_64 and aarch64, not on {machine}")
    return _COMMON[call] if call in _COMMON else _DIFFERENT[machine][call]
