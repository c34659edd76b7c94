"""Requests and limits: of a container, of the pod as a whole, of what the runtime needs besides."""

from __future__ import annotations

from collections.abc import Callable

from podrun.api.quantity import Quantity
from podrun.api.validation.amounts import ZERO, amounts
from podrun.api.validation.field import (
    Causes,
    Path,
    duplicate,
    each_invalid,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
)
from podrun.api.validation.metadata import NOT_NEGATIVE
from podrun.api.validation.names import dns_label
from podrun.api.validation.read import Object, has, items, mapping, optional_mapping, text
from podrun.api.validation.resource_names import (
    container_resource_name,
    is_counted,
    is_huge_pages,
    is_whole_pages,
    may_overcommit,
    pod_resource_name,
)

NameRule = Callable[[str, Path], Causes]

RESIZABLE = ("cpu", "memory")
RESIZE_POLICIES = ("NotRequired", "RestartContainer")


def container_resources(resources: Object, claims: list[str], path: Path) -> Causes:
    """`resources` of a container; `claims` are the names of the pod's resource claims."""
    return resource_requirements(resources, container_resource_name, claims, path)


def overhead(amounts_of_overhead: Object, path: Path) -> Causes:
    """What a runtime class costs: checked like the limits of a container."""
    return container_resources({"limits": amounts_of_overhead}, [], path)


def resource_requirements(resources: Object, name_rule: NameRule, claims: list[str], path: Path) -> Causes:
    limits, requests = amounts(resources, "limits"), amounts(resources, "requests")
    for name, limit in limits.items():
        yield from resource_amount(name, limit, name_rule, path.child("limits").key(name))
    for name, request in requests.items():
        yield from resource_amount(name, request, name_rule, path.child("requests").key(name))
        yield from request_and_limit(name, request, limits.get(name), path)
    named = limits.keys() | requests.keys()
    if any(is_huge_pages(name) for name in named) and not named & {"cpu", "memory"}:
        yield forbidden(path, "HugePages require cpu or memory")
    yield from claim_references(items(resources, "claims"), claims, path.child("claims"))


def resource_amount(name: str, value: Quantity, name_rule: NameRule, path: Path) -> Causes:
    yield from name_rule(name, path)
    yield from quantity_value(name, value, path)
    if is_huge_pages(name) and not is_whole_pages(name, value.nano):
        yield invalid(path, str(value), f"{value} is not positive integer multiple of {name}")


def quantity_value(name: str, value: Quantity, path: Path) -> Causes:
    """An amount of the resource `name`: not negative, and whole where only whole ones make sense."""
    if value < ZERO:
        yield invalid(path, str(value), NOT_NEGATIVE)
    if is_counted(name) and value.milli_value() % 1000:
        yield invalid(path, str(value), "must be an integer")


def request_and_limit(name: str, request: Quantity, limit: Quantity | None, path: Path) -> Causes:
    here = path.child("requests")
    if limit is None:
        if not may_overcommit(name):
            yield required(path.child("limits"), "Limit must be set for non overcommitable resources")
    elif request != limit and not may_overcommit(name):
        yield invalid(here, str(request), f"must be equal to {name} limit of {limit}")
    elif request > limit:
        yield invalid(here, str(request), f"must be less than or equal to {name} limit of {limit}")


def claim_references(references: list[Object], claims: list[str], path: Path) -> Causes:
    """`resources.claims`: each names one of the pod's claims (or one request of it) once."""
    seen: set[str] = set()
    for position, reference in enumerate(references):
        here = path.at(position)
        name, request = text(reference, "name"), text(reference, "request")
        if not name:
            yield required(here)
            continue
        if name in seen:
            yield duplicate(here, name)
        else:
            if request:
                yield from each_invalid(here.child("request"), request, dns_label(request))
            key = f"{name}/{request}" if request else name
            if key in seen:
                yield duplicate(here, key)
            elif not request:
                for other in sorted(seen):
                    if other.partition("/")[0] == name:
                        yield duplicate(here, name)
            seen.add(key)
        if name not in claims:
            which = f": {', '.join(sorted(set(claims)))}" if claims else " which is empty"
            yield not_found(here, name, f"must be one of the names in pod.spec.resourceClaims{which}")


def pod_resources(spec: Object, os_name: str | None, claims: list[str], path: Path) -> Causes:
    """`spec.resources`: the budget of all containers together (KEP-2837)."""
    resources = optional_mapping(spec, "resources")
    if resources is None:
        return
    if os_name == "windows":
        yield forbidden(path, "may not be set for a windows pod")
        return
    if has(resources, "claims"):
        yield forbidden(path.child("claims"), "claims may not be set for Resources at pod-level")
    yield from resource_requirements(resources, pod_resource_name, claims, path)
    yield from budget(spec, resources, path)


def budget(spec: Object, resources: Object, path: Path) -> Causes:
    """The containers' requests and limits fit into the pod's."""
    requests, limits = amounts(resources, "requests"), amounts(resources, "limits")
    for name, total in aggregate(spec, "requests").items():
        granted = requests.get(name)
        if granted is not None and total > granted:
            why = f"must be greater than or equal to aggregate container requests of {total}"
            yield invalid(path.child("requests").key(name), str(granted), why)
    for name, total in aggregate(spec, "limits").items():
        granted = limits.get(name)
        if is_huge_pages(name) and granted is not None and total > granted:
            why = f"must be greater than or equal to aggregate container limits of {total}"
            yield invalid(path.child("limits").key(name), str(granted), why)
    for position, container in enumerate(items(spec, "containers")):
        for name, limit in amounts(mapping(container, "resources"), "limits").items():
            granted = limits.get(name)
            if granted is not None and limit > granted:
                here = path.child("containers").at(position).key(name).child("limits")
                yield invalid(here, str(limit), f"must be less than or equal to pod limits of {granted}")


def aggregate(spec: Object, kind: str) -> dict[str, Quantity]:
    """What all containers need at the worst moment: sidecars stay, other init containers run one after another."""
    total: dict[str, Quantity] = {}
    for container in items(spec, "containers"):
        _add(total, amounts(mapping(container, "resources"), kind))
    sidecars: dict[str, Quantity] = {}
    peak: dict[str, Quantity] = {}
    for container in items(spec, "initContainers"):
        own = amounts(mapping(container, "resources"), kind)
        if text(container, "restartPolicy") == "Always":
            _add(total, own)
            _add(sidecars, own)
            own = dict(sidecars)
        else:
            own = dict(own)
            _add(own, sidecars)
        _largest(peak, own)
    _largest(total, peak)
    return dict(sorted(total.items()))


def _add(total: dict[str, Quantity], more: dict[str, Quantity]) -> None:
    for name, value in more.items():
        total[name] = total[name] + value if name in total else value


def _largest(total: dict[str, Quantity], other: dict[str, Quantity]) -> None:
    for name, value in other.items():
        if name not in total or value > total[name]:
            total[name] = value


def resize_policy(policies: list[Object], pod_restart_policy: str, path: Path) -> Causes:
    """`resizePolicy`: each resource once, and no restart where the pod never restarts."""
    seen: set[str] = set()
    for position, policy in enumerate(policies):
        resource, restart = text(policy, "resourceName"), text(policy, "restartPolicy")
        if resource in seen:
            yield duplicate(path.at(position), resource)
        seen.add(resource)
        for value, supported in ((resource, RESIZABLE), (restart, RESIZE_POLICIES)):
            if not value:
                yield required(path)
            elif value not in supported:
                yield not_supported(path, value, supported)
        if pod_restart_policy == "Never" and restart != "NotRequired":
            yield invalid(path, restart, "must be 'NotRequired' when pod `restartPolicy` is 'Never'")
