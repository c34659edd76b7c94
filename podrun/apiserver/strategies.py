"""What a kind does of its own when an object of it is created or replaced, before validation.

A strategy is a row of small pure functions, the `PrepareForCreate` and `PrepareForUpdate` of Kubernetes' registries:
which part of an object a request may set at all. The main resource never sets the status, `/status` sets nothing else,
`/resize` only resources, and so on; what a request may not set is silently as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from podrun.api.validation.pod_qos import qos_class
from podrun.api.validation.services import is_reachable_from_outside, needs_health_check

Object = dict[str, Any]
Create = Callable[[Object], Object]
Update = Callable[[Object, Object], Object]
"""(new, old) -> what would be stored."""


def _unchanged(obj: Object) -> Object:
    return obj


def _as_sent(new: Object, old: Object) -> Object:
    return new


@dataclass(frozen=True, slots=True)
class Strategy:
    """See above. `subresources` are the updates of subresources by name."""

    create: Create = _unchanged
    update: Update = _as_sent
    subresources: Mapping[str, Update] = field(default_factory=dict)
    create_on_update: bool = False
    """Whether a PUT to a name that does not exist makes it."""
    unconditional_update: bool = True
    """Whether a PUT may leave out the resourceVersion."""
    returns_deleted: bool = False
    """Whether DELETE answers with the object instead of a Status."""


def with_part(obj: Object, name: str, source: Object) -> Object:
    """`obj` with the part `name` (spec, status) of `source`, absent where it is absent there."""
    made = {key: value for key, value in obj.items() if key != name}
    if name in source:
        made[name] = source[name]
    return made


def _metadata(obj: Object, **fields: Any) -> Object:
    return {**obj, "metadata": {**obj["metadata"], **fields}}


def _next_generation(new: Object, old: Object, *parts: str) -> Object:
    """The generation counts changes of what is wished for."""
    generation = old["metadata"].get("generation", 0)
    if any(new.get(part) != old.get(part) for part in parts):
        generation += 1
    return _metadata(new, generation=generation) if generation else new


def _status_update(new: Object, old: Object) -> Object:
    """Only the status; metadata's owner of deletion stays."""
    return with_part(new, "spec", old)


def _status_ignored(new: Object, old: Object) -> Object:
    return with_part(new, "status", old)


# Pods

GATED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}


def _create_pod(pod: Object) -> Object:
    spec = pod.get("spec") or {}
    status: Object = {"phase": "Pending"}
    if spec.get("schedulingGates"):
        created = pod["metadata"].get("creationTimestamp")
        status["conditions"] = [{**GATED, "lastProbeTime": None, "lastTransitionTime": created}]
    status["qosClass"] = qos_class(spec)
    return {**_metadata(pod, generation=1), "status": status}


def _update_pod(new: Object, old: Object) -> Object:
    return _next_generation(_status_ignored(new, old), old, "spec")


def _pod_status(new: Object, old: Object) -> Object:
    made = _status_update(new, old)
    metadata = {key: value for key, value in new["metadata"].items() if key != "ownerReferences"}
    if "ownerReferences" in old["metadata"]:
        metadata["ownerReferences"] = old["metadata"]["ownerReferences"]
    status = dict(new.get("status") or {})
    before = old.get("status") or {}
    for name in ("qosClass", "observedGeneration"):
        if not status.get(name) and before.get(name):
            status[name] = before[name]
    return {**made, "metadata": metadata, "status": status}


def _as_before(new: Object, old: Object) -> Object:
    """The old object under the new one's claims (version and uid), which are checked against the stored ones."""
    claims = {key: new["metadata"][key] for key in ("resourceVersion", "uid") if key in new["metadata"]}
    if "managedFields" in new["metadata"]:
        claims["managedFields"] = new["metadata"]["managedFields"]
    return _metadata(old, **claims)


def _ephemeral_containers(new: Object, old: Object) -> Object:
    spec = {key: value for key, value in old["spec"].items() if key != "ephemeralContainers"}
    wanted = (new.get("spec") or {}).get("ephemeralContainers")
    if wanted:
        spec["ephemeralContainers"] = wanted
    return _next_generation({**_as_before(new, old), "spec": spec}, old, "spec")


def _resize(new: Object, old: Object) -> Object:
    wished, spec = new.get("spec") or {}, old["spec"]
    lists = {}
    for name in ("containers", "initContainers"):
        fresh, stored = wished.get(name) or [], spec.get(name) or []
        if len(fresh) != len(stored):
            return new
        if stored:
            lists[name] = _resized(fresh, stored)
    made = {**spec, **lists}
    made.pop("resources", None)
    if "resources" in wished:
        made["resources"] = wished["resources"]
    return _next_generation({**_as_before(new, old), "spec": made}, old, "spec")


def _resized(fresh: list[Object], stored: list[Object]) -> list[Object]:
    """The stored containers with the new resources; renamed ones are left to validation, which refuses them."""
    if any(new.get("name") != old.get("name") for new, old in zip(fresh, stored, strict=True)):
        return fresh
    made = []
    for new, old in zip(fresh, stored, strict=True):
        kept = {key: value for key, value in old.items() if key not in ("resources", "resizePolicy")}
        made.append(kept | {key: new[key] for key in ("resources", "resizePolicy") if key in new})
    return made


# Namespaces

FINALIZER = "kubernetes"


def _create_namespace(obj: Object) -> Object:
    finalizers = list((obj.get("spec") or {}).get("finalizers") or [])
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)
    return {**obj, "spec": {"finalizers": finalizers}, "status": {"phase": "Active"}}


def _update_namespace(new: Object, old: Object) -> Object:
    return with_part(with_part(new, "spec", old), "status", old)


def _finalize_namespace(new: Object, old: Object) -> Object:
    return with_part(new, "status", old)


# Services


def _create_service(obj: Object) -> Object:
    return {**obj, "status": {"loadBalancer": {}}}


def _update_service(new: Object, old: Object) -> Object:
    """What no longer applies to a changed type goes, unless the client has changed it too (that is refused)."""
    spec, stored = dict(new["spec"]), old["spec"]
    to_name = spec["type"] == "ExternalName" != stored["type"]
    if to_name:
        if all(spec.get(key) == stored.get(key) for key in ("clusterIP", "clusterIPs")):
            _drop(spec, "clusterIP", "clusterIPs")
        for key in ("ipFamilies", "ipFamilyPolicy"):
            if spec.get(key) == stored.get(key):
                _drop(spec, key)
        _drop(spec, "internalTrafficPolicy")
    if stored["type"] in _ON_NODE and spec["type"] not in _ON_NODE:
        known = {port.get("nodePort") for port in stored.get("ports") or []}
        ports = spec.get("ports") or []
        if all(port.get("nodePort") in known | {None, 0} for port in ports):
            spec["ports"] = [{key: value for key, value in port.items() if key != "nodePort"} for port in ports]
    gone = []
    if is_reachable_from_outside(stored) and not is_reachable_from_outside(spec):
        gone.append("externalTrafficPolicy")
    if needs_health_check(stored) and not needs_health_check(spec):
        gone.append("healthCheckNodePort")
    if stored["type"] == "LoadBalancer" != spec["type"]:
        gone += ["allocateLoadBalancerNodePorts", "loadBalancerClass"]
    _drop(spec, *(key for key in gone if spec.get(key) == stored.get(key)))
    status = old.get("status") or {}
    if spec["type"] != "LoadBalancer":
        status = {**status, "loadBalancer": {}}
    return {**new, "spec": spec, "status": status}


_ON_NODE = ("NodePort", "LoadBalancer")


def _drop(spec: Object, *names: str) -> None:
    for name in names:
        spec.pop(name, None)


def _update_slice(new: Object, old: Object) -> Object:
    labels = new["metadata"].get("labels") != old["metadata"].get("labels")
    changed = _next_generation(new, old, "endpoints", "ports", "addressType")
    if labels and changed["metadata"].get("generation") == old["metadata"].get("generation"):
        return _metadata(changed, generation=old["metadata"].get("generation", 0) + 1)
    return changed


def _create_slice(obj: Object) -> Object:
    """What beta clients said of topology is not taken over into new slices."""
    endpoints = [
        {key: value for key, value in one.items() if key != "deprecatedTopology"} for one in obj.get("endpoints") or []
    ]
    return _first_generation({**obj, "endpoints": endpoints} if endpoints else obj)


def _first_generation(obj: Object) -> Object:
    return _metadata(obj, generation=1)


_PLAIN = Strategy()

STRATEGIES: Mapping[str, Strategy] = {
    "pods": Strategy(
        _create_pod,
        _update_pod,
        {"status": _pod_status, "ephemeralcontainers": _ephemeral_containers, "resize": _resize},
        returns_deleted=True,
    ),
    "namespaces": Strategy(
        _create_namespace,
        _update_namespace,
        {"status": _status_update, "finalize": _finalize_namespace},
        returns_deleted=True,
    ),
    "nodes": Strategy(_unchanged, _status_ignored, {"status": _status_update}),
    "podtemplates": Strategy(
        _first_generation,
        lambda new, old: _next_generation(new, old, "template"),
        returns_deleted=True,
    ),
    "serviceaccounts": Strategy(returns_deleted=True),
    "services": Strategy(
        _create_service, _update_service, {"status": _status_update}, create_on_update=True, returns_deleted=True
    ),
    "endpoints": Strategy(create_on_update=True),
    "endpointslices.discovery.k8s.io": Strategy(_create_slice, _update_slice),
    "events": Strategy(create_on_update=True),
    "leases.coordination.k8s.io": Strategy(create_on_update=True, unconditional_update=False),
    "runtimeclasses.node.k8s.io": Strategy(create_on_update=True, unconditional_update=False),
    "priorityclasses.scheduling.k8s.io": Strategy(_first_generation),
    **{
        f"{plural}.rbac.authorization.k8s.io": Strategy(create_on_update=True)
        for plural in ("roles", "rolebindings", "clusterroles", "clusterrolebindings")
    },
}


def strategy_of(resource: str) -> Strategy:
    """The strategy of a stored resource."""
    return STRATEGIES.get(resource, _PLAIN)
