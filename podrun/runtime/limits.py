"""CRI resources as cgroup limits."""

from __future__ import annotations

from podrun.cgroups.limits import Limits
from podrun.runtime.model import Resources


def limits_of(resources: Resources, *, container: bool = False) -> Limits:
    """What to set on a pod's or a container's group; a container that runs out of memory goes as a whole (v2)."""
    return Limits(
        cpu_shares=resources.cpu_shares,
        cpu_quota_us=resources.cpu_quota_us,
        cpu_period_us=resources.cpu_period_us,
        memory_bytes=resources.memory_limit,
        pids=resources.pids_limit,
        whole_group_oom=container,
        unified=resources.unified,
    )
