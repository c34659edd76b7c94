"""Cluster addresses of a Service and their families: single and dual stack, and what may change of them."""

from __future__ import annotations

from podrun.api.validation.addresses import address, is_dual_stack, is_ipv6, parse
from podrun.api.validation.field import (
    Causes,
    Path,
    duplicate,
    each_invalid,
    forbidden,
    invalid,
    not_supported,
    required,
)
from podrun.api.validation.names import dns_subdomain
from podrun.api.validation.read import Object, items, mapping, optional_text, strings, text

SPEC = Path("spec")
ADDRESSES = SPEC.child("clusterIPs")
FAMILIES = ("IPv4", "IPv6")
FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
ADDRESS_MODES = ("Proxy", "VIP")
ONCE_SET = "may not change once set"


def is_headless(spec: Object) -> bool:
    return strings(spec, "clusterIPs") == ["None"]


def cluster_addresses(spec: Object, stored: Object) -> Causes:
    """`clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy` agree."""
    if text(spec, "type") == "ExternalName":
        return
    first, listed, families = text(spec, "clusterIP"), strings(spec, "clusterIPs"), strings(spec, "ipFamilies")
    if first and not listed:
        yield required(ADDRESSES)
    elif first and listed[0] != first:
        yield invalid(ADDRESSES, listed, "first value must match `clusterIP`")
    elif listed and not first:
        yield invalid(ADDRESSES, listed, "must be empty when `clusterIP` is not specified")
    for position, family in enumerate(families):
        path = SPEC.child("ipFamilies").at(position)
        if family not in FAMILIES:
            yield not_supported(path, family, FAMILIES)
        if family in families[:position]:
            yield duplicate(path, family)
    policy = optional_text(spec, "ipFamilyPolicy")
    if policy is not None and policy not in FAMILY_POLICIES:
        yield not_supported(SPEC.child("ipFamilyPolicy"), policy, FAMILY_POLICIES)
    wrong = list(single_addresses(listed, strings(stored, "clusterIPs")))
    yield from wrong
    if len(listed) > 2:
        yield invalid(ADDRESSES, listed, "may only hold up to 2 values")
    if not wrong:
        yield from families_match(spec, listed, families)


def single_addresses(listed: list[str], known: list[str]) -> Causes:
    for position, value in enumerate(listed):
        if position == 0 and value == "None":
            if len(listed) > 1:
                yield invalid(ADDRESSES, listed, "'None' must be the first and only value")
        elif value not in known:
            yield from address(ADDRESSES.at(position), value)


def families_match(spec: Object, listed: list[str], families: list[str]) -> Causes:
    if len(listed) > 1 and not is_dual_stack(listed):
        yield invalid(ADDRESSES, listed, "may specify no more than one IP for each IP family")
    if is_headless(spec):
        return
    for position, (value, family) in enumerate(zip(listed, families, strict=False)):
        if family in FAMILIES and (family == "IPv6") != is_ipv6(value):
            why = f"expected an {family} value as indicated by `ipFamilies[{position}]`"
            yield invalid(ADDRESSES.at(position), value, why)


def cluster_addresses_update(spec: Object, stored: Object) -> Causes:
    """The first address stays; a second one can come, and go when the policy says so."""
    if "ExternalName" in (text(spec, "type"), text(stored, "type")) or (is_headless(spec) and is_headless(stored)):
        return
    new, old = strings(spec, "clusterIPs"), strings(stored, "clusterIPs")
    first = ADDRESSES.at(0)
    if len(new) == len(old):
        for position, value in enumerate(old):
            if value != new[position]:
                yield invalid(ADDRESSES.at(position), new, ONCE_SET)
        return
    if not new:
        yield invalid(first, spec.get("clusterIPs"), "primary clusterIP can not be unset")
    elif old and new[0] != old[0]:
        yield invalid(first, new, ONCE_SET)
    if len(new) == 1 < len(old) and text(spec, "ipFamilyPolicy") != "SingleStack":
        why = "must be set to 'SingleStack' when releasing the secondary clusterIP"
        yield invalid(SPEC.child("ipFamilyPolicy"), optional_text(spec, "ipFamilyPolicy"), why)


def families_update(spec: Object, stored: Object) -> Causes:
    """The first family stays, unless the Service is headless or becomes or was so."""
    if "ExternalName" in (text(spec, "type"), text(stored, "type")) or is_headless(spec) or is_headless(stored):
        return
    new, old, path = strings(spec, "ipFamilies"), strings(stored, "ipFamilies"), SPEC.child("ipFamilies").at(0)
    if len(new) == len(old):
        for one, other in zip(new, old, strict=True):
            if one != other:
                yield invalid(path, new, ONCE_SET)
        return
    addresses = strings(spec, "clusterIPs")
    if len(new) < len(old) and not addresses:
        yield invalid(path, new or None, "primary ipFamily can not be unset")
    if new and old and new[0] != old[0]:
        yield invalid(path, addresses, ONCE_SET)
    if len(new) == 1 < len(old) and text(spec, "ipFamilyPolicy") != "SingleStack":
        why = "must be set to 'SingleStack' when releasing the secondary ipFamily"
        yield invalid(SPEC.child("ipFamilyPolicy"), optional_text(spec, "ipFamilyPolicy"), why)


def load_balancer_status(new: Object, old: Object) -> Causes:
    """`status.loadBalancer`: where the load balancer can be reached."""
    listed = items(mapping(mapping(new, "status"), "loadBalancer"), "ingress")
    known = {text(one, "ip") for one in items(mapping(mapping(old, "status"), "loadBalancer"), "ingress")}
    path = Path("status.loadBalancer.ingress")
    if listed and text(mapping(new, "spec"), "type") != "LoadBalancer":
        yield forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")
        return
    for position, one in enumerate(listed):
        here, value, mode = path.at(position), text(one, "ip"), optional_text(one, "ipMode")
        if value and value not in known:
            yield from address(here.child("ip"), value)
        if mode is None:
            if value:
                yield required(here.child("ipMode"), "must be specified when `ip` is set")
        elif not value:
            yield forbidden(here.child("ipMode"), "may not be specified when `ip` is not set")
        elif mode not in ADDRESS_MODES:
            yield not_supported(here.child("ipMode"), mode, ADDRESS_MODES)
        host = text(one, "hostname")
        if host:
            yield from each_invalid(here.child("hostname"), host, dns_subdomain(host))
            if parse(host):
                yield invalid(here.child("hostname"), host, "must be a DNS name, not an IP address")
