"""Seccomp filters as bytes, from RuntimeDefault or a profile in the OCI's JSON. Only podrund imports this.

Compiled with libseccomp (through pyseccomp), which takes milliseconds: filters are cached by what they are made of.
"""

from __future__ import annotations

import errno
import platform
import struct
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import pyseccomp

from podrun.kernel import capabilities, seccomp_default
from podrun.kernel.seccomp_ranges import shrink

SPEC_ALLOW: Final = 4
"""SECCOMP_FILTER_FLAG_SPEC_ALLOW: no speculation penalty for the container, as runc loads filters."""

_ARCHITECTURES: Final[dict[str, tuple[str, ...]]] = {"x86_64": ("X86", "X32"), "aarch64": ("ARM",)}
_AUDIT_ARCH: Final[dict[str, int]] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_FIRST_COMMON: Final = 424
"""From pidfd_send_signal on, system calls have one number on every architecture and are counted upwards."""

_ACTIONS: Final[dict[str, Any]] = {
    "SCMP_ACT_ALLOW": pyseccomp.ALLOW,
    "SCMP_ACT_KILL": pyseccomp.KILL,
    "SCMP_ACT_KILL_THREAD": pyseccomp.KILL,
    "SCMP_ACT_KILL_PROCESS": pyseccomp.KILL_PROCESS,
    "SCMP_ACT_TRAP": pyseccomp.TRAP,
    "SCMP_ACT_LOG": pyseccomp.LOG,
}
_COMPARISONS: Final[dict[str, Any]] = {
    "SCMP_CMP_NE": pyseccomp.NE,
    "SCMP_CMP_LT": pyseccomp.LT,
    "SCMP_CMP_LE": pyseccomp.LE,
    "SCMP_CMP_EQ": pyseccomp.EQ,
    "SCMP_CMP_GE": pyseccomp.GE,
    "SCMP_CMP_GT": pyseccomp.GT,
    "SCMP_CMP_MASKED_EQ": pyseccomp.MASKED_EQ,
}


class ProfileError(ValueError):
    """A seccomp profile that cannot be used; the text says what is wrong with it."""


@lru_cache(maxsize=64)
def runtime_default(bounding: int) -> bytes:
    """The RuntimeDefault filter for a container with this bounding set (a mask)."""
    return shrink(compiled_default(bounding))


def compiled_default(bounding: int) -> bytes:
    """The same as libseccomp writes it, three times as long."""
    held = capabilities.names(bounding)
    allowed = set(seccomp_default.ALWAYS)
    allowed.update(seccomp_default.BY_MACHINE.get(platform.machine(), ()))
    for name in held:
        allowed.update(seccomp_default.BY_CAPABILITY.get(name, ()))
    filter_ = _filter(pyseccomp.ERRNO(errno.EPERM))
    for call in sorted(allowed):
        _add(filter_, pyseccomp.ALLOW, call)
    for value in seccomp_default.PERSONALITIES:
        _add(filter_, pyseccomp.ALLOW, "personality", pyseccomp.Arg(0, pyseccomp.EQ, value))
    _add(filter_, pyseccomp.ALLOW, "socket", pyseccomp.Arg(0, pyseccomp.NE, seccomp_default.AF_VSOCK))
    if "SYS_ADMIN" not in held:
        namespaces = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, seccomp_default.CLONE_NAMESPACES, 0)
        _add(filter_, pyseccomp.ALLOW, "clone", namespaces)
        # Its flags are behind a pointer that no filter can follow; programs fall back to clone on ENOSYS.
        _add(filter_, pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    return _with_unknown_calls(_export(filter_), allowed | {"clone3"})


def from_profile(profile: Mapping[str, Any]) -> bytes:
    """The filter of a profile as the OCI runtime specification writes it (`linux.seccomp`), for localhostProfile.

    Raises ProfileError.
    """
    default = _action(profile.get("defaultAction"), profile.get("defaultErrnoRet"))
    filter_ = _filter(default)
    mentioned: set[str] = set()
    for rule in profile.get("syscalls") or ():
        action = _action(rule.get("action"), rule.get("errnoRet"))
        arguments = [(int(argument.get("index", 0)), _argument(argument)) for argument in rule.get("args") or ()]
        for call in rule.get("names") or ():
            mentioned.add(call)
            if action != default:
                _add_all(filter_, action, call, arguments)
    compiled = _export(filter_)
    if default in (pyseccomp.ALLOW, pyseccomp.LOG):
        return compiled
    return _with_unknown_calls(compiled, mentioned)


def _filter(default: Any) -> Any:
    filter_ = pyseccomp.SyscallFilter(default)
    for name in _ARCHITECTURES.get(platform.machine(), ()):
        filter_.add_arch(getattr(pyseccomp.Arch, name))
    filter_.set_attr(pyseccomp.Attr.CTL_NNP, 0)
    return filter_


def _add(filter_: Any, action: Any, call: str, *arguments: Any) -> None:
    """Add a rule; a call that this libseccomp or machine does not know is left out."""
    try:
        number = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, call)
    except (ValueError, RuntimeError):
        return
    if number == -1:
        return
    filter_.add_rule(action, call, *arguments)


def _add_all(filter_: Any, action: Any, call: str, arguments: Sequence[tuple[int, Any]]) -> None:
    """Comparisons with the indices of their arguments. libseccomp takes one comparison per argument and rule: several
    on one argument are alternatives, as in runc."""
    if len({index for index, _ in arguments}) == len(arguments):
        _add(filter_, action, call, *(comparison for _, comparison in arguments))
        return
    for _, comparison in arguments:
        _add(filter_, action, call, comparison)


def _action(name: object, number: object) -> Any:
    if name == "SCMP_ACT_ERRNO":
        return pyseccomp.ERRNO(number if isinstance(number, int) else errno.EPERM)
    if name == "SCMP_ACT_TRACE":
        return pyseccomp.TRACE(number if isinstance(number, int) else errno.EPERM)
    if name not in _ACTIONS:
        raise ProfileError(f"seccomp action {name!r} is not known")
    return _ACTIONS[str(name)]


def _argument(argument: Mapping[str, Any]) -> Any:
    comparison = _COMPARISONS.get(argument.get("op", ""))
    if comparison is None:
        raise ProfileError(f"seccomp comparison {argument.get('op')!r} is not known")
    index, value, second = (int(argument.get(name, 0)) for name in ("index", "value", "valueTwo"))
    if argument["op"] == "SCMP_CMP_MASKED_EQ":
        return pyseccomp.Arg(index, comparison, value, second)
    return pyseccomp.Arg(index, comparison, value)


def _export(filter_: Any) -> bytes:
    with tempfile.TemporaryFile() as file:
        filter_.export_bpf(file)
        file.seek(0)
        return file.read()


def _with_unknown_calls(program: bytes, mentioned: set[str]) -> bytes:
    """Put in front: a call newer than all that the profile's writer (and libseccomp) knew is answered with ENOSYS.

    EPERM there would break programs that try a new call first and fall back when the kernel does not have it: what
    libraries expect, and what runc does.
    """
    known = _FIRST_COMMON
    for call in mentioned:
        try:
            known = max(known, pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, call))
        except (ValueError, RuntimeError):
            continue
    if known >= 1000 or platform.machine() not in _AUDIT_ARCH:
        return program
    load, jump_equal, jump_greater, jump_at_least, answer = 0x20, 0x15, 0x25, 0x35, 0x06
    prefix = (
        (load, 0, 0, 4),  # seccomp_data.arch
        (jump_equal, 0, 4, _AUDIT_ARCH[platform.machine()]),  # another one: skip to the profile
        (load, 0, 0, 0),  # seccomp_data.nr
        (jump_at_least, 2, 0, 0x40000000),  # the x32 calls have numbers of their own
        (jump_greater, 0, 1, known),
        (answer, 0, 0, 0x00050000 | errno.ENOSYS),  # SECCOMP_RET_ERRNO
    )
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in prefix) + program
