"""`/status` of a pod: what the node may report, and what never happens again."""

from __future__ import annotations

from podrun.api.validation.addresses import address, is_dual_stack
from podrun.api.validation.amounts import ZERO, amounts
from podrun.api.validation.field import (
    Causes,
    Path,
    duplicate,
    each_invalid,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
)
from podrun.api.validation.internal import internal_list
from podrun.api.validation.metadata import IMMUTABLE, metadata_update
from podrun.api.validation.names import dns_label, dns_subdomain, qualified_name, user_or_group_id
from podrun.api.validation.pod_update import specific_annotations
from podrun.api.validation.read import (
    Object,
    has,
    items,
    mapping,
    number,
    numbers,
    optional_mapping,
    optional_text,
    size,
    text,
)
from podrun.api.validation.resource_names import is_native

STATUS = Path("status")
SYSTEM_CONDITIONS = ("PodScheduled", "Ready", "Initialized")
NOT_NEGATIVE = "must be a non-negative integer"
HEALTH = ("Healthy", "Unhealthy", "Unknown")
HEALTH_MESSAGE = 1024
STATUS_LISTS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


def pod_status_update(new: Object, old: Object) -> Causes:
    yield from metadata_update(new, old)
    yield from specific_annotations(new, old)
    status, before = mapping(new, "status"), mapping(old, "status")
    spec, stored = mapping(new, "spec"), mapping(old, "spec")
    yield from conditions(items(status, "conditions"), STATUS.child("conditions"))
    if text(spec, "nodeName") != text(stored, "nodeName"):
        yield forbidden(STATUS.child("nodeName"), "may not be changed directly")
    yield from nominated_node(status, before, bound=bool(text(stored, "nodeName")))
    if number(status, "observedGeneration") < 0:
        yield invalid(STATUS.child("observedGeneration"), number(status, "observedGeneration"), NOT_NEGATIVE)
    if text(status, "qosClass") != text(before, "qosClass"):
        yield invalid(STATUS.child("qosClass"), text(status, "qosClass"), IMMUTABLE)
    for kind in STATUS_LISTS:
        yield from state_transitions(items(status, kind), items(before, kind), stored, kind)
    yield from claim_statuses(items(status, "resourceClaimStatuses"), spec)
    yield from extended_claim_status(optional_mapping(status, "extendedResourceClaimStatus"), spec)
    yield from allocatable_claim_statuses(status, spec)
    yield from addresses(status, before, "podIPs")
    if items(status, "hostIPs"):
        first = text(items(status, "hostIPs")[0], "ip")
        if text(status, "hostIP") != first:
            yield invalid(STATUS.child("hostIPs").at(0).child("ip"), first, "must be equal to `hostIP`")
        yield from addresses(status, before, "hostIPs")
    system = text(mapping(spec, "os"), "name") or "linux"
    for kind in STATUS_LISTS:
        yield from container_users(items(status, kind), system, STATUS.child(kind))
    for kind, of in (("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")):
        yield from allocated_devices(items(status, kind), items(spec, of), STATUS.child(kind))
    for position, container in enumerate(items(status, "ephemeralContainerStatuses")):
        if items(container, "allocatedResourcesStatus"):
            path = STATUS.child("ephemeralContainerStatuses").at(position).child("allocatedResourcesStatus")
            yield forbidden(path, "must not be specified in container status")


def conditions(entries: list[Object], path: Path) -> Causes:
    for position, entry in enumerate(entries):
        here, kind = path.at(position), text(entry, "type")
        if number(entry, "observedGeneration") < 0:
            yield invalid(here.child("observedGeneration"), number(entry, "observedGeneration"), NOT_NEGATIVE)
        if kind not in SYSTEM_CONDITIONS:
            yield from each_invalid(here.child("Type"), kind, qualified_name(kind))


def nominated_node(status: Object, before: Object, *, bound: bool) -> Causes:
    name, path = text(status, "nominatedNodeName"), STATUS.child("nominatedNodeName")
    if name and name != text(before, "nominatedNodeName"):
        yield from each_invalid(path, name, dns_subdomain(name))
        if bound:
            yield forbidden(path, "may not be set on pods that are already bound to a node")


def state_transitions(new: list[Object], old: list[Object], spec: Object, kind: str) -> Causes:
    """A container that ended and may not restart stays ended."""
    listed = {"containerStatuses": "containers", "initContainerStatuses": "initContainers"}.get(kind)
    if listed and may_restart_all(spec):
        return
    by_name = {text(container, "name"): container for container in items(spec, listed)} if listed else {}
    later = {text(status, "name"): status for status in reversed(new)}
    for position, status in enumerate(old):
        ended = optional_mapping(mapping(status, "state"), "terminated")
        now = later.get(text(status, "name"))
        if ended is None or now is None or has(mapping(now, "state"), "terminated"):
            continue
        container = by_name.get(text(status, "name"))
        if container is None or not may_restart(container, spec, number(ended, "exitCode")):
            path = STATUS.child(kind).at(position).child("state")
            yield forbidden(path, "may not be transitioned to non-terminated state")


def may_restart_all(spec: Object) -> bool:
    """Whether some container's end can restart all of them (KEP-5532)."""
    return any(
        text(rule, "action") == "RestartAllContainers"
        for kind in ("containers", "initContainers")
        for container in items(spec, kind)
        for rule in items(container, "restartPolicyRules")
    )


def may_restart(container: Object, spec: Object, exit_code: int) -> bool:
    """Whether a container that ended with `exit_code` starts again: by its rules, its policy, or the pod's."""
    policy = optional_text(container, "restartPolicy")
    if policy is not None:
        for rule in items(container, "restartPolicyRules"):
            codes = mapping(rule, "exitCodes")
            listed = exit_code in numbers(codes, "values")
            if text(codes, "operator") == ("In" if listed else "NotIn"):
                return text(rule, "action") == "Restart"
    policy = policy or text(spec, "restartPolicy")
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def claim_statuses(statuses: list[Object], spec: Object) -> Causes:
    known = {text(claim, "name") for claim in items(spec, "resourceClaims")}
    seen: set[str] = set()
    for position, status in enumerate(statuses):
        path, name = STATUS.child("resourceClaimStatuses").at(position), text(status, "name")
        if name not in known:
            yield invalid(path.child("name"), name, "must match the name of an entry in `spec.resourceClaims`")
        if name in seen:
            yield duplicate(path.child("name"), name)
        seen.add(name)
        claim = optional_text(status, "resourceClaimName")
        if claim is not None:
            yield from each_invalid(path.child("resourceClaimName"), claim, dns_subdomain(claim))


def extended_claim_status(status: Object | None, spec: Object) -> Causes:
    if status is None:
        return
    path = STATUS.child("extendedResourceClaimStatus")
    containers = {text(one, "name"): one for kind in ("initContainers", "containers") for one in items(spec, kind)}
    mappings = items(status, "requestMappings")
    if not mappings:
        yield required(path.child("requestMappings"), "at least one request mapping is required")
    seen: set[tuple[str, str, str]] = set()
    for position, entry in enumerate(mappings):
        here = path.child("requestMappings").at(position)
        container, resource = text(entry, "containerName"), text(entry, "resourceName")
        request = text(entry, "requestName")
        if container not in containers:
            why = "must match the name of an entry in spec.initContainers.name or spec.containers.name"
            yield invalid(here.child("containerName"), container, why)
        elif resource not in mapping(mapping(containers[container], "resources"), "requests"):
            why = "must match the extended resource name of an entry in spec.initContainers.resources.requests or "
            yield invalid(here.child("resourceName"), resource, f"{why}spec.containers.resources.requests")
        yield from each_invalid(path.child("requestName"), request, dns_label(request))
        key = (container, resource, request)
        if key in seen:
            for name, value in zip(("containerName", "resourceName", "requestName"), key, strict=True):
                yield duplicate(here.child(name), value)
        seen.add(key)
    claim = text(status, "resourceClaimName")
    if claim:
        yield from each_invalid(path.child("resourceClaimName"), claim, dns_subdomain(claim))
    else:
        yield required(path.child("resourceClaimName"))


def allocatable_claim_statuses(status: Object, spec: Object) -> Causes:
    claims = [*items(spec, "resourceClaims"), *items(status, "resourceClaimStatuses")]
    known = {optional_text(claim, "resourceClaimName") for claim in claims}
    for position, entry in enumerate(items(status, "nodeAllocatableResourceClaimStatuses")):
        path = STATUS.child("nodeAllocatableResourceClaimStatuses").at(position)
        name = text(entry, "resourceClaimName")
        if not name:
            yield required(path.child("resourceClaimName"), "must not be empty")
        if name not in known:
            yield invalid(path.child("resourceClaimName"), name, "no mapping found in pod reference")
        for field in ("containers", "resources"):
            if not entry.get(field):
                yield required(path.child(field), "must not be empty")
        for resource, value in amounts(entry, "resources").items():
            here = path.child("resources").key(resource)
            if not is_native(resource):
                yield invalid(here, resource, "must be a node allocatable resource name")
            if value < ZERO:
                yield invalid(here, str(value), "must be non-negative")


def addresses(status: Object, before: Object, field: str) -> Causes:
    """`podIPs` or `hostIPs`: valid, unless they were there before, and at most one of each family."""
    path, known = STATUS.child(field), {text(entry, "ip") for entry in items(before, field)}
    listed = [text(entry, "ip") for entry in items(status, field)]
    for position, value in enumerate(listed):
        if value not in known:
            yield from address(path.at(position), value)
    if len(listed) > 2 or (len(listed) == 2 and not is_dual_stack(listed)):
        shown = internal_list("IP", items(status, field))
        yield invalid(path, shown, "may specify no more than one IP for each IP family")


def container_users(statuses: list[Object], system: str, path: Path) -> Causes:
    for position, status in enumerate(statuses):
        user = optional_mapping(mapping(status, "user"), "linux")
        here = path.at(position).child("user", "linux")
        if user is None:
            continue
        if system == "windows":
            yield forbidden(here, "cannot be set for a windows pod")
        elif system == "linux":
            for name in ("uid", "gid"):
                yield from each_invalid(here.child(name), number(user, name), user_or_group_id(number(user, name)))
            for index, group in enumerate(numbers(user, "supplementalGroups")):
                yield from each_invalid(here.child("supplementalGroups").at(index), group, user_or_group_id(group))


def allocated_devices(statuses: list[Object], containers: list[Object], path: Path) -> Causes:
    """The health of devices (KEP-4680): of resources that the container asked for, each device once."""
    by_name = {text(container, "name"): container for container in reversed(containers)}
    for position, status in enumerate(statuses):
        for index, entry in enumerate(items(status, "allocatedResourcesStatus")):
            here = path.at(position).child("allocatedResourcesStatus").at(index)
            container, name = by_name.get(text(status, "name")), text(entry, "name")
            if container is not None:
                yield from asked_for(name, mapping(container, "resources"), here.child("name"))
            seen: set[str] = set()
            for order, device in enumerate(items(entry, "resources")):
                yield from device_health(device, seen, here.child("resources").at(order))


def asked_for(name: str, resources: Object, path: Path) -> Causes:
    if name.startswith("claim:"):
        claims = items(resources, "claims")
        known = {
            f"claim:{text(one, 'name')}" + (f"/{text(one, 'request')}" if text(one, "request") else "")
            for one in claims
        }
        why = (
            "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or "
            "'claim:<claimName>' if request is empty"
        )
    else:
        known, why = set(mapping(resources, "requests")), "must match one of the container's resource requests"
    if name not in known:
        yield invalid(path, name, why)


def device_health(device: Object, seen: set[str], path: Path) -> Causes:
    if text(device, "health") not in HEALTH:
        yield not_supported(path.child("health"), text(device, "health"), HEALTH)
    message = optional_text(device, "message")
    if message == "":
        yield required(path.child("message"), "must be non-empty if specified")
    elif message is not None and size(message) > HEALTH_MESSAGE:
        yield too_long(path.child("message"), HEALTH_MESSAGE)
    identity = text(device, "resourceID")
    if identity in seen:
        yield duplicate(path.child("resourceID"), identity)
    seen.add(identity)
