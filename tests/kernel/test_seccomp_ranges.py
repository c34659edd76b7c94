"""A shrunk filter answers every call as the long one does: both are run, instruction by instruction."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator

import pytest

from podrun.kernel import capabilities, seccomp_default, seccomp_profile
from podrun.kernel.seccomp_ranges import shrink

X86_64, X86, ARM64, UNKNOWN = 0xC000003E, 0x40000003, 0xC00000B7, 0x12345678
ARGUMENTS = (
    *(0, 1, seccomp_default.AF_VSOCK, seccomp_default.AF_VSOCK + (1 << 32), 1 << 32, (1 << 64) - 1),
    *(seccomp_default.CLONE_NAMESPACES, 0x20000000, 0x11, 0x1200011, *seccomp_default.PERSONALITIES),
)

Instruction = tuple[int, int, int, int]


def decoded(program: bytes) -> list[Instruction]:
    return list(struct.iter_unpack("=HBBI", program))


def answer(filter_: list[Instruction], architecture: int, call: int, argument: int) -> tuple[int, bool]:
    """What the filter says of a call whose arguments are all the same, and whether it looked at one."""
    data = struct.pack("=IIQ6Q", call, architecture, 0, *[argument] * 6)
    at = accumulator = 0
    looked = False
    while True:
        code, if_true, if_false, value = filter_[at]
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, value)
                looked = looked or value >= 16
            case 0x54:
                accumulator &= value
            case 0x05:
                at += value
            case 0x06:
                return value, looked
            case 0x15 | 0x25 | 0x35 | 0x45:
                tests = {
                    0x15: accumulator == value,
                    0x25: accumulator > value,
                    0x35: accumulator >= value,
                    0x45: bool(accumulator & value),
                }
                at += if_true if tests[code] else if_false
            case _:
                raise AssertionError(f"instruction {code:#x}")


def calls(filter_: list[Instruction]) -> list[int]:
    """Every number that a comparison may tell from its neighbours."""
    values = {value + step for code, _, _, value in filter_ if code & 7 == 5 for step in (-1, 0, 1)}
    return sorted(value for value in values | {0, 0x7FFFFFFF, 0xFFFFFFFF} if 0 <= value <= 0xFFFFFFFF)


def differences(program: bytes, other: bytes) -> Iterator[tuple[int, int, int]]:
    first, second = decoded(program), decoded(other)
    for architecture, call in itertools.product((X86_64, X86, ARM64, UNKNOWN), calls(first)):
        for argument in ARGUMENTS:
            said, looked = answer(first, architecture, call, argument)
            if answer(second, architecture, call, argument)[0] != said:
                yield architecture, call, argument
            if not looked:
                break


def of_capabilities(names: set[str]) -> Callable[[], bytes]:
    return lambda: seccomp_profile.compiled_default(capabilities.mask(names))


RULES = [
    {"names": ["read", "write"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5},
    {"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 1, "value": 0x5412, "op": "SCMP_CMP_EQ"}]},
    {"names": ["kill"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_GT"}]},
]

PROGRAMS = {
    "a container's default capabilities": lambda: seccomp_profile.compiled_default(capabilities.DEFAULT),
    "none": of_capabilities(set()),
    "with SYS_ADMIN": of_capabilities({"SYS_ADMIN", "SYS_TIME", "SYS_MODULE"}),
    "a profile that allows": lambda: seccomp_profile.from_profile(
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": RULES}
    ),
    "a profile that refuses": lambda: seccomp_profile.from_profile(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [{"names": ["read", "exit", "mmap"], "action": "SCMP_ACT_ALLOW"}, *RULES[1:]],
        }
    ),
}


@pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_it_answers_as_before(make: Callable[[], bytes]) -> None:
    program = make()
    small = shrink(program)
    assert list(differences(program, small)) == []


def test_the_default_is_a_third() -> None:
    program = seccomp_profile.compiled_default(capabilities.DEFAULT)
    assert len(shrink(program)) * 2 < len(program)
    assert seccomp_profile.runtime_default(capabilities.DEFAULT) == shrink(program)


@pytest.mark.parametrize(
    "program",
    [
        pytest.param([(0x20, 0, 0, 0), (0x45, 0, 1, 4), (0x06, 0, 0, 1), (0x06, 0, 0, 2)], id="a bit of the number"),
        pytest.param([(0x20, 0, 0, 0), (0x15, 0, 1, 4), (0x06, 0, 0, 1), (0x06, 0, 0, 2)] * 1, id="no architecture"),
        pytest.param([(0x87, 0, 0, 0), (0x06, 0, 0, 1)], id="an instruction of another kind"),
        pytest.param([(0x20, 0, 0, 4), (0x15, 0, 9, 4)], id="a jump past the end"),
    ],
)
def test_what_is_not_understood_stays(program: list[Instruction]) -> None:
    encoded = b"".join(struct.pack("=HBBI", *entry) for entry in program)
    assert shrink(encoded) == encoded
