"""bpf(2), as far as a cgroup's device rules need it: load one program, attach it to a group."""

from __future__ import annotations

import ctypes
import os
from ctypes import c_int, c_uint, c_void_p
from typing import Final

from podrun.kernel.calls import Call

_bpf = Call("bpf", c_int, c_void_p, c_uint)
_PROGRAM_LOAD: Final = 5
_PROGRAM_ATTACH: Final = 8
_TYPE_CGROUP_DEVICE: Final = 15
_ATTACH_CGROUP_DEVICE: Final = 6
_ALLOW_MULTI: Final = 2
INSTRUCTION_SIZE: Final = 8


class _Load(ctypes.Structure):
    """The members of union bpf_attr that BPF_PROG_LOAD reads; the rest is zero."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("instruction_count", ctypes.c_uint32),
        ("instructions", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log", ctypes.c_uint64),
        ("kernel_version", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("name", ctypes.c_char * 16),
    )


class _Attach(ctypes.Structure):
    """For BPF_PROG_ATTACH."""

    _fields_ = (
        ("target", ctypes.c_uint32),
        ("program", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("replaces", ctypes.c_uint32),
    )


def load_device_program(instructions: bytes, name: str = "podrun_devices") -> int:
    """A descriptor of the checked program. Raises KernelError: EINVAL or EACCES when the kernel finds it unsafe."""
    code = ctypes.create_string_buffer(instructions, len(instructions))
    license_ = ctypes.create_string_buffer(b"Apache-2.0")
    attributes = _Load(
        type=_TYPE_CGROUP_DEVICE,
        instruction_count=len(instructions) // INSTRUCTION_SIZE,
        instructions=ctypes.addressof(code),
        license=ctypes.addressof(license_),
        name=name.encode()[:15],
    )
    return _bpf(_PROGRAM_LOAD, ctypes.byref(attributes), ctypes.sizeof(attributes), path=name)


def attach_device_program(group: str, program: int) -> None:
    """Attach to a v2 group (its directory), beside those of the groups above. It lasts as long as the group."""
    directory = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        attributes = _Attach(target=directory, program=program, type=_ATTACH_CGROUP_DEVICE, flags=_ALLOW_MULTI)
        _bpf(_PROGRAM_ATTACH, ctypes.byref(attributes), ctypes.sizeof(attributes), path=group)
    finally:
        os.close(directory)
