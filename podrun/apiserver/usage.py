"""How much CPU and memory the machine and its pods use, measured when somebody asks.

A counter of CPU time says how much was used since a beginning; a rate needs two readings. Nothing is read while nobody
asks. The rule:

- Every question reads the counters anew and keeps the reading of what it asked for as the baseline of the next one.
- A baseline between half a second and a minute old is compared with the new reading: the usage is the average since
  the previous question.
- A younger baseline is let grow to half a second; where there is none, or an older one (its average would hide what
  happens now), the new reading becomes the baseline and a second one is made half a second later. The question waits
  for it, the event loop does not.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

SHORTEST_WINDOW = 0.5
"""Seconds: the kernel counts a machine's CPU time in hundredths of a second, so that this is true to 2 % of a core."""
LONGEST_WINDOW = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")
_BUSY = (0, 1, 2, 5, 6)
"""user, nice, system, irq and softirq of /proc/stat; guests are counted in user, and waiting is no use of the CPU."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at `time` (seconds since the epoch): CPU time in nanoseconds, working set of memory in bytes."""

    time: float
    cpu_ns: int
    memory: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Nanoseconds of CPU per second, averaged over the `window` (seconds) that ended at `time`; memory in bytes."""

    time: float
    window: float
    cpu: int
    memory: int


class UsageMeter:
    """Turns readings into usage by the rule above. What is measured is named by any key that never means two things."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sleep = sleep
        self._baselines: dict[str, Reading] = {}

    async def measure(self, read: Callable[[], Mapping[str, Reading]]) -> dict[str, Usage]:
        """The usage of everything that `read` gives, by its keys; what is gone after a wait is left out."""
        readings = read()
        baselines = {key: self._baseline(key, reading) for key, reading in readings.items()}
        self._keep(baselines)
        youngest = min((readings[key].time - baseline.time for key, baseline in baselines.items()), default=0.0)
        if readings and youngest < SHORTEST_WINDOW:
            await self._sleep(SHORTEST_WINDOW - youngest)
            readings = {key: reading for key, reading in read().items() if key in baselines}
        self._keep(readings)
        return {key: _usage(baselines[key], reading) for key, reading in readings.items()}

    def _baseline(self, key: str, reading: Reading) -> Reading:
        """What to compare a reading with: itself where nothing else is good."""
        known = self._baselines.get(key)
        good = known is not None and 0 <= reading.time - known.time <= LONGEST_WINDOW and known.cpu_ns <= reading.cpu_ns
        return known if known is not None and good else reading

    def _keep(self, readings: Mapping[str, Reading]) -> None:
        """Make readings the baselines of the next question, and forget those that no question can use any more."""
        newest = max((reading.time for reading in readings.values()), default=0.0)
        kept = {key: one for key, one in self._baselines.items() if newest - one.time <= LONGEST_WINDOW}
        self._baselines = kept | dict(readings)


def _usage(before: Reading, after: Reading) -> Usage:
    window = max(after.time - before.time, 1e-9)
    return Usage(after.time, window, max(0, round((after.cpu_ns - before.cpu_ns) / window)), after.memory)


def machine_reading(proc: Path = Path("/proc")) -> Reading:
    """The whole machine's counters. Its working set is what is neither free nor a file page that goes first."""
    first, _, _ = (proc / "stat").read_text().partition("\n")
    ticks = [int(word) for word in first.split()[1:]]
    lines = (line.partition(":") for line in (proc / "meminfo").read_text().splitlines())
    kibibytes = {name: int(rest.split()[0]) for name, _, rest in lines}
    used = kibibytes["MemTotal"] - kibibytes["MemFree"] - kibibytes["Inactive(file)"]
    return Reading(time.time(), sum(ticks[index] for index in _BUSY) * 1_000_000_000 // _TICKS, max(0, used) * 1024)


def boot_id(proc: Path = Path("/proc")) -> str:
    """What tells this machine, since it was started, from every other (status.nodeInfo.bootID of its Node)."""
    return (proc / "sys/kernel/random/boot_id").read_text().strip()
