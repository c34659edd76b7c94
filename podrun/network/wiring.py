"""The network of one pod, as data: what its own namespace sends, and what the host does for its end.

    pod's namespace                                    host
    eth0  10.244.0.5/32  ----------- veth ----------- vpod4f1c…  (no address)
    default via 169.254.1.1 dev eth0                   10.244.0.5 dev vpod4f1c…
    169.254.1.1 is at ee:ee:ee:ee:ee:ee, permanent     10.244.0.5 is at 0a:58:0a:f4:00:05, permanent

No bridge: every packet crosses the host's routing and its connection tracking, so that replies are translated back
and rp_filter (strict) lets a pod speak with its own address only. No ARP: both neighbours are known from the start.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from podrun.network import netlink
from podrun.network.netlink import Batch, IPv4, LinkEnd, LinkSettings

GATEWAY = ipaddress.IPv4Address("169.254.1.1")
HOST_MAC = bytes.fromhex("eeeeeeeeeeee")
LINK_PREFIX = "vpod"
_LOOPBACK = 1


@dataclass(frozen=True, slots=True)
class Wire:
    """What a pod's network needs to be made and taken back."""

    link: str
    """Name of the host's end."""
    address: IPv4

    @property
    def mac(self) -> bytes:
        """The pod's hardware address, made of its IP (0a:58 as CNI plugins do)."""
        return b"\x0a\x58" + self.address.packed


def link_name(sandbox_id: str) -> str:
    """The host's end is named after the sandbox: at most 15 characters."""
    return LINK_PREFIX + sandbox_id[:11]


def pod_batch(wire: Wire, index: int = 2, *, ipv6: bool = True) -> Batch:
    """What the forked child sends from inside the pod's new namespace; eth0 gets the number `index` there.

    IPv6 is there on loopback, but eth0 has no address of it and asks for no router.
    """
    return netlink.join(
        netlink.veth(LinkEnd("eth0", wire.mac), LinkEnd(wire.link, HOST_MAC), index),
        netlink.settings(index, LinkSettings(no_link_local=ipv6)),
        netlink.up(_LOOPBACK),
        netlink.up(index),
        netlink.address(index, wire.address),
        netlink.neighbour(index, GATEWAY, HOST_MAC),
        netlink.route(index, GATEWAY),
        netlink.route(index, None, GATEWAY),
    )


def host_batch(wire: Wire, index: int, *, loopback: bool = False, ipv6: bool = True) -> bytes:
    """What the host sends for its end, which has the number `index`; `loopback` lets replies of host ports reach
    127.0.0.1."""
    values = LinkSettings(strict_source=True, loopback_routed=loopback, no_link_local=ipv6)
    return (
        netlink.settings(index, values)
        + netlink.up(index)
        + netlink.neighbour(index, wire.address, wire.mac)
        + netlink.route(index, wire.address)
    )


_FALLBACK_TUNNELS = {"tunl0", "sit0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6tnl0", "ip6gre0"}


def pod_link_index(host_links: set[str]) -> int:
    """The number for eth0: 2, unless this kernel puts its fallback tunnels (seen on the host) into every namespace."""
    return 64 if host_links & _FALLBACK_TUNNELS else 2
