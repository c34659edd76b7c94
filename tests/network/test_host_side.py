"""Addresses, names, forwarding and rules: what is decided, and what a host of our own then does."""

import ipaddress
import json
import os
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from podrun.kernel import namespaces
from podrun.kernel.flags import Clone
from podrun.network import forwarding, netlink, rules
from podrun.network.addresses import Addresses, AddressesExhausted
from podrun.network.forwarding import Obstacle
from podrun.network.pods import HostPortTaken, PodNetwork
from podrun.network.resolver import Resolver, host_resolver, parse
from podrun.network.rules import HostPort, RulesRefused
from tests.network.namespaces import own_network

SMALL = ipaddress.IPv4Network("10.244.0.0/29")


def test_a_pod_keeps_its_address_also_across_a_restart(tmp_path: Path) -> None:
    first = Addresses(tmp_path, SMALL).reserve("a")
    again = Addresses(tmp_path, SMALL)
    assert again.of("a") == first == ipaddress.IPv4Address("10.244.0.1")
    assert again.owners() == {"a": first}


def test_a_pods_next_sandbox_has_another_address(tmp_path: Path) -> None:
    addresses = Addresses(tmp_path, SMALL)
    first = addresses.reserve("a")
    second = addresses.reserve("a")
    assert second != first
    assert Addresses(tmp_path, SMALL).owners() == {"a": second}


def test_a_released_address_rests_until_the_others_have_been_given(tmp_path: Path) -> None:
    addresses = Addresses(tmp_path, SMALL)
    first = addresses.reserve("a")
    addresses.release("a")
    given = [addresses.reserve(f"b{number}") for number in range(5)]
    assert first not in given
    assert addresses.reserve("c") == first


def test_an_exhausted_range_is_an_error_that_says_so(tmp_path: Path) -> None:
    addresses = Addresses(tmp_path, SMALL)
    for number in range(6):
        addresses.reserve(str(number))
    with pytest.raises(AddressesExhausted, match="6 pods"):
        addresses.reserve("one too many")


@pytest.mark.parametrize(
    ("why", "text", "upstreams", "expected"),
    [
        (
            "servers of the network stay",
            "nameserver 192.0.2.1\nsearch a.example b.example\noptions ndots:2\n",
            None,
            Resolver(("192.0.2.1",), ("a.example", "b.example"), ("ndots:2",)),
        ),
        (
            "systemd-resolved's stub gives way to its upstreams",
            "# stub\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n",
            "nameserver 192.0.2.7\nsearch lan\n",
            Resolver(("192.0.2.7",), ("lan",)),
        ),
        (
            "a loopback server beside a real one is left out",
            "nameserver 127.0.0.1\nnameserver 192.0.2.1\n",
            "nameserver 192.0.2.7\n",
            Resolver(("192.0.2.1",)),
        ),
        ("a loopback server alone is of no use to a pod", "nameserver ::1\n", None, Resolver()),
        ("domain is an old word for search, the last one counts", "domain a\nsearch b\n", None, Resolver((), ("b",))),
    ],
)
def test_a_pods_resolver(why: str, text: str, upstreams: str | None, expected: Resolver, tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text(text)
    if upstreams is not None:
        (tmp_path / "upstreams").write_text(upstreams)
    assert host_resolver(tmp_path / "resolv.conf", tmp_path / "upstreams") == expected, why


def test_resolver_text_is_read_back_as_it_was() -> None:
    resolver = Resolver(("10.96.0.10",), ("ns.svc.cluster.local",), ("ndots:5",))
    assert parse(resolver.text()) == resolver


def test_forwarding_is_switched_on_only_where_it_was_off_and_put_back(tmp_path: Path) -> None:
    switch, record = tmp_path / "switch", tmp_path / "record"
    switch.write_text("1\n")
    assert not forwarding.switch_on(record, switch)
    forwarding.restore(record, switch)
    assert switch.read_text() == "1\n"
    switch.write_text("0\n")
    assert forwarding.switch_on(record, switch)
    assert forwarding.switch_on(record, switch)  # a later life of the daemon still knows
    forwarding.restore(record, switch)
    assert switch.read_text() == "0\n"


def _chain(table: str, policy: str, family: str = "ip", hook: str = "forward") -> dict[str, object]:
    return {"chain": {"family": family, "table": table, "name": "FORWARD", "hook": hook, "policy": policy, "handle": 1}}


@pytest.mark.parametrize(
    ("why", "entries", "expected"),
    [
        ("docker's drop", [_chain("filter", "drop")], [Obstacle("ip", "filter", "FORWARD", "forward")]),
        ("a chain that accepts", [_chain("filter", "accept")], []),
        ("our own", [_chain("podrun", "drop")], []),
        (
            "ufw's input would keep pods from the API",
            [_chain("filter", "drop", hook="input")],
            [Obstacle("ip", "filter", "FORWARD", "input")],
        ),
        ("output is nobody's way into a pod's", [_chain("filter", "drop", hook="output")], []),
        (
            "firewalld accepts and rejects at its end",
            [_chain("firewalld", "accept", "inet")],
            [Obstacle("inet", "firewalld", "FORWARD", "forward")],
        ),
        (
            "answered already",
            [
                _chain("filter", "drop"),
                {"rule": {"family": "ip", "table": "filter", "chain": "FORWARD", "comment": "podrun", "handle": 9}},
            ],
            [],
        ),
    ],
)
def test_obstacles(why: str, entries: list[dict[str, object]], expected: list[Obstacle]) -> None:
    assert forwarding.obstacles(json.dumps({"nftables": entries})) == expected, why


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[PodNetwork]:
    """A started PodNetwork on a host of our own."""
    if os.geteuid() != 0:
        pytest.skip("networks are made by root")
    with own_network():
        pods = PodNetwork(tmp_path)
        await pods.start()
        yield pods
        await pods.reset()
        pods.close()
        assert not [entry for entry in json.loads(await rules.listing())["nftables"] if "table" in entry]
        assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "0\n"


def _answer(server: socket.socket) -> str:
    connection, (peer, _) = server.accept()
    connection.close()
    return str(peer)


async def test_a_host_port_leads_to_the_pod_from_loopback_too(network: PodNetwork) -> None:
    wire, ports = network.wire("a" * 64, "uid"), [HostPort(8080, 80)]
    batch = network.pod_batch(wire)
    messages = bytearray(batch.messages)
    struct.pack_into("=I", messages, batch.namespace_at[0], network.namespace)
    namespaces.unshare(Clone.NET)
    netlink.send(bytes(messages))
    server = socket.create_server((str(wire.address), 80))
    namespaces.setns(network.namespace, Clone.NET)
    await network.connect(wire, ports)
    try:
        for address in ("127.0.0.1", "10.96.0.1"):
            with socket.create_connection((address, 8080), timeout=5):
                # Masqueraded: the pod could not answer a 127.0.0.1.
                assert _answer(server) == "10.96.0.1"
        other = network.wire("b" * 64, "other")
        with pytest.raises(HostPortTaken, match="8080/TCP is already used by the pod at 10"):
            network.check_ports(other, ports)
    finally:
        await network.disconnect(wire, ports)
        server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 8080), timeout=5)


async def test_a_port_that_a_program_listens_on_is_refused_by_name(network: PodNetwork) -> None:
    with (
        socket.create_server(("127.0.0.1", 9090)),
        pytest.raises(HostPortTaken, match="9090/TCP cannot be used: Address already in use"),
    ):
        network.check_ports(network.wire("a" * 64, "uid"), [HostPort(9090, 80)])


async def test_the_firewall_of_others_is_answered_and_left_as_it_was(network: PodNetwork) -> None:
    await rules.apply(
        "table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }\n"
        "chain INPUT { type filter hook input priority 0; policy drop; }\n}\n"
    )
    found = await forwarding.detect()
    assert [obstacle.chain for obstacle in found] == ["FORWARD", "INPUT"]
    await rules.apply(forwarding.answer(found, ipaddress.IPv4Address("10.96.0.1")))
    assert await forwarding.detect() == []
    await rules.apply(forwarding.withdraw(await rules.listing()))
    assert await forwarding.detect() == found
    await rules.apply("delete table ip filter\n")


async def test_refused_rules_are_told_in_nfts_words(network: PodNetwork) -> None:
    with pytest.raises(RulesRefused, match="No such file or directory"):
        await rules.apply("delete table ip none-of-ours\n")
