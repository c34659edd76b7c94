"""`pods/portforward`: a client's connections carried to ports of a pod.

    SPDY (raw, or in a WebSocket)   per connection an error stream and a data stream with the same requestID
    v4.channel.k8s.io WebSocket     per port of `?ports=` a data channel 2n and an error channel 2n+1

Kubernetes: kubelet/pkg/cri/streaming/portforward (httpstream.go, websocket.go).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from podrun.api.errors import bad_request
from podrun.api.gotext import quote
from podrun.apiserver.streams.channels import is_websocket, offered_protocols
from podrun.apiserver.streams.forwarding import forward
from podrun.apiserver.streams.pod_port import PodPorts
from podrun.apiserver.streams.pods import PodAccess, reachable
from podrun.apiserver.streams.portforward_channels import forward_channels
from podrun.apiserver.streams.spdy_connection import SpdyConnection, SpdyStream
from podrun.apiserver.streams.upgrade import ByteStream, RawBytes, UpgradeRefused, WebSocketBytes, is_spdy

Object = dict[str, Any]

log = logging.getLogger(__name__)

PROTOCOL = "portforward.k8s.io"
TUNNEL = f"SPDY/3.1+{PROTOCOL}"
PAIR_SECONDS = 30.0
"""How long the first stream of a connection waits for the second."""


async def port_forward(request: web.BaseRequest, pod: Object, pods: PodAccess | None) -> web.StreamResponse:
    """Forward until the client leaves."""
    metadata = pod["metadata"]
    if not pod["spec"].get("nodeName"):
        raise bad_request(f"pod {metadata['name']} does not have a host assigned")
    access = reachable(pods)
    sandbox = next((one for one in reversed(access.runtime.sandboxes(metadata["uid"])) if one.ready), None)
    if sandbox is None:
        text = f"failed to find sandboxID for pod {quote(metadata['namespace'] + '/' + metadata['name'])}"
        return web.Response(status=404, text=text)
    ports = PodPorts(access.runtime, sandbox.id)
    transport: ByteStream
    try:
        if is_websocket(request):
            if TUNNEL not in offered_protocols(request):
                return await forward_channels(request, ports)
            transport = await WebSocketBytes.open(request, TUNNEL)
        elif is_spdy(request):
            transport = await RawBytes.open(request, (PROTOCOL,))
        else:
            raise bad_request("Upgrade request required")
    except UpgradeRefused as refused:
        return refused.response
    forwards = _Forwards(ports)
    # Connections would hold the network namespace of a sandbox that has ended.
    unsubscribe = ports.on_end(forwards.cut)
    try:
        async with SpdyConnection(transport, forwards.accept) as connection:
            await connection.over()
    finally:
        unsubscribe()
        await forwards.cancel()
    with contextlib.suppress(ConnectionError):
        await transport.close()
    return transport.response


@dataclass(slots=True)
class _Pair:
    """The two streams of a connection, as they come."""

    port: int
    error: SpdyStream | None = None
    data: SpdyStream | None = None
    timer: asyncio.TimerHandle | None = None


class _Forwards:
    """Joins streams to pairs and carries what is complete."""

    def __init__(self, ports: PodPorts) -> None:
        self._ports = ports
        self._pairs: dict[str, _Pair] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, stream: SpdyStream) -> None:
        """Take a stream that the client has opened, or cut it off where its headers say nothing sensible."""
        kind, port = stream.headers.get("streamtype", ""), stream.headers.get("port", "")
        if kind not in ("error", "data") or not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 1 << 16):
            log.info("a stream for port %.20r of type %.20r is refused", port, kind)
            stream.close()
            return
        # Old clients name no request: their data stream follows the error stream at once.
        request = stream.headers.get("requestid", "") or str(stream.number - (2 if kind == "data" else 0))
        pair = self._pairs.setdefault(request, _Pair(int(port)))
        if getattr(pair, kind) is not None:
            stream.close()
            return
        if kind == "error":
            pair.error = stream
            stream.discard()
        else:
            pair.data = stream
        if pair.error is None or pair.data is None:
            pair.timer = asyncio.get_running_loop().call_later(PAIR_SECONDS, self._give_up, request)
            return
        if pair.timer is not None:
            pair.timer.cancel()
        del self._pairs[request]
        task = asyncio.create_task(self._forward(pair.port, pair.error, pair.data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cut(self) -> None:
        """End the connections there are; the client may go on to ask for others, and hear why there are none."""
        for task in self._tasks:
            task.cancel()

    async def cancel(self) -> None:
        """End everything."""
        for pair in self._pairs.values():
            if pair.timer is not None:
                pair.timer.cancel()
        self._pairs.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _give_up(self, request: str) -> None:
        pair = self._pairs.pop(request)
        for stream in (pair.error, pair.data):
            if stream is not None:
                stream.close()

    async def _forward(self, port: int, error: SpdyStream, data: SpdyStream) -> None:
        try:
            await forward(self._ports, port, data, error)
        except ConnectionError as why:
            log.debug("a forwarded connection to port %d ended: %s", port, why)
        finally:
            data.close()
            error.close()
