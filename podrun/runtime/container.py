"""One container as the runtime holds it in memory: its record, its cgroup, and the descriptors that go with it."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field

from podrun.cgroups.group import Group
from podrun.runtime.model import ContainerConfig, ContainerStatus, State
from podrun.runtime.records import ContainerRecord
from podrun.spawner.protocol import Exit


@dataclass(slots=True)
class Container:
    """A container that has not been removed. `pidfd` is its first process's while that runs, else -1."""

    record: ContainerRecord
    group: Group
    grouped: bool = False
    """Whether its cgroup has been made, with its limits."""
    trees: tuple[int, ...] | None = None
    """Opened volumes, from create to start; None where they have to be opened (again)."""
    pidfd: int = -1
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    starting: bool = False
    early_exit: Exit | None = None
    """Told while `starting`."""
    asking: bool = False
    """Whether the kernel is being asked how it ended."""

    @property
    def status(self) -> ContainerStatus:
        """As it is now."""
        return self.record.status

    @property
    def config(self) -> ContainerConfig:
        """As it was asked for."""
        return self.record.status.config

    @property
    def running(self) -> bool:
        """Whether its first process runs."""
        return self.record.status.state is State.RUNNING

    def close_trees(self) -> None:
        """Let go of opened volumes."""
        for tree in self.trees or ():
            os.close(tree)
        self.trees = None

    def close_pidfd(self) -> None:
        """Its first process has ended (or another podrund is to look after it)."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
