"""Flags of the kernel's calls, typed: a wrong combination is a type error and an error message can name them.

Values are those of the kernel's UAPI headers (sched.h, mount.h, openat2.h), the same on x86-64 and arm64.
"""

from __future__ import annotations

from enum import IntFlag


class Clone(IntFlag):
    """Kinds of namespaces, for unshare(2) and setns(2)."""

    TIME = 0x00000080
    MNT = 0x00020000
    CGROUP = 0x02000000
    UTS = 0x04000000
    IPC = 0x08000000
    USER = 0x10000000
    PID = 0x20000000
    NET = 0x40000000

    def names(self) -> str:
        """`net,ipc,uts`, as the files of /proc/PID/ns are called."""
        return ",".join((kind.name or "").lower() for kind in Clone if kind in self)


class MountFlags(IntFlag):
    """mount(2)."""

    NONE = 0
    RDONLY = 0x1
    NOSUID = 0x2
    NODEV = 0x4
    NOEXEC = 0x8
    REMOUNT = 0x20
    NOSYMFOLLOW = 0x100
    NOATIME = 0x400
    NODIRATIME = 0x800
    BIND = 0x1000
    MOVE = 0x2000
    REC = 0x4000
    UNBINDABLE = 1 << 17
    PRIVATE = 1 << 18
    SLAVE = 1 << 19
    SHARED = 1 << 20
    RELATIME = 1 << 21
    STRICTATIME = 1 << 24


class UmountFlags(IntFlag):
    """umount2(2)."""

    NONE = 0
    FORCE = 1
    DETACH = 2
    EXPIRE = 4
    NOFOLLOW = 8


class MountAttr(IntFlag):
    """mount_setattr(2) and fsmount(2)."""

    NONE = 0
    RDONLY = 0x1
    NOSUID = 0x2
    NODEV = 0x4
    NOEXEC = 0x8
    NOATIME = 0x10
    STRICTATIME = 0x20
    NODIRATIME = 0x80
    IDMAP = 0x100000
    NOSYMFOLLOW = 0x200000


class OpenTree(IntFlag):
    """open_tree(2)."""

    NONE = 0
    CLONE = 0x1
    CLOEXEC = 0o2000000
    RECURSIVE = 0x8000
    EMPTY_PATH = 0x1000
    SYMLINK_NOFOLLOW = 0x100


class MoveMount(IntFlag):
    """move_mount(2)."""

    F_SYMLINKS = 0x1
    F_EMPTY_PATH = 0x4
    T_SYMLINKS = 0x10
    T_EMPTY_PATH = 0x40
    SET_GROUP = 0x100
    BENEATH = 0x200


class Resolve(IntFlag):
    """openat2(2): how a path may be walked."""

    NO_XDEV = 0x01
    NO_MAGICLINKS = 0x02
    NO_SYMLINKS = 0x04
    BENEATH = 0x08
    IN_ROOT = 0x10
    CACHED = 0x20
