"""Looking at what the machine has left of memory, disk and processes: the signals of eviction."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from podrun.lifecycle.pressure import Observation


def observations(state: Path, images: Path, proc: Path = Path("/proc")) -> Mapping[str, Observation]:
    """What is there now; pods write to `state` (the kubelet's nodefs), `images` are where its imagefs is."""
    node, image = os.statvfs(state), os.statvfs(images if images.exists() else state)
    return {
        "memory.available": memory((proc / "meminfo").read_text()),
        "nodefs.available": _bytes(node),
        "nodefs.inodesFree": Observation(node.f_favail, node.f_files),
        "imagefs.available": _bytes(image),
        "imagefs.inodesFree": Observation(image.f_favail, image.f_files),
        "pid.available": _processes(proc),
    }


def memory(meminfo: str) -> Observation:
    """Bytes that are free or hold files nobody touched lately: capacity less the working set, as cAdvisor sees it."""
    lines = (line.split() for line in meminfo.splitlines())
    sizes = {words[0]: int(words[1]) * 1024 for words in lines if len(words) > 1}
    return Observation(sizes["MemFree:"] + sizes.get("Inactive(file):", 0), sizes["MemTotal:"])


def _bytes(found: os.statvfs_result) -> Observation:
    """What is reserved for others is no part of the capacity, as for df (for a kubelet it is: on a disk of a virtual
    machine that is larger than what is behind it, pods would go while most of what there is is free)."""
    used = found.f_blocks - found.f_bfree
    return Observation(found.f_bavail * found.f_frsize, (used + found.f_bavail) * found.f_frsize)


def _processes(proc: Path) -> Observation:
    most = int((proc / "sys/kernel/pid_max").read_text())
    running = int((proc / "loadavg").read_text().split()[3].partition("/")[2])
    return Observation(most - running, most)
