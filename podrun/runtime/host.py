"""What sandboxes and containers are made with: the spawner, the cgroups, the network, the directories."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from podrun.cgroups.group import AttachDevices
from podrun.cgroups.oom import OomNotifier
from podrun.cgroups.tree import PodGroups
from podrun.kernel import processes
from podrun.network.pods import PodNetwork
from podrun.runtime.model import Event
from podrun.spawner.client import SpawnerClient, SpawnerError
from podrun.spawner.start import SpawnerLost

T = TypeVar("T")
Connect = Callable[[SpawnerClient | None], Awaitable[SpawnerClient]]
"""Gives the spawner's client; told the former one when that was lost (see SpawnerClient.start)."""


@dataclass(slots=True)
class Host:
    """Shared by the parts of one runtime."""

    spawner: SpawnerClient
    groups: PodGroups
    network: PodNetwork
    run: Path
    """Records and the pods' files: gone after a reboot."""
    state: Path
    """Writable layers."""
    tell: Callable[[Event], None]
    attach_devices: AttachDevices | None
    oom: OomNotifier = field(default_factory=OomNotifier)
    joined: int = 0
    """How often another spawner has taken the place of a lost one."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _gone: bool = False
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def background(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let `work` go on by itself; `close` waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` to its end even if the caller is cancelled meanwhile: what has been begun is never half there."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # told to the caller, or nobody waits any more

    def rejoined(self, *, ever: bool = True) -> None:
        """Another spawner is at work, and what it knows has been taken over; or there will be none `ever`."""
        self.joined += 1
        self._gone = not ever
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def another_spawner(self, since: int) -> None:
        """Returns when one has come since `joined` was so. Raises SpawnerLost when there will be none."""
        while self.joined == since:
            await self._changed.wait()
        if self._gone:
            raise SpawnerLost("the spawner has gone, and no other could be begun")

    def acknowledge(self, process_id: str) -> None:
        """Tell the spawner that this exit is written down; a lost spawner has nothing to forget."""
        self.background(self._acknowledge(process_id))

    async def _acknowledge(self, process_id: str) -> None:
        with contextlib.suppress(SpawnerLost):
            await self.spawner.acknowledge(process_id)

    async def kill(self, process_id: str, pidfd: int = -1) -> None:
        """SIGKILL to one process, by `pidfd` where the spawner is lost; nothing happens when it has ended."""
        try:
            await self.spawner.signal(process_id, signal.SIGKILL)
        except SpawnerError:
            pass
        except SpawnerLost:
            if pidfd >= 0:
                with contextlib.suppress(OSError):
                    processes.send_signal(pidfd, signal.SIGKILL)

    async def settle(self) -> None:
        """Wait for what goes on in the background."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
