"""Starts under way: from a Spawn to its answer.

begin -> the child reports -> execve succeeded: handed to the spawner, Spawned
                           -> it failed: wait for the child's end, then Failed: nothing is left
                           -> nothing for too long: killed, Failed

A pause's namespaces are whole before its execve, and only its container's are waited for by others: it is handed over
and answered when all that is left is the execve of podrun's own program. Should that fail, the pause has ended.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from podrun.kernel import processes
from podrun.spawner import wire
from podrun.spawner.launch import House, Launch, launch
from podrun.spawner.loop import Loop, Timer
from podrun.spawner.peer import Peer
from podrun.spawner.protocol import Failed, Failure, Process, Spawn, Spawned
from podrun.spawner.records import Records
from podrun.spawner.running import Running
from podrun.spawner.spares import Spares

_LAST_WAIT = 1.0
"""Seconds that a killed child has to end before the answer goes out without it."""


@dataclass(slots=True)
class _Start:
    """One of them, and whom to answer."""

    launch: Launch
    peer: Peer
    number: int
    patience: Timer | None = None
    answered: bool = False

    def as_running(self) -> Running:
        """What it will be once its execve has succeeded."""
        started, spawn = self.launch, self.launch.spawn
        when = started.ready_at or time.time_ns()
        process = Process(spawn.id, spawn.kind, started.pid, started.start_time, when, log=spawn.stdio.log)
        return Running(process, started.pidfd, started.held)


class Starts:
    """`on_begun` takes over a process that runs; `follow` has its output read; `on_over` is called after each end."""

    def __init__(
        self,
        loop: Loop,
        house: House,
        records: Records,
        follow: Callable[[Running], None],
        on_begun: Callable[[Running], None],
        on_over: Callable[[], None],
    ) -> None:
        self.spares = Spares(loop, house.pid_namespace)
        self._loop = loop
        self._house = house
        self._records = records
        self._follow = follow
        self._on_begun = on_begun
        self._on_over = on_over
        self._under_way: dict[str, _Start] = {}

    def __contains__(self, process_id: str) -> bool:
        return process_id in self._under_way

    def __len__(self) -> int:
        return len(self._under_way)

    def as_running(self) -> list[Running]:
        """All of them as what they will be."""
        return [start.as_running() for start in self._under_way.values()]

    def begin(self, peer: Peer, number: int, spawn: Spawn, passed: tuple[int, ...], text: bytes) -> None:
        """Fork; the answer goes to `peer` later. `text` is the request as it came. Raises LaunchError."""
        usable = spawn.join_pid is None and len(text) <= wire.INLINE
        spare = self.spares.take(spawn.new_pid) if usable else None
        started = launch(spawn, text, passed, self._house, spare)
        start = _Start(started, peer, number)
        self._under_way[spawn.id] = start
        if spawn.kind != "exec":
            running = start.as_running()
            self._records.begin(running.process)
            # Before the process can write: its log file is there when its start is answered, as containerd has it.
            self._follow(running)
        start.patience = self._loop.later(spawn.seconds, partial(self._give_up, start))
        self._loop.watch(started.report.fileno(), lambda events: self._heard(start))

    def _heard(self, start: _Start) -> None:
        started = start.launch
        started.listen()
        if not started.over:
            if started.ready_at and _ready_is_enough(started.spawn) and not start.answered:
                self._begun(start)
            return
        self._loop.forget(started.report.fileno())
        if start.answered:  # how it ends, if it has, is told as an exit
            started.report.close()
            return
        if start.patience is not None:
            start.patience.cancel()
        if started.verdict is None:
            self._begun(start)
            return
        with contextlib.suppress(OSError):
            processes.send_signal(started.pidfd, signal.SIGKILL)
        self._loop.watch(started.pidfd, lambda events: self._failed(start))

    def _give_up(self, start: _Start) -> None:
        words = f"the start took longer than {start.launch.spawn.seconds:g} s"
        start.launch.failure = Failure("timeout", errno.ETIMEDOUT, message=words)
        with contextlib.suppress(OSError):
            processes.send_signal(start.launch.pidfd, signal.SIGKILL)
        # A child that hangs in the kernel does not even die: the answer goes out all the same.
        start.patience = self._loop.later(_LAST_WAIT, partial(self._answer_failure, start))

    def _begun(self, start: _Start) -> None:
        """The child has executed its program, or is as good as there."""
        started = start.launch
        start.answered = True
        if started.over:
            started.report.close()
        elif start.patience is not None:
            start.patience.cancel()
        del self._under_way[started.spawn.id]
        running = start.as_running()
        process = running.process
        if started.moved and process.kind != "exec":
            self._records.begin(process)
        held = {"pidfd": started.pidfd, **started.held}
        answer = Spawned(process.id, process.pid, process.start_time, process.started_at, tuple(held), started.timings)
        start.peer.send(start.number, answer, held.values())
        if process.kind == "exec":  # its streams are the caller's alone
            for name in tuple(running.held):
                running.release(name)
        self._on_begun(running)
        if "terminal" in running.held:
            self._follow(running)
        self._on_over()
        if not self._under_way and process.kind == "container":  # pause's containers are about to be asked for
            self.spares.refill_soon()

    def _failed(self, start: _Start) -> None:
        """The child of a failed start has ended: nothing is left of it when the answer goes out."""
        started = start.launch
        self._loop.forget(started.pidfd)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(started.pid, 0)
        self._answer_failure(start)
        started.close()
        self._records.forget(started.spawn.id)
        del self._under_way[started.spawn.id]
        self._on_over()

    def _answer_failure(self, start: _Start) -> None:
        if not start.answered and start.launch.verdict is not None:
            start.answered = True
            start.peer.send(start.number, Failed(start.launch.verdict))


def _ready_is_enough(spawn: Spawn) -> bool:
    """Whether nobody can see that the execve is still to come.

    Not where a container shares pause's process namespace: it must not meet the spawner's memory in there.
    """
    return spawn.builtin_pause and not spawn.new_pid
