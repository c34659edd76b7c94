"""One connection of the loop: packets in, packets out without ever waiting."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from podrun.spawner import loop as loops
from podrun.spawner import wire
from podrun.spawner.protocol import Failed, Failure

_MOST_WAITING = 10_000
"""Packets that may wait for a peer that does not read; then it is cut off and must connect anew."""


class Peer:
    """A SOCK_SEQPACKET socket, non-blocking. `on_packet` owns the packet's descriptors; `without`: see wire.receive."""

    def __init__(
        self,
        loop: loops.Loop,
        sock: socket.socket,
        on_packet: Callable[[Peer, wire.Packet], None],
        on_gone: Callable[[Peer], None],
        without: Sequence[str] = (),
    ) -> None:
        self.sock = sock
        self.subscribed = False
        self.pid = 0
        self._loop = loop
        self._on_packet = on_packet
        self._on_gone = on_gone
        self._waiting: deque[wire.Packet] = deque()
        self._open = True
        self._without = without
        sock.setblocking(False)
        loop.watch(sock.fileno(), self._ready)

    @property
    def idle(self) -> bool:
        """Nothing waits to be sent."""
        return not self._waiting

    def send(self, number: int, message: Any, descriptors: Iterable[int] = ()) -> None:
        """Send, or queue; the descriptors stay the caller's."""
        if not self._open:
            return
        packet = wire.Packet(number, message, tuple(descriptors))
        if not self._waiting:
            try:
                wire.send(self.sock, packet)
            except BlockingIOError:
                pass
            except wire.Closed:
                self.close()
                return
            else:
                return
        if len(self._waiting) >= _MOST_WAITING:
            self.close()
            return
        copies = tuple(os.dup(descriptor) for descriptor in packet.descriptors)
        self._waiting.append(wire.Packet(number, message, copies))
        self._loop.watch(self.sock.fileno(), self._ready, loops.READ | loops.WRITE)

    def close(self) -> None:
        """Close the connection and say so to its owner, once."""
        if not self._open:
            return
        self._open = False
        self._loop.forget(self.sock.fileno())
        self.sock.close()
        for packet in self._waiting:
            _close(packet.descriptors)
        self._waiting.clear()
        self._on_gone(self)

    def _ready(self, events: int) -> None:
        if events & loops.WRITE:
            self._flush()
        if self._open and events & (loops.READ | loops.GONE):
            self._read()

    def _flush(self) -> None:
        while self._waiting:
            try:
                wire.send(self.sock, self._waiting[0])
            except BlockingIOError:
                return
            except wire.Closed:
                self.close()
                return
            _close(self._waiting.popleft().descriptors)
        self._loop.watch(self.sock.fileno(), self._ready)

    def _read(self) -> None:
        while self._open:
            try:
                packet = wire.receive(self.sock, self._without)
            except BlockingIOError:
                return
            except wire.Malformed as error:
                self.send(error.number, Failed(Failure("request", message=str(error))))
                continue
            except wire.Closed:
                self.close()
                return
            self._on_packet(self, packet)


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
