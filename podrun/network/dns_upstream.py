"""Questions passed on to the servers of the host's own resolv.conf, as they came, and the answers brought back.

UDP first; an answer that does not fit comes back cut off, and the client asks again over TCP, which is then passed on
over TCP. Each question has a socket, and so a port, of its own: who would forge an answer has to guess it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from podrun.network.resolver import parse

PATIENCE = 1.5
"""Seconds for each server's answer."""
ATTEMPTS = 3
"""All are over before a client's own 5 seconds are."""
MOST_AT_ONCE = 512
HEADER = 12
"""Bytes before a message's question."""
_PORT = 53

Servers = Callable[[], Sequence[str]]


class NoAnswer(Exception):
    """No server has answered."""


def question(raw: bytes) -> bytes:
    """The first question of a message, as bytes: an answer repeats it. Raises ValueError."""
    at = HEADER
    while at < len(raw) and raw[at]:
        if raw[at] > 63:
            raise ValueError("a compressed name where none can be")
        at += raw[at] + 1
    if at + 5 > len(raw):
        raise ValueError("the message ends within its question")
    return raw[HEADER : at + 5]


def _with_id(raw: bytes, identity: bytes) -> bytes:
    return identity + raw[2:]


class HostServers:
    """The nameservers in resolv.conf, read again when the file has changed; `but` is never among them."""

    def __init__(self, but: str, file: Path = Path("/etc/resolv.conf")) -> None:
        self._but = but
        self._file = file
        self._read = (0, 0)
        self._servers: tuple[str, ...] = ()

    def __call__(self) -> Sequence[str]:
        try:
            status = self._file.stat()
            if (status.st_mtime_ns, status.st_ino) != self._read:
                self._read = (status.st_mtime_ns, status.st_ino)
                self._servers = tuple(s for s in parse(self._file.read_text()).nameservers if s != self._but)
        except OSError:
            return ()
        return self._servers


class Upstream:
    """`servers` gives addresses, the preferred first; `port` is theirs."""

    def __init__(self, servers: Servers, *, port: int = _PORT, patience: float = PATIENCE) -> None:
        self._servers = servers
        self._port = port
        self._patience = patience
        self._asking = 0

    async def ask(self, query: bytes, *, over_tcp: bool) -> bytes:
        """The answer to a query, under the query's own identity. Raises NoAnswer."""
        servers = list(self._servers())
        if not servers or self._asking >= MOST_AT_ONCE:
            raise NoAnswer
        self._asking += 1
        try:
            for attempt in range(ATTEMPTS):
                server = servers[attempt % len(servers)]
                try:
                    async with asyncio.timeout(self._patience):
                        return await (self._by_tcp if over_tcp else self._by_udp)(server, query)
                except (OSError, EOFError, TimeoutError):
                    continue
        finally:
            self._asking -= 1
        raise NoAnswer

    async def _by_udp(self, server: str, query: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        identity = secrets.token_bytes(2)
        transport, waiting = await loop.create_datagram_endpoint(
            lambda: _Waiting(identity, question(query)), remote_addr=(server, self._port)
        )
        try:
            transport.sendto(_with_id(query, identity))
            return _with_id(await waiting.answer, query[:2])
        finally:
            transport.close()

    async def _by_tcp(self, server: str, query: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(server, self._port)
        try:
            writer.write(len(query).to_bytes(2, "big") + query)
            length = int.from_bytes(await reader.readexactly(2), "big")
            answer = await reader.readexactly(length)
        finally:
            writer.close()
        if answer[:2] != query[:2]:
            raise OSError("an answer to another question")
        return answer


class _Waiting(asyncio.DatagramProtocol):
    """Takes the first message that answers this question; what else comes is not for us."""

    def __init__(self, identity: bytes, asked: bytes) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._identity, self._asked = identity, asked.lower()

    def datagram_received(self, data: bytes, address: object) -> None:
        is_answer = len(data) > HEADER and data[2] & 0x80 and data[:2] == self._identity
        if is_answer and data[HEADER : HEADER + len(self._asked)].lower() == self._asked and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # seen, should nobody wait any more
