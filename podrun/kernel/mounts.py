"""Mounts: the classic calls and the descriptor-based ones (Linux 5.2 and later, mount_setattr 5.12)."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator, Sequence
from ctypes import c_char_p, c_int, c_size_t, c_uint, c_ulong, c_void_p

from podrun.kernel.calls import Call, bytes_of
from podrun.kernel.flags import MountAttr, MountFlags, MoveMount, OpenTree, UmountFlags

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100

_mount = Call("mount", c_char_p, c_char_p, c_char_p, c_ulong, c_char_p)
_umount2 = Call("umount2", c_char_p, c_int)
_pivot_root = Call("pivot_root", c_char_p, c_char_p)
_open_tree = Call("open_tree", c_int, c_char_p, c_uint)
_move_mount = Call("move_mount", c_int, c_char_p, c_int, c_char_p, c_uint)
_fsopen = Call("fsopen", c_char_p, c_uint)
_fsconfig = Call("fsconfig", c_int, c_uint, c_char_p, c_void_p, c_int)
_fsmount = Call("fsmount", c_int, c_uint, c_uint)
_mount_setattr = Call("mount_setattr", c_int, c_char_p, c_uint, c_void_p, c_size_t)

_ROOM_FOR_OPTIONS = 4000
_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6


class _Attributes(ctypes.Structure):
    """struct mount_attr"""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def mount(source: str, target: str, kind: str, flags: MountFlags = MountFlags.NONE, options: str = "") -> None:
    """mount(2). `kind` is the file system's type; both paths follow symlinks."""
    _mount(
        os.fsencode(source), bytes_of(target), os.fsencode(kind), int(flags), os.fsencode(options) or None, path=target
    )


def escaped(path: str) -> str:
    """A path in overlayfs's options, where `:` `,` and backslash are signs of their own."""
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


@contextlib.contextmanager
def lower_layers(layers: Sequence[str], others: Sequence[str] = ()) -> Iterator[str]:
    """Overlay options with these layers (topmost first) and `others`, to be used inside the block.

    mount(2) takes one page of options: where their paths do not fit, layers are named by open descriptors.
    """
    lower = ":".join(map(escaped, layers))
    with contextlib.ExitStack() as opened:
        if len(lower) + sum(map(len, others)) > _ROOM_FOR_OPTIONS:
            numbers = [os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for path in layers]
            for number in numbers:
                opened.callback(os.close, number)
            lower = ":".join(f"/proc/self/fd/{number}" for number in numbers)
        yield ",".join([f"lowerdir={lower}", *others])


def umount(target: str, flags: UmountFlags = UmountFlags.NONE) -> None:
    """umount2(2)."""
    _umount2(bytes_of(target), int(flags), path=target)


def pivot_root(new: str, old: str) -> None:
    """pivot_root(2): `new` becomes `/`, the former root is then mounted at `old` (both may be `.`)."""
    _pivot_root(bytes_of(new), bytes_of(old), path=new)


def set_propagation(target: str, propagation: MountFlags) -> None:
    """PRIVATE, SLAVE, SHARED or UNBINDABLE, with REC for everything below."""
    _mount(None, bytes_of(target), None, int(propagation), None, path=target)


def open_tree(path: str, directory: int = AT_FDCWD, *, clone: bool = True, recursive: bool = True) -> int:
    """A descriptor (close-on-exec) of the mount at `path`; a detached copy of it with `clone`.

    An empty `path` means `directory` itself. A copy is made in the caller's mount namespace and may then be attached
    in another one by `attach`.
    """
    flags = OpenTree.CLOEXEC
    if clone:
        flags |= OpenTree.CLONE | (OpenTree.RECURSIVE if recursive else OpenTree.NONE)
    if not path:
        flags |= OpenTree.EMPTY_PATH
    return _open_tree(directory, bytes_of(path), int(flags), path=path or f"descriptor {directory}")


def attach(tree: int, target: int, path: str = "") -> None:
    """Put a detached mount on what the descriptor `target` (O_PATH) names; `path` is for the error."""
    _move_mount(tree, b"", target, b"", int(MoveMount.F_EMPTY_PATH | MoveMount.T_EMPTY_PATH), path=path)


def move(tree: int, target: str) -> None:
    """Put a detached mount on a path."""
    _move_mount(tree, b"", AT_FDCWD, bytes_of(target), int(MoveMount.F_EMPTY_PATH), path=target)


def new(kind: str, options: dict[str, str | None], attributes: MountAttr = MountAttr.NONE, source: str = "") -> int:
    """A new file system of this type as a detached mount: its descriptor.

    Options with None are flags. A string option is at most 255 bytes (the kernel's rule).
    """
    context = _fsopen(bytes_of(kind), _FSOPEN_CLOEXEC, path=kind)
    try:
        if source:
            _fsconfig(context, _SET_STRING, b"source", os.fsencode(source), 0, path=kind)
        for name, value in options.items():
            if value is None:
                _fsconfig(context, _SET_FLAG, name.encode(), None, 0, path=f"{kind} {name}")
            else:
                _fsconfig(context, _SET_STRING, name.encode(), value.encode(), 0, path=f"{kind} {name}={value}")
        _fsconfig(context, _CREATE, None, None, 0, path=kind)
        return _fsmount(context, _FSMOUNT_CLOEXEC, int(attributes), path=kind)
    finally:
        os.close(context)


def set_attributes(
    tree: int,
    path: str = "",
    *,
    set: MountAttr = MountAttr.NONE,
    clear: MountAttr = MountAttr.NONE,
    propagation: MountFlags = MountFlags.NONE,
    recursive: bool = False,
    user_namespace: int | None = None,
) -> None:
    """mount_setattr(2) on the mount that `path`, from `tree`, is in (an empty path: `tree` itself).

    `user_namespace` with MountAttr.IDMAP maps the owners of files; only while the mount is detached.
    """
    value = _Attributes(int(set), int(clear), int(propagation), user_namespace or 0)
    flags = (AT_RECURSIVE if recursive else 0) | (0 if path else AT_EMPTY_PATH)
    _mount_setattr(
        tree, bytes_of(path), flags, ctypes.byref(value), ctypes.sizeof(value), path=path or f"descriptor {tree}"
    )
