"""From an object that a client sends to the object that is stored: completed, defaulted, admitted, validated.

    create:  decoded -> metadata, defaults -> managed fields -> admission -> strategy -> validation -> Pod Security
    update:  decoded -> preconditions, defaults -> managed fields -> strategy -> validation -> Pod Security

The order is Kubernetes', and so is which refusal a client sees when several things are wrong. Nothing here waits: an
update is decided inside the store's write, against the latest state, and cannot lose a race.
"""

from __future__ import annotations

import random
import time
from typing import Any

from podrun.api import managedfields, names, validation
from podrun.api.allocation import allocate_changed, allocate_new, taken_by
from podrun.api.defaults import apply_defaults
from podrun.api.deletion import is_finished
from podrun.api.errors import MODIFIED, Cause, bad_request, conflict, forbidden, invalid, not_found, unclassified
from podrun.api.gotext import quote
from podrun.api.gvk import KindRef
from podrun.api.kinds import KINDS, Kind
from podrun.apiserver import admission, escalation
from podrun.apiserver.authorization import Authorizer
from podrun.apiserver.call import Call
from podrun.apiserver.event_forms import to_core
from podrun.apiserver.strategies import Strategy, strategy_of
from podrun.store.store import Decision, Remove, Store

Object = dict[str, Any]

_REGISTRY_KEYS = {"nodes": "minions", "services": "services/specs", "endpoints": "services/endpoints"}
"""Where etcd has the kinds whose key is not their plural; clients see keys in refusals."""
_SYSTEM_FIELDS = ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "uid", "creationTimestamp")


def reference(kind: Kind) -> KindRef:
    return KindRef(kind.group, kind.version, kind.kind)


def stored_resource(kind: Kind) -> str:
    """Where objects of a kind are kept."""
    return kind.alias_of or kind.resource


def stored_form(kind: Kind, obj: Object) -> Object:
    return to_core(obj) if kind.alias_of else obj


class Registry:
    """The way of objects into one store."""

    def __init__(self, store: Store, authorizer: Authorizer) -> None:
        self.store = store
        self._authorizer = authorizer

    # Create

    def check_names(self, call: Call, obj: Object) -> Object:
        """The object with the namespace of the path; raises BadRequest when it says another."""
        metadata = obj.get("metadata") or {}
        given = metadata.get("namespace", "")
        if call.kind.namespaced:
            if given not in ("", call.namespace):
                raise bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request"
                )
            metadata = {**metadata, "namespace": call.namespace}
        elif given:
            metadata = {key: value for key, value in metadata.items() if key != "namespace"}
        return {**obj, "metadata": metadata}

    def new_object(self, call: Call, obj: Object, *, managed: bool = True) -> Object:
        """What is stored for an `obj` that a client creates; raises what refuses it.

        `managed` is False when the object comes from server-side apply, with its managed fields.
        """
        kind = call.kind
        obj = self.check_names(call, obj)
        metadata = obj["metadata"]
        if _is_version(metadata.get("resourceVersion", "")):
            raise unclassified("resourceVersion should not be set on objects to be created")
        now = time.time()
        completed = {key: value for key, value in metadata.items() if key not in _SYSTEM_FIELDS}
        completed |= {"uid": names.new_uid(), "creationTimestamp": names.rfc3339(now)}
        obj = apply_defaults(reference(kind), {**obj, "metadata": completed})
        if managed:
            obj = self.with_managed_fields(call, None, obj, now)
        if not completed.get("name") and completed.get("generateName"):
            # What follows from a name that was made here (a namespace's label) is no field of the client's.
            completed["name"] = names.generate_name(completed["generateName"])
            obj = apply_defaults(reference(kind), {**obj, "metadata": obj["metadata"] | {"name": completed["name"]}})
        self.check_namespace(call, completed.get("name", ""))
        escalation.check(self._authorizer, call.user, kind, obj)
        obj = admission.admit_create(self.store, kind, obj)
        if kind.resource == "services" and not call.info.subresource:
            obj = allocate_new(obj, taken_by(self.store.accepted("services")), random.choice)
        obj, warnings = validation.prepare_create(kind.kind, self.strategy(kind).create(obj))
        self._refuse_invalid(kind, obj, validation.validate_create(kind.kind, obj))
        call.warnings += [*warnings, *validation.warnings(kind.kind, obj)]
        call.warnings += admission.check_pod_security(self.store, kind, obj, None, "")
        return obj

    def check_namespace(self, call: Call, name: str) -> None:
        """Raises NotFound or Forbidden where nothing can be made in the namespace (NamespaceLifecycle admission)."""
        if not call.kind.namespaced:
            return
        namespace = self.store.get("namespaces", "", call.namespace)
        if namespace is None:
            raise not_found("namespaces", call.namespace)
        if "deletionTimestamp" in namespace["metadata"]:
            why = f"unable to create new content in namespace {call.namespace} because it is being terminated"
            error = forbidden(call.kind.resource, name, why)
            detail = f"namespace {call.namespace} is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": detail, "field": "metadata.namespace"}
            error.details = {**(error.details or {}), "causes": [cause]}
            raise error

    def strategy(self, kind: Kind) -> Strategy:
        return strategy_of(stored_resource(kind))

    # Update

    def changed_object(self, call: Call, new: Object, old: Object, *, managed: bool = True) -> Object:
        """What is stored when a client puts `new` (or a subresource's part of it) over `old`; raises refusals."""
        kind, subresource = call.kind, call.info.subresource
        new = self.check_names(call, new)
        self._check_version(call, new, old)
        now = time.time()
        new = apply_defaults(reference(kind), new)
        if managed:
            new = self.with_managed_fields(call, old, new, now)
        escalation.check(self._authorizer, call.user, kind, new)
        new = admission.admit_update(self.store, kind, new, old, subresource)
        strategy = self.strategy(kind)
        generation = old["metadata"].get("generation")
        new = {**new, "metadata": _inherited(new["metadata"], old["metadata"], generation)}
        if kind.resource == "services" and not subresource:
            new = allocate_changed(new, old, taken_by(self.store.accepted("services")), random.choice)
        prepare = strategy.subresources[subresource] if subresource else strategy.update
        new = validation.without_disabled_fields(kind.kind, prepare(new, old))
        self._refuse_invalid(kind, new, validation.validate_update(kind.kind, new, old, subresource))
        call.warnings += validation.warnings(kind.kind, new, old)
        call.warnings += admission.check_pod_security(self.store, kind, new, old, subresource)
        return managedfields.keep_times(new, old)

    def decision(self, kind: Kind, new: Object) -> Decision:
        """What the store is to do with a changed object: an ending one whose last finalizer went goes with it."""
        stored = stored_form(kind, new)
        return Remove(stored) if is_finished(KINDS[stored_resource(kind)], stored) else stored

    def _check_version(self, call: Call, new: Object, old: Object) -> None:
        kind = call.kind
        metadata, stored = new["metadata"], old["metadata"]
        resource, name = kind.resource, stored["name"]
        uid, version = metadata.get("uid"), metadata.get("resourceVersion")
        # A patch is made of the stored object: another uid in it is a change, for validation to refuse.
        if uid and uid != stored.get("uid") and call.info.verb == "update":
            raise conflict(resource, name, _uid_mismatch(kind, stored, uid))
        if version and not (version.isascii() and version.isdigit()):
            raise unclassified(f"strconv.ParseUint: parsing {quote(version)}: invalid syntax")
        if not version or int(version) == 0:
            if not self.strategy(kind).unconditional_update:
                cause = Cause(
                    "FieldValueInvalid",
                    "Invalid value: 0: must be specified for an update",
                    "metadata.resourceVersion",
                )
                raise invalid(kind.resource, name, [cause])
        elif version != stored["resourceVersion"]:
            raise conflict(resource, name, MODIFIED)

    def with_managed_fields(self, call: Call, old: Object | None, new: Object, now: float) -> Object:
        fields = managedfields.managed_fields(
            reference(call.kind), old, new, manager=call.manager, now=now, subresource=call.info.subresource
        )
        metadata = {key: value for key, value in new["metadata"].items() if key != "managedFields"}
        if fields:
            metadata["managedFields"] = fields
        return {**new, "metadata": metadata}

    def _refuse_invalid(self, kind: Kind, obj: Object, causes: list[Cause]) -> None:
        if causes:
            raise invalid(KINDS[stored_resource(kind)].qualified_kind, obj["metadata"].get("name", ""), causes)


def _is_version(text: str) -> bool:
    """Whether a resourceVersion is one: what is no number counts as none when an object is created."""
    return text.isascii() and text.isdigit() and int(text) > 0


def _inherited(metadata: Object, stored: Object, generation: int | None) -> Object:
    """What an update can neither set nor take away (rest.BeforeUpdate)."""
    made = {key: value for key, value in metadata.items() if key != "generation"}
    if generation:
        made["generation"] = generation
    if not made.get("uid"):
        made["uid"] = stored["uid"]
    made["creationTimestamp"] = stored.get("creationTimestamp")
    if "deletionTimestamp" in stored:
        made["deletionTimestamp"] = stored["deletionTimestamp"]
    if "deletionGracePeriodSeconds" in stored:
        made.setdefault("deletionGracePeriodSeconds", stored["deletionGracePeriodSeconds"])
    made["resourceVersion"] = stored["resourceVersion"]
    return made


def _uid_mismatch(kind: Kind, stored: Object, uid: str) -> str:
    namespace = f"{stored['namespace']}/" if "namespace" in stored else ""
    key = f"/registry/{_REGISTRY_KEYS.get(kind.resource, kind.plural)}/{namespace}{stored['name']}"
    return (
        f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition "
        f"failed: UID in precondition: {uid}, UID in object meta: {stored['uid']}"
    )
