"""One start: the pipes, the fork inside the right pid namespace, and what the child has to say until its execve."""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from dataclasses import dataclass

from podrun.kernel import namespaces, processes
from podrun.kernel.calls import KernelError
from podrun.kernel.flags import Clone
from podrun.spawner import child, codec, user_steps
from podrun.spawner.protocol import Failure, Spawn
from podrun.spawner.spares import Spare, dismiss

_LOG_PIPE = 256 << 10
"""Room in a log pipe: one batch of the log process, which the default 64 KiB would wake four times as often."""


@dataclass(frozen=True, slots=True)
class House:
    """What every start needs of the spawner."""

    pid_namespace: int
    """The spawner's own, to come back to."""
    null: int
    """/dev/null, open for reading and writing."""
    pause: int
    """The pause program."""


@dataclass(slots=True)
class Launch:
    """A forked child that has not reached its execve yet."""

    spawn: Spawn
    pid: int
    pidfd: int
    start_time: int
    report: socket.socket
    held: dict[str, int]
    """The spawner's ends: stdin, stdout, stderr, terminal."""
    ready_at: int = 0
    """Nanoseconds since the epoch; 0 until the child says that all that is left is execve."""
    timings: tuple[tuple[str, int], ...] = ()
    failure: Failure | None = None
    over: bool = False
    """The child's end of the report is closed: it runs, or has failed."""
    moved: bool = False
    """`pid` is another process than was forked: the one that went into a pid namespace."""

    def listen(self) -> None:
        """Take what the child has said by now; sets `over` at the end."""
        while not self.over:
            try:
                data, ancillary, _, _ = self.report.recvmsg(64 << 10, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data, ancillary = b"", []
            kind, body = data[:1], data[1:]
            if not data:
                self.over = True
            elif kind == child.READY:
                self.ready_at = time.time_ns()
                self.timings = tuple((what, duration) for what, duration in json.loads(body))
            elif kind == child.FAILED:
                self.failure = codec.decode(json.loads(body))
            elif kind == child.TERMINAL:
                for _, _, value in ancillary:
                    self.held["terminal"] = array.array("i", value)[0]
            elif kind == user_steps.MOVED:
                self._move(int(body))

    def _move(self, pid: int) -> None:
        """The forked child is about to end; its sibling, which waits for that, is what is to be begun."""
        os.close(self.pidfd)
        self.pidfd, self.start_time = processes.pidfd_open(pid), processes.start_time(pid)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        self.pid, self.moved = pid, True

    @property
    def verdict(self) -> Failure | None:
        """Once `over`: why it does not run, or None when it does."""
        if self.failure is not None:
            return self.failure
        if not self.ready_at:
            return Failure("died", message="the process was killed while it was being set up")
        return None

    def close(self) -> None:
        """Everything of a start that has failed."""
        self.report.close()
        os.close(self.pidfd)
        for descriptor in self.held.values():
            os.close(descriptor)


class LaunchError(Exception):
    """No child was made; nothing is left."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def launch(spawn: Spawn, text: bytes, passed: tuple[int, ...], house: House, spare: Spare | None = None) -> Launch:
    """Fork the child, or use the spare, and give it the request's `text`. `passed` stays the caller's.

    `spawn` need not have the parts that only the child reads. Raises LaunchError.
    """
    began = time.monotonic_ns()
    with contextlib.ExitStack() as childs, contextlib.ExitStack() as ours:
        try:
            streams, held = _streams(spawn, passed, house, childs, ours)
            report, childs_report = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            raise LaunchError(_failure("stdio", error)) from None
        ours.callback(report.close)
        childs.callback(childs_report.close)
        if spare is not None:
            try:
                child.hand_over(spare.report, text, passed, streams, began, house.pause)
            except OSError:  # it has gone: do without
                dismiss(spare)
            else:
                ours.pop_all()
                report.close()
                return Launch(spawn, spare.pid, spare.pidfd, spare.start_time, spare.report, held)
        pid = _fork(spawn, passed, house)
        if pid == 0:
            child.become(text, passed, streams, childs_report, began, house.pause)
        pidfd = processes.pidfd_open(pid)
        report.setblocking(False)
        ours.pop_all()
        return Launch(spawn, pid, pidfd, processes.start_time(pid), report, held)


def _fork(spawn: Spawn, passed: tuple[int, ...], house: House) -> int:
    """Fork with the wanted pid namespace: the spawner itself goes there for the length of the fork, so that the process
    is its own child. Raises LaunchError."""
    moved = False
    pid = -1
    try:
        if spawn.new_pid:
            namespaces.unshare(Clone.PID)
            moved = True
        elif spawn.join_pid is not None:
            namespaces.setns(passed[spawn.join_pid], Clone.PID)
            moved = True
        pid = os.fork()
    except OSError as error:
        if spawn.join_pid is not None and error.errno in (errno.ENOMEM, errno.ESRCH, errno.EINVAL):
            message = "cannot join the pid namespace: its first process has ended"
            raise LaunchError(Failure("fork", errno.ESRCH, "fork", message=message)) from None
        raise LaunchError(_failure("fork", error)) from None
    finally:
        if moved and pid != 0:
            namespaces.setns(house.pid_namespace, Clone.PID)
    return pid


def _streams(
    spawn: Spawn, passed: tuple[int, ...], house: House, childs: contextlib.ExitStack, ours: contextlib.ExitStack
) -> tuple[tuple[int, int, int], dict[str, int]]:
    """The child's three descriptors and what the spawner keeps of them."""
    stdio = spawn.stdio
    held: dict[str, int] = {}

    def pipe(name: str, *, child_reads: bool) -> int:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        if not child_reads:
            with contextlib.suppress(OSError):  # where a limit forbids it the default will do
                fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, _LOG_PIPE)
        held[name], given = (writer, reader) if child_reads else (reader, writer)
        ours.callback(os.close, held[name])
        childs.callback(os.close, given)
        return given

    if stdio.terminal:
        return (house.null, house.null, house.null), held
    logged = stdio.log is not None
    stdin = passed[stdio.stdin] if stdio.stdin is not None else house.null
    if stdio.stdin is None and stdio.stdin_pipe:
        stdin = pipe("stdin", child_reads=True)
    stdout, stderr = (
        passed[given] if given is not None else (pipe(name, child_reads=False) if logged else house.null)
        for name, given in (("stdout", stdio.stdout), ("stderr", stdio.stderr))
    )
    return (stdin, stdout, stderr), held


def _failure(stage: str, error: OSError) -> Failure:
    call = error.call if isinstance(error, KernelError) else stage
    return Failure(stage, error.errno or 0, call, message=f"{call}: {error.strerror}")  # type: ignore[arg-type]
