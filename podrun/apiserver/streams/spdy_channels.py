"""exec and attach over SPDY: each stream of `channels.py` is a SPDY stream, named by its header streamType.

The client opens them all first: error, then stdin, stdout, stderr as it asked in the query, and resize for a terminal
(from protocol v3 on). Nothing begins before they are there. Kubernetes: kubelet/pkg/cri/streaming/remotecommand/
httpstream.go.
"""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Any

import orjson
from aiohttp import web

from podrun.apiserver.streams.channels import ERROR, RESIZE, STDERR, STDIN, STDOUT, Input
from podrun.apiserver.streams.spdy_connection import SpdyConnection, SpdyStream
from podrun.apiserver.streams.spdy_errors import StreamClosed
from podrun.apiserver.streams.upgrade import RawBytes

Object = dict[str, Any]

V4 = "v4.channel.k8s.io"
PROTOCOLS = (V4, "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
STREAM_SECONDS = 30.0
"""How long a client may take to open its streams."""
LONGEST_RESIZE = 1 << 10
_NUMBERS = {"error": ERROR, "stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "resize": RESIZE}
_QUEUED = 2


class SpdyChannels:
    """An open connection with its streams, used as `Channels` is."""

    def __init__(self, transport: RawBytes, expected: frozenset[int]) -> None:
        self.response = transport.response
        self._protocol = transport.protocol
        self._expected = expected
        self._streams: dict[int, SpdyStream] = {}
        self._complete = asyncio.Event()
        self._inputs: asyncio.Queue[Input | None] = asyncio.Queue(_QUEUED)
        self._connection = SpdyConnection(transport, self._accept)
        self._readers: list[asyncio.Task[None]] = []

    @classmethod
    async def open(cls, request: web.BaseRequest, *, streams: frozenset[int], tty: bool) -> SpdyChannels:
        """Accept the upgrade for these channels; raises UpgradeRefused where no protocol fits."""
        transport = await RawBytes.open(request, PROTOCOLS)
        expected = streams | {ERROR}
        if tty and transport.protocol in PROTOCOLS[:2]:
            expected |= {RESIZE}
        return cls(transport, expected)

    async def __aenter__(self) -> SpdyChannels:
        """Wait for the client's streams; raises StreamClosed when they do not come."""
        await self._connection.__aenter__()
        self._readers.append(asyncio.create_task(self._watch()))
        try:
            await self._streams_opened()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        for number in (STDIN, RESIZE):
            if number in self._expected:
                self._readers.append(asyncio.create_task(self._read(number, self._streams[number])))
        return self

    async def _streams_opened(self) -> None:
        complete = asyncio.create_task(self._complete.wait())
        waiting: set[asyncio.Task[Any]] = {complete, *self._readers}
        try:
            await asyncio.wait(waiting, timeout=STREAM_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            complete.cancel()
        if not self._complete.is_set():
            raise StreamClosed("timed out waiting for the client to create its streams")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._readers:
            task.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        await self._connection.__aexit__(kind, error, trace)

    async def send(self, channel: int, data: bytes) -> None:
        """Send bytes on a channel; waits while the client is slow. Raises StreamClosed."""
        await self._streams[channel].write(data)

    async def receive(self) -> Input | None:
        """The next thing the client says; None when it has gone."""
        return await self._inputs.get()

    async def gone(self) -> None:
        """Return when the client has gone."""
        await self._connection.over()

    async def finish(self, status: Object) -> None:
        """Say how it ended and close. Protocols before v4 only say what went wrong, as text."""
        if self._protocol == V4:
            await self.send(ERROR, orjson.dumps(status))
        elif status.get("status") != "Success":
            await self.send(ERROR, str(status.get("message", "")).encode())
        for task in self._readers[1:]:
            task.cancel()
        for number in (STDOUT, STDERR, STDIN, RESIZE, ERROR):
            if number in self._streams:
                self._streams[number].finish()
        await self._connection.farewell()

    def _accept(self, stream: SpdyStream) -> None:
        number = _NUMBERS.get(stream.headers.get("streamtype", ""))
        if number is None or number not in self._expected or number in self._streams:
            stream.close()
            return
        if number not in (STDIN, RESIZE):
            stream.discard()
        self._streams[number] = stream
        if self._expected <= self._streams.keys():
            self._complete.set()

    async def _watch(self) -> None:
        await self._connection.over()
        await self._inputs.put(None)

    async def _read(self, number: int, stream: SpdyStream) -> None:
        with contextlib.suppress(StreamClosed):
            while data := await stream.read():
                if number == STDIN:
                    await self._inputs.put(Input(STDIN, data))
                    continue
                # One size after the other, each a JSON object; only the last one of a burst counts.
                last = data[-LONGEST_RESIZE:].rpartition(b"{")[2]
                await self._inputs.put(Input(RESIZE, b"{" + last.strip()))
            if number == STDIN:
                await self._inputs.put(Input(STDIN, closed=True))
