"""The DNS server over real sockets: clients over UDP and TCP, and an upstream server that does as the test says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import dnslib
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podrun.network import dns_server
from podrun.network.dns_upstream import HostServers, NoAnswer, Upstream
from tests.network.namespaces import own_network
from tests.network.test_dns import WEB, ZONE

Handler = Callable[[bytes], bytes | None]


class FakeServer(asyncio.DatagramProtocol):
    """Answers by `handler` over UDP and, with `by_tcp`, over TCP; None is silence."""

    def __init__(self) -> None:
        self.handler: Handler = lambda query: None
        self.by_tcp: Handler = lambda query: None
        self.seen: list[bytes] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, client: Any) -> None:
        self.seen.append(data)
        answer = self.handler(data)
        if answer is not None:
            self.transport.sendto(answer, client)

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        answer = self.by_tcp(query)
        if answer is not None:
            writer.write(len(answer).to_bytes(2, "big") + answer)
            await writer.drain()
        writer.close()


def answering(*addresses: str) -> Handler:
    def handler(query: bytes) -> bytes:
        reply = dnslib.DNSRecord.parse(query).reply()
        for address in addresses:
            reply.add_answer(dnslib.RR(reply.q.qname, rdata=dnslib.A(address)))
        return bytes(reply.pack())

    return handler


class House:
    def __init__(self, udp: socket.socket, upstream: FakeServer) -> None:
        self.port = int(udp.getsockname()[1])
        self.upstream = upstream

    async def udp(self, raw: bytes, seconds: float = 5.0) -> bytes:
        loop = asyncio.get_running_loop()
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
            client.setblocking(False)
            client.connect(("127.0.0.1", self.port))
            await loop.sock_sendall(client, raw)
            return await asyncio.wait_for(loop.sock_recv(client, 65535), seconds)

    async def tcp(self, *queries: bytes) -> list[bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for raw in queries:
                writer.write(len(raw).to_bytes(2, "big") + raw)
            async with asyncio.timeout(5):
                return [await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")) for _ in queries]
        finally:
            writer.close()

    async def ask(self, name: str, kind: str = "A") -> dnslib.DNSRecord:
        return dnslib.DNSRecord.parse(await self.udp(question(name, kind)))


def question(name: str, kind: str = "A") -> bytes:
    return bytes(dnslib.DNSRecord.question(name, kind).pack())


def addresses(reply: dnslib.DNSRecord) -> list[str]:
    return [str(one.rdata) for one in reply.rr]


def local_sockets() -> tuple[socket.socket, socket.socket]:
    """UDP and TCP at one port that both had free."""
    while True:
        with suppress(OSError):
            return dns_server.sockets("127.0.0.1", 0)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    upstream = FakeServer()
    their_udp, their_tcp = local_sockets()
    their_port = their_udp.getsockname()[1]
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: upstream, sock=their_udp)
    listener = await asyncio.start_server(upstream.connection, sock=their_tcp)
    udp, tcp = local_sockets()
    server = dns_server.DnsServer(ZONE, lambda: ["127.0.0.1"], port=their_port, patience=0.1)
    await server.start(udp, tcp)
    with udp, tcp:
        yield House(udp, upstream)
        await server.stop()
    transport.close()
    listener.close()


async def test_names_of_the_cluster_are_answered_without_asking_anybody(house: House) -> None:
    assert addresses(await house.ask(WEB)) == ["10.96.0.20"]
    assert (await house.ask("nope.shop.svc.cluster.local")).header.rcode == dnslib.RCODE.NXDOMAIN
    assert house.upstream.seen == []


async def test_questions_over_one_tcp_connection_are_answered_in_turn(house: House) -> None:
    replies = await house.tcp(question(WEB), question("db.shop.svc.cluster.local"), question(WEB, "AAAA"))
    assert [len(dnslib.DNSRecord.parse(raw).rr) for raw in replies] == [1, 2, 0]


async def test_other_names_are_passed_on_under_another_identity(house: House) -> None:
    house.upstream.handler = answering("192.0.2.7")
    raw = question("example.org")
    reply = await house.udp(raw)
    assert reply[:2] == raw[:2]
    assert addresses(dnslib.DNSRecord.parse(reply)) == ["192.0.2.7"]
    assert house.upstream.seen[0][2:] == raw[2:]


async def test_an_answer_to_another_question_is_not_believed(house: House) -> None:
    def forged(query: bytes) -> bytes | None:
        right = answering("192.0.2.7")(query)
        assert right is not None
        house.upstream.transport.sendto(bytes([right[0] ^ 1]) + right[1:], client_of(house))
        return right

    clients: list[Any] = []

    def client_of(house: House) -> Any:
        return clients[-1]

    received = house.upstream.datagram_received

    def remember(data: bytes, client: Any) -> None:
        clients.append(client)
        received(data, client)

    house.upstream.datagram_received = remember  # type: ignore[method-assign]
    house.upstream.handler = forged
    assert addresses(await house.ask("example.org")) == ["192.0.2.7"]


async def test_a_silent_server_is_asked_again_and_then_it_is_a_failure(house: House) -> None:
    reply = await house.ask("example.org")
    assert reply.header.rcode == dnslib.RCODE.SERVFAIL
    assert len(house.upstream.seen) == 3
    house.upstream.handler = answering("192.0.2.7")
    assert addresses(await house.ask("example.org")) == ["192.0.2.7"]


async def test_an_answer_that_was_cut_is_had_whole_over_tcp(house: House) -> None:
    def cut(query: bytes) -> bytes:
        reply = dnslib.DNSRecord.parse(query).reply()
        reply.header.tc = 1
        return bytes(reply.pack())

    house.upstream.handler, house.upstream.by_tcp = cut, answering("192.0.2.1", "192.0.2.2")
    assert (await house.ask("example.org")).header.tc == 1
    (whole,) = await house.tcp(question("example.org"))
    assert addresses(dnslib.DNSRecord.parse(whole)) == ["192.0.2.1", "192.0.2.2"]


async def test_a_service_that_is_a_name_comes_with_what_it_leads_to(house: House) -> None:
    house.upstream.handler = answering("192.0.2.7")
    assert addresses(await house.ask("out.shop.svc.cluster.local")) == ["example.org.", "192.0.2.7"]
    assert addresses(await house.ask("alias.shop.svc.cluster.local")) == [f"{WEB}.", "10.96.0.20"]


async def test_a_name_whose_target_cannot_be_had_is_still_told(house: House) -> None:
    assert addresses(await house.ask("out.shop.svc.cluster.local")) == ["example.org."]


async def test_a_slow_upstream_keeps_nobody_else_waiting(house: House) -> None:
    waiting = asyncio.create_task(house.ask("slow.example.org"))
    await asyncio.sleep(0)
    assert addresses(await house.ask(WEB)) == ["10.96.0.20"]
    assert not waiting.done()
    assert (await waiting).header.rcode == dnslib.RCODE.SERVFAIL


async def test_a_client_that_says_half_a_question_is_let_go(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_server, "IDLE_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(b"\0\x40half")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


def test_sockets_are_had_before_their_address_is_there_but_not_beside_a_server_of_every_address() -> None:
    with own_network():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("0.0.0.0", 53))
            with pytest.raises(OSError, match="Address already in use"):
                dns_server.sockets("10.96.0.10")
        udp, tcp = dns_server.sockets("10.96.0.10")
        with udp, tcp:
            assert udp.getsockname() == tcp.getsockname() == ("10.96.0.10", 53)


async def test_without_servers_of_the_host_other_names_fail_at_once() -> None:
    with pytest.raises(NoAnswer):
        await Upstream(list).ask(question("example.org"), over_tcp=False)


def test_the_servers_are_those_of_the_file_as_it_is_now(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    servers = HostServers("10.96.0.10", file)
    assert servers() == ()
    file.write_text("nameserver 127.0.0.53\nnameserver 10.96.0.10\n")
    assert servers() == ("127.0.0.53",)
    (tmp_path / "new").write_text("nameserver 192.0.2.1\n")
    (tmp_path / "new").rename(file)
    assert servers() == ("192.0.2.1",)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=80), min_size=1, max_size=8))
def test_whatever_is_sent_the_next_question_is_answered(messages: list[bytes]) -> None:
    async def play() -> None:
        udp, tcp = local_sockets()
        with udp, tcp:
            server = dns_server.DnsServer(ZONE, list)
            await server.start(udp, tcp)
            house = House(udp, FakeServer())
            with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
                for raw in messages:
                    client.sendto(raw, ("127.0.0.1", house.port))
            _, writer = await asyncio.open_connection("127.0.0.1", house.port)
            writer.write(b"".join(messages))
            assert addresses(await house.ask(WEB)) == ["10.96.0.20"]
            assert len(await house.tcp(question(WEB))) == 1
            writer.close()
            await server.stop()

    asyncio.run(play())
