"""Paths walked under a root: no symlink, `..` or magic link of an image or volume leads out (openat2, Linux 5.6)."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from ctypes import c_char_p, c_int, c_size_t, c_void_p

from podrun.kernel.calls import Call, KernelError, bytes_of
from podrun.kernel.flags import Resolve

_openat2 = Call("openat2", c_int, c_char_p, c_void_p, c_size_t)
_syncfs = Call("syncfs", c_int)
_IN_ROOT = Resolve.IN_ROOT | Resolve.NO_MAGICLINKS
_TRIES = 64
"""openat2 says EAGAIN when a rename elsewhere might have let `..` escape; it is then asked again."""


class _How(ctypes.Structure):
    """struct open_how"""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_at(directory: int, path: str, flags: int, resolve: Resolve, mode: int = 0) -> int:
    """openat2(2); O_CLOEXEC is added. Raises KernelError."""
    how = _How(flags | os.O_CLOEXEC, mode, int(resolve))
    raw = bytes_of(path)
    for _ in range(_TRIES):
        try:
            return _openat2(directory, raw, ctypes.byref(how), ctypes.sizeof(how), path=path)
        except KernelError as error:
            if error.errno != errno.EAGAIN:
                raise
    raise KernelError(errno.EAGAIN, "openat2", path)


def open_in_root(root: int, path: str, flags: int = os.O_PATH, mode: int = 0) -> int:
    """Open `path` as a process whose root is the descriptor `root` would, without magic links."""
    return open_at(root, path, flags, _IN_ROOT, mode)


def open_beneath(directory: int, path: str, flags: int = os.O_PATH, mode: int = 0) -> int:
    """Open a relative path that must stay below `directory`: EXDEV when a link or `..` would leave it (subPath)."""
    return open_at(directory, path, flags, Resolve.BENEATH | Resolve.NO_MAGICLINKS, mode)


def make_directory(root: int, path: str, mode: int = 0o755) -> int:
    """mkdir -p inside `root`; an O_PATH descriptor of it. Existing symlinks are followed inside the root.

    Raises KernelError: ENOTDIR when something else is in the way, ELOOP for a link that leads nowhere twice.
    """
    try:
        return open_in_root(root, path, os.O_PATH | os.O_DIRECTORY)
    except KernelError as error:
        if error.errno != errno.ENOENT:
            raise
    if path.endswith("/.."):  # of a directory that is missing: it is made, as mkdir -p would, and left again
        os.close(make_directory(root, path.removesuffix("/..")))
        return open_in_root(root, path, os.O_PATH | os.O_DIRECTORY)
    parent, name = parent_and_name(path)
    where = make_directory(root, parent)
    try:
        os.mkdir(name, mode, dir_fd=where)
    except FileExistsError:
        return _through_dangling_link(root, where, name, path, mode)
    finally:
        os.close(where)
    return open_in_root(root, path, os.O_PATH | os.O_DIRECTORY)


def _through_dangling_link(root: int, where: int, name: str, path: str, mode: int) -> int:
    """The name exists and yet does not resolve: a symlink whose target is missing inside the root. Make the target."""
    target = _target_of_link(where, name, path)
    if target is None:
        return open_in_root(root, path, os.O_PATH | os.O_DIRECTORY)
    return make_directory(root, target, mode)


def _target_of_link(where: int, name: str, path: str) -> str | None:
    """What a symlink (of the path `path`) names, as a path from the root; None when it is no symlink."""
    status = os.stat(name, dir_fd=where, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        return None
    target = os.readlink(name, dir_fd=where)
    parent, _ = parent_and_name(path)
    resolved = target if target.startswith("/") else f"{parent}/{target}"
    if resolved.count("/") > 255:
        raise KernelError(errno.ELOOP, "openat2", path)
    return resolved


def make_file(root: int, path: str, mode: int = 0o644) -> int:
    """An O_PATH descriptor of an existing entry that is not a directory, or of an empty file made now.

    Where a symlink leads to nothing (an image's /etc/resolv.conf often does), the file is made there, inside the root.
    """
    try:
        return open_in_root(root, path)
    except KernelError as error:
        if error.errno != errno.ENOENT:
            raise
    parent, name = parent_and_name(path)
    where = make_directory(root, parent)
    try:
        os.close(open_at(where, name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, Resolve.NO_SYMLINKS, mode))
    except KernelError as error:
        if error.errno != errno.EEXIST or (target := _target_of_link(where, name, path)) is None:
            raise
        return make_file(root, target, mode)
    finally:
        os.close(where)
    return open_in_root(root, path)


def sync_file_system(descriptor: int) -> None:
    """syncfs(2): returns when all of the file system that this descriptor is on has been written to its disk."""
    _syncfs(descriptor)


def parent_and_name(path: str) -> tuple[str, str]:
    """`/a/./b/` -> (`/a`, `b`). Raises KernelError(EINVAL) for the root itself or a name of `..`."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or parts[-1] == "..":
        raise KernelError(errno.EINVAL, "open", path)
    return "/" + "/".join(parts[:-1]), parts[-1]
