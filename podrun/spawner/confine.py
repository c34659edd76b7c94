"""The spawner's own mount namespace: next to nothing in it.

unshare(CLONE_NEWNS) copies every mount of the caller's namespace under a global lock, so each container's start is
quicker when there are few; and what is not mounted cannot be reached from a plan by mistake.

    /            tmpfs, read-only, to be walked through by the root of a user namespace, too
    /proc        the host's
    /dev/null    the host's
    /rootfs      empty: a container's root is mounted here, in the child's own namespace
    the directories that plans name by path, at their own paths
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from podrun.kernel import mounts, namespaces
from podrun.kernel.flags import Clone, MountAttr, MountFlags, UmountFlags
from podrun.spawner.plan import ROOTFS


def confine(directory: Path, visible: Sequence[Path]) -> int:
    """Move this process into such a namespace; a descriptor of the host's, to go back by `namespaces.setns`.

    `directory` is one of the paths that stay, and serves as the mount point while the tree is built. Raises OSError.
    """
    host = namespaces.open_namespace("mnt")
    kept = sorted({str(path) for path in (directory, *visible)}, key=len)
    trees = {path: mounts.open_tree(path) for path in kept if not _below_another(path, kept)}
    trees["/proc"] = mounts.open_tree("/proc", recursive=False)
    null = mounts.open_tree("/dev/null", recursive=False)
    namespaces.unshare(Clone.MNT)
    mounts.set_propagation("/", MountFlags.SLAVE | MountFlags.REC)
    root = mounts.new("tmpfs", {"mode": "711", "size": "1m"})
    mounts.move(root, str(directory))
    os.fchdir(root)
    for path, tree in trees.items():
        inside = path.lstrip("/")
        os.makedirs(inside, exist_ok=True)
        mounts.set_attributes(tree, propagation=MountFlags.SLAVE, recursive=True)
        mounts.move(tree, inside)
        os.close(tree)
    os.makedirs("dev", exist_ok=True)
    os.close(os.open("dev/null", os.O_CREAT | os.O_CLOEXEC))
    mounts.move(null, "dev/null")
    os.close(null)
    os.mkdir(ROOTFS.lstrip("/"))
    mounts.set_attributes(root, set=MountAttr.RDONLY)
    os.close(root)
    mounts.pivot_root(".", ".")
    mounts.umount(".", UmountFlags.DETACH)
    os.chdir("/")
    return host


def _below_another(path: str, kept: Sequence[str]) -> bool:
    return any(path != other and path.startswith(other.rstrip("/") + "/") for other in kept)
