"""What cluster DNS says of a name: pure, over a view of Services.

    svc.ns.svc.cluster.local                A    the cluster address; of a headless Service every ready pod's address
    host.svc.ns.svc.cluster.local           A    one pod of a headless Service: by its hostname, or 10-244-0-5
    _port._proto.svc.ns.svc.cluster.local   SRV  a named port; of a headless Service one for each pod
    10-244-0-5.ns.pod.cluster.local         A    what the name says, where the namespace exists
    5.0.244.10.in-addr.arpa                 PTR  the Service, or the pod under its Services

A name that is there without records of the type asked for is NODATA (NOERROR and nothing), one that is not is
NXDOMAIN: a resolver goes on with its search path only after the latter. The rules are Kubernetes' DNS-based service
discovery specification 1.1.0, and where it leaves a choice CoreDNS' (which kubeadm installs).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

DOMAIN = "cluster.local"
TTL = 30
VERSION = "1.1.0"
_REVERSE = "in-addr.arpa"
_NAME_SERVER = f"ns.dns.{DOMAIN}"

RecordType = Literal["A", "CNAME", "SRV", "PTR", "TXT", "NS"]


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `data` is an address, a name or a text; of SRV the target, with `port`."""

    name: str
    type: RecordType
    data: str
    port: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said. Nothing in `records`: NXDOMAIN unless `exists`. `follow` is where a CNAME leads: to be resolved."""

    records: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    exists: bool = True
    authority: bool = False
    """Whether the zone's SOA itself was asked for."""
    follow: str = ""


NODATA = Answer()
NXDOMAIN = Answer(exists=False)


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a Service or of an endpoint."""

    name: str
    protocol: str
    """`tcp`, `udp` or `sctp`."""
    number: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A ready endpoint of a Service."""

    address: str
    hostname: str
    ports: tuple[Port, ...]

    @property
    def label(self) -> str:
        """Its own label under the Service."""
        return self.hostname or self.address.replace(".", "-")


@dataclass(frozen=True, slots=True)
class Service:
    """What names need of a Service. Neither an address nor an external name: headless."""

    address: str = ""
    external_name: str = ""
    ports: tuple[Port, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()


class View(Protocol):
    """Where the zone looks things up: always what is there now."""

    def has_namespace(self, name: str) -> bool: ...

    def service(self, namespace: str, name: str) -> Service | None: ...

    def service_at(self, address: str) -> tuple[str, str] | None:
        """Namespace and name of the Service with this cluster address."""

    def endpoints_at(self, address: str) -> Sequence[tuple[str, str, str]]:
        """Namespace, Service and label of the endpoints with this address."""


@dataclass(frozen=True, slots=True)
class Zone:
    """The names of one cluster. `ranges` are the addresses of its pods and Services; DNS itself is at `address`."""

    view: View
    ranges: tuple[ipaddress.IPv4Network, ...]
    address: str

    def answer(self, name: str, kind: str) -> Answer | None:
        """What is said of `name` (lower case, without the last dot) and a type; None: it is none of ours."""
        if name == DOMAIN or name.endswith(f".{DOMAIN}"):
            labels = name.removesuffix(DOMAIN).rstrip(".").split(".")
            return self._forward_name(name, [label for label in labels if label], kind)
        if name.endswith(f".{_REVERSE}"):
            return self._reverse_name(name, kind)
        return None

    def _forward_name(self, name: str, labels: list[str], kind: str) -> Answer:
        match labels:
            case []:
                if kind == "NS":
                    return Answer((Record(name, "NS", _NAME_SERVER),), (Record(_NAME_SERVER, "A", self.address),))
                return Answer(authority=kind == "SOA")
            case ["dns-version"]:
                return _of_type((Record(name, "TXT", VERSION),), kind)
            case ["dns"] | ["svc"] | ["pod"]:
                return NODATA
            case ["ns", "dns"]:
                return _of_type((Record(name, "A", self.address),), kind)
            case [namespace, "svc" | "pod"]:
                return NODATA if self.view.has_namespace(namespace) else NXDOMAIN
            case [dashed, namespace, "pod"]:
                return self._pod(name, dashed, namespace, kind)
            case [*below, service, namespace, "svc"]:
                return self._service(name, below, service, namespace, kind)
        return NXDOMAIN

    def _pod(self, name: str, dashed: str, namespace: str, kind: str) -> Answer:
        """The address that the name holds: who asks knows it already (kubeadm's `pods insecure`)."""
        address = _address(dashed.replace("-", "."))
        if address is None or not self.view.has_namespace(namespace):
            return NXDOMAIN
        return _of_type((Record(name, "A", str(address)),), kind)

    def _service(self, name: str, below: list[str], service: str, namespace: str, kind: str) -> Answer:
        found = self.view.service(namespace, service)
        if found is None:
            return NXDOMAIN
        base = f"{service}.{namespace}.svc.{DOMAIN}"
        if found.external_name:
            return _external(name, found, kind) if not below else NXDOMAIN
        match below:
            case []:
                return _whole(name, base, found, found.ports, kind)
            case [label] if label.startswith("_"):
                ports = _all_ports(found)
                return NODATA if any(f"_{port.protocol}" == label for port in ports) else NXDOMAIN
            case [label]:
                own = [one for one in found.endpoints if one.label == label]
                return _endpoints(name, base, own, None, kind)
            case [port, protocol] if port.startswith("_") and protocol.startswith("_"):
                named = [one for one in _all_ports(found) if (f"_{one.name}", f"_{one.protocol}") == (port, protocol)]
                return _whole(name, base, found, named, kind) if named else NXDOMAIN
        return NXDOMAIN

    def _reverse_name(self, name: str, kind: str) -> Answer | None:
        address = _address(".".join(reversed(name.removesuffix(f".{_REVERSE}").split("."))))
        if address is None:
            return None
        service = self.view.service_at(str(address))
        if service is not None:
            names = [f"{service[1]}.{service[0]}"]
        else:
            names = [f"{label}.{own}.{namespace}" for namespace, own, label in self.view.endpoints_at(str(address))]
        if names:
            return _of_type(tuple(Record(name, "PTR", f"{one}.svc.{DOMAIN}") for one in names), kind)
        return NXDOMAIN if any(address in one for one in self.ranges) else None


def _whole(name: str, base: str, service: Service, ports: Sequence[Port], kind: str) -> Answer:
    """A Service, or `ports` of it: its address, else its endpoints' that have such ports."""
    if not service.address:
        return _endpoints(name, base, service.endpoints, ports if ports is not service.ports else None, kind)
    if kind == "SRV":
        records = tuple(Record(name, "SRV", base, port.number) for port in ports)
        return Answer(records, (Record(base, "A", service.address),) if records else ())
    return _of_type((Record(name, "A", service.address),), kind)


def _endpoints(name: str, base: str, endpoints: Sequence[Endpoint], ports: Sequence[Port] | None, kind: str) -> Answer:
    """Endpoints of a headless Service (those that have one of `ports`, where given): no such name without any."""
    wanted = {(port.name, port.protocol) for port in ports} if ports is not None else None
    chosen = [
        (one, [port for port in one.ports if wanted is None or (port.name, port.protocol) in wanted])
        for one in endpoints
    ]
    chosen = [(one, found) for one, found in chosen if found or wanted is None]
    if not chosen:
        return NXDOMAIN
    if kind == "SRV":
        targets = [(f"{one.label}.{base}", one, found) for one, found in chosen]
        records = tuple(Record(name, "SRV", target, port.number) for target, _, found in targets for port in found)
        return Answer(records, tuple(Record(target, "A", one.address) for target, one, _ in targets) if records else ())
    addresses = dict.fromkeys(one.address for one, _ in chosen)
    return _of_type(tuple(Record(name, "A", address) for address in addresses), kind)


def _external(name: str, service: Service, kind: str) -> Answer:
    target = service.external_name.rstrip(".").lower()
    if _address(target) is not None:
        return _of_type((Record(name, "A", target),), kind)
    return Answer((Record(name, "CNAME", target),), follow="" if kind == "CNAME" else target)


def _all_ports(service: Service) -> list[Port]:
    """The Service's ports; those of its endpoints where they are another's to name (headless)."""
    found = [port for one in service.endpoints for port in one.ports]
    return list(service.ports) if service.address else list(dict.fromkeys([*service.ports, *found]))


def _of_type(records: tuple[Record, ...], kind: str) -> Answer:
    """These records where they are of the type asked for (ANY is any), else NODATA."""
    return Answer(records) if kind in (records[0].type, "ANY") else NODATA


def _address(text: str) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Address(text)
    except ValueError:
        return None
