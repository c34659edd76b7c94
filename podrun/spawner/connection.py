"""A connection to the spawner on asyncio: requests out, answers and notices in."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from podrun.spawner import wire
from podrun.spawner.protocol import Exited, Failed, Failure, Request, Welcome
from podrun.spawner.start import SOCKET, SpawnerLost


class SpawnerError(Exception):
    """A request was refused or failed; `failure` says at which stage and why. Nothing is left behind."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message or f"{failure.what}: {os.strerror(failure.errno)}")
        self.failure = failure


class Connection:
    """`on_exit`, when set, is called for each Exited. `lost` is done when the spawner has gone, or after `close`."""

    def __init__(self, sock: socket.socket, welcome: Welcome) -> None:
        self.welcome = welcome
        self.on_exit: Callable[[Exited], None] | None = None
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self._next = 1
        self._waiting: dict[int, asyncio.Future[wire.Packet]] = {}
        self._outgoing: deque[wire.Packet] = deque()
        self._loop.add_reader(sock.fileno(), self._readable)

    @classmethod
    async def open(cls, directory: Path) -> Connection:
        """To the spawner that serves this directory. Raises SpawnerLost when none answers."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            _connect(sock, directory)
            return cls(sock, await _welcome(sock))
        except OSError as error:
            sock.close()
            raise SpawnerLost(f"no spawner answers at {directory / SOCKET}: {error.strerror or error}") from None
        except BaseException:
            sock.close()
            raise

    def close(self) -> None:
        """Requests that wait for their answer end with SpawnerLost."""
        self._end(SpawnerLost("the connection was closed"))

    async def ask(self, request: Request, descriptors: Sequence[int] = ()) -> wire.Packet:
        """Send a request and wait for its answer; cancellation leaves the request running and drops the answer."""
        if self.lost.done():
            raise SpawnerLost("the spawner has gone")
        number = self._next
        self._next += 1
        answer: asyncio.Future[wire.Packet] = self._loop.create_future()
        self._waiting[number] = answer
        self._send(wire.Packet(number, request, tuple(descriptors)))
        try:
            packet = await answer
        finally:
            self._waiting.pop(number, None)
        if isinstance(packet.message, Failed):
            raise SpawnerError(packet.message.failure)
        return packet

    def _send(self, packet: wire.Packet) -> None:
        if not self._outgoing:
            try:
                wire.send(self._sock, packet)
            except BlockingIOError:
                self._loop.add_writer(self._sock.fileno(), self._writable)
            except wire.Closed as error:
                self._end(SpawnerLost(str(error)))
                return
            else:
                return
        copies = tuple(os.dup(descriptor) for descriptor in packet.descriptors)
        self._outgoing.append(wire.Packet(packet.number, packet.message, copies))

    def _writable(self) -> None:
        while self._outgoing:
            try:
                wire.send(self._sock, self._outgoing[0])
            except BlockingIOError:
                return
            except wire.Closed as error:
                self._end(SpawnerLost(str(error)))
                return
            _close(self._outgoing.popleft().descriptors)
        self._loop.remove_writer(self._sock.fileno())

    def _readable(self) -> None:
        while not self.lost.done():
            try:
                packet = wire.receive(self._sock)
            except BlockingIOError:
                return
            except (wire.Closed, wire.Malformed) as error:
                self._end(SpawnerLost(str(error)))
                return
            if isinstance(packet.message, Exited):
                if self.on_exit is not None:
                    self.on_exit(packet.message)
                continue
            waiting = self._waiting.get(packet.number)
            if waiting is None or waiting.done():
                _close(packet.descriptors)
            else:
                waiting.set_result(packet)

    def _end(self, error: SpawnerLost) -> None:
        if self.lost.done():
            return
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        for packet in self._outgoing:
            _close(packet.descriptors)
        self._outgoing.clear()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(error)
        self.lost.set_result(None)


def _connect(sock: socket.socket, directory: Path) -> None:
    """Through a descriptor of the directory: its path may be longer than a socket's address can be."""
    where = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock.connect(f"/proc/self/fd/{where}/{SOCKET}")
    finally:
        os.close(where)


async def _welcome(sock: socket.socket) -> Welcome:
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sock.fileno(), _resolve, readable)
    try:
        await readable
    finally:
        loop.remove_reader(sock.fileno())
    message = wire.receive(sock).message
    if not isinstance(message, Welcome):
        raise SpawnerLost(f"it began with a {type(message).__name__}")
    return message


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
