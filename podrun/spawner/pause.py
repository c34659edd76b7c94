"""The pause program: a static ELF of less than 300 bytes, assembled here, for x86-64 and arm64.

It holds a sandbox's namespaces, and where the pods' processes share its pid namespace it is their process 1:

    call itself "pause"                     executed by descriptor, the kernel knows no name for it
    block SIGINT, SIGTERM, SIGCHLD          a blocked signal is kept even for a process 1 without handlers
    again: wait for one of them
           SIGCHLD: reap until no zombie is left; again
           SIGTERM, SIGINT: exit 0

It opens nothing, allocates nothing, and uses two pages of memory.
"""

from __future__ import annotations

import fcntl
import os
import platform
import struct
from collections.abc import Callable, Sequence

from podrun.kernel.numbers import UnsupportedMachine

_SIGINT, _SIGTERM, _SIGCHLD = 2, 15, 17
_SIGNALS = 1 << (_SIGINT - 1) | 1 << (_SIGTERM - 1) | 1 << (_SIGCHLD - 1)
_NAME = b"pause".ljust(8, bytes(1))
_BASE = 0x400000
"""Where the file is mapped."""
_FILE_HEADER, _PROGRAM_HEADER = 64, 56

Line = bytes | str | tuple[str, str]
"""Machine code, a label, or a branch: (condition, label)."""


def program(machine: str = platform.machine()) -> bytes:
    """The executable's bytes. Raises UnsupportedMachine."""
    if machine == "x86_64":
        return _elf(_assemble(_x86_64(), _x86_branch), 62, 0x1000)
    if machine == "aarch64":
        return _elf(_assemble(_aarch64(), _arm_branch), 183, 0x10000)
    raise UnsupportedMachine(f"there is no pause program for {machine}")


def open_program() -> int:
    """The program as a sealed memfd (close-on-exec): nobody who meets it as /proc/PID/exe can change it."""
    descriptor = os.memfd_create("pause", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, program())
    os.fchmod(descriptor, 0o555)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def _x86_64() -> list[Line]:
    def imm32(value: int) -> bytes:
        return struct.pack("<i", value)

    syscall = b"\x0f\x05"
    return [
        b"\x48\xb8" + _NAME,  # rax = the name
        b"\x50\x48\x89\xe6",  # push it; rsi = where it is
        b"\x6a\x0f\x5f",  # edi = PR_SET_NAME
        b"\xb8" + imm32(157) + syscall,  # prctl
        b"\x68" + imm32(_SIGNALS),  # push the set of signals: it stays on the stack
        b"\x31\xff",  # edi = SIG_BLOCK
        b"\x48\x89\xe6",  # rsi = the set
        b"\x31\xd2",  # edx = no old set
        b"\x6a\x08\x41\x5a",  # r10 = 8 bytes in the set
        b"\x6a\x0e\x58" + syscall,  # rt_sigprocmask
        "again",
        b"\x48\x89\xe7",  # rdi = the set
        b"\x31\xf6",  # esi = no siginfo
        b"\x31\xd2",  # edx = no timeout
        b"\x6a\x08\x41\x5a",  # r10 = 8
        b"\xb8" + imm32(128) + syscall,  # rt_sigtimedwait
        b"\x83\xf8" + bytes([_SIGCHLD]),  # cmp eax
        ("equal", "reap"),
        b"\x83\xf8" + bytes([_SIGTERM]),
        ("equal", "leave"),
        b"\x83\xf8" + bytes([_SIGINT]),
        ("not equal", "again"),  # EINTR, too
        "leave",
        b"\x31\xff",  # edi = 0
        b"\xb8" + imm32(231) + syscall,  # exit_group
        "reap",
        b"\x83\xcf\xff",  # edi = -1: any child
        b"\x31\xf6",  # esi = no status
        b"\x6a\x01\x5a",  # edx = WNOHANG
        b"\x45\x31\xd2",  # r10 = no rusage
        b"\x6a\x3d\x58" + syscall,  # wait4
        b"\x85\xc0",  # test eax
        ("greater", "reap"),
        ("always", "again"),
    ]


def _x86_branch(condition: str, distance: int) -> bytes:
    """A short jump; the distance counts from its own start."""
    code = {"equal": 0x74, "not equal": 0x75, "greater": 0x7F, "always": 0xEB}[condition]
    return bytes([code]) + struct.pack("<b", distance - 2)


def _aarch64() -> list[Line]:
    def word(value: int) -> bytes:
        return struct.pack("<I", value)

    def move(register: int, value: int) -> bytes:
        return word(0xD2800000 | value << 5 | register)

    def stack_pointer_to(register: int) -> bytes:
        return word(0x910003E0 | register)

    def compare_w0(value: int) -> bytes:
        return word(0x7100001F | value << 10)

    def call(number: int) -> bytes:
        return move(8, number) + word(0xD4000001)

    def push(value: int) -> bytes:
        """x9 = up to 48 bits, in three pieces; str x9, [sp, #-16]!"""
        middle, high = (0xF2A00000 | (value >> 16 & 0xFFFF) << 5 | 9), (0xF2C00000 | (value >> 32) << 5 | 9)
        return move(9, value & 0xFFFF) + word(middle) + word(high) + word(0xF81F0FE9)

    return [
        push(int.from_bytes(_NAME, "little")),
        move(0, 15) + stack_pointer_to(1) + call(167),  # prctl(PR_SET_NAME)
        push(_SIGNALS),
        move(0, 0) + stack_pointer_to(1) + move(2, 0) + move(3, 8) + call(135),  # rt_sigprocmask
        "again",
        stack_pointer_to(0) + move(1, 0) + move(2, 0) + move(3, 8) + call(137),  # rt_sigtimedwait
        compare_w0(_SIGCHLD),
        ("equal", "reap"),
        compare_w0(_SIGTERM),
        ("equal", "leave"),
        compare_w0(_SIGINT),
        ("not equal", "again"),
        "leave",
        move(0, 0) + call(94),  # exit_group
        "reap",
        word(0x92800000),  # movn x0, #0: -1, any child
        move(1, 0) + move(2, 1) + move(3, 0) + call(260),  # wait4, WNOHANG
        compare_w0(0),
        ("greater", "reap"),
        ("always", "again"),
    ]


def _arm_branch(condition: str, distance: int) -> bytes:
    if condition == "always":
        return struct.pack("<I", 0x14000000 | distance // 4 & 0x3FFFFFF)
    code = {"equal": 0, "not equal": 1, "greater": 12}[condition]
    return struct.pack("<I", 0x54000000 | (distance // 4 & 0x7FFFF) << 5 | code)


def _assemble(lines: Sequence[Line], branch: Callable[[str, int], bytes]) -> bytes:
    """Every branch has one size, so labels are known after one pass."""
    size = len(branch("always", 0))
    labels: dict[str, int] = {}
    offset = 0
    for line in lines:
        if isinstance(line, str):
            labels[line] = offset
        else:
            offset += size if isinstance(line, tuple) else len(line)
    code = b""
    for line in lines:
        if isinstance(line, tuple):
            code += branch(line[0], labels[line[1]] - len(code))
        elif isinstance(line, bytes):
            code += line
    return code


def _elf(code: bytes, machine: int, page: int) -> bytes:
    """One segment to read and execute, a stack that cannot be executed, nothing to write."""
    start = _FILE_HEADER + 2 * _PROGRAM_HEADER
    size = start + len(code)
    identity = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bits, little endian, version 1
    executable, version, read, write, execute, load, stack = 2, 1, 4, 2, 1, 1, 0x6474E551
    header = struct.pack(
        "<HHIQQQIHHHHHH",
        executable,
        machine,
        version,
        _BASE + start,
        _FILE_HEADER,
        0,
        0,
        _FILE_HEADER,
        _PROGRAM_HEADER,
        2,
        0,
        0,
        0,
    )
    text = struct.pack("<IIQQQQQQ", load, read | execute, 0, _BASE, _BASE, size, size, page)
    no_stack = struct.pack("<IIQQQQQQ", stack, read | write, 0, 0, 0, 0, 0, 16)
    return identity + header + text + no_stack + code
