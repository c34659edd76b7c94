"""Services as nftables sees them: one table of our own, changed by its difference, each change one transaction.

    packet to 10.96.0.20:80 ──> map `addresses` ──> chain service/NAMESPACE/NAME/PROTOCOL/PORT ──> dnat to a backend
    packet to HOST:30080    ──> map `node-ports` ─┘      └─ with affinity: chain endpoint/.../ADDRESS/PORT, which
                                                            notes the client in the set clients/...
    what is still addressed to the range of Services after that has no backend, and is refused

Addresses and ports are map elements, so that a packet costs the same however many Services there are; a backend that
comes or goes rewrites its Service's chain and nothing else. Connections that are there go on (conntrack knows them):
only new ones are led elsewhere.

`render` and `changes` are pure; `ServiceRules` carries them out.
"""

from __future__ import annotations

import ipaddress
import logging
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from podrun.network import conntrack, rules
from podrun.network.netlink import IPv4
from podrun.network.wiring import LINK_PREFIX

log = logging.getLogger(__name__)

TABLE = "podrun-services"
REMOVE = f"table ip {TABLE}\ndelete table ip {TABLE}\n"
SERVICE_RANGE = ipaddress.IPv4Network("10.96.0.0/16")
_CLIENTS = 65536
"""Most clients that one backend is remembered for."""


@dataclass(frozen=True, slots=True, order=True)
class Backend:
    """Where a connection may be led."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of one Service. A cluster address and a node port may have different backends (traffic policies)."""

    service: str
    """`namespace/name`."""
    protocol: rules.Protocol
    port: int
    backends: tuple[Backend, ...]
    """For connections to `addresses`."""
    addresses: tuple[str, ...] = ()
    node_port: int = 0
    outer_backends: tuple[Backend, ...] = ()
    """For connections to `outer_addresses`, and to `node_port` of any address of the host."""
    outer_addresses: tuple[str, ...] = ()
    affinity_seconds: int = 0
    """How long a client stays with its backend after its last new connection; 0: each connection is led anew."""


@dataclass(slots=True)
class Plan:
    """What the table holds beside its frame. Elements are by (map or set, key); a set's have an empty value."""

    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sets: dict[str, str] = field(default_factory=dict)
    elements: dict[tuple[str, str], str] = field(default_factory=dict)


def frame(own: Sequence[IPv4], services: ipaddress.IPv4Network = SERVICE_RANGE) -> str:
    """The table without Services, in place of one that is there. `own` are the host's own addresses in the range,
    which Linux takes as the source of the host's connections to Services."""
    ours = f'"{LINK_PREFIX}*"'
    sources = ", ".join(map(str, own))
    return f"""\
{REMOVE}table ip {TABLE} {{
    map addresses {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
    map node-ports {{ type inet_proto . inet_service : verdict; }}
    set silent-node-ports {{ type inet_proto . inet_service; }}
    set hairpins {{ type ipv4_addr . ipv4_addr; }}
    set last-change {{ type mark; }}
    chain translate {{
        ip daddr . meta l4proto . th dport vmap @addresses
        ip daddr != {services} fib daddr type local meta l4proto . th dport vmap @node-ports
    }}
    chain refuse {{
        meta l4proto tcp reject with tcp reset
        reject
    }}
    chain arriving {{
        type nat hook prerouting priority dstnat; policy accept;
        jump translate
    }}
    chain from-here {{
        type nat hook output priority -100; policy accept;
        jump translate
    }}
    chain leaving {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr . ip daddr @hairpins masquerade comment "a pod to itself by its Service"
        ip saddr {{ {sources} }} oifname != {{ {ours}, "lo" }} masquerade comment "the host to a backend elsewhere"
    }}
    chain unanswered-from-pods {{
        type filter hook forward priority filter; policy accept;
        ip daddr {services} goto refuse
    }}
    chain unanswered-from-here {{
        type filter hook output priority filter; policy accept;
        ip daddr {services} fib daddr type != local goto refuse
    }}
    chain unanswered-node-ports {{
        type filter hook input priority filter; policy accept;
        fib daddr type local meta l4proto . th dport @silent-node-ports goto refuse
    }}
}}
"""


def render(ports: Iterable[ServicePort]) -> Plan:
    """The table's content for these ports. Where two claim the same address or node port, the first has it."""
    plan = Plan()
    for port in ports:
        inner = _chain(plan, port, port.backends, "")
        outer = inner if port.outer_backends == port.backends else _chain(plan, port, port.outer_backends, "/outer")
        protocol = port.protocol.lower()
        for addresses, chain in ((port.addresses, inner), (port.outer_addresses, outer)):
            for address in addresses if chain else ():
                plan.elements.setdefault(("addresses", f"{address} . {protocol} . {port.port}"), f"goto {chain}")
        if port.node_port:
            key = f"{protocol} . {port.node_port}"
            if outer:
                plan.elements.setdefault(("node-ports", key), f"goto {outer}")
            else:
                plan.elements.setdefault(("silent-node-ports", key), "")
        for backend in (*port.backends, *port.outer_backends):
            plan.elements[("hairpins", f"{backend.address} . {backend.address}")] = ""
    return plan


def _chain(plan: Plan, port: ServicePort, backends: Sequence[Backend], suffix: str) -> str:
    """Adds the chain that leads to one of `backends`; its name, "" where there are none."""
    if not backends:
        return ""
    protocol = port.protocol.lower()
    where = f"{port.service}/{protocol}/{port.port}{suffix}"
    name = f"service/{where}"
    if port.affinity_seconds:
        plan.chains[name] = _sticky(plan, port, backends, where)
    elif len(backends) == 1:
        plan.chains[name] = (_dnat(protocol, backends[0]),)
    else:
        listed = ", ".join(f"{number} : {one.address} . {one.port}" for number, one in enumerate(backends))
        plan.chains[name] = (
            f"meta l4proto {protocol} dnat ip addr . port to numgen random mod {len(backends)} map {{ {listed} }}",
        )
    return name


def _sticky(plan: Plan, port: ServicePort, backends: Sequence[Backend], where: str) -> tuple[str, ...]:
    """A client that a backend knows goes there again; another is led anywhere, and known from then on."""
    known, anywhere = [], []
    for number, backend in enumerate(backends):
        own = f"{where}/{backend.address}/{backend.port}"
        # The time is in the name, since a set's timeout cannot be changed.
        clients = f"clients/{port.affinity_seconds}/{own}"
        plan.sets[clients] = (
            f"type ipv4_addr; size {_CLIENTS}; flags dynamic,timeout; timeout {port.affinity_seconds}s;"
        )
        plan.chains[f"endpoint/{own}"] = (f"update @{clients} {{ ip saddr }}", _dnat(port.protocol.lower(), backend))
        known.append(f"ip saddr @{clients} goto endpoint/{own}")
        anywhere.append(f"{number} : goto endpoint/{own}")
    return (*known, f"numgen random mod {len(backends)} vmap {{ {', '.join(anywhere)} }}")


def _dnat(protocol: str, backend: Backend) -> str:
    return f"meta l4proto {protocol} dnat to {backend.address}:{backend.port}"


def changes(old: Plan, new: Plan) -> str:
    """The nft commands that make the table of `old` that of `new`; "" when it is.

    Order matters even inside a transaction: nothing is named before it is there, or removed while it is named.
    """
    at = f"ip {TABLE}"
    lines = [f"add set {at} {name} {{ {text} }}" for name, text in new.sets.items() if name not in old.sets]
    lines += [f"add chain {at} {name}" for name in new.chains if name not in old.chains]
    for name, body in new.chains.items():
        if old.chains.get(name) != body:
            lines += [f"flush chain {at} {name}"] if name in old.chains else []
            lines += [f"add rule {at} {name} {rule}" for rule in body]
    for (where, key), value in old.elements.items():
        if new.elements.get((where, key)) != value:
            lines.append(f"delete element {at} {where} {{ {key} }}")
    for (where, key), value in new.elements.items():
        if old.elements.get((where, key)) != value:
            lines.append(f"add element {at} {where} {{ {key}{f' : {value}' if value else ''} }}")
    gone = [name for name in old.chains if name not in new.chains]
    lines += [f"flush chain {at} {name}" for name in gone]
    lines += [f"delete chain {at} {name}" for name in gone]
    lines += [f"delete set {at} {name}" for name in old.sets if name not in new.sets]
    return "".join(f"{line}\n" for line in lines)


def udp_backends(ports: Iterable[ServicePort]) -> set[Backend]:
    """Every backend that UDP packets are led to."""
    return {one for port in ports if port.protocol == "UDP" for one in (*port.backends, *port.outer_backends)}


class ServiceRules:
    """The table of this machine. One caller at a time: a change is awaited before the next.

    What the table holds is noted in the file `state`, so that the next podrund changes it by its difference too, and no
    client's backend is forgotten. Each change replaces a random mark in the table: a note that is not of this table's
    last change is refused by the kernel, within the transaction, and the table is made anew.
    """

    def __init__(self, own: Sequence[IPv4], state: Path) -> None:
        self._own = own
        self._state = state
        self._known: _Known | None = None
        self._begun = False
        self._udp: set[Backend] = set()

    async def apply(self, ports: Sequence[ServicePort]) -> None:
        """Have exactly these ports served. Raises RulesRefused; the table is then as it was."""
        await self._change(ports)
        now = udp_backends(ports)
        gone, self._udp = self._udp - now, now
        if gone:
            try:
                conntrack.forget_udp({(one.address, one.port) for one in gone})
            except OSError as error:
                log.warning("UDP clients of pods that are gone may wait until they are silent: %s", error)

    async def _change(self, ports: Sequence[ServicePort]) -> None:
        plan, outline = render(ports), frame(self._own)
        known = self._known
        if not self._begun:
            known = self._read(outline)
        elif known is not None and known.plan == plan:
            return
        mark = secrets.randbits(32)
        if known is not None:
            swap = f"delete element ip {TABLE} last-change {{ {known.mark} }}\n"
            try:
                await rules.apply(swap + _marked(mark) + changes(known.plan, plan))
            except rules.RulesRefused as error:
                log.warning("the rules for Services are made anew: %s", error)
            else:
                self._note(_Known(plan, mark), outline)
                return
        self._known = None
        await rules.apply(outline + _marked(mark) + changes(Plan(), plan))
        self._note(_Known(plan, mark), outline)

    def _note(self, known: _Known, outline: str) -> None:
        self._known, self._begun = known, True
        plan = known.plan
        content = {
            "frame": outline,
            "mark": known.mark,
            "chains": plan.chains,
            "sets": plan.sets,
            "elements": [(*key, value) for key, value in plan.elements.items()],
        }
        temporary = self._state.with_suffix(".new")
        temporary.write_bytes(orjson.dumps(content))
        temporary.rename(self._state)

    def _read(self, outline: str) -> _Known | None:
        """What a podrund before has noted, if it made its table as we do."""
        try:
            content = orjson.loads(self._state.read_bytes())
            if content["frame"] != outline:
                return None
            chains = {name: tuple(body) for name, body in content["chains"].items()}
            elements = {(where, key): value for where, key, value in content["elements"]}
            return _Known(Plan(chains, content["sets"], elements), content["mark"])
        except (OSError, ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class _Known:
    """What the table holds after a change, and the mark of that change."""

    plan: Plan
    mark: int


def _marked(mark: int) -> str:
    return f"add element ip {TABLE} last-change {{ {mark} }}\n"
