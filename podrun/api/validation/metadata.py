"""metadata of every kind: names, labels, annotations, owners, finalizers, managed fields; what an update may change.

Sources: apimachinery/pkg/api/validation/objectmeta.go, pkg/apis/meta/v1/validation, and the finalizer rule of
pkg/apis/core/validation.
"""

from __future__ import annotations

import unicodedata

from podrun.api.gotext import quote
from podrun.api.validation.field import (
    Causes,
    Path,
    each_invalid,
    forbidden,
    invalid,
    required,
    too_long,
)
from podrun.api.validation.names import (
    NameCheck,
    as_prefix,
    dns_label,
    label_value,
    path_segment,
    path_segment_prefix,
    qualified_name,
)
from podrun.api.validation.read import (
    Object,
    flag,
    has,
    items,
    mapping,
    number,
    size,
    strings,
    text,
    texts,
)

METADATA = Path("metadata")
ANNOTATIONS_SIZE = 256 * 1024
STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"


def object_metadata(
    obj: Object,
    check: NameCheck,
    *,
    namespaced: bool = True,
    kube_finalizers: bool = True,
    prefix: NameCheck | None = None,
) -> Causes:
    """metadata of a new object, its name checked by `check`.

    `kube_finalizers` adds the rule that a finalizer without a domain must be one of Kubernetes' own; kinds outside
    the core group do without it. `prefix` checks a generateName where it is not `check` with a dash allowed at the end.
    """
    meta = mapping(obj, "metadata")
    generate_name, name = text(meta, "generateName"), text(meta, "name")
    if generate_name:
        problems = (prefix or as_prefix(check))(generate_name)
        yield from each_invalid(METADATA.child("generateName"), generate_name, problems)
    if name:
        yield from each_invalid(METADATA.child("name"), name, check(name))
    else:
        yield required(METADATA.child("name"), "name or generateName is required")
    namespace = text(meta, "namespace")
    if namespaced and not namespace:
        yield required(METADATA.child("namespace"))
    elif namespaced:
        yield from each_invalid(METADATA.child("namespace"), namespace, dns_label(namespace))
    elif namespace:
        yield forbidden(METADATA.child("namespace"), "not allowed on this type")
    if number(meta, "generation") < 0:
        yield invalid(METADATA.child("generation"), number(meta, "generation"), NOT_NEGATIVE)
    yield from label_map(texts(meta, "labels"), METADATA.child("labels"))
    yield from annotation_map(texts(meta, "annotations"), METADATA.child("annotations"))
    yield from owner_references(items(meta, "ownerReferences"), METADATA.child("ownerReferences"))
    yield from finalizers(strings(meta, "finalizers"), METADATA.child("finalizers"))
    yield from managed_fields(items(meta, "managedFields"), METADATA.child("managedFields"))
    if kube_finalizers:
        yield from kubernetes_finalizers(meta)


def metadata_update(new: Object, old: Object, *, kube_finalizers: bool = True) -> Causes:
    """What an update may not change in metadata, whatever the kind."""
    fresh, stored = mapping(new, "metadata"), mapping(old, "metadata")
    if has(stored, "deletionTimestamp"):
        added = sorted(set(strings(fresh, "finalizers")) - set(strings(stored, "finalizers")))
        if added:
            listing = "[]string{" + ", ".join(quote(one) for one in added) + "}"
            why = "no new finalizers can be added if the object is being deleted, found new finalizers"
            yield forbidden(METADATA.child("finalizers"), f"{why} {listing}")
    if not text(fresh, "resourceVersion"):
        yield invalid(METADATA.child("resourceVersion"), "", "must be specified for an update")
    if number(fresh, "generation") < number(stored, "generation"):
        yield invalid(METADATA.child("generation"), number(fresh, "generation"), "must not be decremented")
    for name in ("name", "namespace", "uid"):
        if text(fresh, name) != text(stored, name):
            yield invalid(METADATA.child(name), text(fresh, name), IMMUTABLE)
    for name in ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if fresh.get(name) != stored.get(name):
            yield invalid(METADATA.child(name), fresh.get(name), IMMUTABLE)
    yield from label_map(texts(fresh, "labels"), METADATA.child("labels"))
    yield from annotation_map(texts(fresh, "annotations"), METADATA.child("annotations"))
    yield from owner_references(items(fresh, "ownerReferences"), METADATA.child("ownerReferences"))
    yield from managed_fields(items(fresh, "managedFields"), METADATA.child("managedFields"))
    if kube_finalizers:
        yield from kubernetes_finalizers(fresh)


def common_create(obj: Object, *, namespaced: bool) -> Causes:
    """What the API server asks of the metadata of any kind, after the kind's own rules had nothing to say."""
    return object_metadata(obj, path_segment, namespaced=namespaced, kube_finalizers=False, prefix=path_segment_prefix)


def common_update(new: Object, old: Object, *, namespaced: bool) -> Causes:
    """The same for an update, before the kind's own rules."""
    yield from common_create(new, namespaced=namespaced)
    yield from metadata_update(new, old, kube_finalizers=False)


def label_name(key: str, path: Path) -> Causes:
    return each_invalid(path, key, qualified_name(key))


def label_map(values: dict[str, str], path: Path) -> Causes:
    """A map of labels, or of what selects them. All causes have the path of the map."""
    for key, value in values.items():
        yield from label_name(key, path)
        yield from each_invalid(path, value, label_value(value))


def annotation_map(values: dict[str, str], path: Path) -> Causes:
    """Annotations: keys like those of labels but in any case, any values, 256 KiB together."""
    total = 0
    for key, value in values.items():
        yield from each_invalid(path, key, qualified_name(key.lower()))
        total += size(key) + size(value)
    if total > ANNOTATIONS_SIZE:
        yield too_long(path, ANNOTATIONS_SIZE)


def owner_references(references: list[Object], path: Path) -> Causes:
    """Owners: complete, no Event, at most one controller. All causes have the path of the list."""
    controller = ""
    for reference in references:
        api_version, kind = text(reference, "apiVersion"), text(reference, "kind")
        group, _, version = api_version.rpartition("/")
        if "/" in group:  # with two slashes it names neither a group nor a version
            group = version = ""
        if not version:
            yield invalid(path.child("apiVersion"), api_version, "version must not be empty")
        for name in ("kind", "name", "uid"):
            if not text(reference, name):
                yield invalid(path.child(name), "", "must not be empty")
        if (group, version, kind) == ("", "v1", "Event"):
            yield invalid(path, owner_json(reference), "/v1, Kind=Event is disallowed from being an owner")
        if flag(reference, "controller"):
            current = f"{kind}/{text(reference, 'name')}"
            if controller:
                why = 'Only one reference can have Controller set to true. Found "true" in references for'
                value = [owner_json(one) for one in references]
                yield invalid(path, value, f"{why} {controller} and {current}")
            else:
                controller = current


def owner_json(reference: Object) -> Object:
    """An ownerReference as it stands in a message: its fields in the order of the API's type."""
    shown: Object = {name: text(reference, name) for name in ("apiVersion", "kind", "name", "uid")}
    optional = {name: reference[name] for name in ("controller", "blockOwnerDeletion") if has(reference, name)}
    return shown | optional


def finalizers(values: list[str], path: Path) -> Causes:
    for value in values:
        yield from each_invalid(path, value, qualified_name(value))
    if "orphan" in values and "foregroundDeletion" in values:
        yield invalid(path, values, "finalizer orphan and foregroundDeletion cannot be both set")


def kubernetes_finalizers(meta: Object) -> Causes:
    """A finalizer without a domain must be one of Kubernetes' own."""
    for position, value in enumerate(strings(meta, "finalizers")):
        yield from kubernetes_finalizer(value, METADATA.child("finalizers").at(position))


def kubernetes_finalizer(value: str, path: Path) -> Causes:
    if "/" not in value and value not in STANDARD_FINALIZERS:
        yield invalid(path, value, "name is neither a standard finalizer name nor is it fully qualified")


def managed_fields(entries: list[Object], path: Path) -> Causes:
    for position, entry in enumerate(entries):
        here = path.at(position)
        if text(entry, "operation") not in ("Apply", "Update"):
            yield invalid(here.child("operation"), text(entry, "operation"), "must be `Apply` or `Update`")
        if text(entry, "fieldsType") not in ("", "FieldsV1"):
            yield invalid(here.child("fieldsType"), text(entry, "fieldsType"), "must be `FieldsV1`")
        yield from field_manager(text(entry, "manager"), here.child("manager"))
        if size(text(entry, "subresource")) > 256:
            yield too_long(here.child("subresource"), 256)


def field_manager(value: str, path: Path) -> Causes:
    """A fieldManager, of a request's parameters or of an entry of managedFields."""
    if size(value) > 128:
        yield too_long(path, 128)
    position = 0
    for char in value:
        if not go_printable(char):
            shown = f" '{char}'" if char.isprintable() else ""
            yield invalid(path, value, f"invalid character U+{ord(char):04X}{shown} (at position {position})")
        position += size(char)


def go_printable(char: str) -> bool:
    """Go's unicode.IsPrint: letters, marks, numbers, punctuation, symbols and the ASCII space."""
    return char == " " or unicodedata.category(char)[0] in "LMNPS"


def label_selector(selector: Object | None, path: Path) -> Causes:
    """A LabelSelector: its labels and its requirements."""
    if selector is None:
        return
    yield from label_map(texts(selector, "matchLabels"), path.child("matchLabels"))
    for position, requirement in enumerate(items(selector, "matchExpressions")):
        here = path.child("matchExpressions").at(position)
        values, operator = strings(requirement, "values"), text(requirement, "operator")
        if operator in ("In", "NotIn"):
            if not values:
                yield required(here.child("values"), "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                yield forbidden(here.child("values"), why)
        else:
            yield invalid(here.child("operator"), operator, "not a valid selector operator")
        yield from label_name(text(requirement, "key"), here.child("key"))
        for index, value in enumerate(values):
            yield from each_invalid(here.child("values").at(index), value, label_value(value))


def template_metadata(meta: Object, path: Path) -> Causes:
    """metadata of a template inside another object, where only labels and annotations mean anything."""
    yield from annotation_map(texts(meta, "annotations"), path.child("annotations"))
    yield from label_map(texts(meta, "labels"), path.child("labels"))


def unchanged(new: object, old: object, path: Path) -> Causes:
    """A field that an update must leave as it is; absent and null are the same."""
    if new != old:
        yield invalid(path, new, IMMUTABLE)
