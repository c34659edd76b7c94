"""Netlink messages against pyroute2's decoder, and the pod's wiring in the kernel."""

import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyroute2 import IPRoute
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from podrun.kernel import namespaces
from podrun.kernel.flags import Clone
from podrun.network import netlink
from podrun.network.wiring import GATEWAY, HOST_MAC, Wire, host_batch, link_name, pod_batch, pod_link_index
from tests.network.namespaces import own_network

POD = ipaddress.IPv4Address("10.244.0.5")
WIRE = Wire("vpod0123456789a", POD)


def _decode(kind: type, data: bytes) -> dict[str, object]:
    message = kind(data)
    message.decode()
    return dict(message["attrs"])


def _split(batch: bytes) -> list[bytes]:
    parts = []
    while batch:
        length = struct.unpack_from("=L", batch)[0]
        parts.append(batch[:length])
        batch = batch[length:]
    return parts


def test_a_veth_has_its_peer_in_the_host_by_a_number_that_the_sender_fills_in() -> None:
    batch = pod_batch(WIRE)
    (offset,) = batch.namespace_at
    messages = bytearray(batch.messages)
    struct.pack_into("=I", messages, offset, 77)
    link = _decode(ifinfmsg, bytes(_split(bytes(messages))[0]))
    assert link["IFLA_IFNAME"] == "eth0"
    assert link["IFLA_ADDRESS"] == "0a:58:0a:f4:00:05"
    info = link["IFLA_LINKINFO"]
    assert info.get_attr("IFLA_INFO_KIND") == "veth"  # type: ignore[attr-defined]
    peer = info.get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")  # type: ignore[attr-defined]
    assert peer.get_attr("IFLA_IFNAME") == WIRE.link
    assert peer.get_attr("IFLA_ADDRESS") == "ee:ee:ee:ee:ee:ee"
    assert peer.get_attr("IFLA_NET_NS_FD") == 77


def test_routes_and_neighbours_say_what_they_should() -> None:
    parts = _split(host_batch(WIRE, 9))
    neighbour, route = _decode(ndmsg, parts[2]), _decode(rtmsg, parts[3])
    assert neighbour == {"NDA_DST": "10.244.0.5", "NDA_LLADDR": "0a:58:0a:f4:00:05"}
    assert route == {"RTA_DST": "10.244.0.5", "RTA_OIF": 9}


def test_each_message_of_a_batch_has_its_own_number() -> None:
    parts = _split(pod_batch(WIRE).messages)
    assert [struct.unpack_from("=L", part, 8)[0] for part in parts] == list(range(1, len(parts) + 1))
    assert netlink.count(pod_batch(WIRE).messages) == len(parts)


@pytest.mark.parametrize(("links", "index"), [({"lo", "eth0"}, 2), ({"lo", "sit0", "eth0"}, 64)])
def test_eth0_is_number_2_unless_the_kernel_makes_tunnels_everywhere(links: set[str], index: int) -> None:
    assert pod_link_index(links) == index


def test_a_link_name_fits_the_kernel() -> None:
    assert len(link_name("f" * 64)) == 15


@pytest.fixture
def host() -> Iterator[int]:
    """A host's network of our own; its namespace's descriptor."""
    if os.geteuid() != 0:
        pytest.skip("networks are made by root")
    with own_network():
        descriptor = namespaces.open_namespace("net")
        yield descriptor
        os.close(descriptor)


def test_the_kernel_takes_both_batches_and_packets_pass(host: int) -> None:
    batch = pod_batch(WIRE)
    messages = bytearray(batch.messages)
    struct.pack_into("=I", messages, batch.namespace_at[0], host)
    namespaces.unshare(Clone.NET)
    pod = namespaces.open_namespace("net")
    try:
        netlink.send(bytes(messages))
        with IPRoute() as inside:
            (eth0,) = inside.get_links(ifname="eth0")
            assert eth0["index"] == 2
            gateways = [route.get_attr("RTA_GATEWAY") for route in inside.get_routes(family=socket.AF_INET)]
            assert str(GATEWAY) in gateways
            (known,) = inside.get_neighbours(ifindex=2, dst=str(GATEWAY))
            assert known.get_attr("NDA_LLADDR") == ":".join(f"{byte:02x}" for byte in HOST_MAC)
        server = socket.create_server((str(POD), 8080))
        namespaces.setns(host, Clone.NET)
        netlink.send(host_batch(WIRE, socket.if_nametoindex(WIRE.link), loopback=True))
        for name, value in (("ipv4/conf/{}/rp_filter", "1"), ("ipv4/conf/{}/route_localnet", "1")):
            assert Path("/proc/sys/net", name.format(WIRE.link)).read_text().strip() == value
        if Path("/proc/sys/net/ipv6").is_dir():
            assert Path(f"/proc/sys/net/ipv6/conf/{WIRE.link}/addr_gen_mode").read_text().strip() == "1"
        # The host answers from an address of its own; without one it has only 127.0.0.1.
        netlink.send(netlink.address(socket.if_nametoindex("lo"), ipaddress.IPv4Address("192.0.2.1")))
        with socket.create_connection((str(POD), 8080), timeout=5):
            server.accept()[0].close()
        server.close()
    finally:
        namespaces.setns(host, Clone.NET)
        os.close(pod)


def test_a_refused_message_is_named(host: int) -> None:
    with pytest.raises(OSError, match="netlink message 2 of 2"):
        netlink.send(netlink.up(socket.if_nametoindex("lo")) + netlink.up(4711))
