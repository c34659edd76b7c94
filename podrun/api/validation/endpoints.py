"""Endpoints and EndpointSlices."""

from __future__ import annotations

from podrun.api.validation.addresses import address, canonical_address, endpoint_address, is_ipv6
from podrun.api.validation.equality import same
from podrun.api.validation.field import (
    Causes,
    Path,
    duplicate,
    each_invalid,
    invalid,
    not_supported,
    required,
    too_many,
)
from podrun.api.validation.metadata import IMMUTABLE, metadata_update, object_metadata
from podrun.api.validation.names import dns_label, dns_subdomain, label_value, port_number, qualified_name
from podrun.api.validation.pod_network import PROTOCOLS
from podrun.api.validation.read import (
    Object,
    items,
    number,
    optional_mapping,
    optional_text,
    strings,
    text,
)

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
MOST_ADDRESSES = 100
MOST_PORTS = 20000
MOST_ENDPOINTS = 1000
MOST_HINTS = 8
SUBSETS = Path("subsets")
ENDPOINTS = Path("endpoints")


def endpoints(obj: Object) -> Causes:
    yield from object_metadata(obj, dns_subdomain)
    yield from subsets(items(obj, "subsets"))


def endpoints_update(new: Object, old: Object) -> Causes:
    yield from metadata_update(new, old)
    yield from object_metadata(new, dns_subdomain)
    if not same(new.get("subsets"), old.get("subsets")):
        yield from subsets(items(new, "subsets"))


def subsets(listed: list[Object]) -> Causes:
    for position, subset in enumerate(listed):
        path = SUBSETS.at(position)
        kinds = ("addresses", "notReadyAddresses")
        if not any(items(subset, kind) for kind in kinds):
            yield required(path, "must specify `addresses` or `notReadyAddresses`")
        for kind in kinds:
            for index, one in enumerate(items(subset, kind)):
                yield from subset_address(one, path.child(kind).at(index))
        ports = items(subset, "ports")
        for index, one in enumerate(ports):
            yield from subset_port(one, path.child("ports").at(index), needs_name=len(ports) > 1)


def subset_address(one: Object, path: Path) -> Causes:
    value, hostname, node = text(one, "ip"), text(one, "hostname"), optional_text(one, "nodeName")
    yield from address(path.child("ip"), value)
    if hostname:
        yield from each_invalid(path.child("hostname"), hostname, dns_label(hostname))
    if node is not None:
        yield from each_invalid(path.child("nodeName"), node, dns_subdomain(node))
    yield from endpoint_address(path.child("ip"), value)


def subset_port(one: Object, path: Path, *, needs_name: bool) -> Causes:
    name, value = text(one, "name"), number(one, "port")
    if name:
        yield from each_invalid(path.child("name"), name, dns_label(name))
    elif needs_name:
        yield required(path.child("name"))
    yield from each_invalid(path.child("port"), value, port_number(value))
    yield from protocol(text(one, "protocol"), path)
    yield from application_protocol(one, path)


def protocol(value: str, path: Path) -> Causes:
    if not value:
        yield required(path.child("protocol"))
    elif value not in PROTOCOLS:
        yield not_supported(path.child("protocol"), value, PROTOCOLS)


def application_protocol(one: Object, path: Path) -> Causes:
    value = optional_text(one, "appProtocol")
    if value is not None:
        yield from each_invalid(path.child("appProtocol"), value, qualified_name(value))


def endpoint_slice(obj: Object) -> Causes:
    yield from slice_head(obj)
    yield from slice_endpoints(items(obj, "endpoints"), text(obj, "addressType"))


def endpoint_slice_update(new: Object, old: Object) -> Causes:
    yield from slice_head(new)
    if not same(new.get("endpoints"), old.get("endpoints")):
        yield from slice_endpoints(items(new, "endpoints"), text(new, "addressType"))
    if text(new, "addressType") != text(old, "addressType"):
        yield invalid("addressType", text(new, "addressType"), IMMUTABLE)


def slice_head(obj: Object) -> Causes:
    yield from object_metadata(obj, dns_subdomain)
    kind, ports = text(obj, "addressType"), items(obj, "ports")
    if not kind:
        yield required("addressType")
    elif kind not in ADDRESS_TYPES:
        yield not_supported("addressType", kind, ADDRESS_TYPES)
    if len(ports) > MOST_PORTS:
        yield too_many("ports", len(ports), MOST_PORTS)
        return
    names: set[str] = set()
    for position, one in enumerate(ports):
        path, name = Path("ports").at(position), text(one, "name")
        if name:
            yield from each_invalid(path.child("name"), name, dns_label(name))
        if name in names:
            yield duplicate(path.child("name"), name)
        names.add(name)
        if optional_text(one, "protocol") is None:
            yield required(path.child("protocol"))
        elif text(one, "protocol") not in PROTOCOLS:
            yield not_supported(path.child("protocol"), text(one, "protocol"), PROTOCOLS)
        yield from application_protocol(one, path)


def slice_endpoints(listed: list[Object], kind: str) -> Causes:
    if len(listed) > MOST_ENDPOINTS:
        yield too_many(ENDPOINTS, len(listed), MOST_ENDPOINTS)
        return
    for position, one in enumerate(listed):
        path, addresses = ENDPOINTS.at(position), strings(one, "addresses")
        here = path.child("addresses")
        if not addresses:
            yield required(here, "must contain at least 1 address")
        elif len(addresses) > MOST_ADDRESSES:
            yield too_many(here, len(addresses), MOST_ADDRESSES)
        for index, value in enumerate(addresses):
            if kind == "FQDN":
                yield from full_domain_name(here.at(index), value)
            elif kind in ("IPv4", "IPv6"):
                yield from slice_address(here, index, value, kind)
        node, hostname = optional_text(one, "nodeName"), optional_text(one, "hostname")
        if node is not None:
            yield from each_invalid(path.child("nodeName"), node, dns_subdomain(node))
        if hostname is not None:
            yield from each_invalid(path.child("hostname"), hostname, dns_label(hostname))
        hints = optional_mapping(one, "hints")
        if hints is not None:
            yield from topology_hints(hints, path.child("hints"))


def slice_address(path: Path, index: int, value: str, kind: str) -> Causes:
    check = canonical_address if kind == "IPv6" else address
    causes = list(check(path.at(index), value))
    yield from causes
    if causes:
        return
    if is_ipv6(value) != (kind == "IPv6"):
        yield invalid(path, value, f"must be an {kind} address")
    yield from endpoint_address(path.at(index), value)


def full_domain_name(path: Path, value: str) -> Causes:
    """A domain name of two labels or more; a trailing dot may stand."""
    name = value.removesuffix(".")
    if not value:
        yield required(path)
        return
    problems = dns_subdomain(name)
    if problems:
        yield invalid(path, name, ",".join(problems))
    elif "." not in name:
        yield invalid(path, name, "should be a domain with at least two segments separated by dots")
    else:
        for label in name.split("."):
            problems = dns_label(label)
            if problems:
                yield invalid(path, label, ",".join(problems))
                return


def topology_hints(hints: Object, path: Path) -> Causes:
    for kind, check in (("forZones", label_value), ("forNodes", dns_subdomain)):
        listed, seen = items(hints, kind), set[str]()
        if len(listed) > MOST_HINTS:
            yield too_many(path.child(kind), len(listed), MOST_HINTS)
            return
        for position, one in enumerate(listed):
            here, name = path.child(kind).at(position).child("name"), text(one, "name")
            if name in seen:
                yield duplicate(here, name)
            seen.add(name)
            yield from each_invalid(here, name, check(name))
