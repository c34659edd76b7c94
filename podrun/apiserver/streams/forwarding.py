"""One forwarded connection: bytes carried between a client's stream and a socket in a pod, each direction by itself."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Protocol

from podrun.apiserver.streams.pod_port import PodPorts, PortUnreachable
from podrun.apiserver.streams.spdy_errors import StreamClosed

log = logging.getLogger(__name__)

PIECE = 64 << 10


class Duplex(Protocol):
    """The client's side of one forwarded connection."""

    async def read(self) -> bytes:
        """Bytes; empty at the client's end. Raises StreamClosed when it was cut off."""

    async def write(self, data: bytes) -> None:
        """Send; waits while the client is slow. Raises StreamClosed."""

    def finish(self) -> None:
        """The pod sends nothing more."""

    def discard(self) -> None:
        """The pod takes nothing more."""


class Writable(Protocol):
    """Where an error is told."""

    async def write(self, data: bytes) -> None:
        """Send. Raises StreamClosed."""


async def forward(ports: PodPorts, port: int, data: Duplex, error: Writable) -> None:
    """Carry one connection until both directions have ended; what prevents it is told on `error`."""
    try:
        connection = await ports.connect(port)
    except PortUnreachable as why:
        text = f"error forwarding port {port} to pod {ports.sandbox_id}, uid : {why}"
        await error.write(text.encode())
        return
    with connection:
        await _carry(connection, data)


async def _carry(connection: socket.socket, data: Duplex) -> None:
    """Both directions at once; each ends by itself (a half-closed connection goes on the other way)."""
    loop = asyncio.get_running_loop()

    async def to_pod() -> None:
        try:
            while given := await data.read():
                await loop.sock_sendall(connection, given)
            connection.shutdown(socket.SHUT_WR)
        except StreamClosed:
            raise
        except OSError:
            # The pod takes nothing more; what it still sends goes on.
            data.discard()

    async def to_client() -> None:
        try:
            while given := await loop.sock_recv(connection, PIECE):
                await data.write(given)
        except StreamClosed:
            raise
        except OSError as error:
            log.debug("a pod cut a forwarded connection off: %s", error)
        data.finish()

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(to_pod())
            group.create_task(to_client())
    except* StreamClosed as ended:
        log.debug("a client ended a forwarded connection: %s", ended.exceptions[0])
