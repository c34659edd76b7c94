"""A connection that has stopped being HTTP: bytes both ways, raw (Upgrade: SPDY/3.1) or inside WebSocket messages.

A raw upgrade negotiates with X-Stream-Protocol-Version as apimachinery's httpstream does; a WebSocket with its
subprotocol. In both, reading waits for the caller, so that a client is never read faster than its bytes are used.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol, cast

from aiohttp import WSMsgType, web
from aiohttp.http import WebSocketReader

from podrun.api.errors import bad_request
from podrun.apiserver.streams.channels import LONGEST_MESSAGE

SPDY = "SPDY/3.1"
_VERSION = "X-Stream-Protocol-Version"
_ACCEPTED = "X-Accepted-Stream-Protocol-Versions"
_HOLD = 256 << 10
"""Bytes read ahead of the caller."""


class ByteStream(Protocol):
    """A connection as bytes. `response` is what the request's handler returns in the end."""

    response: web.StreamResponse

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""

    async def write(self, data: bytes) -> None:
        """Send; waits while the client is slow. Raises ConnectionError when it has gone."""

    async def close(self) -> None:
        """Say farewell where the transport has one; the connection itself ends with the handler."""


class UpgradeRefused(Exception):
    """An upgrade that is not possible: `response` says so to the client."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.text)
        self.response = response


def is_spdy(request: web.BaseRequest) -> bool:
    """Whether the client wants to speak SPDY on this connection."""
    connection = ",".join(request.headers.getall("Connection", [])).lower()
    return "upgrade" in connection and request.headers.get("Upgrade", "").lower() == SPDY.lower()


def negotiate_version(offered: Sequence[str] | None, spoken: Sequence[str]) -> str:
    """The first of the client's protocols that is spoken here; raises UpgradeRefused (400 without any, 403)."""
    if offered is None:
        why = f"unable to upgrade: header {_VERSION} does not exist in request"
        raise UpgradeRefused(web.Response(status=400, text=f"{why}\n"))
    names = [name.strip() for header in offered for name in header.split(",") if name.strip()]
    if not names:
        why = f"unable to upgrade: header {_VERSION} contains [{' '.join(offered)}], but no valid protocols"
        raise UpgradeRefused(web.Response(status=400, text=f"{why}\n"))
    for name in names:
        if name in spoken:
            return name
    supported = f"client supports [{' '.join(names)}], server accepts [{' '.join(spoken)}]"
    refusal = web.Response(status=403, text=f"unable to upgrade: unable to negotiate protocol: {supported}\n")
    for name in spoken:
        refusal.headers.add(_ACCEPTED, name)
    raise UpgradeRefused(refusal)


class RawBytes:
    """The connection itself, after `101 Switching Protocols`. aiohttp feeds it as the payload's parser."""

    def __init__(self, request: web.BaseRequest, response: web.StreamResponse, protocol: str) -> None:
        self.response = response
        self.protocol = protocol
        """What X-Stream-Protocol-Version agreed on."""
        self._transport = request.transport
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._paused = False
        self._ended = False
        self._changed = asyncio.Event()

    @classmethod
    async def open(cls, request: web.BaseRequest, spoken: Sequence[str]) -> RawBytes:
        """Accept the upgrade; raises UpgradeRefused where no protocol fits."""
        offered = request.headers.getall(_VERSION) if _VERSION in request.headers else None
        protocol = negotiate_version(offered, spoken)
        if request.can_read_body:
            raise bad_request("unable to upgrade: a request that upgrades has no body")
        headers = {"Connection": "Upgrade", "Upgrade": SPDY, _VERSION: protocol}
        response = web.StreamResponse(status=101, headers=headers)
        response.force_close()
        opened = cls(request, response, protocol)
        # Before the answer: the client's first frames may come right after it.
        request.protocol.set_parser(cast(WebSocketReader, opened))
        request.protocol.keep_alive(False)
        await response.prepare(request)
        return opened

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """From aiohttp: bytes have come."""
        self._chunks.append(bytes(data))
        self._held += len(data)
        if self._held >= _HOLD and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._changed.set()
        return False, b""

    def feed_eof(self) -> None:
        """From aiohttp: the connection has gone."""
        self._ended = True
        self._changed.set()

    async def read(self) -> bytes:
        while not self._chunks:
            if self._ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        data = self._chunks.popleft()
        self._held -= len(data)
        if self._paused and self._held < _HOLD // 2 and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        await self.response.write(data)

    async def close(self) -> None:
        """Nothing: a raw connection ends without a word."""


class WebSocketBytes:
    """A byte stream cut into binary messages; where they are cut says nothing."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.response: web.StreamResponse = socket
        self._socket = socket

    @classmethod
    async def open(cls, request: web.BaseRequest, protocol: str) -> WebSocketBytes:
        """Accept the WebSocket with this subprotocol, which the client has offered."""
        socket = web.WebSocketResponse(protocols=(protocol,), max_msg_size=LONGEST_MESSAGE, compress=False)
        await socket.prepare(request)
        return cls(socket)

    async def read(self) -> bytes:
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY:
                if message.data:
                    return bytes(message.data)
            elif message.type is not WSMsgType.TEXT:
                return b""

    async def write(self, data: bytes) -> None:
        await self._socket.send_bytes(data)

    async def close(self) -> None:
        await self._socket.close()
