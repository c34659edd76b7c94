"""podrun's nftables table: what is translated, what may pass, as the text of one atomic `nft -f -`.

Everything is in tables of our own (one for IPv4, one that keeps IPv6 out), so that taking podrun off a machine is one
command and no rule of others is touched. Pods' links are known by their prefix; host ports are map elements, so that a
pod with ports adds elements and no rules.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from podrun.kernel import nftables
from podrun.network.netlink import IPv4
from podrun.network.wiring import LINK_PREFIX

TABLE = "podrun"
DNS_ADDRESS = IPv4("10.96.0.10")
IPV6 = Path("/proc/sys/net/ipv6")
"""There where the kernel speaks IPv6."""
Protocol = Literal["TCP", "UDP", "SCTP"]
EVERY_ADDRESS = ("", "0.0.0.0", "::")
"""Host addresses that mean all of them (pods have IPv4 only)."""


class RulesRefused(Exception):
    """nft did not take the rules; the text is what it said."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port of the host (at `host_ip`, or at each of its addresses) that leads to a port of a pod."""

    host_port: int
    container_port: int
    protocol: Protocol = "TCP"
    host_ip: str = ""

    def describe(self) -> str:
        """`127.0.0.1:8080/TCP`."""
        return f"{self.host_ip or '0.0.0.0'}:{self.host_port}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class Ruleset:
    """What the table depends on."""

    pods: ipaddress.IPv4Network
    api_address: IPv4
    api_port: int
    """Where the API server listens on `api_address`; pods' connections to port 443 are led there."""
    guard_forwarding: bool
    """podrun itself switched forwarding on: only pods' traffic may pass, as before nothing did."""

    def text(self) -> str:
        """The whole table, replacing one that is there."""
        ours = f'"{LINK_PREFIX}*"'
        pass_rule = f"iifname != {ours} oifname != {ours} drop" if self.guard_forwarding else ""
        ports = "\n".join(f"        {line}" for line in _DNAT)
        return f"""\
table ip {TABLE}
delete table ip {TABLE}
table ip {TABLE} {{
    map host-ports {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
    map host-ports-of {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}
    set own-ports {{ type ipv4_addr . ipv4_addr; }}
    chain guard {{
        type filter hook prerouting priority raw; policy accept;
        iifname {ours} ip daddr 127.0.0.0/8 drop comment "route_localnet opens this only for replies"
        ip daddr {{ {self.api_address}, {DNS_ADDRESS} }} iifname != {{ {ours}, "lo" }} drop
    }}
    chain arriving {{
        type nat hook prerouting priority dstnat; policy accept;
        iifname {ours} ip daddr {self.api_address} tcp dport 443 dnat to {self.api_address}:{self.api_port}
{ports}
    }}
    chain from-here {{
        type nat hook output priority -100; policy accept;
        ip daddr {self.api_address} tcp dport 443 dnat to {self.api_address}:{self.api_port}
{ports}
    }}
    chain leaving {{
        type nat hook postrouting priority srcnat; policy accept;
        oifname {ours} ip saddr 127.0.0.0/8 masquerade comment "the host's loopback to a host port"
        ip saddr . ip daddr @own-ports masquerade comment "a pod to itself by its host port"
        ip saddr {self.pods} ip daddr != {{ {self.pods}, 224.0.0.0/4 }} masquerade
    }}
    chain passing {{
        type filter hook forward priority filter; policy accept;
        {pass_rule}
    }}
}}
"""


_DNAT = (
    "fib daddr type local dnat ip addr . port to ip daddr . meta l4proto . th dport map @host-ports-of",
    "fib daddr type local dnat ip addr . port to meta l4proto . th dport map @host-ports",
)


def change_ports(verb: Literal["add", "delete"], address: IPv4, ports: Sequence[HostPort]) -> str:
    """The commands that lead `ports` to the pod at `address`, or take them back."""
    lines = []
    for port in ports:
        key = f"{port.protocol.lower()} . {port.host_port}"
        value = f"{address} . {port.container_port}"
        if port.host_ip in EVERY_ADDRESS:
            lines.append(f"{verb} element ip {TABLE} host-ports {{ {key} : {value} }}")
        else:
            lines.append(f"{verb} element ip {TABLE} host-ports-of {{ {port.host_ip} . {key} : {value} }}")
    if ports:
        lines.append(f"{verb} element ip {TABLE} own-ports {{ {address} . {address} }}")
    return "".join(f"{line}\n" for line in lines)


def no_ipv6() -> str:
    """The table that drops all IPv6 that comes from pods, which have none; "" where the machine has none either.

    Else a pod would be the host's router: it advertises itself (RFC 4861), and the host, which forwards no IPv6 and
    therefore listens, sends its traffic there (CVE-2020-10749).
    """
    if not IPV6.exists():
        return ""
    return f"""\
{_removal("ip6")}table ip6 {TABLE} {{
    chain guard {{
        type filter hook prerouting priority raw; policy accept;
        iifname "{LINK_PREFIX}*" drop comment "pods have IPv4 only"
    }}
}}
"""


def removal() -> str:
    """Takes the tables away, also where there are none."""
    return _removal("ip") + (_removal("ip6") if IPV6.exists() else "")


def _removal(family: str) -> str:
    return f"table {family} {TABLE}\ndelete table {family} {TABLE}\n"


async def apply(commands: str) -> None:
    """Run `commands` as one transaction. Raises RulesRefused with nft's words, or when nft is missing."""
    try:
        nftables.run(commands)
    except nftables.Refused as error:
        raise RulesRefused(str(error)) from None
    except nftables.Unavailable:
        await _nft("-f", "-", commands=commands)


async def listing() -> str:
    """All rules of the machine, with handles, as nft's JSON. Raises RulesRefused."""
    return await _nft("-a", "-j", "list", "ruleset")


async def _nft(*arguments: str, commands: str = "") -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            "nft",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        raise RulesRefused("nft is not installed (package nftables)") from None
    output, complaint = await process.communicate(commands.encode())
    if process.returncode != 0:
        raise RulesRefused(complaint.decode(errors="replace").strip() or f"nft ended with {process.returncode}")
    return output.decode()
