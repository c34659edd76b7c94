"""emptyDir: a directory that lives as long as the pod, on disk or in memory (pkg/volume/emptydir)."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from podrun.api.pod import Container, EmptyDir, Pod
from podrun.api.quantity import Quantity
from podrun.kernel import mounts
from podrun.kernel.calls import KernelError
from podrun.kernel.flags import MountFlags
from podrun.volumes.ownership import group_mode
from podrun.volumes.payload import Unavailable

_S_IFDIR = 0o040000
_HUGE_PAGES = "HugePages"


def set_up(path: Path, source: EmptyDir, pod: Pod, allocatable: Mapping[str, str]) -> None:
    """Make the directory, once: what is there stays, with what containers wrote. Raises Unavailable or OSError."""
    group = pod.spec.security_context.fs_group
    if not source.medium:
        make_directory(path, group)
    elif source.medium == "Memory":
        mount_tmpfs(path, memory_size(source, pod, allocatable), group)
    elif source.medium.startswith(_HUGE_PAGES):
        _mount_huge_pages(path, page_size(source.medium, pod), group)
    else:
        raise Unavailable(f'unknown storage medium "{source.medium}"')


def make_directory(path: Path, group: int | None) -> None:
    """A directory for everyone (0777), the group's with setgid where there is one; seen only when it is ready."""
    if path.is_dir():
        return
    fresh = path.with_name(f".{path.name}")
    fresh.mkdir(parents=True, exist_ok=True)
    _open_to_all(fresh, 0o777, group)
    os.rename(fresh, path)


def mount_tmpfs(path: Path, size: int | None, group: int | None) -> None:
    """A tmpfs of at most `size` bytes (None: half of the machine's memory) at `path`, if it is not there yet."""
    path.mkdir(parents=True, exist_ok=True)
    if os.path.ismount(path):
        return
    # the root of a tmpfs is 1777 like /tmp; owner and mode are mount options so that it is never seen without them
    options = [f"mode={_mode(0o1777, group):o}"]
    if group is not None:
        options.append(f"gid={group}")
    if size is not None:
        options.append(f"size={size}")
    try:
        mounts.mount("tmpfs", str(path), "tmpfs", options=",".join((*options, "noswap")))
    except KernelError as error:
        if error.errno != errno.EINVAL:
            raise
        # noswap is of Linux 6.4: before, the memory of a tmpfs can be swapped out
        mounts.mount("tmpfs", str(path), "tmpfs", options=",".join(options))


def memory_size(source: EmptyDir, pod: Pod, allocatable: Mapping[str, str]) -> int | None:
    """Bytes: the smallest of the node's memory, the pod's limit and sizeLimit (calculateEmptyDirMemorySize)."""
    sizes = [node] if (node := node_memory(allocatable)) is not None else []
    if (limit := _pod_memory_limit(pod)) is not None:
        sizes.append(limit)
    if (own := size_limit(source)) is not None:
        sizes.append(own)
    return min(sizes, default=None)


def node_memory(allocatable: Mapping[str, str]) -> int | None:
    """The node's allocatable memory in bytes, where it is known."""
    return Quantity.parse(allocatable["memory"]).value() if "memory" in allocatable else None


def size_limit(source: EmptyDir) -> int | None:
    """sizeLimit in bytes; None where there is none (0 is none, too)."""
    return Quantity.parse(source.size_limit).value() or None if source.size_limit is not None else None


def _pod_memory_limit(pod: Pod) -> int | None:
    """What the pod's cgroup may use; None when a container has no limit (then the pod has none)."""
    if pod.spec.resources is not None and (own := pod.spec.resources.limits.get("memory")):
        return Quantity.parse(own).value()

    def limit(container: Container) -> int | None:
        text = container.resources.limits.get("memory")
        return None if text is None else Quantity.parse(text).value()

    lasting = [one for one in pod.spec.init_containers if one.restart_policy == "Always"]
    limits = [limit(one) for one in (*pod.spec.containers, *lasting)]
    passing = [limit(one) for one in pod.spec.init_containers if one.restart_policy != "Always"]
    if None in limits or None in passing:
        return None
    total = sum(one or 0 for one in limits)
    return max([total, *(one or 0 for one in passing)]) or None


def page_size(medium: str, pod: Pod) -> str:
    """The size of huge pages ("2Mi") for a medium "HugePages" or "HugePages-2Mi", out of the containers' requests."""
    asked = {
        name.removeprefix("hugepages-")
        for container in (*pod.spec.containers, *pod.spec.init_containers)
        for name in container.resources.requests
        if name.startswith("hugepages-")
    }
    if medium != _HUGE_PAGES:
        asked &= {medium.removeprefix(f"{_HUGE_PAGES}-")}
    if not asked:
        raise Unavailable(
            f"medium {medium}: hugePages storage requested, but there is no resource request for huge pages"
        )
    if len(asked) > 1:
        raise Unavailable(f"medium: {medium} can't be used if container requests multiple huge page sizes")
    return asked.pop()


def _mount_huge_pages(path: Path, size: str, group: int | None) -> None:
    path.mkdir(parents=True, exist_ok=True)
    if not os.path.ismount(path):
        owner = f",gid={group}" if group is not None else ""
        mode = _mode(0o777, group)
        mounts.mount("nodev", str(path), "hugetlbfs", MountFlags(0), f"pagesize={size},mode={mode:o}{owner}")


def _open_to_all(path: Path, mode: int, group: int | None) -> None:
    if group is not None:
        os.chown(path, -1, group)
    path.chmod(_mode(mode, group))


def _mode(mode: int, group: int | None) -> int:
    return mode if group is None else group_mode(_S_IFDIR | mode, read_only=False)
