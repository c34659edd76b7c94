"""The channel.k8s.io protocols: several streams in one WebSocket.

    byte 0 of a message   0 stdin   1 stdout   2 stderr   3 how it ended (Status)   4 the terminal's size
    v5                    adds [255, n]: channel n is closed (the end of stdin)
    base64.*              the channel is an ASCII digit, the rest is base64 text

Kubernetes: apiserver/pkg/util/remotecommand, kubelet/pkg/cri/streaming/remotecommand/websocket.go.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import WSMessage, WSMsgType, web

from podrun.api.errors import bad_request

Object = dict[str, Any]

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
CLOSE = 255
V5 = "v5.channel.k8s.io"
PROTOCOLS = (V5, "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io")
BEARER = "base64url.bearer.authorization.k8s.io."
"""A page in a browser cannot set headers: its token comes as a subprotocol, in base64url."""
LONGEST_MESSAGE = 32 << 20
SIGN_OF_LIFE_SECONDS = 5.0
"""How often a client that is not listened to is asked whether it is there."""


@dataclass(frozen=True, slots=True)
class Input:
    """Something that the client sent: bytes for a channel, or the closing of it."""

    channel: int
    data: bytes = b""
    closed: bool = False


def is_websocket(request: web.BaseRequest) -> bool:
    """Whether the client wants to speak WebSocket."""
    connection = request.headers.get("Connection", "").lower()
    return "upgrade" in connection and request.headers.get("Upgrade", "").lower() == "websocket"


def offered_protocols(request: web.BaseRequest) -> list[str]:
    """The subprotocols that a WebSocket's client offers, without the one that only carries its token."""
    headers = request.headers.getall("Sec-WebSocket-Protocol", [])
    names = [name.strip() for header in headers for name in header.split(",")]
    return [name for name in names if name and not name.startswith(BEARER)]


def choose(offered: Sequence[str]) -> str:
    """The protocol to speak: ours in our order; "" when none is offered (the oldest one). Raises BadRequest."""
    if not offered:
        return ""
    for protocol in PROTOCOLS:
        if protocol in offered:
            return protocol
    raise bad_request(f"unable to upgrade: none of the subprotocols is known here: {', '.join(offered)}")


class Channels:
    """An open connection. Not for several writers of one channel at a time."""

    def __init__(self, socket: web.WebSocketResponse, protocol: str) -> None:
        self.response = socket
        self._socket = socket
        self._base64 = "base64" in protocol
        self._reports_status = protocol.startswith(("v4", "v5"))
        self.closes_stdin = protocol == V5

    @classmethod
    async def open(cls, request: web.BaseRequest) -> Channels:
        """Accept the upgrade; raises BadRequest where no protocol fits."""
        protocol = choose(offered_protocols(request))
        socket = web.WebSocketResponse(
            protocols=(protocol,) if protocol else (), max_msg_size=LONGEST_MESSAGE, compress=False
        )
        await socket.prepare(request)
        return cls(socket, protocol)

    async def send(self, channel: int, data: bytes) -> None:
        """Send bytes on a channel; waits while the client is slow."""
        if self._base64:
            await self._socket.send_str(f"{channel}{base64.b64encode(data).decode()}")
        else:
            await self._socket.send_bytes(bytes((channel,)) + data)

    async def receive(self) -> Input | None:
        """The next thing the client says; None when it has gone. Messages that make no sense are passed over."""
        while True:
            message = await self._socket.receive()
            if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
                found = self._input(message)
                if found is not None:
                    return found
            elif message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return None

    async def gone(self) -> None:
        """Return when the client has gone. While nothing is received, only writing shows that."""
        try:
            while True:
                await asyncio.sleep(SIGN_OF_LIFE_SECONDS)
                await self._socket.ping()
        except ConnectionError:
            return

    def _input(self, message: WSMessage) -> Input | None:
        raw: bytes = message.data.encode() if message.type is WSMsgType.TEXT else message.data
        if not raw:
            return None
        if self._base64:
            try:
                return Input(raw[0] - ord("0"), base64.b64decode(raw[1:]))
            except binascii.Error:
                return None
        if raw[0] == CLOSE and self.closes_stdin:
            return Input(raw[1], closed=True) if len(raw) > 1 else None
        return Input(raw[0], raw[1:])

    async def finish(self, status: Object) -> None:
        """Say how it ended and close. Protocols before v4 only say what went wrong, as text."""
        if self._reports_status:
            await self.send(ERROR, orjson.dumps(status))
        elif status.get("status") != "Success":
            await self.send(ERROR, str(status.get("message", "")).encode())
        await self._socket.close()
