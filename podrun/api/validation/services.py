"""Services: ports, addresses, and what each type allows."""

from __future__ import annotations

from podrun.api.validation.addresses import address, block, endpoint_address
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
from podrun.api.validation.internal import internal
from podrun.api.validation.metadata import METADATA, label_map, metadata_update, object_metadata
from podrun.api.validation.names import dns_label, dns_subdomain, port_number, qualified_name
from podrun.api.validation.pod_network import PROTOCOLS
from podrun.api.validation.pod_probes import port
from podrun.api.validation.read import (
    Object,
    has,
    items,
    mapping,
    number,
    optional_mapping,
    optional_number,
    optional_text,
    strings,
    text,
    texts,
)
from podrun.api.validation.service_addresses import (
    cluster_addresses,
    cluster_addresses_update,
    families_update,
    is_headless,
    load_balancer_status,
)

SPEC = Path("spec")
PORTS = SPEC.child("ports")
TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
AFFINITIES = ("ClientIP", "None")
TRAFFIC_POLICIES = ("Cluster", "Local")
DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
LONGEST_AFFINITY = 86400
TOPOLOGY_MODE = "service.kubernetes.io/topology-mode"
TOPOLOGY_HINTS = "service.kubernetes.io/topology-aware-hints"
SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'"
NOT_FOR_EXTERNAL_NAME = "may not be set for ExternalName services"


def service(obj: Object) -> Causes:
    yield from object_metadata(obj, dns_label)
    yield from service_rules(obj, None)


def service_update(new: Object, old: Object) -> Causes:
    yield from metadata_update(new, old)
    spec, stored = mapping(new, "spec"), mapping(old, "spec")
    yield from cluster_addresses_update(spec, stored)
    yield from families_update(spec, stored)
    yield from load_balancer_class(spec, stored)
    moved = number(spec, "healthCheckNodePort") != number(stored, "healthCheckNodePort")
    if needs_health_check(stored) and needs_health_check(spec) and moved:
        yield forbidden(SPEC.child("healthCheckNodePort"), "field is immutable")
    yield from service_rules(new, old)


def service_status_update(new: Object, old: Object) -> Causes:
    yield from metadata_update(new, old)
    yield from load_balancer_status(new, old)


def service_rules(obj: Object, old: Object | None) -> Causes:
    spec, values = mapping(obj, "spec"), texts(mapping(obj, "metadata"), "annotations")
    mode, hints = values.get(TOPOLOGY_MODE), values.get(TOPOLOGY_HINTS)
    if mode is not None and hints is not None and mode != hints:
        why = f"must match annotations[{TOPOLOGY_HINTS}] when both are specified"
        yield invalid(METADATA.child("annotations").key(TOPOLOGY_MODE), mode, why)
    yield from by_type(spec)
    yield from ports(spec)
    yield from label_map(texts(spec, "selector"), SPEC.child("selector"))
    yield from session_affinity(spec)
    yield from cluster_addresses(spec, mapping(old or {}, "spec"))
    known = strings(mapping(old or {}, "spec"), "externalIPs")
    for position, value in enumerate(strings(spec, "externalIPs")):
        here = SPEC.child("externalIPs").at(position)
        causes = [] if value in known else list(address(here, value))
        yield from causes or endpoint_address(here, value)
    kind = text(spec, "type")
    if not kind:
        yield required(SPEC.child("type"))
    elif kind not in TYPES:
        yield not_supported(SPEC.child("type"), kind, TYPES)
    yield from port_collisions(spec)
    yield from source_ranges(spec, values)
    allocates = has(spec, "allocateLoadBalancerNodePorts")
    if allocates and kind != "LoadBalancer":
        yield forbidden(SPEC.child("allocateLoadBalancerNodePorts"), ONLY_LOAD_BALANCER)
    elif not allocates and kind == "LoadBalancer":
        yield required("allocateLoadBalancerNodePorts")
    yield from load_balancer_class(spec, None)
    yield from traffic_policies(spec)


def by_type(spec: Object) -> Causes:
    kind, first = text(spec, "type"), SPEC.child("clusterIPs").at(0)
    if not items(spec, "ports") and not is_headless(spec) and kind != "ExternalName":
        yield required(PORTS)
    if kind in ("LoadBalancer", "NodePort") and is_headless(spec):
        yield invalid(first, "None", f"may not be set to 'None' for {kind} services")
    if kind != "ExternalName":
        return
    for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(name):
            yield forbidden(SPEC.child(name), NOT_FOR_EXTERNAL_NAME)
    target = text(spec, "externalName").removesuffix(".")
    if target:
        yield from each_invalid(SPEC.child("externalName"), target, dns_subdomain(target))
    else:
        yield required(SPEC.child("externalName"))


def ports(spec: Object) -> Causes:
    listed = items(spec, "ports")
    names: set[str] = set()
    for position, one in enumerate(listed):
        here, name, protocol = PORTS.at(position), text(one, "name"), text(one, "protocol")
        if name:
            yield from each_invalid(here.child("name"), name, dns_label(name))
            if name in names:
                yield duplicate(here.child("name"), name)
            names.add(name)
        elif len(listed) > 1:
            yield required(here.child("name"))
        value = number(one, "port")
        yield from each_invalid(here.child("port"), value, port_number(value))
        if not protocol:
            yield required(here.child("protocol"))
        elif protocol not in PROTOCOLS:
            yield not_supported(here.child("protocol"), protocol, PROTOCOLS)
        yield from port(one.get("targetPort"), here.child("targetPort"))
        application = optional_text(one, "appProtocol")
        if application is not None:
            yield from each_invalid(here.child("appProtocol"), application, qualified_name(application))


def port_collisions(spec: Object) -> Causes:
    """Each port, and each port of the nodes, once for each protocol."""
    listed = items(spec, "ports")
    node_ports: set[tuple[str, int]] = set()
    seen: set[tuple[str, int]] = set()
    if text(spec, "type") == "ClusterIP":
        for position, one in enumerate(listed):
            if number(one, "nodePort"):
                yield forbidden(PORTS.at(position).child("nodePort"), "may not be used when `type` is 'ClusterIP'")
    for position, one in enumerate(listed):
        key = (text(one, "protocol"), number(one, "nodePort"))
        if key[1] and key in node_ports:
            yield duplicate(PORTS.at(position).child("nodePort"), key[1])
        node_ports.add(key)
    for position, one in enumerate(listed):
        key = (text(one, "protocol"), number(one, "port"))
        if key in seen:
            yield duplicate(PORTS.at(position), internal("ServicePort", {"protocol": key[0], "port": key[1]}))
        seen.add(key)


def session_affinity(spec: Object) -> Causes:
    kind, config = text(spec, "sessionAffinity"), optional_mapping(spec, "sessionAffinityConfig")
    path = SPEC.child("sessionAffinityConfig")
    if not kind:
        yield required(SPEC.child("sessionAffinity"))
    elif kind not in AFFINITIES:
        yield not_supported(SPEC.child("sessionAffinity"), kind, AFFINITIES)
    elif kind == "None":
        if config is not None:
            yield forbidden(path, "must not be set when session affinity is None")
    else:
        yield from client_affinity(config, path)


def client_affinity(config: Object | None, path: Path) -> Causes:
    why = "when session affinity type is ClientIP"
    client = optional_mapping(config or {}, "clientIP")
    timeout = optional_number(client or {}, "timeoutSeconds")
    if config is None:
        yield required(path, why)
    elif client is None:
        yield required(path.child("clientIP"), why)
    elif timeout is None:
        yield required(path.child("clientIP", "timeoutSeconds"), why)
    elif not 0 < timeout <= LONGEST_AFFINITY:
        limit = f"must be greater than 0 and less than {LONGEST_AFFINITY}"
        yield invalid(path.child("clientIP", "timeoutSeconds"), timeout, limit)


def source_ranges(spec: Object, annotations: dict[str, str]) -> Causes:
    """Who may use a load balancer: by the field, or by the annotation that came before it."""
    kind, ranges, annotation = (
        text(spec, "type"),
        strings(spec, "loadBalancerSourceRanges"),
        annotations.get(SOURCE_RANGES),
    )
    if ranges:
        path = SPEC.child("LoadBalancerSourceRanges")
        if kind != "LoadBalancer":
            yield forbidden(path, ONLY_LOAD_BALANCER)
        for position, value in enumerate(ranges):
            yield from block(path.at(position), value.strip())
    elif annotation is not None:
        path = METADATA.child("annotations").key(SOURCE_RANGES)
        if kind != "LoadBalancer":
            yield forbidden(path, ONLY_LOAD_BALANCER)
        for value in annotation.split(",") if annotation.strip() else ():
            yield from block(path, value.strip())


def load_balancer_class(spec: Object, stored: Object | None) -> Causes:
    path, value = SPEC.child("loadBalancerClass"), optional_text(spec, "loadBalancerClass")
    is_balancer = text(spec, "type") == "LoadBalancer"
    was_balancer = stored is not None and text(stored, "type") == "LoadBalancer"
    if is_balancer and was_balancer and value != optional_text(stored or {}, "loadBalancerClass"):
        yield invalid(path, value, "may not change once set")
    if value is not None and is_balancer:
        yield from each_invalid(path, value, qualified_name(value))
    elif value is not None:
        yield forbidden(path, ONLY_LOAD_BALANCER)


def is_reachable_from_outside(spec: Object) -> bool:
    kind = text(spec, "type")
    return kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and bool(strings(spec, "externalIPs")))


def needs_health_check(spec: Object) -> bool:
    return text(spec, "type") == "LoadBalancer" and text(spec, "externalTrafficPolicy") == "Local"


def traffic_policies(spec: Object) -> Causes:
    path, policy = SPEC.child("externalTrafficPolicy"), text(spec, "externalTrafficPolicy")
    if not is_reachable_from_outside(spec):
        if policy:
            yield invalid(path, policy, "may only be set for externally-accessible services")
    elif not policy:
        yield required(path)
    elif policy not in TRAFFIC_POLICIES:
        yield not_supported(path, policy, TRAFFIC_POLICIES)
    path, check_port = SPEC.child("healthCheckNodePort"), number(spec, "healthCheckNodePort")
    if not needs_health_check(spec):
        if check_port:
            why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            yield invalid(path, check_port, why)
    elif not check_port:
        yield required(path)
    else:
        yield from each_invalid(path, check_port, port_number(check_port))
    path, inner = SPEC.child("internalTrafficPolicy"), optional_text(spec, "internalTrafficPolicy")
    if inner is None and text(spec, "type") in ("NodePort", "LoadBalancer", "ClusterIP"):
        yield required(path)
    elif inner is not None and inner not in TRAFFIC_POLICIES:
        yield not_supported(path, inner, TRAFFIC_POLICIES)
    distribution = optional_text(spec, "trafficDistribution")
    if distribution is not None and distribution not in DISTRIBUTIONS:
        yield not_supported(SPEC.child("trafficDistribution"), distribution, DISTRIBUTIONS)
