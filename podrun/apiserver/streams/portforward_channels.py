"""Port-forward in the channels of one WebSocket, as Python's client speaks it: `?ports=80,443` names the ports.

    channel 2n       bytes of the n-th port, both ways      each begins with the port's number,
    channel 2n + 1   what went wrong with it, as text       two bytes with the lower one first

A channel cannot be closed by itself: a port is done when the pod ends the connection or the client leaves, and the
WebSocket is closed when every port is done.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from aiohttp import web
from multidict import MultiMapping

from podrun.api.errors import bad_request
from podrun.api.gotext import quote
from podrun.apiserver.streams.channels import Channels
from podrun.apiserver.streams.forwarding import forward
from podrun.apiserver.streams.pod_port import PodPorts
from podrun.apiserver.streams.spdy_connection import SIGN_OF_LIFE_SECONDS
from podrun.apiserver.streams.spdy_errors import StreamClosed

MOST_PORTS = 127
"""A channel's number is one byte."""
_QUEUED = 2
"""Messages read ahead for a port whose pod is slow."""


def asked_ports(query: MultiMapping[str]) -> list[int]:
    """The ports of a query; raises BadRequest."""
    texts = [text for name in ("ports", "port") for value in query.getall(name, []) for text in value.split(",")]
    if not texts:
        raise bad_request('query parameter "port" is required')
    if len(texts) > MOST_PORTS:
        raise bad_request(f"at most {MOST_PORTS} ports can be forwarded over one WebSocket, not {len(texts)}")
    return [_port(text) for text in texts]


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) < 1 << 16):
        raise bad_request(f"unable to parse {quote(text)} as a port")
    if not int(text):
        raise bad_request(f"port {quote(text)} must be > 0")
    return int(text)


async def forward_channels(request: web.BaseRequest, ports: PodPorts) -> web.StreamResponse:
    """Forward every asked port once, until all are done or the client leaves."""
    numbers = asked_ports(request.query)
    channels = await Channels.open(request)
    sending = asyncio.Lock()
    sides = [_Side(channels, 2 * index, sending) for index in range(len(numbers))]
    tasks: list[asyncio.Task[None]] = []
    unsubscribe = ports.on_end(lambda: _cancel(tasks))
    try:
        for side, number in zip(sides, numbers, strict=True):
            await side.write(number.to_bytes(2, "little"))
            await side.error.write(number.to_bytes(2, "little"))
            tasks.append(asyncio.create_task(_forward(ports, number, side)))
        reader = asyncio.create_task(_read(channels, sides))
        every = asyncio.create_task(_all(tasks))
        try:
            await asyncio.wait({reader, every}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            _cancel((reader, every, *tasks))
            await asyncio.gather(reader, every, *tasks, return_exceptions=True)
    except StreamClosed:
        return channels.response
    finally:
        unsubscribe()
    with contextlib.suppress(ConnectionError):
        await channels.response.close()
    return channels.response


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


async def _forward(ports: PodPorts, number: int, side: _Side) -> None:
    try:
        with contextlib.suppress(StreamClosed):
            await forward(ports, number, side, side.error)
    finally:
        side.discard()


async def _read(channels: Channels, sides: Sequence[_Side]) -> None:
    """Hand out what the client sends; on error channels it has nothing to say."""
    while (given := await channels.receive()) is not None:
        index, is_error = divmod(given.channel, 2)
        if not is_error and 0 <= index < len(sides) and given.data:
            await sides[index].feed(given.data)


class _Channel:
    """The sending half of a channel."""

    def __init__(self, channels: Channels, number: int, sending: asyncio.Lock) -> None:
        self._channels = channels
        self._number = number
        self._sending = sending
        """One waits for the connection at a time: cancelling a waiter would cancel all who wait with it."""

    async def write(self, data: bytes) -> None:
        try:
            async with self._sending:
                await self._channels.send(self._number, data)
        except ConnectionError as error:
            raise StreamClosed("the client has gone") from error


class _Side(_Channel):
    """A port's data channel as the client's side of a forwarded connection."""

    def __init__(self, channels: Channels, number: int, sending: asyncio.Lock) -> None:
        super().__init__(channels, number, sending)
        self.error = _Channel(channels, number + 1, sending)
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_QUEUED)
        self._done = False

    async def feed(self, data: bytes) -> None:
        """From the client; waits while the pod is slow. Raises ConnectionError when the client has gone meanwhile."""
        while not self._done:
            try:
                async with asyncio.timeout(SIGN_OF_LIFE_SECONDS):
                    await self._queue.put(data)
                    return
            except TimeoutError:
                # While nothing is read, only writing shows that the client has gone.
                await self._channels.response.ping()

    async def read(self) -> bytes:
        return b"" if self._done else await self._queue.get()

    def finish(self) -> None:
        """Nothing tells the client, so the connection is over with it."""
        self.discard()
        self._queue.put_nowait(b"")

    def discard(self) -> None:
        self._done = True
        while not self._queue.empty():
            self._queue.get_nowait()
