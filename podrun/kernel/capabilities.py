"""Capabilities: names, masks, and the five sets of a process (capabilities(7))."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from ctypes import c_void_p
from typing import Final

from podrun.kernel.calls import Call
from podrun.kernel.processes import Prctl, prctl

_capget = Call("capget", c_void_p, c_void_p)
_capset = Call("capset", c_void_p, c_void_p)
_VERSION_3: Final = 0x20080522
_AMBIENT_RAISE: Final = 2
_AMBIENT_CLEAR_ALL: Final = 4

NAMES: Final[tuple[str, ...]] = (
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
)
"""In the kernel's order: a name's index is its bit (include/uapi/linux/capability.h)."""

ALL: Final[int] = (1 << len(NAMES)) - 1

DEFAULT_NAMES: Final[tuple[str, ...]] = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
)
"""What containerd gives a container that asks for nothing."""


def mask(names: Iterable[str]) -> int:
    """The bits of these names, with or without `CAP_`, in any case. Raises ValueError naming the unknown one."""
    bits = 0
    for name in names:
        plain = name.upper().removeprefix("CAP_")
        if plain not in NAMES:
            raise ValueError(f"unknown capability {name!r}")
        bits |= 1 << NAMES.index(plain)
    return bits


DEFAULT: Final[int] = mask(DEFAULT_NAMES)


def names(bits: int) -> tuple[str, ...]:
    """The names of a mask, without `CAP_`, in the kernel's order."""
    return tuple(name for index, name in enumerate(NAMES) if bits >> index & 1)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def get() -> tuple[int, int, int]:
    """Effective, permitted and inheritable set of this process."""
    data = (_Data * 2)()
    _capget(ctypes.byref(_Header(_VERSION_3, 0)), ctypes.byref(data))
    low, high = data
    return (
        low.effective | high.effective << 32,
        low.permitted | high.permitted << 32,
        low.inheritable | high.inheritable << 32,
    )


def set_sets(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) for this process."""
    low, high = 0xFFFFFFFF, 32
    data = (_Data * 2)(
        _Data(effective & low, permitted & low, inheritable & low),
        _Data(effective >> high, permitted >> high, inheritable >> high),
    )
    _capset(ctypes.byref(_Header(_VERSION_3, 0)), ctypes.byref(data))


def drop_bounding(keep: int) -> None:
    """Drop every capability that is not in `keep` from the bounding set (those the kernel knows)."""
    for bit in range(last() + 1):
        if not keep >> bit & 1:
            prctl(Prctl.CAPBSET_DROP, bit)


def set_ambient(bits: int) -> None:
    """Exactly these; each must be permitted and inheritable already."""
    prctl(Prctl.CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    for bit in range(len(NAMES)):
        if bits >> bit & 1:
            prctl(Prctl.CAP_AMBIENT, _AMBIENT_RAISE, bit)


_last: int | None = None


def last() -> int:
    """The highest capability that this kernel knows."""
    global _last
    if _last is None:
        with open("/proc/sys/kernel/cap_last_cap") as file:
            _last = int(file.read())
    return _last
