"""What a Service is given: its cluster address and the ports of the node; and what of it an update may leave out.

Pure: `taken` is what other Services have, `choose` picks one of many (random.choice in the server). The rules, their
order and their words are pkg/registry/core/service/storage/alloc.go's and storage.go's, for a cluster with IPv4 only.
Allocation comes before validation there, so it says first what it cannot give.

    create: families -> address -> node ports
    update: what was given before -> families -> address -> node ports
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from podrun.api.errors import ApiError, Cause, internal_error, invalid
from podrun.api.validation import field as causes
from podrun.api.validation.field import Path
from podrun.api.validation.service_addresses import cluster_addresses

Object = dict[str, Any]

ADDRESS_RANGE = ipaddress.IPv4Network("10.96.0.0/16")
RESERVED_ADDRESSES = 256
"""The first addresses of the range are given only when asked for, or when the others are used up (KEP-3070)."""
PORT_RANGE = range(30000, 32768)
RESERVED_PORTS = 86
"""The same for the ports of the node (KEP-3668)."""
FAMILY = "IPv4"
_SPEC = Path("spec")
_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")

Choose = Callable[[Sequence[int]], int]


@dataclass(frozen=True, slots=True)
class Taken:
    """What is in use."""

    addresses: frozenset[str] = frozenset()
    ports: frozenset[int] = frozenset()


def taken_by(services: Iterable[Object]) -> Taken:
    """What these Services have."""
    addresses: set[str] = set()
    ports: set[int] = set()
    for service in services:
        spec = service.get("spec") or {}
        addresses.update(spec.get("clusterIPs") or ())
        ports.update(_node_ports(spec))
    return Taken(frozenset(addresses), frozenset(ports))


def allocate_new(service: Object, taken: Taken, choose: Choose) -> Object:
    """A new Service with its addresses and ports. Raises Invalid, InternalError."""
    spec = dict(service["spec"])
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    work = _Allocation(service["metadata"].get("name", ""), spec, {}, taken, choose)
    work.families()
    work.address()
    if spec.get("type") in _WITH_NODE_PORTS:
        work.new_node_ports()
    work.health_check_port()
    return {**service, "spec": spec}


def allocate_changed(new: Object, old: Object, taken: Taken, choose: Choose) -> Object:
    """`new` in place of `old`, keeping what was given and not mentioned. Raises Invalid, InternalError."""
    spec, stored = dict(new["spec"]), old["spec"]
    _keep_given(spec, stored)
    _keep_addresses_together(spec, stored)
    work = _Allocation(new["metadata"].get("name", ""), spec, stored, taken, choose)
    work.families()
    if stored.get("type") == "ExternalName":
        work.address()
    if spec.get("type") in _WITH_NODE_PORTS:
        work.changed_node_ports()
    work.health_check_port()
    return {**new, "spec": spec}


@dataclass(slots=True)
class _Allocation:
    """One allocation at work: `spec` is changed in place, `given` are the ports that it has used itself."""

    name: str
    spec: Object
    stored: Object
    taken: Taken
    choose: Choose
    given: set[int] = field(default_factory=set)

    # Families

    def families(self) -> None:
        """`ipFamilies` and `ipFamilyPolicy`, which must suit each other, the addresses and what this cluster has."""
        spec = self.spec
        if spec.get("type") == "ExternalName" or self._prefers_both_as_before():
            return
        headless = spec.get("clusterIP") == "None"
        unselected = headless and not spec.get("selector")
        if spec.get("ipFamilyPolicy") is None:
            before = self.stored.get("ipFamilyPolicy")
            spec["ipFamilyPolicy"] = before or ("RequireDualStack" if unselected else "SingleStack")
        self._refuse(list(cluster_addresses(spec, self.stored)))
        self._refuse(self._contradictions())
        self._refuse(self._inferred_families())
        listed: list[str] = list(spec.get("ipFamilies") or [])
        if unselected:
            listed = listed or [FAMILY]
            if len(listed) < 2 and spec["ipFamilyPolicy"] != "SingleStack":
                listed.append("IPv6" if listed[0] == FAMILY else FAMILY)
            spec["ipFamilies"] = listed
            return
        refused = []
        if spec["ipFamilyPolicy"] == "RequireDualStack":
            why = "this cluster is not configured for dual-stack services"
            refused.append(causes.invalid(_SPEC.child("ipFamilyPolicy"), spec["ipFamilyPolicy"], why))
        for position, family in enumerate(listed):
            if family != FAMILY:
                here = _SPEC.child("ipFamilies").at(position)
                refused.append(causes.invalid(here, family, "not configured on this cluster"))
        self._refuse(refused)
        spec["ipFamilies"] = listed or [FAMILY]

    def _prefers_both_as_before(self) -> bool:
        spec, stored = self.spec, self.stored
        return (
            spec.get("ipFamilyPolicy") == "PreferDualStack" == stored.get("ipFamilyPolicy", "PreferDualStack")
            and bool(stored)
            and all(spec.get(key) == stored.get(key) for key in ("type", "clusterIPs", "ipFamilies"))
        )

    def _contradictions(self) -> list[Cause]:
        spec, stored, found = self.spec, self.stored, []
        policy, path = spec["ipFamilyPolicy"], _SPEC.child("ipFamilyPolicy")
        if policy == "SingleStack":
            for key, what in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")):
                if spec.get(key) == stored.get(key) and len(spec.get(key) or []) > 1:
                    spec[key] = spec[key][:1]
                elif len(spec.get(key) or []) == 2:
                    why = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                    found.append(causes.invalid(path, policy, why))
        else:
            for key, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
                if 0 < len(spec.get(key) or []) < len(stored.get(key) or []):
                    found.append(causes.invalid(path, policy, f"must be 'SingleStack' to release the secondary {what}"))
        return found

    def _inferred_families(self) -> list[Cause]:
        """The families of the addresses that are asked for."""
        spec, found = self.spec, []
        families: list[str] = list(spec.get("ipFamilies") or [])
        addresses: list[str] = spec.get("clusterIPs") or []
        for position, address in enumerate(addresses):
            if address == "None":
                break
            if position < len(families):
                continue
            family = f"IPv{ipaddress.ip_address(address).version}"
            if family == FAMILY:
                families.append(family)
            else:
                why = f"{family} is not configured on this cluster"
                found.append(causes.invalid(_SPEC.child("clusterIPs").at(position), addresses, why))
        if families:
            spec["ipFamilies"] = families
        return found

    # Addresses

    def address(self) -> None:
        """The cluster address: the one asked for, or one of those that are free."""
        spec = self.spec
        wanted = (spec.get("clusterIPs") or [""])[0]
        if spec.get("type") == "ExternalName" or wanted == "None":
            return
        if wanted:
            problem = self._problem_with(wanted)
            if problem:
                why = f"failed to allocate IP {wanted}: {problem}"
                self._refuse([causes.invalid(_SPEC.child("clusterIPs"), spec["clusterIPs"], why)])
        else:
            wanted = self._free_address()
        if not self.name:
            # Addresses are objects that name their owner, and are given before the Service itself is looked at.
            why = f'IPAddress.networking.k8s.io "{wanted}" is invalid: spec.parentRef.name: Required value'
            shown = f"failed to allocate IP: {why}"
            self._refuse([causes.invalid(_SPEC.child("clusterIPs"), spec.get("clusterIPs") or [""], shown)])
        spec["clusterIP"], spec["clusterIPs"] = wanted, [wanted]

    def _problem_with(self, wanted: str) -> str:
        first, last = ADDRESS_RANGE.network_address, ADDRESS_RANGE.broadcast_address
        if not int(first) < int(ipaddress.ip_address(wanted)) < int(last):
            return f"the provided IP ({wanted}) is not in the valid range. The range of valid IPs is {ADDRESS_RANGE}"
        return "provided IP is already allocated" if wanted in self.taken.addresses else ""

    def _free_address(self) -> str:
        base, size = int(ADDRESS_RANGE.network_address), ADDRESS_RANGE.num_addresses - 1
        used = {int(ipaddress.IPv4Address(ip)) - base for ip in self.taken.addresses if _is_ipv4(ip)}
        found = _pick(range(RESERVED_ADDRESSES, size), range(1, RESERVED_ADDRESSES), used, self.choose)
        if found is None:
            raise internal_error(f'failed to allocate a serviceIP for Service "{self.name}": range is full')
        return str(ipaddress.IPv4Address(base + found))

    # Ports of the node

    def new_node_ports(self) -> None:
        """One port of the node for each port; the same for the same port of several protocols."""
        ports = self.spec["ports"] = [dict(port) for port in self.spec.get("ports") or []]
        of_port: dict[int, int] = {}
        for position, port in enumerate(ports):
            wanted = port.get("nodePort") or 0
            if not wanted and not self._gives_node_ports():
                continue
            known = of_port.get(port["port"], 0)
            if not known:
                asked = next((p["nodePort"] for p in ports if p["port"] == port["port"] and p.get("nodePort")), 0)
                if asked:
                    self._take_port(asked, position)
                port["nodePort"] = of_port[port["port"]] = asked or self._free_port()
            elif not wanted:
                port["nodePort"] = known
            elif wanted != known:
                self._take_port(wanted, position)

    def changed_node_ports(self) -> None:
        """Ports that are new get one; those that had one keep it."""
        ports = self.spec["ports"] = [dict(port) for port in self.spec.get("ports") or []]
        before = set(_node_ports(self.stored))
        for position, port in enumerate(ports):
            wanted = port.get("nodePort") or 0
            if not wanted and self._gives_node_ports():
                port["nodePort"] = self._free_port()
            elif wanted and wanted not in before and wanted not in self.given:
                self._take_port(wanted, position)

    def health_check_port(self) -> None:
        """The port on which load balancers ask for the health of a Service that keeps traffic on the node."""
        spec = self.spec
        if not _is_health_checked(spec) or _is_health_checked(self.stored):
            return
        wanted = spec.get("healthCheckNodePort")
        if wanted and (problem := self._problem_with_port(wanted)):
            raise internal_error(f"failed to allocate requested HealthCheck NodePort {wanted}: {problem}")
        spec["healthCheckNodePort"] = wanted or self._free_port()

    def _gives_node_ports(self) -> bool:
        return self.spec["type"] == "NodePort" or bool(self.spec.get("allocateLoadBalancerNodePorts", True))

    def _take_port(self, wanted: int, position: int) -> None:
        if problem := self._problem_with_port(wanted):
            here = _SPEC.child("ports").at(position).child("nodePort")
            self._refuse([causes.invalid(here, wanted, problem)])
        self.given.add(wanted)

    def _problem_with_port(self, wanted: int) -> str:
        if wanted not in PORT_RANGE:
            bounds = f"{PORT_RANGE.start}-{PORT_RANGE.stop - 1}"
            return f"provided port is not in the valid range. The range of valid ports is {bounds}"
        return "provided port is already allocated" if wanted in self.taken.ports | self.given else ""

    def _free_port(self) -> int:
        border = PORT_RANGE.start + RESERVED_PORTS
        used = self.taken.ports | self.given
        found = _pick(range(border, PORT_RANGE.stop), range(PORT_RANGE.start, border), used, self.choose)
        if found is None:
            raise internal_error("failed to allocate a nodePort: range is full")
        self.given.add(found)
        return found

    def _refuse(self, found: list[Cause]) -> None:
        if found:
            raise self._invalid(found)

    def _invalid(self, found: list[Cause]) -> ApiError:
        return invalid("Service", self.name, found)


def _pick(first: range, second: range, used: Iterable[int], choose: Choose) -> int | None:
    """A free one of the first range, else of the second."""
    used = set(used)
    for candidates in (first, second):
        free = [one for one in candidates if one not in used]
        if free:
            return choose(free)
    return None


def _keep_given(spec: Object, stored: Object) -> None:
    """What a client does not mention stays as it was given, so that the same manifest can be sent again."""
    if "ExternalName" not in (spec.get("type"), stored.get("type")):
        for key in ("clusterIP", "clusterIPs"):
            if not spec.get(key) and stored.get(key):
                spec[key] = stored[key]
    if spec.get("type") in _WITH_NODE_PORTS and stored.get("type") in _WITH_NODE_PORTS:
        used = set(_node_ports(spec)) & set(_node_ports(stored))
        by_name = {port.get("name", ""): port.get("nodePort") or 0 for port in stored.get("ports") or []}
        ports = []
        for port in spec.get("ports") or []:
            before = by_name.get(port.get("name", ""), 0)
            ports.append(
                {**port, "nodePort": before} if not port.get("nodePort") and before not in used | {0} else port
            )
        spec["ports"] = ports
    if _is_health_checked(spec) and _is_health_checked(stored) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = stored.get("healthCheckNodePort")


def _keep_addresses_together(spec: Object, stored: Object) -> None:
    """A client that knows only `clusterIP` changes `clusterIPs` with it."""
    before, now = stored.get("clusterIP", ""), spec.get("clusterIP", "")
    if before == now or spec.get("clusterIPs", []) != stored.get("clusterIPs", []):
        return
    if now:
        spec["clusterIPs"] = [now]
    else:
        spec.pop("clusterIPs", None)


def _node_ports(spec: Object) -> list[int]:
    found = [port["nodePort"] for port in spec.get("ports") or [] if port.get("nodePort")]
    return found + ([spec["healthCheckNodePort"]] if spec.get("healthCheckNodePort") else [])


def _is_health_checked(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _is_ipv4(text: str) -> bool:
    return "." in text
