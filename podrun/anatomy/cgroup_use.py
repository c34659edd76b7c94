"""What a container's cgroup allows and what it has used: v2's files, or v1's where the controllers are there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from podrun.cgroups.hierarchy import Hierarchies
from podrun.cgroups.statistics import keyed

_UNLIMITED = 1 << 62
"""v1 shows no limit as the largest number of whole pages."""


@dataclass(frozen=True, slots=True)
class Use:
    """Bytes, microseconds, thousandths of a processor, processes; a limit of 0 is none."""

    memory: int = 0
    memory_limit: int = 0
    cpu_usec: int = 0
    cpu_limit: int = 0
    pids: int = 0
    pids_limit: int = 0
    frozen: bool = False


def use_of(trees: Hierarchies, path: str) -> Use:
    """Of the group `path` (as /proc/PID/cgroup has it); what cannot be read is 0."""
    at = trees.below(path.lstrip("/"))
    memory, cpu, pids = at.of("memory"), at.of("cpu"), at.of("pids")
    if "memory" in at.legacy:
        used, limit = _number(memory, "memory.usage_in_bytes"), _number(memory, "memory.limit_in_bytes")
    else:
        used, limit = _number(memory, "memory.current"), _number(memory, "memory.max")
    return Use(
        memory=used,
        memory_limit=limit if limit < _UNLIMITED else 0,
        cpu_usec=_cpu_time(at),
        cpu_limit=_quota(cpu, legacy="cpu" in at.legacy),
        pids=_number(pids, "pids.current"),
        pids_limit=_number(pids, "pids.max"),
        frozen=_frozen(at),
    )


def _text(directory: Path | None, name: str) -> str:
    if directory is None:
        return ""
    try:
        return (directory / name).read_text()
    except OSError:
        return ""


def _number(directory: Path | None, name: str) -> int:
    text = _text(directory, name).strip()
    return int(text) if text.isdigit() else 0  # "max" is no limit


def _cpu_time(at: Hierarchies) -> int:
    if at.unified is not None:
        return keyed(_text(at.unified, "cpu.stat")).get("usage_usec", 0)
    return _number(at.legacy.get("cpuacct"), "cpuacct.usage") // 1000


def _quota(directory: Path | None, *, legacy: bool) -> int:
    if legacy:
        quota, period = _text(directory, "cpu.cfs_quota_us").strip(), _number(directory, "cpu.cfs_period_us")
    else:
        quota, _, rest = _text(directory, "cpu.max").strip().partition(" ")
        period = int(rest) if rest.isdigit() else 0
    return int(quota) * 1000 // period if quota.isdigit() and period else 0


def _frozen(at: Hierarchies) -> bool:
    if at.unified is not None:
        return keyed(_text(at.unified, "cgroup.events")).get("frozen") == 1
    return _text(at.legacy.get("freezer"), "freezer.state").strip() == "FROZEN"
