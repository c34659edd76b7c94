"""Which devices a container may use: the allow-list, as v1 lines and as a BPF program for v2.

The list is runc's and containerd's: every node may be made (mknod), only these may be opened. On v2 the rule is
a program of type CGROUP_DEVICE, which the kernel runs at each open and mknod with a context of three words:

    +0  access << 16 | kind      kind 1 block, 2 character; access 1 mknod, 2 read, 4 write
    +4  major
    +8  minor

The program tests one rule after the other and ends with "no". It is attached to the container's group and lives as long
as the group does; no descriptor has to be kept.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_BLOCK, _CHARACTER = 1, 2
_ACCESS = {"m": 1, "r": 2, "w": 4}


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """Nodes that may be used; None stands for every number. `access` holds letters of "rwm"."""

    kind: str
    major: int | None
    minor: int | None
    access: str

    def line(self) -> str:
        """As v1's devices.allow takes it."""
        major, minor = ("*" if number is None else number for number in (self.major, self.minor))
        return f"{self.kind} {major}:{minor} {self.access}"


DEFAULT_DEVICES = (
    DeviceRule("c", None, None, "m"),
    DeviceRule("b", None, None, "m"),
    DeviceRule("c", 1, 3, "rwm"),  # null
    DeviceRule("c", 1, 5, "rwm"),  # zero
    DeviceRule("c", 1, 7, "rwm"),  # full
    DeviceRule("c", 1, 8, "rwm"),  # random
    DeviceRule("c", 1, 9, "rwm"),  # urandom
    DeviceRule("c", 5, 0, "rwm"),  # tty
    DeviceRule("c", 5, 2, "rwm"),  # ptmx
    DeviceRule("c", 136, None, "rwm"),  # pts/*
)

_LOAD_WORD = 0x61  # BPF_LDX | BPF_MEM | BPF_W
_MOVE_REGISTER, _MOVE_VALUE = 0xBF, 0xB7
_AND_VALUE, _SHIFT_RIGHT = 0x57, 0x77
_JUMP_UNLESS_EQUAL, _JUMP_UNLESS_EQUAL_REGISTER, _EXIT = 0x55, 0x5D, 0x95


def _instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("=BBhi", code, target | source << 4, offset, value)


def device_program(rules: tuple[DeviceRule, ...]) -> bytes:
    """The BPF instructions (8 bytes each) that answer 1 for what `rules` allow and 0 for the rest."""
    program = [
        _instruction(_LOAD_WORD, 2, 1, 0),  # r2 = kind (low half)
        _instruction(_AND_VALUE, 2, value=0xFFFF),
        _instruction(_LOAD_WORD, 3, 1, 0),  # r3 = access (high half)
        _instruction(_SHIFT_RIGHT, 3, value=16),
        _instruction(_LOAD_WORD, 4, 1, 4),  # r4 = major
        _instruction(_LOAD_WORD, 5, 1, 8),  # r5 = minor
    ]
    for rule in rules:
        program += _rule(rule)
    program += [_instruction(_MOVE_VALUE, 0, value=0), _instruction(_EXIT)]
    return b"".join(program)


def _rule(rule: DeviceRule) -> list[bytes]:
    """The instructions of one rule: each test that fails jumps behind the rule, the end answers 1."""
    kind = {"b": _BLOCK, "c": _CHARACTER}[rule.kind]
    allowed = sum(_ACCESS[letter] for letter in rule.access)
    tests: list[tuple[int, int, int, int]] = [(_JUMP_UNLESS_EQUAL, 2, 0, kind)]
    before: list[bytes] = []
    if allowed != sum(_ACCESS.values()):
        # What is asked for must be a part of what is allowed: asked & allowed == asked.
        before = [_instruction(_MOVE_REGISTER, 0, 3), _instruction(_AND_VALUE, 0, value=allowed)]
        tests.append((_JUMP_UNLESS_EQUAL_REGISTER, 0, 3, 0))
    if rule.major is not None:
        tests.append((_JUMP_UNLESS_EQUAL, 4, 0, rule.major))
    if rule.minor is not None:
        tests.append((_JUMP_UNLESS_EQUAL, 5, 0, rule.minor))
    jumps = [
        _instruction(code, target, source, len(tests) - index - 1 + 2, value)
        for index, (code, target, source, value) in enumerate(tests)
    ]
    return [*before, *jumps, _instruction(_MOVE_VALUE, 0, value=1), _instruction(_EXIT)]
