"""The spawner's end of its log process: requests to it, and another one should it die."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from podrun.kernel import processes
from podrun.spawner import logs, program, wire
from podrun.spawner.loop import Loop
from podrun.spawner.peer import Peer
from podrun.spawner.plan import Passed
from podrun.spawner.protocol import Done, Failed, Failure, Log

Answered = Callable[[Done | Failed], None]


@dataclass(frozen=True, slots=True)
class Followed:
    """A living process whose output the log process reads."""

    id: str
    log: Log | None
    streams: Mapping[str, int]


class LogLink:
    """`followed` gives all that is to be followed, when a new log process takes over; `now_quiet` is called when the
    last question has been answered."""

    def __init__(
        self, loop: Loop, host: int, followed: Callable[[], Iterable[Followed]], now_quiet: Callable[[], None]
    ) -> None:
        self.pid = 0
        self.pidfd = -1
        self._loop = loop
        self._host = host
        self._followed = followed
        self._now_quiet = now_quiet
        self._peer: Peer | None = None
        self._number = 0
        self._answers: dict[int, Answered] = {}
        self._leaving = False
        self._renewed: Callable[[], None] | None = None
        """Called when another log process has taken the place of the one that is ending now."""

    def begin(self) -> None:
        """Begin a log process and tell it of everything that lives."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            argv = program.own_command("--logs", str(theirs.fileno()))
            pid, pidfd = program.begin(argv, self._host, keep=[theirs.fileno()])
        self.resume(pid, pidfd, ours)
        for followed in self._followed():
            self.follow(followed)

    def resume(self, pid: int, pidfd: int, sock: socket.socket) -> None:
        """Go on with a log process that is there (after a re-execution)."""
        self.pid, self.pidfd = pid, pidfd
        self._peer = Peer(self._loop, sock, self._on_packet, self._on_gone)
        self._loop.watch(pidfd, self._on_end)

    def renew(self, renewed: Callable[[], None]) -> None:
        """Have the log process write out what it has and end; `renewed` once another one, of this code, goes on."""
        self._renewed = renewed
        if self._peer is not None:
            self._peer.close()

    @property
    def socket(self) -> socket.socket | None:
        """The connection, to be handed over."""
        return self._peer.sock if self._peer is not None else None

    @property
    def quiet(self) -> bool:
        """Nothing is asked and not answered."""
        return not self._answers and (self._peer is None or self._peer.idle)

    def follow(self, followed: Followed) -> None:
        """Read these streams until their end."""
        if followed.streams and self._peer is not None:
            names = [name for name in followed.streams if name != "stdin"]
            streams = tuple((name, Passed(index)) for index, name in enumerate(names))
            request = logs.Follow(followed.id, followed.log, streams)
            self._peer.send(0, request, [followed.streams[name] for name in names])

    def ask(self, request: object, answered: Answered, descriptors: Iterable[int] = ()) -> None:
        """`answered` is called once; with Failed when the log process died meanwhile."""
        if self._peer is None:
            answered(_no_log_process())
            return
        self._number += 1
        self._answers[self._number] = answered
        self._peer.send(self._number, request, descriptors)

    def leave(self) -> None:
        """Let the log process write out what it has and end."""
        self._leaving = True
        if self._peer is not None:
            self._peer.close()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)

    def _on_packet(self, peer: Peer, packet: wire.Packet) -> None:
        answered = self._answers.pop(packet.number, None)
        if answered is not None:
            answered(packet.message)
            if not self._answers:
                self._now_quiet()

    def _on_gone(self, peer: Peer) -> None:
        self._peer = None
        answers, self._answers = self._answers, {}
        for answered in answers.values():
            answered(_no_log_process())
        if not self._leaving and self._renewed is None:
            with contextlib.suppress(OSError):
                processes.send_signal(self.pidfd, signal.SIGKILL)  # it shut its socket without ending

    def _on_end(self, events: int) -> None:
        self._loop.forget(self.pidfd)
        os.close(self.pidfd)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        if self._peer is not None:
            self._peer.close()
        if self._leaving:
            return
        renewed, self._renewed = self._renewed, None
        if renewed is not None:
            self.begin()
            renewed()
        else:  # not at once: a log process that cannot live at all must not become a storm
            self._loop.later(0.05, self.begin)


def _no_log_process() -> Failed:
    return Failed(Failure("request", message="the log process has died; another one is being started"))
