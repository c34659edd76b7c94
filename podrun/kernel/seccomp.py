"""Loading a seccomp filter (made elsewhere, as bytes) into this process."""

from __future__ import annotations

import ctypes
from ctypes import c_uint, c_void_p
from typing import Final

from podrun.kernel.calls import Call

_seccomp = Call("seccomp", c_uint, c_uint, c_void_p)
_SET_MODE_FILTER: Final = 1
INSTRUCTION_SIZE: Final = 8
"""struct sock_filter"""


class _Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = (("length", ctypes.c_ushort), ("filter", c_void_p))


def load(program: bytes, flags: int = 0) -> None:
    """Install a filter for good. Needs no_new_privs or CAP_SYS_ADMIN. Raises KernelError (EINVAL: not a valid one)."""
    buffer = ctypes.create_string_buffer(program, len(program))
    value = _Program(len(program) // INSTRUCTION_SIZE, ctypes.addressof(buffer))
    _seccomp(_SET_MODE_FILTER, flags, ctypes.byref(value))
