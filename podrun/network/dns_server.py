"""Cluster DNS: a small server over UDP and TCP on sockets that others hold (so that it survives podrund's restarts).

Names of the cluster are answered from the zone, at once; all others are passed on to the host's own servers. A name
behind a Service of type ExternalName is resolved for the client. What cannot be read is refused or ignored, never
waited for; dnslib, and what needs it, is imported with the first query.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import TYPE_CHECKING, Any

from podrun.network.dns_upstream import PATIENCE, NoAnswer, Servers, Upstream
from podrun.network.dns_zone import Answer, Zone

if TYPE_CHECKING:
    from podrun.network.dns_packets import Query

log = logging.getLogger(__name__)

IDLE_SECONDS = 10.0
"""How long a TCP connection may be silent."""
MOST_CONNECTIONS = 256
_LONGEST_CHAIN = 8
_BACKLOG = 128
_FREE_BIND = 15  # IP_FREEBIND (ip(7)); the socket module has no name for it


def sockets(address: str, port: int = 53) -> tuple[socket.socket, socket.socket]:
    """Sockets to serve on: UDP, and TCP that listens. The address need not be there yet. Raises OSError."""
    with contextlib.ExitStack() as stack:
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC))
        udp.setsockopt(socket.SOL_IP, _FREE_BIND, 1)
        udp.bind((address, port))
        tcp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC))
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.setsockopt(socket.SOL_IP, _FREE_BIND, 1)
        tcp.bind((address, udp.getsockname()[1]))
        tcp.listen(_BACKLOG)
        stack.pop_all()
    return udp, tcp


class DnsServer:
    """`servers` gives the addresses of the servers that other names are passed on to, which listen at `port`."""

    def __init__(self, zone: Zone, servers: Servers, *, port: int = 53, patience: float = PATIENCE) -> None:
        self._zone = zone
        self._upstream = Upstream(servers, port=port, patience=patience)
        self._transport: asyncio.DatagramTransport | None = None
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0

    async def start(self, udp: socket.socket, tcp: socket.socket) -> None:
        """Serve; the sockets stay open when the server stops."""
        loop = asyncio.get_running_loop()
        udp.setblocking(False)
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=udp.dup())
        self._listener = await asyncio.start_server(self._connection, sock=tcp.dup(), backlog=_BACKLOG)

    async def stop(self) -> None:
        """Stop serving; questions under way are dropped (clients ask again)."""
        if self._transport is not None:
            self._transport.close()
        if self._listener is not None:
            self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def datagram(self, raw: bytes, client: Any) -> None:
        """A message over UDP: answered at once where nobody else has to be asked."""
        done = self._now(raw, over_tcp=False)
        if isinstance(done, bytes):
            self._send(done, client)
        elif done is not None:
            task = asyncio.get_running_loop().create_task(self._later(done, client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _later(self, query: Query, client: Any) -> None:
        self._send(await self._ask(query, over_tcp=False), client)

    def _send(self, raw: bytes, client: Any) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(raw, client)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Questions of one TCP connection, one after the other."""
        task = asyncio.current_task()
        if task is None or self._connections >= MOST_CONNECTIONS:
            writer.close()
            return
        self._connections += 1
        self._tasks.add(task)
        try:
            while True:
                async with asyncio.timeout(IDLE_SECONDS):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    raw = await reader.readexactly(length)
                done = self._now(raw, over_tcp=True)
                if done is None:
                    return
                answer = done if isinstance(done, bytes) else await self._ask(done, over_tcp=True)
                writer.write(len(answer).to_bytes(2, "big") + answer)
                async with asyncio.timeout(IDLE_SECONDS):
                    await writer.drain()
        except (OSError, EOFError, TimeoutError):
            pass  # the client has gone, or is silent
        finally:
            self._connections -= 1
            self._tasks.discard(task)
            writer.close()

    def _now(self, raw: bytes, *, over_tcp: bool) -> bytes | Query | None:
        """The answer; or the query, where others have to be asked; or None for what deserves no answer."""
        from podrun.network import dns_packets as packets

        query = packets.read(raw)
        if not isinstance(query, packets.Query):
            return query
        try:
            answer = self._zone.answer(query.name, query.kind)
            if answer is None or answer.follow:
                return query
            return packets.write(query, answer, [], over_tcp=over_tcp)
        except Exception:  # a mistake of ours must not leave a client waiting
            log.exception("DNS: %s %s", query.kind, query.name)
            return packets.failure(query)

    async def _ask(self, query: Query, *, over_tcp: bool) -> bytes:
        """The answer to a query that needs the servers of the host."""
        from podrun.network import dns_packets as packets

        answer = self._zone.answer(query.name, query.kind)
        if answer is not None:
            more = await self._followed(answer, query.kind, over_tcp)
            return packets.write(query, answer, more, over_tcp=over_tcp)
        try:
            return await self._upstream.ask(query.raw, over_tcp=over_tcp)
        except NoAnswer:
            return packets.failure(query)

    async def _followed(self, answer: Answer, kind: str, over_tcp: bool) -> list[Any]:
        """The records behind a CNAME; none where they cannot be had, since the client may still know better."""
        from podrun.network import dns_packets as packets

        found: list[Any] = []
        for _ in range(_LONGEST_CHAIN):
            if not answer.follow:
                break
            name = answer.follow
            inside = self._zone.answer(name, kind)
            if inside is None:
                try:
                    raw = await self._upstream.ask(packets.query_for(name, kind), over_tcp=over_tcp)
                except (NoAnswer, ValueError):
                    break
                return found + packets.answers_in(raw)
            found += packets.records(inside)
            answer = inside
        return found


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, address: Any) -> None:
        self._server.datagram(data, address)
