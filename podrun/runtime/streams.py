"""Making sessions: exec and attach, with their pipes and terminals."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from podrun.runtime import container_plan
from podrun.runtime.container import Container
from podrun.runtime.errors import ExecFailed, ExecTimeout
from podrun.runtime.host import Host
from podrun.runtime.passing import Passing
from podrun.runtime.sandbox_plan import namespaces
from podrun.runtime.sandboxes import Sandboxes
from podrun.runtime.sessions import AttachSession, ExecSession, read_until
from podrun.spawner.client import SpawnerError, Started
from podrun.spawner.plan import Passed
from podrun.spawner.protocol import Exit, Stdio, User
from podrun.spawner.start import SpawnerLost
from podrun.timeline import marks

_OUTPUT_KEPT = 16 << 10
"""Bytes of an exec_sync's output that are given back (the kubelet's limit for probes)."""


class Streams:
    """All sessions of one runtime."""

    def __init__(self, host: Host, sandboxes: Sandboxes) -> None:
        self._host = host
        self._sandboxes = sandboxes
        self._sessions: dict[str, ExecSession] = {}
        self._early: dict[str, Exit | None] = {}
        """Execs that are being begun -> their exit, when that is told before the beginning."""

    async def exec(
        self, container: Container, argv: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> ExecSession:
        """Raises ExecFailed. Who is cancelled meanwhile leaves nothing behind: what has begun then is ended."""
        return await self._unless_left(self._exec(container, argv, tty, stdin, stdout, stderr))

    async def _unless_left(self, opening: Coroutine[Any, Any, ExecSession]) -> ExecSession:
        """A session once it is open; where the caller is cancelled before, it is closed as soon as it is open."""
        task = asyncio.ensure_future(opening)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._host.background(_close_when_open(task))
            raise

    async def _exec(
        self, container: Container, argv: Sequence[str], tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> ExecSession:
        with Passing() as passing, contextlib.ExitStack() as ours:
            ends: dict[str, int] = {}
            passed: dict[str, Passed] = {}
            for name, wanted in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
                if wanted and not tty:
                    ends[name], theirs = _pipe(to_process=name == "stdin")
                    ours.callback(os.close, ends[name])
                    passed[name] = passing.give(theirs)
            stdio = Stdio(passed.get("stdin"), passed.get("stdout"), passed.get("stderr"), terminal=tty)
            started, early = await self._begin(container, argv, passing, stdio)
            if tty:
                ends = _terminal_ends(started.descriptors["terminal"], stdin=stdin, stdout=stdout)
            ours.pop_all()
        return self._register(started.id, ends, early, terminal=tty)

    async def exec_sync(self, container: Container, argv: Sequence[str], seconds: float | None) -> tuple[int, bytes]:
        """Raises ExecFailed, ExecTimeout."""
        session = await self._unless_left(self._exec_joined(container, argv))
        output = session.stdout
        assert output is not None
        kept = bytearray()
        try:
            async with asyncio.timeout(seconds):
                return await read_until(output, session.wait, kept, _OUTPUT_KEPT), bytes(kept)
        except TimeoutError:
            raise ExecTimeout(f"command {' '.join(argv)!r} timed out", bytes(kept)) from None
        finally:
            await session.close()

    async def _exec_joined(self, container: Container, argv: Sequence[str]) -> ExecSession:
        """A session whose stdout is the process's stdout and stderr."""
        with Passing() as passing:
            output, theirs = _pipe(to_process=False)
            try:
                shared = passing.give(theirs)
                started, early = await self._begin(container, argv, passing, Stdio(stdout=shared, stderr=shared))
            except BaseException:
                os.close(output)
                raise
        return self._register(started.id, {"stdout": output}, early)

    async def _begin(
        self, container: Container, argv: Sequence[str], passing: Passing, stdio: Stdio
    ) -> tuple[Started, Exit | None]:
        status, exec_id = container.status, secrets.token_hex(32)
        if not container.running or status.user is None:
            raise ExecFailed(f"container {status.id} is not running")
        sandbox = self._sandboxes.get(status.sandbox_id)
        kinds = namespaces(sandbox.config) | container_plan.own_kinds(status.config, sandbox.config)
        environment = container.record.environment
        if stdio.terminal and not any(pair.startswith("TERM=") for pair in environment):
            environment = (*environment, "TERM=xterm")
        try:
            procs = [passing.open(file, os.O_WRONLY) for file in container.group.procs_files]
            pidfd = passing.lend(container.pidfd)
            users, ids = None, sandbox.config.users
            if ids is not None:
                users = passing.open(f"/proc/{status.pid}/ns/user", os.O_RDONLY), ids
            request = container_plan.exec_request(
                exec_id, status.config, User(*status.user), argv, environment, procs, pidfd, stdio, kinds, users
            )
            self._early[exec_id] = None
            asked = time.time_ns()
            started = await self._host.spawner.spawn(request, passing.descriptors)
            marks.note(status.pod_uid, "exec", (asked, status.config.name, argv))
        except SpawnerError as error:
            raise ExecFailed.because(exec_id, error.failure.message or str(error)) from error
        except (SpawnerLost, OSError, ValueError) as error:
            raise ExecFailed(f"failed to exec in container: {error}") from error
        finally:
            early = self._early.pop(exec_id, None)
        os.close(started.descriptors["pidfd"])
        return started, early

    def _register(
        self, exec_id: str, ends: dict[str, int], early: Exit | None, *, terminal: bool = False
    ) -> ExecSession:
        stdin, stdout, stderr = (ends.get(name) for name in ("stdin", "stdout", "stderr"))
        session = ExecSession(self._host, exec_id, stdin, stdout, stderr, terminal=terminal)
        if early is not None:
            session.on_exit(early)
        else:
            self._sessions[exec_id] = session
        return session

    async def attach(self, container: Container, *, stdin: bool, stdout: bool, stderr: bool) -> AttachSession:
        """Raises ExecFailed when it does not run."""
        config, container_id = container.config, container.status.id
        if not container.running:
            raise ExecFailed(f"container {container_id} is not running")
        ends: dict[str, int] = {}
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            passed: dict[str, int] = {}
            for name, wanted in (("stdout", stdout), ("stderr", stderr and not config.tty)):
                if wanted:
                    ends[name], passed[name] = _pipe(to_process=False)
                    ours.callback(os.close, ends[name])
                    theirs.callback(os.close, passed[name])
            try:
                if stdin and config.stdin:
                    ends["stdin"] = await self._stdin_of(container)
                    ours.callback(os.close, ends["stdin"])
                if passed:
                    await self._host.spawner.attach(container_id, passed.get("stdout"), passed.get("stderr"))
            except (SpawnerError, SpawnerLost) as error:
                raise ExecFailed(f"failed to attach to container {container_id}: {error}") from error
            ours.pop_all()
        return AttachSession(self._host, container, ends.get("stdin"), ends.get("stdout"), ends.get("stderr"))

    async def _stdin_of(self, container: Container) -> int:
        held = dict(await self._host.spawner.descriptors(container.status.id))
        wanted = held.pop("terminal" if container.config.tty else "stdin", None)
        for descriptor in held.values():
            os.close(descriptor)
        if wanted is None:
            raise ExecFailed(f"stdin of container {container.status.id} is closed")
        os.set_blocking(wanted, False)
        return wanted

    def on_exit(self, exited: Exit) -> None:
        """An exec'd process has ended (told by the spawner)."""
        if exited.id in self._early:
            self._early[exited.id] = exited
        elif (session := self._sessions.pop(exited.id, None)) is not None:
            session.on_exit(exited)

    def lose_all(self) -> None:
        """The spawner that could have told their ends has gone."""
        for exec_id in list(self._sessions):
            self.on_exit(Exit(exec_id, "exec", 0, 0, 0, 0, code=137, lost=True))

    async def close(self) -> None:
        """End every exec that still runs: nobody can read it any more."""
        for session in list(self._sessions.values()):
            await session.close()


async def _close_when_open(opening: asyncio.Future[ExecSession]) -> None:
    with contextlib.suppress(ExecFailed, SpawnerLost):
        await (await opening).close()


def _pipe(*, to_process: bool) -> tuple[int, int]:
    """Our non-blocking end and the process's."""
    read, write = os.pipe2(os.O_CLOEXEC)
    ours, theirs = (write, read) if to_process else (read, write)
    os.set_blocking(ours, False)
    return ours, theirs


def _terminal_ends(master: int, *, stdin: bool, stdout: bool) -> dict[str, int]:
    """The pty's master, once for each direction that is wanted."""
    os.set_blocking(master, False)
    if stdin and stdout:
        return {"stdin": fcntl.fcntl(master, fcntl.F_DUPFD_CLOEXEC, 0), "stdout": master}
    return {"stdin" if stdin else "stdout": master}
