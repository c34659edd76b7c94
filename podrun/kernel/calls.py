"""The one door to the kernel: every call that Python's os module does not have goes through a `Call`.

A Call is declared once with its C types and invoked like a function; when the kernel refuses, the error says which call
it was and, where the caller named it, on what: `mount: /rootfs/proc: Operation not permitted`.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

from podrun.kernel.numbers import number

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = ctypes.cast(_libc.syscall, ctypes.c_void_p).value or 0


class KernelError(OSError):
    """The kernel refused a call. `errno` and `filename` as in OSError; `call` is the call's name."""

    def __init__(self, errno: int, call: str, path: str = "") -> None:
        super().__init__(errno, os.strerror(errno), path or None)
        self.call = call

    def __str__(self) -> str:
        about = f"{self.filename}: " if self.filename else ""
        return f"{self.call}: {about}{self.strerror}"


class Call:
    """One system call with its argument types (ctypes). Returns the kernel's answer, never negative."""

    __slots__ = ("_function", "_number", "name")

    def __init__(self, name: str, *types: Any) -> None:
        self.name = name
        self._number = number(name)
        self._function = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long, *types, use_errno=True)(_syscall)

    def __call__(self, *arguments: Any, path: str = "") -> int:
        """Raises KernelError; `path` is what the call is about, for the error alone."""
        result: int = self._function(self._number, *arguments)
        if result < 0:
            raise KernelError(ctypes.get_errno(), self.name, path)
        return result


def bytes_of(path: str | bytes | os.PathLike[str]) -> bytes:
    """A path as the kernel takes it. Raises ValueError for one with a NUL inside."""
    raw = os.fsencode(path)
    if b"\0" in raw:
        raise ValueError(f"a path cannot hold a NUL: {path!r}")
    return raw
