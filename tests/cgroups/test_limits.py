"""Limits as writes: tables for v1 and v2."""

import pytest

from podrun.cgroups.limits import Limits, Write, v1_writes, v2_writes, weight_of_shares


@pytest.mark.parametrize(("shares", "weight"), [(0, 1), (2, 1), (102, 17), (1024, 100), (2048, 174), (262_144, 10_000)])
def test_weight_follows_shares(shares: int, weight: int) -> None:
    assert weight_of_shares(shares) == weight


@pytest.mark.parametrize(
    ("why", "limits", "v1", "v2"),
    [
        ("no limit writes nothing", Limits(), (), ()),
        (
            "CPU: request and limit",
            Limits(cpu_shares=512, cpu_quota_us=50_000),
            (
                Write("cpu", "cpu.shares", "512"),
                Write("cpu", "cpu.cfs_period_us", "100000"),
                Write("cpu", "cpu.cfs_quota_us", "50000"),
            ),
            (Write("cpu", "cpu.weight", "59"), Write("cpu", "cpu.max", "50000 100000")),
        ),
        (
            "no quota any more",
            Limits(cpu_quota_us=-1),
            (Write("cpu", "cpu.cfs_period_us", "100000"), Write("cpu", "cpu.cfs_quota_us", "-1")),
            (Write("cpu", "cpu.max", "max 100000"),),
        ),
        (
            "memory without swap, the whole group killed together on v2",
            Limits(memory_bytes=1 << 20, whole_group_oom=True),
            (
                Write("memory", "memory.limit_in_bytes", "1048576"),
                Write("memory", "memory.memsw.limit_in_bytes", "1048576", optional=True),
            ),
            (
                Write("memory", "memory.max", "1048576"),
                Write("memory", "memory.swap.max", "0", optional=True),
                Write("memory", "memory.oom.group", "1", optional=True),
            ),
        ),
        ("pids", Limits(pids=100), (Write("pids", "pids.max", "100"),), (Write("pids", "pids.max", "100"),)),
        ("no limit of pids", Limits(pids=-1), (Write("pids", "pids.max", "max"),), (Write("pids", "pids.max", "max"),)),
        (
            "v2 files as they are",
            Limits(unified={"memory.high": "5000"}),
            (),
            (Write("memory", "memory.high", "5000"),),
        ),
    ],
)
def test_limits_become_writes(why: str, limits: Limits, v1: tuple[Write, ...], v2: tuple[Write, ...]) -> None:
    assert v1_writes(limits) == v1, why
    assert v2_writes(limits) == v2, why


def test_memory_that_rises_raises_the_limit_with_swap_first() -> None:
    files = [write.file for write in v1_writes(Limits(memory_bytes=5), raising_memory=True)]
    assert files == ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]
