"""What may change on a pod: through the pod itself, and through its `ephemeralcontainers`."""

from __future__ import annotations

import difflib
import json

from podrun.api.errors import Cause
from podrun.api.gotext import quote
from podrun.api.validation.equality import same
from podrun.api.validation.field import NOWHERE, Causes, Path, forbidden, invalid, required
from podrun.api.validation.internal import internal, internal_list
from podrun.api.validation.metadata import metadata_update
from podrun.api.validation.names import between
from podrun.api.validation.pod_annotations import MIRROR, annotation_updates, annotations_of, pod_annotations
from podrun.api.validation.pod_containers import trimmed_image, visited
from podrun.api.validation.pod_scheduling import REQUIRED, tolerations
from podrun.api.validation.pods import ANNOTATIONS, LONGEST_DEADLINE, SPEC, pod_metadata_and_spec
from podrun.api.validation.read import (
    Object,
    items,
    mapping,
    optional_mapping,
    optional_number,
    text,
    texts,
)

UPDATABLE = ",".join(
    (
        "`spec.containers[*].image`",
        "`spec.initContainers[*].image`",
        "`spec.activeDeadlineSeconds`",
        "`spec.tolerations` (only additions to existing tolerations)",
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
    )
)


def pod_update(new: Object, old: Object) -> Causes:
    """A change of metadata and of the few fields of the spec that may change."""
    yield from metadata_update(new, old)
    yield from pod_metadata_and_spec(new)
    yield from specific_annotations(new, old)
    fresh, stored = mapping(new, "spec"), mapping(old, "spec")
    for kind in ("containers", "initContainers"):
        path = SPEC.child(kind)
        if len(items(fresh, kind)) != len(items(stored, kind)):
            yield forbidden(path, "pod updates may not add or remove containers")
            return
        for position, container in enumerate(items(fresh, kind)):
            if not text(container, "image"):
                yield required(path.at(position).child("image"))
            yield from trimmed_image(container, path.at(position))
    causes = list(deadline_update(fresh, stored))
    yield from causes
    if causes and optional_number(fresh, "activeDeadlineSeconds") is not None:
        return
    yield from toleration_additions(items(fresh, "tolerations"), items(stored, "tolerations"))
    yield from gate_removals(items(fresh, "schedulingGates"), items(stored, "schedulingGates"))
    if same(fresh, stored):
        return
    masked = with_stored_fields(fresh, stored)
    if items(stored, "schedulingGates"):
        yield from placement_additions(fresh, stored)
        masked = with_stored_placement(masked, stored)
    if not same(masked, stored):
        yield forbidden(SPEC, f"pod updates may not change fields other than {UPDATABLE}\n{listing(stored, masked)}")


def specific_annotations(new: Object, old: Object) -> Causes:
    spec, values = mapping(new, "spec"), annotations_of(new)
    yield from annotation_updates(values, annotations_of(old), ANNOTATIONS)
    yield from pod_annotations(values, spec, visited(spec, SPEC), ANNOTATIONS)


def deadline_update(fresh: Object, stored: Object) -> Causes:
    """The deadline can be set once, and then only come nearer."""
    new, old = optional_number(fresh, "activeDeadlineSeconds"), optional_number(stored, "activeDeadlineSeconds")
    path = SPEC.child("activeDeadlineSeconds")
    if new is None:
        if old is not None:
            yield invalid(path, None, "must not update from a positive integer to nil value")
    elif not 0 <= new <= LONGEST_DEADLINE:
        yield invalid(path, new, between(0, LONGEST_DEADLINE))
    elif old is not None and old < new:
        yield invalid(path, new, "must be less than or equal to previous value")


def toleration_additions(new: list[Object], old: list[Object]) -> Causes:
    """Tolerations can be added; those that are there can only change how long they hold."""
    path = SPEC.child("tolerations")
    kept = [internal("Toleration", one) | {"TolerationSeconds": None} for one in new]
    if any(internal("Toleration", one) | {"TolerationSeconds": None} not in kept for one in old):
        yield forbidden(path, "existing toleration can not be modified except its tolerationSeconds")
        return
    yield from tolerations(new, path)


def gate_removals(new: list[Object], old: list[Object]) -> Causes:
    """Scheduling gates can only be taken away."""
    known = {text(gate, "name") for gate in old}
    for position, gate in enumerate(new):
        name = text(gate, "name")
        if name not in known:
            why = f"only deletion is allowed, but found new scheduling gate '{name}'"
            yield forbidden(SPEC.child("schedulingGates").at(position).child("name"), why)


def with_stored_fields(fresh: Object, stored: Object) -> Object:
    """The new spec with everything that may change put back to what it was."""
    masked = dict(fresh)
    for kind in ("containers", "initContainers"):
        pairs = zip(items(fresh, kind), items(stored, kind), strict=True)
        masked[kind] = [new | {"image": text(old, "image")} for new, old in pairs]
    put_back = ["activeDeadlineSeconds", "schedulingGates", "tolerations"]
    was_negative = (optional_number(stored, "terminationGracePeriodSeconds") or 0) < 0
    if was_negative and optional_number(fresh, "terminationGracePeriodSeconds") == 1:
        put_back.append("terminationGracePeriodSeconds")
    return masked | {name: stored.get(name) for name in put_back}


def placement_additions(fresh: Object, stored: Object) -> Causes:
    """A pod that is held back by gates may be told more narrowly where to go, never more widely."""
    new, old = texts(fresh, "nodeSelector"), texts(stored, "nodeSelector")
    if any(new.get(key) != value for key, value in old.items()):
        why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        yield invalid(SPEC.child("nodeSelector"), new, why)
    new_terms, old_terms = required_terms(fresh), required_terms(stored)
    path = SPEC.child("affinity", "nodeAffinity", REQUIRED, "nodeSelectorTerms")
    if not old_terms or same(new_terms, old_terms):
        return
    if len(new_terms) != len(old_terms):
        why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        yield invalid(path, internal_list("NodeSelectorTerm", new_terms) or None, why)
        return
    for position, (new_term, old_term) in enumerate(zip(new_terms, old_terms, strict=True)):
        if not only_adds(new_term, old_term):
            why = "only additions are allowed (no mutations or deletions)"
            yield invalid(path.at(position), internal("NodeSelectorTerm", new_term), why)


def required_terms(spec: Object) -> list[Object]:
    rules = mapping(mapping(mapping(spec, "affinity"), "nodeAffinity"), REQUIRED)
    return items(rules, "nodeSelectorTerms")


def only_adds(new: Object, old: Object) -> bool:
    """Whether the term asks for what it asked for, first and in order. A term that matches nothing stays so."""
    kinds = ("matchExpressions", "matchFields")
    if not any(items(old, kind) for kind in kinds):
        return not any(items(new, kind) for kind in kinds)
    return all(same(items(new, kind)[: len(items(old, kind))], items(old, kind)) for kind in kinds if items(old, kind))


def with_stored_placement(masked: Object, stored: Object) -> Object:
    old, new = optional_mapping(stored, "affinity"), optional_mapping(masked, "affinity")
    of_nodes = (old or {}).get("nodeAffinity")
    if new is None:
        affinity = None if of_nodes is None else {"nodeAffinity": of_nodes}
    elif old is None and new.keys() <= {"nodeAffinity"}:
        affinity = None
    else:
        affinity = new | {"nodeAffinity": of_nodes}
    return masked | {"nodeSelector": stored.get("nodeSelector"), "affinity": affinity}


def ephemeral_containers_update(new: Object, old: Object) -> Causes:
    """Ephemeral containers can only be added."""
    if MIRROR in annotations_of(old):
        yield forbidden(NOWHERE, "static pods do not support ephemeral containers")
        return
    yield from metadata_update(new, old)
    yield from pod_metadata_and_spec(new)
    yield from specific_annotations(new, old)
    path = SPEC.child("ephemeralContainers")
    by_name = {text(one, "name"): one for one in items(mapping(new, "spec"), "ephemeralContainers")}
    for container in items(mapping(old, "spec"), "ephemeralContainers"):
        name = text(container, "name")
        if name not in by_name:
            yield changed_container(name, "may not be removed\n", path)
        elif not same(container, by_name[name]):
            yield changed_container(name, f"may not be changed\n{listing(container, by_name[name])}", path)


def changed_container(name: str, why: str, path: Path) -> Cause:
    return forbidden(path, f"existing ephemeral containers {quote(name)} {why}")


def listing(old: Object, new: Object) -> str:
    """What differs, as a unified diff of the two as JSON."""
    before, after = (json.dumps(one, indent=1, sort_keys=True, default=str).split("\n") for one in (old, new))
    lines = list(difflib.unified_diff(before, after, lineterm=""))
    return "\n".join(lines[2:]) + "\n"
