"""The pods' network of one machine: prepared once, a wire per sandbox, taken away without a trace.

start ──> reserve(uid) ──> wire(...) ──> [the child sends pod_batch] ──> connect ... disconnect ──> release(uid)
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

from podrun.network import forwarding, netlink, rules, services
from podrun.network.addresses import Addresses
from podrun.network.netlink import Batch, IPv4
from podrun.network.rules import DNS_ADDRESS, HostPort, Ruleset
from podrun.network.wiring import (
    LINK_PREFIX,
    Wire,
    host_batch,
    link_name,
    pod_batch,
    pod_link_index,
)

POD_RANGE = ipaddress.IPv4Network("10.244.0.0/16")
API_ADDRESS = IPv4("10.96.0.1")
_SERVICES = services.SERVICE_RANGE
OWN_ADDRESSES = (API_ADDRESS, DNS_ADDRESS)
"""The host's own addresses in the range of Services."""
API_LINK = "podrun0"
_ANY = "0.0.0.0"
_SOCKET_KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}


class HostPortTaken(Exception):
    """A host port is another pod's or another program's; the text names it."""


class PodNetwork:
    """One per daemon. `directory` keeps the addresses given and what was changed of the host."""

    def __init__(
        self,
        directory: Path,
        *,
        pods: ipaddress.IPv4Network = POD_RANGE,
        api_address: IPv4 = API_ADDRESS,
        api_port: int = 6443,
    ) -> None:
        self._directory = directory
        self._pods = pods
        self._api = (api_address, api_port)
        self.addresses = Addresses(directory / "addresses", pods)
        self._ports: dict[tuple[str, int], dict[str, Wire]] = {}
        """(protocol, host port) -> host address -> who has it."""
        self._index = 2
        self._ipv6 = Path("/proc/sys/net/ipv6").is_dir()
        self._namespace = -1

    @property
    def namespace(self) -> int:
        """Descriptor of the host's network namespace: what `Batch.namespace_at` fields must hold the number of."""
        return self._namespace

    async def start(self, connected: Iterable[tuple[Wire, Sequence[HostPort]]] = ()) -> None:
        """Prepare the host: forwarding, our table, the API's address. `connected` are the wires that live already.

        Raises RulesRefused, OSError.
        """
        if self._namespace < 0:
            self._namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._index = pod_link_index({name for _, name in socket.if_nameindex()})
        guard = forwarding.switch_on(self._directory / "ip_forward")
        text = rules.no_ipv6() + Ruleset(self._pods, *self._api, guard).text()
        for wire, ports in connected:
            self._claim(wire, ports)
            text += rules.change_ports("add", wire.address, ports)
        await rules.apply(text)
        self._make_api_link()
        await self._answer_firewalls()

    async def _answer_firewalls(self) -> None:
        """Where docker, ufw or firewalld drop what they do not know, let pods' packets through by marked rules."""
        found = await forwarding.detect()
        if found:
            await rules.apply(forwarding.answer(found, _SERVICES))

    def _make_api_link(self) -> None:
        link = API_LINK
        try:
            netlink.send(netlink.dummy(API_LINK))
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                link = "lo"  # a kernel without dummy links
            elif error.errno != errno.EEXIST:
                raise
        index = socket.if_nametoindex(link)
        # The host's own connections to Services need a route, though their packets are led elsewhere before it is used.
        netlink.send(
            netlink.address(index, self._api[0])
            + netlink.address(index, DNS_ADDRESS)
            + netlink.route(index, _SERVICES.network_address, prefix=_SERVICES.prefixlen)
        )

    def close(self) -> None:
        """Let go of the descriptor; everything stays connected."""
        if self._namespace >= 0:
            os.close(self._namespace)
            self._namespace = -1

    def wire(self, sandbox_id: str, uid: str) -> Wire:
        """The wire for a new sandbox, with an address of its own. Raises AddressesExhausted."""
        return Wire(link_name(sandbox_id), self.addresses.reserve(uid))

    def pod_batch(self, wire: Wire) -> Batch:
        """What the child sends from inside the pod's namespace."""
        return pod_batch(wire, self._index, ipv6=self._ipv6)

    def check_ports(self, wire: Wire, ports: Sequence[HostPort]) -> None:
        """Raises HostPortTaken when a port is another pod's or a program of the host listens there."""
        for port in ports:
            holders = self._ports.get((port.protocol, port.host_port), {})
            mine = _address(port)
            for address, holder in holders.items():
                if holder != wire and (mine == address or _ANY in (mine, address)):
                    raise HostPortTaken(f"host port {port.describe()} is already used by the pod at {holder.address}")
            if wire not in holders.values():
                _try_bind(port)

    async def connect(self, wire: Wire, ports: Sequence[HostPort] = (), *, crowded: bool = False) -> None:
        """Do the host's part once the pod's namespace has its link. Raises OSError, HostPortTaken, RulesRefused.

        `crowded` says that other pods are being wired: the kernel's network lock is then waited for (milliseconds) in a
        thread and not on the loop, which is dearer only when the lock is free.
        """
        self.check_ports(wire, ports)
        index = socket.if_nametoindex(wire.link)
        batch = host_batch(wire, index, loopback=True, ipv6=self._ipv6)
        if crowded:
            await asyncio.to_thread(netlink.send, batch)
        else:
            netlink.send(batch)
        if ports:
            self._claim(wire, ports)
            try:
                await rules.apply(rules.change_ports("add", wire.address, ports))
            except rules.RulesRefused:
                self._release_ports(wire)
                raise

    async def disconnect(self, wire: Wire, ports: Sequence[HostPort] = ()) -> None:
        """Take back what `connect` did; idempotent. The link itself goes with the pod's namespace.

        Deleting it here would hold the kernel's network lock for tens of milliseconds per pod, in which no other pod
        starts; namespaces that end together are cleaned up by the kernel together.
        """
        held = self._release_ports(wire)
        if ports and held:
            with contextlib.suppress(rules.RulesRefused):  # the table was reset meanwhile
                await rules.apply(rules.change_ports("delete", wire.address, ports))
        with contextlib.suppress(OSError):  # the link is gone, and its route with it
            netlink.send(netlink.delete_route(socket.if_nametoindex(wire.link), wire.address))

    def _claim(self, wire: Wire, ports: Sequence[HostPort]) -> None:
        for port in ports:
            self._ports.setdefault((port.protocol, port.host_port), {})[_address(port)] = wire

    def _release_ports(self, wire: Wire) -> bool:
        held = False
        for key, holders in list(self._ports.items()):
            mine = [address for address, holder in holders.items() if holder == wire]
            held = held or bool(mine)
            for address in mine:
                del holders[address]
            if not holders:
                del self._ports[key]
        return held

    async def reset(self) -> None:
        """Take everything of podrun's off the host's network: links, table, marked rules, forwarding, addresses."""
        for index, name in socket.if_nameindex():
            if name.startswith(LINK_PREFIX) or name == API_LINK:
                netlink.send(netlink.delete_link(index), tolerate=lambda error: error == errno.ENODEV)
        lo = socket.if_nametoindex("lo")
        own = (
            netlink.delete_route(lo, _SERVICES.network_address, prefix=_SERVICES.prefixlen)
            + netlink.delete_address(lo, self._api[0])
            + netlink.delete_address(lo, DNS_ADDRESS)
        )
        netlink.send(own, tolerate=lambda error: True)
        await rules.apply(services.REMOVE + rules.removal() + forwarding.withdraw(await rules.listing()))
        forwarding.restore(self._directory / "ip_forward")
        for uid in self.addresses.owners():
            self.addresses.release(uid)


def _address(port: HostPort) -> str:
    return _ANY if port.host_ip in rules.EVERY_ADDRESS else port.host_ip


def _try_bind(port: HostPort) -> None:
    """See whether a program of the host has the port (SCTP cannot be tried: its module may not be there)."""
    kind = _SOCKET_KINDS.get(port.protocol)
    if kind is None:
        return
    with socket.socket(socket.AF_INET, kind) as attempt:
        if kind == socket.SOCK_STREAM:
            # Connections in TIME_WAIT of a former server are no obstacle.
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((_address(port), port.host_port))
        except OSError as error:
            raise HostPortTaken(f"host port {port.describe()} cannot be used: {error.strerror}") from None
