"""What cluster DNS looks names up in: the store, as the zone wants to see it. Nothing is kept, so nothing is stale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from podrun.controllers.slices import SliceIndex
from podrun.network.dns_zone import Endpoint, Port, Service
from podrun.store.store import Store

Object = dict[str, Any]


class StoreView:
    """The zone's view of a store."""

    def __init__(self, store: Store, slices: SliceIndex) -> None:
        self._store = store
        self._slices = slices

    def has_namespace(self, name: str) -> bool:
        """Whether there is such a namespace."""
        return self._store.get("namespaces", "", name) is not None

    def service(self, namespace: str, name: str) -> Service | None:
        """A Service with its ready endpoints."""
        found = self._store.get("services", namespace, name)
        if found is None:
            return None
        spec = found["spec"]
        if spec.get("type") == "ExternalName":
            return Service(external_name=spec.get("externalName", ""))
        address = spec.get("clusterIP", "")
        return Service(
            address="" if address == "None" else address,
            ports=tuple(_port(port) for port in spec.get("ports") or ()),
            endpoints=tuple(endpoint for one in self._slices.of(namespace, name) for endpoint in _ready(one)),
        )

    def service_at(self, address: str) -> tuple[str, str] | None:
        """The Service that has this cluster address."""
        for service in self._store.list("services"):
            if address in (service["spec"].get("clusterIPs") or ()):
                return service["metadata"]["namespace"], service["metadata"]["name"]
        return None

    def endpoints_at(self, address: str) -> list[tuple[str, str, str]]:
        """Where this address is an endpoint: namespace, Service, label."""
        found = [
            (namespace, name, endpoint.label)
            for namespace, name, one in self._slices
            for endpoint in _ready(one)
            if endpoint.address == address
        ]
        return list(dict.fromkeys(found))


def _ready(one: Object) -> Iterator[Endpoint]:
    if one.get("addressType") != "IPv4":
        return
    ports = tuple(_port(port) for port in one.get("ports") or () if port.get("port"))
    for endpoint in one.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready") is not False:
            for address in endpoint["addresses"]:
                yield Endpoint(address, endpoint.get("hostname") or "", ports)


def _port(port: Object) -> Port:
    return Port(port.get("name") or "", (port.get("protocol") or "TCP").lower(), port["port"])
