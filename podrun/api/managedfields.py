"""`metadata.managedFields`: who set which field of an object, kept up to date with every write.

A manager is known by its name, the operation (Apply or Update), the subresource, and for updates the API version. An
update takes what it changes away from everybody else and adds it to its manager. At most ten updating managers are told
apart; the oldest are put together as `ancient-changes`. Source: apimachinery/pkg/util/managedfields.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from podrun.api.decoder import zero_value
from podrun.api.fieldset import FieldSet
from podrun.api.gvk import KindRef
from podrun.api.names import rfc3339
from podrun.api.schema import Schema, Type, shared
from podrun.api.typedvalue import Comparison, compare, same

Object = dict[str, Any]

MOST_UPDATERS = 10
ANCIENT = "ancient-changes"


class Manager(NamedTuple):
    """Who; `api_version` is empty for those that apply, whose identity does not depend on it."""

    name: str
    operation: str
    api_version: str = ""
    subresource: str = ""


@dataclass(slots=True)
class Owned:
    """What a manager owns, in which version it said so, and when (RFC 3339, or empty)."""

    fields: FieldSet
    api_version: str
    time: str = ""


Managed = dict[Manager, Owned]


def _paths(*dotted: str) -> FieldSet:
    return FieldSet(tuple(f"f:{name}" for name in one.split(".")) for one in dotted)


NEVER_OWNED = _paths(
    "apiVersion",
    "kind",
    "metadata",
    *(f"metadata.{name}" for name in ("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName")),
    *(f"metadata.{name}" for name in ("generation", "managedFields", "resourceVersion")),
)

# (kind, subresource) -> fields that a write through it does not change, whatever it says
_RESET: dict[tuple[str, str], FieldSet] = {
    ("Pod", ""): _paths("status"),
    ("Pod", "status"): _paths("spec", "metadata.deletionTimestamp", "metadata.ownerReferences"),
    ("Namespace", ""): _paths("status"),
    ("Namespace", "status"): _paths("spec"),
    ("Namespace", "finalize"): _paths("status"),
    ("Service", ""): _paths("status"),
    ("Service", "status"): _paths("spec"),
    ("Node", ""): _paths("status"),
    ("Node", "status"): _paths("spec"),
}


@dataclass(slots=True)
class Scope:
    """An object's type, and which of its fields a write through `subresource` can change."""

    kind: KindRef
    subresource: str = ""
    schema: Schema = field(default_factory=shared)
    type: Type = field(init=False)

    def __post_init__(self) -> None:
        struct = self.schema.for_kind(self.kind)
        self.type = Type("struct", f"v1.{struct.name}", struct.definition)

    def writable(self, fields: FieldSet) -> FieldSet:
        """Only the fields that such a write can change."""
        reset = _RESET.get((self.kind.kind, self.subresource))
        return fields.without(reset) if reset is not None else fields

    def differences(self, left: Object, right: Object) -> Comparison:
        """What such a write changes, from the left object to the right one."""
        found = compare(self.schema, self.type, _bare(left), _bare(right))
        return Comparison(self.writable(found.removed), self.writable(found.modified), self.writable(found.added))

    def empty(self) -> Object:
        """The object that a create is compared with."""
        made: Object = zero_value(self.schema, self.type)
        return made


def managed_fields(
    kind: KindRef, old: Object | None, new: Object, *, manager: str, now: float, subresource: str = ""
) -> list[Object]:
    """The managedFields of `new`, which a create (no `old`), update or patch is about to store.

    `new` has its defaults and is what the client wants: before admission adds to it, and before fields that it may not
    change are put back. `manager` is the fieldManager parameter or the user agent's first word; `now` is in seconds.
    """
    scope = Scope(kind, subresource)
    managed = _given(new, old, subresource)
    if not managed and old is not None:
        return []
    live = old if old is not None else scope.empty()
    update(scope, live, new, managed, Manager(manager or "unknown", "Update", kind.api_version, subresource), now)
    return encode(managed)


def update(scope: Scope, live: Object, new: Object, managed: Managed, manager: Manager, now: float) -> None:
    """Note in `managed` that a manager changes `live` to `new` by an update."""
    found = scope.differences(live, new)
    changed = found.modified | found.added
    take_from_others(managed, changed, found.removed)
    taken = scope.writable(changed) - NEVER_OWNED
    if taken:
        before = managed.get(manager)
        fields = taken | before.fields if before is not None else taken
        managed[manager] = Owned(fields, manager.api_version, rfc3339(now))
    _limit(managed)


def take_from_others(managed: Managed, changed: FieldSet, removed: FieldSet, but: Manager | None = None) -> None:
    """Take fields away from all managers but one; those who own nothing any more are gone."""
    for manager in [one for one in managed if one != but]:
        owned = managed[manager]
        fields = owned.fields - (owned.fields & changed) - removed
        if fields:
            managed[manager] = Owned(fields, owned.api_version, owned.time)
        else:
            del managed[manager]


def decode(entries: list[Object] | None) -> Managed | None:
    """The owners that managedFields lists; None when it is not well formed."""
    managed: Managed = {}
    for entry in entries or ():
        operation, version = entry.get("operation"), entry.get("apiVersion")
        if operation not in ("Apply", "Update") or not version or entry.get("fieldsType") != "FieldsV1":
            return None
        identity = version if operation == "Update" else ""
        manager = Manager(entry.get("manager", ""), operation, identity, entry.get("subresource", ""))
        fields = FieldSet.of_fields(entry.get("fieldsV1") or {})
        managed[manager] = Owned(fields, version, entry.get("time") or "")
    return managed


def encode(managed: Managed) -> list[Object]:
    """managedFields as it is written: those that apply first, then by time."""
    entries = []
    for manager, owned in managed.items():
        entry: Object = {"manager": manager.name, "operation": manager.operation, "apiVersion": owned.api_version}
        if owned.time:
            entry["time"] = owned.time
        entry["fieldsType"] = "FieldsV1"
        entry["fieldsV1"] = owned.fields.to_fields()
        if manager.subresource:
            entry["subresource"] = manager.subresource
        entries.append(entry)
    names = ("operation", "time", "manager", "apiVersion", "subresource")
    return sorted(entries, key=lambda entry: tuple(entry.get(name, "") for name in names))


def keep_times(new: Object, old: Object) -> Object:
    """`new`, or `old` when they differ in the times of managedFields only: such a write changes nothing."""
    ours, theirs = _without_times(new), _without_times(old)
    return old if same(ours, theirs) else new


def _without_times(obj: Object) -> Object:
    meta = dict(obj.get("metadata") or {})
    entries = [{name: entry[name] for name in entry if name != "time"} for entry in meta.get("managedFields") or ()]
    meta["managedFields"] = sorted(entries, key=str)
    return {**obj, "metadata": meta}


def _given(new: Object, old: Object | None, subresource: str) -> Managed:
    """The owners before a write: the request's own list, where it sends one, else the stored object's."""
    stored = decode(((old or {}).get("metadata") or {}).get("managedFields")) or {}
    if subresource:
        return stored
    entries = (new.get("metadata") or {}).get("managedFields")
    if entries == [{}]:
        return {}  # how a client resets the list
    return decode(entries) or stored


def _bare(obj: Object) -> Object:
    """An object without its managedFields, which nobody owns."""
    meta = obj.get("metadata")
    if not meta or "managedFields" not in meta:
        return obj
    return {**obj, "metadata": {name: value for name, value in meta.items() if name != "managedFields"}}


def _limit(managed: Managed) -> None:
    """Put the oldest updating managers of each version together when there are too many."""
    updaters = [manager for manager in managed if manager.operation == "Update"]
    excess = len(updaters) - MOST_UPDATERS
    if excess <= 0:
        return
    first: dict[str, Manager] = {}
    for manager in sorted(updaters, key=lambda one: (managed[one].time, one)):
        owned = managed[manager]
        bucket = Manager(ANCIENT, "Update", owned.api_version)
        if owned.api_version not in first:
            first[owned.api_version] = manager
            continue
        if bucket not in managed:
            managed[bucket] = managed.pop(first[owned.api_version])
        del managed[manager]
        managed[bucket] = Owned(owned.fields | managed[bucket].fields, owned.api_version, owned.time)
        excess -= 1
        if excess <= 0:
            return
