"""Joins Services and their slices to the rules of the network: what kube-proxy does on a node.

`service_ports` is pure: a Service and its EndpointSlices in, what the network is to serve out. `ServiceNetwork` keeps
that of every Service and has the rules changed when one differs; many changes at once are one change of the rules.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol

from podrun.controllers.slices import SLICES, SliceIndex, service_of
from podrun.network.rules import RulesRefused
from podrun.network.services import Backend, ServicePort
from podrun.store.records import WatchEvent
from podrun.store.store import Store

Object = dict[str, Any]

log = logging.getLogger(__name__)

_PROTOCOLS: dict[str, Literal["TCP", "UDP", "SCTP"]] = {"TCP": "TCP", "UDP": "UDP", "SCTP": "SCTP"}


class Rules(Protocol):
    """What `podrun.network.services.ServiceRules` does."""

    async def apply(self, ports: Sequence[ServicePort]) -> None: ...


def service_ports(service: Object, slices: Iterable[Object], node: str) -> list[ServicePort]:
    """What the network serves of a Service; nothing of one that is headless or only a name.

    Backends are the ready endpoints; where there is none, those that still serve though they end (KEP-1669). The
    policy Local keeps to endpoints on `node`.
    """
    spec, metadata = service["spec"], service["metadata"]
    addresses = tuple(ip for ip in spec.get("clusterIPs") or () if ip != "None" and ":" not in ip)
    if not addresses or spec.get("type") == "ExternalName":
        return []
    listed = [one for one in slices if one.get("addressType") == "IPv4"]
    affinity = 0
    if spec.get("sessionAffinity") == "ClientIP":
        affinity = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"]
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    outer_addresses = (*(spec.get("externalIPs") or ()), *(one["ip"] for one in ingress if one.get("ip")))
    made = []
    for port in spec.get("ports") or ():
        protocol = _PROTOCOLS[port.get("protocol", "TCP")]
        everything = _backends(listed, port.get("name", ""), protocol, "")
        local = _backends(listed, port.get("name", ""), protocol, node)
        outside = bool(port.get("nodePort") or outer_addresses)
        made.append(
            ServicePort(
                service=f"{metadata['namespace']}/{metadata['name']}",
                protocol=protocol,
                port=port["port"],
                backends=local if spec.get("internalTrafficPolicy") == "Local" else everything,
                addresses=addresses,
                node_port=port.get("nodePort") or 0,
                outer_backends=(local if spec.get("externalTrafficPolicy") == "Local" else everything)
                if outside
                else (),
                outer_addresses=tuple(ip for ip in outer_addresses if ":" not in ip),
                affinity_seconds=affinity,
            )
        )
    return made


def _backends(slices: Sequence[Object], name: str, protocol: str, node: str) -> tuple[Backend, ...]:
    """Where a port leads, in the order of the addresses; `node` "" means everywhere."""
    ready: set[Backend] = set()
    ending: set[Backend] = set()
    for one in slices:
        numbers = [
            port["port"]
            for port in one.get("ports") or ()
            if port.get("name", "") == name and port.get("protocol", "TCP") == protocol and port.get("port")
        ]
        for endpoint in one.get("endpoints") or ():
            if node and endpoint.get("nodeName") != node:
                continue
            conditions = endpoint.get("conditions") or {}
            found = {Backend(endpoint["addresses"][0], number) for number in numbers}
            if conditions.get("ready") is not False:
                ready |= found
            elif conditions.get("serving") and conditions.get("terminating"):
                ending |= found
    return tuple(sorted(ready or ending))


class ServiceNetwork:
    """One per daemon. `own_addresses` are the host's own in the range of Services: those are served without rules."""

    def __init__(self, store: Store, slices: SliceIndex, rules: Rules, node: str, own_addresses: Iterable[str]) -> None:
        self._store = store
        self._slices = slices
        self._rules = rules
        self._node = node
        self._own = frozenset(own_addresses)
        self._ports: dict[tuple[str, str], list[ServicePort]] = {}
        self._changed: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ends: list[Callable[[], None]] = []

    async def start(self) -> None:
        """Returns when what there is is served. Raises RulesRefused."""
        self._ends.append(self._store.subscribe("services", self._on_service))
        self._ends.append(self._store.subscribe(SLICES, self._on_slice))
        self._changed = {(key.namespace, key.name) for key, _ in self._store.items("services")}
        await self._apply()
        self._task = asyncio.create_task(self._run(), name="service-network")

    async def stop(self) -> None:
        """End; the rules stay, and pods go on being reached."""
        for end in self._ends:
            end()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _on_service(self, event: WatchEvent) -> None:
        self._note(event.key.namespace, event.key.name)

    def _on_slice(self, event: WatchEvent) -> None:
        for service in {service_of(event.object), service_of(event.previous)} - {""}:
            self._note(event.key.namespace, service)

    def _note(self, namespace: str, name: str) -> None:
        self._changed.add((namespace, name))
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._apply()
            except RulesRefused as error:
                # Nothing is lost: the next change carries this one too.
                log.error("the rules for Services could not be changed: %s", error)

    async def _apply(self) -> None:
        changed, self._changed = self._changed, set()
        differs = False
        for namespace, name in changed:
            ports = self._service_ports(namespace, name)
            if ports != self._ports.get((namespace, name), []):
                differs = True
            if ports:
                self._ports[(namespace, name)] = ports
            else:
                self._ports.pop((namespace, name), None)
        if differs or self._task is None:
            # The oldest claim of an address or a port is the one that counts.
            await self._rules.apply([port for ports in self._ports.values() for port in ports])

    def _service_ports(self, namespace: str, name: str) -> list[ServicePort]:
        service = self._store.get("services", namespace, name)
        if service is None or self._own.intersection(service["spec"].get("clusterIPs") or ()):
            return []
        return service_ports(service, self._slices.of(namespace, name), self._node)
