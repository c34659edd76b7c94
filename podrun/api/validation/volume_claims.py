"""The claim that an ephemeral volume makes: a template with the spec of a PersistentVolumeClaim."""

from __future__ import annotations

from podrun.api.validation.amounts import ZERO, amount
from podrun.api.validation.field import (
    Causes,
    Path,
    each_invalid,
    forbidden,
    invalid,
    not_supported,
    required,
)
from podrun.api.validation.metadata import label_selector, template_metadata
from podrun.api.validation.names import dns_label, dns_subdomain
from podrun.api.validation.read import Object, has, mapping, optional_mapping, optional_text, strings, text

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")


def claim_template(template: Object, path: Path) -> Causes:
    """A claim template: of its metadata only labels and annotations, and a spec."""
    meta = mapping(template, "metadata")
    yield from template_metadata(meta, path.child("metadata"))
    for name in TEMPLATE_METADATA:
        if meta.get(name) not in (None, "", 0, [], {}):
            # Kubernetes derives the path from the Go name and lowers its first letter only
            yield forbidden(path.child("metadata", "uID" if name == "uid" else name), "cannot be set")
    yield from claim_spec(mapping(template, "spec"), path.child("spec"))


TEMPLATE_METADATA = (
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "finalizers",
    "managedFields",
)


def claim_spec(spec: Object, path: Path) -> Causes:
    yield from access_modes(strings(spec, "accessModes"), path.child("accessModes"))
    yield from label_selector(optional_mapping(spec, "selector"), path.child("selector"))
    here = path.child("resources").key("storage")
    storage = amount(mapping(mapping(spec, "resources"), "requests").get("storage"))
    if storage is None:
        yield required(here)
    elif storage <= ZERO:
        yield invalid(here, str(storage), "must be greater than zero")
    storage_class = text(spec, "storageClassName")
    if storage_class:
        yield from each_invalid(path.child("storageClassName"), storage_class, dns_subdomain(storage_class))
    mode = optional_text(spec, "volumeMode")
    if mode is not None and mode not in VOLUME_MODES:
        yield not_supported(path.child("volumeMode"), mode, VOLUME_MODES)
    yield from data_sources(spec, path)
    attributes = text(spec, "volumeAttributesClassName")
    if attributes:
        yield from each_invalid(path.child("volumeAttributesClassName"), attributes, dns_subdomain(attributes))


def access_modes(modes: list[str], path: Path) -> Causes:
    if not modes:
        yield required(path, "at least 1 access mode is required")
    for mode in modes:
        if mode not in ACCESS_MODES:
            yield not_supported(path, mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and any(mode in ACCESS_MODES[:3] for mode in modes):
        yield forbidden(path, "may not use ReadWriteOncePod with other access modes")


def data_sources(spec: Object, path: Path) -> Causes:
    """What the volume is filled with: `dataSource` and its younger brother must agree."""
    source, reference = optional_mapping(spec, "dataSource"), optional_mapping(spec, "dataSourceRef")
    for name, given in (("dataSource", source), ("dataSourceRef", reference)):
        if given is not None:
            yield from data_source(given, path.child(name))
    if reference is None or source is None:
        return
    if text(reference, "namespace"):
        yield invalid(path, {}, "may not be specified when dataSourceRef.namespace is specified")
    elif any(source.get(name) != reference.get(name) for name in ("apiGroup", "kind", "name")):
        yield invalid(path, {}, "must match dataSourceRef")


def data_source(source: Object, path: Path) -> Causes:
    kind, group = text(source, "kind"), text(source, "apiGroup")
    for name in ("name", "kind"):
        if not text(source, name):
            yield required(path.child(name))
    if not group and kind != "PersistentVolumeClaim":
        why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        yield invalid(path, kind, why)
    if group:
        yield from each_invalid(path.child("apiGroup"), group, dns_subdomain(group))
    if has(source, "namespace") and text(source, "namespace"):
        namespace = text(source, "namespace")
        yield from each_invalid(path.child("namespace"), namespace, dns_label(namespace))
