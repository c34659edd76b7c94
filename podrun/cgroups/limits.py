"""Limits as cgroup files: pure functions from numbers to the writes that set them, for v1 and for v2.

The caller gives CPU in shares (1024 per core) and microseconds of quota per period, memory in bytes. What is None is
left at the kernel's default. A write that is `optional` goes to a file that not every kernel has (swap accounting).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limits:
    """What a group may use; `whole_group_oom` kills all of it when one process runs out of memory (v2 only)."""

    cpu_shares: int | None = None
    cpu_quota_us: int | None = None
    cpu_period_us: int = 100_000
    memory_bytes: int | None = None
    pids: int | None = None
    whole_group_oom: bool = False
    unified: Mapping[str, str] = field(default_factory=dict)
    """v2 files set as they are, after the rest."""


@dataclass(frozen=True, slots=True)
class Write:
    """One value for one file of the group's directory in `controller`'s tree."""

    controller: str
    file: str
    value: str
    optional: bool = False


def weight_of_shares(shares: int) -> int:
    """v2's cpu.weight for v1's cpu.shares: 1024 is 100, 2 is 1, 262144 is 10000 (the curve runc uses since 1.3.2)."""
    if shares <= 2:
        return 1
    if shares >= 262_144:
        return 10_000
    power = math.log2(shares)
    return math.ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def v1_writes(limits: Limits, *, raising_memory: bool = False) -> tuple[Write, ...]:
    """The writes for v1 controllers.

    Memory with swap may never be below memory alone, so the two are written in one order when the limit falls and in
    the other (`raising_memory`) when it rises; a new group has no limit, for which falling is right.
    """
    writes: list[Write] = []
    if limits.cpu_shares is not None:
        writes.append(Write("cpu", "cpu.shares", str(max(2, limits.cpu_shares))))
    if limits.cpu_quota_us is not None:
        writes.append(Write("cpu", "cpu.cfs_period_us", str(limits.cpu_period_us)))
        writes.append(Write("cpu", "cpu.cfs_quota_us", str(limits.cpu_quota_us)))
    if limits.memory_bytes is not None:
        alone = Write("memory", "memory.limit_in_bytes", str(limits.memory_bytes))
        with_swap = Write("memory", "memory.memsw.limit_in_bytes", str(limits.memory_bytes), optional=True)
        writes += [with_swap, alone] if raising_memory else [alone, with_swap]
    if limits.pids is not None:
        writes.append(Write("pids", "pids.max", _or_max(limits.pids)))
    return tuple(writes)


def v2_writes(limits: Limits) -> tuple[Write, ...]:
    """The writes for v2 controllers. Swap is not given to containers (the kubelet's NoSwap)."""
    writes: list[Write] = []
    if limits.cpu_shares is not None:
        writes.append(Write("cpu", "cpu.weight", str(weight_of_shares(limits.cpu_shares))))
    if limits.cpu_quota_us is not None:
        writes.append(Write("cpu", "cpu.max", f"{_or_max(limits.cpu_quota_us)} {limits.cpu_period_us}"))
    if limits.memory_bytes is not None:
        writes.append(Write("memory", "memory.max", _or_max(limits.memory_bytes)))
        writes.append(Write("memory", "memory.swap.max", "0", optional=True))
    if limits.whole_group_oom:
        writes.append(Write("memory", "memory.oom.group", "1", optional=True))
    if limits.pids is not None:
        writes.append(Write("pids", "pids.max", _or_max(limits.pids)))
    writes += [Write(name.partition(".")[0], name, value) for name, value in limits.unified.items()]
    return tuple(writes)


def _or_max(value: int) -> str:
    return "max" if value < 0 else str(value)
