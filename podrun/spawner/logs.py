"""`podrun spawner logs`: the process that reads the containers' output and writes their log files.

It is a process of its own so that a write that hangs on a disk never delays a start or an exit. It runs in the host's
mount namespace, is told what to do on a socket by the spawner, which keeps duplicates of the pipes and begins another
log process should this one die. When the spawner's end closes it writes out what is there and leaves.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
from collections import deque
from typing import Literal

from podrun.kernel.memory import keep_heap
from podrun.kernel.title import set_title
from podrun.spawner import wire
from podrun.spawner.codec import message
from podrun.spawner.cri_log import Lines, LogFile
from podrun.spawner.loop import GONE, WRITE, Loop
from podrun.spawner.peer import Peer
from podrun.spawner.plan import Passed
from podrun.spawner.protocol import Done, Failed, Failure, Log

_BATCH = 256 << 10
_FAR_BEHIND = 1 << 20
"""Bytes that an attached reader may be behind before it is cut off."""
_DRAIN_AT_MOST = 8 << 20
"""A drain reads at most this much of a stream whose writer never stops."""

Stream = Literal["stdout", "stderr"]


@message
class Follow:
    """Read these pipes (or one pty master) and log them, from now on until their end."""

    id: str
    log: Log | None
    streams: tuple[tuple[str, Passed], ...]


@message
class Drain:
    """Done when all that is in the pipes is in the file; with `ended` what has no newline is written as well."""

    id: str
    ended: bool = False


@message
class Reopen:
    id: str
    rotate: bool = False


@message
class Copy:
    """Copy what comes from now on, raw, to these descriptors."""

    id: str
    stdout: Passed | None = None
    stderr: Passed | None = None


class _Receiver:
    """An attached descriptor: takes what it can, is closed when it is too far behind or gone."""

    def __init__(self, loop: Loop, descriptor: int) -> None:
        self.closed = False
        self._loop = loop
        self._descriptor = descriptor
        self._waiting: deque[bytes] = deque()
        self._behind = 0
        self._last = False
        os.set_blocking(descriptor, False)
        loop.watch(descriptor, self._ready, 0)

    def put(self, data: bytes) -> None:
        if not self._waiting:
            data = self._write(data)
        if not data or self.closed:
            return
        self._behind += len(data)
        if self._behind > _FAR_BEHIND:
            self._close()
            return
        self._waiting.append(data)
        self._loop.watch(self._descriptor, self._ready, WRITE)

    def finish(self) -> None:
        """Close once everything has been taken."""
        self._last = True
        if not self._waiting:
            self._close()

    def _ready(self, events: int) -> None:
        if events & GONE and not events & WRITE:
            self._close()
            return
        while self._waiting and not self.closed:
            data = self._waiting.popleft()
            rest = self._write(data)
            self._behind -= len(data) - len(rest)
            if rest and not self.closed:
                self._waiting.appendleft(rest)
                return
        if self.closed:
            return
        if self._last:
            self._close()
        else:
            self._loop.watch(self._descriptor, self._ready, 0)

    def _write(self, data: bytes) -> bytes:
        """What could not be written now."""
        try:
            return data[os.write(self._descriptor, data) :]
        except BlockingIOError:
            return data
        except OSError:
            self._close()
            return b""

    def _close(self) -> None:
        if not self.closed:
            self.closed = True
            self._loop.forget(self._descriptor)
            os.close(self._descriptor)


class _Source:
    """One stream of one container."""

    def __init__(self, loop: Loop, owner: _Followed, name: Stream, descriptor: int) -> None:
        self.name = name
        self.receivers: list[_Receiver] = []
        self.descriptor = descriptor
        self._loop = loop
        self._owner = owner
        self._lines = Lines(name)
        os.set_blocking(descriptor, False)
        loop.watch(descriptor, self._ready)

    def _ready(self, events: int) -> None:
        self.read()

    def read(self) -> int:
        """Take one batch; bytes taken, 0 when nothing is there now."""
        try:
            data = os.read(self.descriptor, _BATCH)
        except BlockingIOError:
            return 0
        except OSError:  # EIO: the last process has closed its terminal
            data = b""
        if not data:
            self._end()
            return 0
        self._owner.write(self._lines.take(data, time.time_ns()))
        if self.receivers:
            for receiver in self.receivers:
                receiver.put(data)
            self.receivers = [receiver for receiver in self.receivers if not receiver.closed]
        return len(data)

    def drain(self) -> None:
        taken = 0
        while self.descriptor >= 0 and taken < _DRAIN_AT_MOST and (size := self.read()):
            taken += size

    def finish_line(self) -> None:
        self._owner.write(self._lines.finish(time.time_ns()))

    def finish_receivers(self) -> None:
        for receiver in self.receivers:
            receiver.finish()
        self.receivers.clear()

    def _end(self) -> None:
        self._loop.forget(self.descriptor)
        os.close(self.descriptor)
        self.descriptor = -1
        self.finish_line()
        self.finish_receivers()
        self._owner.ended()


class _Followed:
    """One container's streams and its log file."""

    def __init__(self, process: LogProcess, request: Follow, descriptors: tuple[int, ...]) -> None:
        self.id = request.id
        self._process = process
        self.file = LogFile(request.log) if request.log is not None else None
        self.sources = [
            _Source(process.loop, self, "stderr" if name == "stderr" else "stdout", descriptors[index])
            for name, index in request.streams
        ]

    def write(self, lines: bytes) -> None:
        if lines and self.file is not None:
            self.file.write(lines)

    def ended(self) -> None:
        if all(source.descriptor < 0 for source in self.sources):
            if self.file is not None:
                self.file.close()
            self._process.followed.pop(self.id, None)

    def drain(self, *, ended: bool) -> None:
        for source in list(self.sources):
            source.drain()
            if ended and source.descriptor >= 0:
                source.finish_line()
                source.finish_receivers()

    def source(self, name: Stream) -> _Source | None:
        return next((source for source in self.sources if source.name == name and source.descriptor >= 0), None)


class LogProcess:
    """Everything it follows, and the socket it is told by."""

    def __init__(self, sock: socket.socket) -> None:
        self.loop = Loop()
        self.followed: dict[str, _Followed] = {}
        Peer(self.loop, sock, self._on_packet, self._on_spawner_gone)

    def _on_packet(self, peer: Peer, packet: wire.Packet) -> None:
        request, descriptors = packet.message, packet.descriptors
        if isinstance(request, Follow):
            self.followed[request.id] = _Followed(self, request, descriptors)
            return
        followed = self.followed.get(request.id)
        try:
            match request:
                case Drain(ended=ended) if followed is not None:
                    followed.drain(ended=ended)
                case Reopen(rotate=rotate) if followed is not None and followed.file is not None:
                    if rotate:
                        followed.file.rotate()
                    else:
                        followed.file.reopen()
                case Copy(stdout=stdout, stderr=stderr):
                    self._copy(followed, (("stdout", stdout), ("stderr", stderr)), descriptors)
        except OSError as error:
            path = str(error.filename or "")
            peer.send(packet.number, Failed(Failure("request", error.errno or 0, "log", path, message=str(error))))
            return
        peer.send(packet.number, Done())

    def _copy(
        self,
        followed: _Followed | None,
        wanted: tuple[tuple[Stream, Passed | None], ...],
        descriptors: tuple[int, ...],
    ) -> None:
        for name, index in wanted:
            if index is None:
                continue
            source = followed.source(name) if followed is not None else None
            if source is None:
                os.close(descriptors[index])
            else:
                source.receivers.append(_Receiver(self.loop, descriptors[index]))

    def _on_spawner_gone(self, peer: Peer) -> None:
        for followed in list(self.followed.values()):
            followed.drain(ended=True)
        self.loop.stop()


def main(descriptor: int) -> None:
    """Serve on the inherited socket until its other end closes."""
    set_title("podrun spawner logs")
    keep_heap(16 * _BATCH)
    os.setsid()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends when the spawner does, not before
    process = LogProcess(socket.socket(fileno=descriptor))
    gc.collect()
    gc.freeze()
    process.loop.run()
