"""Starting podrund again when it dies, where no systemd does it."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from podrun.kernel import processes
from podrun.spawner import program
from podrun.spawner.loop import Loop, Timer
from podrun.spawner.protocol import Supervise

_QUICK = 5.0
"""Seconds; a podrund that ended by itself after less is started again only after a pause, which doubles."""
_LONGEST_PAUSE = 5.0


class Supervisor:
    """Knows one podrund: its command line, and the process that now is it."""

    def __init__(self, loop: Loop, host: int) -> None:
        self.request = Supervise()
        self.pid = 0
        self._loop = loop
        self._host = host
        self._pidfd = -1
        self._since = 0.0
        self._pause = 0.0
        self._timer: Timer | None = None

    def watch(self, pid: int, request: Supervise) -> None:
        """From now on `pid` is podrund. Raises OSError when it has gone already."""
        self._forget()
        self.request = request
        if self._timer is not None:
            self._timer.cancel()
        if request.argv:
            self._follow(pid, processes.pidfd_open(pid))

    def stop(self) -> None:
        """Start nothing any more."""
        self.watch(0, Supervise())

    def _follow(self, pid: int, pidfd: int) -> None:
        self.pid, self._pidfd, self._since = pid, pidfd, time.monotonic()
        self._loop.watch(pidfd, self._on_end)

    def _forget(self) -> None:
        if self._pidfd >= 0:
            self._loop.forget(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _on_end(self, events: int) -> None:
        self._forget()
        status = 0
        with contextlib.suppress(ChildProcessError):
            _, status = os.waitpid(self.pid, os.WNOHANG)
        lived = time.monotonic() - self._since
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        # Whoever was killed has not failed, and clients wait for the next one.
        failed = lived < _QUICK and not killed
        self._pause = min(_LONGEST_PAUSE, max(0.1, self._pause * 2)) if failed else 0.0
        self._timer = self._loop.later(self._pause, self._begin)

    def _begin(self) -> None:
        request = self.request
        env = dict(pair.split("=", 1) for pair in request.env if "=" in pair)
        output = request.output or "/dev/null"
        try:
            pid, pidfd = program.begin(request.argv, self._host, env=env, cwd=request.cwd, output=output)
        except OSError:
            self._timer = self._loop.later(_LONGEST_PAUSE, self._begin)
        else:
            self._follow(pid, pidfd)
