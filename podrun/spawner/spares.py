"""Children forked ahead of need.

A fork of Python costs a millisecond before it does anything: page tables are copied, and each page that it writes to is
then copied as well. A spare has this behind it, and a rehearsal of what a start does; it sleeps until it is handed a
request, and goes on as any forked child.

Spares are kept for the seconds after a start, when more starts are likely: a pod's containers after its pause, the next
pod after this one. Then they are let go: an idle spawner has none, and no container's first process is much older than
its container. The processes are called `podrun spare`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

from podrun.kernel import namespaces, processes
from podrun.kernel.flags import Clone
from podrun.spawner import child
from podrun.spawner.loop import Loop, Timer

_QUIET = 0.005
"""Seconds without a start after which spares are forked: not while starts are under way, which need the processor."""
_KEEP = 3.0
"""Seconds without a start after which they are let go."""
_WANTED = {False: 1, True: 2}
"""How many, without and with a pid namespace of their own."""


@dataclass(frozen=True, slots=True)
class Spare:
    """A child that waits on `report` for its request."""

    pid: int
    pidfd: int
    start_time: int
    report: socket.socket


class Spares:
    """The spares of one spawner. `pid_namespace` is the spawner's own, to come back to."""

    def __init__(self, loop: Loop, pid_namespace: int) -> None:
        self._loop = loop
        self._pid_namespace = pid_namespace
        self._ready: dict[bool, list[Spare]] = {False: [], True: []}
        self._timer: Timer | None = None

    def take(self, new_pid: bool) -> Spare | None:
        """A spare for this kind of process; it is the caller's."""
        ready = self._ready[new_pid]
        if not ready:
            return None
        spare = ready.pop()
        self._loop.forget(spare.pidfd)
        return spare

    def refill_soon(self) -> None:
        """After a start: fork what is missing once things are quiet, and let it go when they stay so."""
        self._wait(_QUIET, self._refill)

    def let_go(self) -> None:
        """End all spares."""
        for ready in self._ready.values():
            while ready:
                self._dismiss(ready.pop())
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, seconds: float, action: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.later(seconds, action)

    def _refill(self) -> None:
        """One at a time: a request that comes meanwhile waits for one fork at most."""
        for new_pid, wanted in _WANTED.items():
            if len(self._ready[new_pid]) < wanted:
                with contextlib.suppress(OSError):
                    self._add(new_pid, self._fork(new_pid))
                    self._wait(0.0, self._refill)
                    return
        self._wait(_KEEP, self.let_go)

    def _add(self, new_pid: bool, spare: Spare) -> None:
        ready = self._ready[new_pid]
        ready.append(spare)

        def ended(events: int) -> None:  # killed by someone
            ready.remove(spare)
            self._dismiss(spare)

        self._loop.watch(spare.pidfd, ended)

    def _dismiss(self, spare: Spare) -> None:
        self._loop.forget(spare.pidfd)
        dismiss(spare)

    def _fork(self, new_pid: bool) -> Spare:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = -1
        try:
            if new_pid:
                namespaces.unshare(Clone.PID)
            pid = os.fork()
            if pid == 0:
                child.wait(theirs)
        finally:
            if pid and new_pid:
                namespaces.setns(self._pid_namespace, Clone.PID)
            if pid:
                theirs.close()
            if pid < 0:
                ours.close()
        ours.setblocking(False)
        return Spare(pid, processes.pidfd_open(pid), processes.start_time(pid), ours)


def dismiss(spare: Spare) -> None:
    """It ends when its socket closes; killed all the same, so that waiting for it is short in every case."""
    spare.report.close()
    with contextlib.suppress(OSError):
        processes.send_signal(spare.pidfd, signal.SIGKILL)
    os.close(spare.pidfd)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(spare.pid, 0)
