"""Namespaces."""

from __future__ import annotations

from podrun.api.validation.field import Causes, Path, each_invalid, invalid
from podrun.api.validation.metadata import kubernetes_finalizer, metadata_update, object_metadata
from podrun.api.validation.names import dns_label, qualified_name
from podrun.api.validation.read import Object, has, mapping, strings, text

FINALIZERS = Path("spec.finalizers")
PHASE = Path("status.Phase")


def namespace(obj: Object) -> Causes:
    yield from object_metadata(obj, dns_label, namespaced=False)
    for value in strings(mapping(obj, "spec"), "finalizers"):
        yield from finalizer(value, FINALIZERS)


def finalizer(value: str, path: Path) -> Causes:
    yield from each_invalid(path, value, qualified_name(value))
    yield from kubernetes_finalizer(value, path)


def namespace_update(new: Object, old: Object) -> Causes:
    yield from namespace(new)
    yield from metadata_update(new, old)


def namespace_status_update(new: Object, old: Object) -> Causes:
    """The phase says whether the namespace is being deleted."""
    yield from metadata_update(new, old)
    phase, ending = text(mapping(new, "status"), "phase"), has(mapping(new, "metadata"), "deletionTimestamp")
    if not ending and phase != "Active":
        yield invalid(PHASE, phase, "may only be 'Active' if `deletionTimestamp` is empty")
    elif ending and phase != "Terminating":
        yield invalid(PHASE, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")


def namespace_finalize(new: Object, old: Object) -> Causes:
    yield from metadata_update(new, old)
    for position, value in enumerate(strings(mapping(new, "spec"), "finalizers")):
        yield from finalizer(value, FINALIZERS.at(position))
