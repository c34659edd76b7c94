"""What a group has used, read from its files and put into one form for v1 and v2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU in nanoseconds since the group was made; memory in bytes; processes and threads."""

    cpu_ns: int = 0
    memory_bytes: int = 0
    memory_working_set: int = 0
    pids: int = 0


def keyed(text: str) -> Mapping[str, int]:
    """A flat-keyed file (`name value` a line) such as memory.stat, cpu.stat, memory.events."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].lstrip("-").isdigit()}


def working_set(usage: int, inactive_file: int) -> int:
    """Memory without the file pages that are reclaimed first, never below zero (cAdvisor's rule, `kubectl top`)."""
    return max(0, usage - inactive_file)
