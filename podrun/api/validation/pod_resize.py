"""`/resize`: new CPU and memory for running containers (KEP-1287, KEP-5419)."""

from __future__ import annotations

from podrun.api.validation.equality import same
from podrun.api.validation.field import NOWHERE, Causes, Path, forbidden, invalid
from podrun.api.validation.metadata import metadata_update
from podrun.api.validation.pod_annotations import MIRROR, annotations_of
from podrun.api.validation.pod_qos import qos_class
from podrun.api.validation.pods import SPEC, pod_metadata_and_spec
from podrun.api.validation.read import Object, has, items, mapping, optional_mapping, text

ONLY_COMPUTE = "only cpu and memory resources are mutable"


def pod_resize(new: Object, old: Object) -> Causes:
    """A change of the resources of containers, or of the pod as a whole."""
    stored, fresh = mapping(old, "spec"), mapping(new, "spec")
    if MIRROR in annotations_of(old):
        yield forbidden(NOWHERE, "static pods cannot be resized")
        return
    if text(mapping(stored, "os"), "name") == "windows":
        yield forbidden(NOWHERE, "windows pods cannot be resized")
        return
    causes = [*metadata_update(new, old), *pod_metadata_and_spec(new), *whole_pod(new, old)]
    yield from causes
    in_order = list(same_containers(fresh, stored))
    yield from in_order
    if in_order:
        return
    causes += (more := [*removed_resources(fresh, stored), *other_changes(fresh, stored)])
    yield from more
    if not causes and not same(masked(fresh, stored), stored):
        yield forbidden(SPEC, ONLY_COMPUTE)


def whole_pod(new: Object, old: Object) -> Causes:
    """What a resize may not do to the pod: change its class, or resources other than CPU and memory."""
    fresh, stored, status = mapping(new, "spec"), mapping(old, "spec"), mapping(old, "status")
    stored_class = text(status, "qosClass") or qos_class(stored)
    if stored_class != qos_class(fresh):
        shown = text(mapping(new, "status"), "qosClass")
        yield invalid(SPEC, shown, "Pod QOS Class may not change as a result of resizing")
    if not node_can_resize(status):
        yield forbidden(SPEC, "Pod running on node without support for resize")
    if has_budget(stored) or has_budget(fresh):
        yield from budget_resize(optional_mapping(fresh, "resources"), optional_mapping(stored, "resources"))
    if items(status, "nodeAllocatableResourceClaimStatuses"):
        yield forbidden(SPEC, "pods with node allocatable resource claims cannot be resized")


def node_can_resize(status: Object) -> bool:
    """Whether the node tells the resources of what runs: one that does not, cannot change them either."""
    for container in items(status, "containerStatuses"):
        if has(mapping(container, "state"), "running"):
            return has(container, "resources")
    return True


def has_budget(spec: Object) -> bool:
    resources = mapping(spec, "resources")
    return bool(mapping(resources, "requests") or mapping(resources, "limits"))


def budget_resize(new: Object | None, old: Object | None) -> Causes:
    path = SPEC.child("resources")
    if old is not None and new is None:
        yield forbidden(path, "pod-level resources cannot be removed")
        return
    if old is not None and new is not None:
        for kind in ("requests", "limits"):
            if is_removed(mapping(new, kind), mapping(old, kind)):
                yield forbidden(path.child(kind), f"pod-level resource {kind} cannot be removed")
    if not same(masked_budget(new, old), old):
        yield forbidden(SPEC, "only cpu and memory resources are mutable at pod-level")


def masked_budget(new: Object | None, old: Object | None) -> Object | None:
    """The pod's resources with the CPU and memory that they had before."""
    if new is None:
        return None
    put_back = new | {kind: with_compute_of(mapping(new, kind), mapping(old or {}, kind)) for kind in KINDS}
    empty = not any(put_back.get(kind) for kind in (*KINDS, "claims"))
    return None if old is None and empty else put_back


KINDS = ("requests", "limits")


def with_compute_of(new: Object, old: Object) -> Object:
    """A ResourceList with CPU and memory of another one."""
    rest = {name: value for name, value in new.items() if name not in ("cpu", "memory")}
    return rest | {name: old[name] for name in ("cpu", "memory") if name in old}


def is_removed(new: Object, old: Object) -> bool:
    return bool(old.keys() - new.keys())


def same_containers(fresh: Object, stored: Object) -> Causes:
    """The containers stay the same ones in the same order."""
    for kind in ("containers", "initContainers"):
        new, old = items(fresh, kind), items(stored, kind)
        if len(new) != len(old):
            yield forbidden(SPEC.child(kind), f"{kind} may not be added or removed on resize")
            continue
        for position, (one, other) in enumerate(zip(new, old, strict=True)):
            if text(one, "name") != text(other, "name"):
                path = SPEC.child(kind).at(position).child("name")
                yield forbidden(path, f"{kind} may not be renamed or reordered on resize")


def removed_resources(fresh: Object, stored: Object) -> Causes:
    """A request or a limit that is there can change but not go."""
    for kind in ("initContainers", "containers"):
        for position, (new, old) in enumerate(zip(items(fresh, kind), items(stored, kind), strict=True)):
            for name in KINDS:
                if is_removed(mapping(mapping(new, "resources"), name), mapping(mapping(old, "resources"), name)):
                    path = SPEC.child(kind).at(position).child("resources", name)
                    yield forbidden(path, f"resource {name} cannot be removed")


def other_changes(fresh: Object, stored: Object) -> Causes:
    """Everything of a container but its CPU and memory stays."""
    for new, old in zip(items(fresh, "containers"), items(stored, "containers"), strict=True):
        if not same(masked_container(new, old), old):
            yield forbidden(SPEC, ONLY_COMPUTE)
    for position, (new, old) in enumerate(zip(items(fresh, INIT), items(stored, INIT), strict=True)):
        yield from other_changes_of_init(new, old, SPEC.child(INIT).at(position))


INIT = "initContainers"


def other_changes_of_init(new: Object, old: Object, path: Path) -> Causes:
    if not same(masked_container(new, old), old):
        yield forbidden(path, "only cpu and memory resources for init or sidecar containers are mutable")
    if same(new, old) or text(new, "restartPolicy") == "Always":
        return
    for policy in items(new, "resizePolicy"):
        if text(policy, "restartPolicy") == "RestartContainer":
            why = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"
            yield forbidden(path, why)


def masked_container(new: Object, old: Object) -> Object:
    """The container with the CPU and memory that it had before.

    As in Kubernetes, only requests and limits are put back: a container with resource claims never is the same again,
    so that it cannot be resized.
    """
    resources, stored = mapping(new, "resources"), mapping(old, "resources")
    lists = {kind: with_compute_of(mapping(resources, kind), mapping(stored, kind)) for kind in KINDS}
    return new | {"resources": {kind: values for kind, values in lists.items() if values}}


def masked(fresh: Object, stored: Object) -> Object:
    """The new spec with everything put back that a resize may change."""
    changed: Object = {
        kind: [masked_container(new, old) for new, old in zip(items(fresh, kind), items(stored, kind), strict=True)]
        for kind in ("containers", INIT)
    }
    if has_budget(stored) or has_budget(fresh):
        changed["resources"] = masked_budget(
            optional_mapping(fresh, "resources"), optional_mapping(stored, "resources")
        )
    return fresh | changed
