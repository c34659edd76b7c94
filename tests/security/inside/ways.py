"""What the attempts share: how one is entered, what counts as a refusal, and the door to the kernel."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

MARKER = os.environ.get("MARKER", "/nonexistent")
"""A file of the host, by its path there."""
HOST_PID = int(os.environ.get("HOST_PID", "0"))
"""A process of the host."""
HOST_KEY = int(os.environ.get("HOST_KEY", "0"))
"""The key of a shared memory segment of the host."""
ABSTRACT = os.environ.get("ABSTRACT", "")
"""The name of an abstract socket in the host's network."""
SCRATCH = Path(os.environ.get("SCRATCH", "/tmp"))
"""A directory on a volume."""
SECONDS = 20

REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EROFS)
"""What the kernel answers before it looks at a call's arguments."""


class Held(Exception):
    """There was no way out; says what was there instead."""


class Way(NamedTuple):
    """`attempt` returns what it has reached; `open_when_privileged`: whether a privileged pod does reach it."""

    attempt: Callable[[], str]
    open_when_privileged: bool


WAYS: dict[str, Way] = {}


def way(*, control: bool = True) -> Callable[[Callable[[], str]], Callable[[], str]]:
    """Enter a function; without `control`, a privileged pod is not asked (it may lack the thing, or could do harm)."""

    def entered(attempt: Callable[[], str]) -> Callable[[], str]:
        WAYS[attempt.__name__] = Way(attempt, control)
        return attempt

    return entered


LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
X86 = platform.machine() == "x86_64"
_NUMBERS = {  # x86-64, arm64
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "clone": (56, 220),
    "clone3": (435, 435),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pivot_root": (155, 41),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "shmget": (29, 194),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
NEW_NAMESPACES = {"mount": 0x20000, "cgroup": 0x2000000, "user": 0x10000000, "pid": 0x20000000, "net": 0x40000000}

Argument = int | bytes | None


def call(name: str, *arguments: Argument) -> int:
    """A system call; raises OSError."""
    number = _NUMBERS[name][0 if X86 else 1]
    passed = [ctypes.c_long(one) if isinstance(one, int) else ctypes.c_char_p(one) for one in arguments]
    done = int(LIBC.syscall(ctypes.c_long(number), *passed))
    if done == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)
    return done


def granted(name: str, *arguments: Argument) -> str:
    """Make a call that can only fail by its arguments: that it gets so far is what it must not. Raises OSError."""
    try:
        done = call(name, *arguments)
    except OSError as error:
        if error.errno in REFUSALS:
            raise
        return f"{name}: the kernel looked at the arguments ({errno.errorcode[error.errno or 0]})"
    return f"{name} returned {done}"


def writable(*paths: str) -> str:
    """Open files for writing, and do not write. Raises what the first of them that is there says."""
    refusals = []
    for path in paths:
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
        except OSError as error:
            if error.errno != errno.ENOENT:
                refusals.append(error)
        else:
            return f"{path} can be written"
    if not refusals:
        raise Held(f"there is no {paths[0]}")
    raise refusals[0]
