"""Opening a volume for a container: its source by descriptor, a sub-path beneath it and never out of it."""

from __future__ import annotations

import errno
import os

from podrun.kernel import mounts, paths
from podrun.kernel.calls import KernelError
from podrun.kernel.flags import MountAttr
from podrun.runtime.errors import ConfigFailed, CreateFailed
from podrun.runtime.model import Mount

_SUB_PATH_MODE = 0o750
"""The kubelet makes a missing sub-path with the volume's own permissions, at least these."""


def open_tree(mount: Mount, container: str, users: int | None = None) -> int:
    """A detached copy of what is to be mounted, for the user namespace `users` (a descriptor) if there is one.

    The caller closes it. Raises ConfigFailed with the kubelet's words, CreateFailed where it cannot be mapped.
    """
    tree = _open_tree(mount, container)
    if users is not None and not mount.layers:
        try:
            idmap(tree, users, str(mount.source))
        except KernelError as error:
            os.close(tree)
            raise CreateFailed(f"failed to create containerd container: {error}") from None
    return tree


def idmap(tree: int, users: int, path: str) -> None:
    """Map the owners of a detached mount's files. Raises KernelError, which names the file system that cannot."""
    try:
        mounts.set_attributes(tree, set=MountAttr.IDMAP, user_namespace=users)
    except KernelError as error:
        raise KernelError(
            error.errno or 0, "mount_setattr", f"{path} (maybe its file system has no idmapped mounts on this kernel)"
        ) from None


def _open_tree(mount: Mount, container: str) -> int:
    """A detached copy of what is to be mounted (the caller's to close). Raises ConfigFailed with the kubelet's words.

    Made in podrund's own mount namespace, the host's: the spawner's child sees no host files.
    """
    if not mount.sub_path:
        try:
            return mounts.open_tree(str(mount.source))
        except KernelError as error:
            raise ConfigFailed(f"{mount.source}: {error.strerror}, which volumeMount {mount.target} needs") from None
    missing = mount.create_sub_path and not os.path.exists(mount.source / mount.sub_path)
    what = "create subPath directory" if missing else "prepare subPath"
    try:
        top = os.open(mount.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if missing:
                _make(top, mount.sub_path)
            what = "prepare subPath"
            return _copy(top, mount.sub_path)
        finally:
            os.close(top)
    except OSError:
        raise ConfigFailed(f'failed to {what} for volumeMount "{mount.volume}" of container "{container}"') from None


def _copy(top: int, sub_path: str) -> int:
    place = paths.open_beneath(top, sub_path)
    try:
        return mounts.open_tree("", place)
    finally:
        os.close(place)


def _make(top: int, sub_path: str) -> None:
    """mkdir -p beneath `top`, each with the permissions of the directory that it is made in."""
    try:
        os.close(paths.open_beneath(top, sub_path))
    except KernelError as error:
        if error.errno != errno.ENOENT:
            raise
        parent, _, name = sub_path.strip("/").rpartition("/")
        if parent:
            _make(top, parent)
        at = paths.open_beneath(top, parent or ".")
        try:
            os.mkdir(name, 0o700, dir_fd=at)
            made = paths.open_beneath(at, name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                os.fchmod(made, (os.fstat(at).st_mode & 0o7777) | _SUB_PATH_MODE)
            finally:
                os.close(made)
        finally:
            os.close(at)
