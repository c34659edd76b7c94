"""Joining a cgroup without waiting: the kernel's `favordynmods`, switched on while podrund runs.

Moving a process into a group takes a lock whose first use after a quiet time waits for an RCU grace period: 5 to 13 ms,
measured, more than all the rest of a pod's start. `favordynmods` (Linux 6.0, a mount option of any cgroup tree) keeps
the lock in the state where that wait is over; forks become slower by less than can be measured. The option is not set
on a mount of the host: a tree of our own without controllers, never attached anywhere, has it, and goes when its
descriptor is closed.
"""

from __future__ import annotations

import os

from podrun.kernel import mounts


def hold(name: str = "podrun") -> int | None:
    """A descriptor that keeps joins swift as long as it is open; None where the kernel does not offer it."""
    try:
        return mounts.new("cgroup", {"none": None, "name": name, "favordynmods": None})
    except OSError:
        return None  # before Linux 6.0, or v1 is not compiled in: joins wait, nothing else changes


def release(descriptor: int | None) -> None:
    """Let go."""
    if descriptor is not None:
        os.close(descriptor)
