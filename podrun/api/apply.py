"""Server-side apply: a configuration merged into an object, with owners for what it says and conflicts over it.

The manager owns exactly the fields of its configuration. What it owned before and no longer mentions is removed,
unless somebody else owns it too. What others own and the configuration changes is a conflict, refused with 409 unless
forced. Objects that were made by client-side `kubectl apply` are taken over without conflicts, and their last-applied
annotation is kept up to date. Source: apimachinery/pkg/util/managedfields, structured-merge-diff/merge.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson

from podrun.api import jsontext, yamltext
from podrun.api.decode import IGNORE, STRICT, Decoded
from podrun.api.decoder import DEEPEST, DecodingError, json_kind
from podrun.api.defaults import apply_defaults
from podrun.api.errors import ApiError, Cause, apply_conflict, bad_request, unclassified
from podrun.api.fieldset import FieldSet, Path, shown
from podrun.api.gotext import compact_json, quote
from podrun.api.gvk import KindRef
from podrun.api.jsontext import SyntaxMistake
from podrun.api.managedfields import (
    NEVER_OWNED,
    Managed,
    Manager,
    Owned,
    Scope,
    decode,
    encode,
    take_from_others,
    update,
)
from podrun.api.names import rfc3339
from podrun.api.patches import repetitions
from podrun.api.typedmerge import merge, remove
from podrun.api.typedvalue import MISSING, TypedError, check, compare, field_set, same
from podrun.api.unstructured import UnstructuredDecoder
from podrun.api.yamltext import YamlMistake

Object = dict[str, Any]
Conflict = tuple[Manager, Path]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL = "kubectl"
BEFORE_FIRST_APPLY = "before-first-apply"


class Conflicts(Exception):
    """Others own what the configuration would change."""

    def __init__(self, listed: list[Conflict]) -> None:
        super().__init__(f"{len(listed)} conflicts")
        self.listed = listed


def server_side_apply(
    kind: KindRef,
    current: Object | None,
    body: bytes,
    *,
    manager: str,
    force: bool,
    now: float,
    subresource: str = "",
    field_validation: str = "",
) -> Decoded:
    """`current` (None: it is to be made) with the configuration in `body` (YAML or JSON) applied to it.

    The result is canonical, with defaults and the new managedFields; the server's own metadata and validation are the
    caller's next steps. Raises ApiError: 400 for a body that cannot be read, 409 for conflicts, 500 (as Kubernetes has
    it) for a configuration that does not fit the schema.
    """
    applied, repeated = _read(body)
    found = KindRef.of(applied)
    if found != kind:
        raise bad_request(f"invalid object type: {found}")
    scope = Scope(kind, subresource)
    try:
        made = _Application(scope, current, applied, manager, now).run(force=force)
    except Conflicts as conflicts:
        raise _refusal(conflicts.listed) from None
    warnings: list[str] = []
    if repeated and field_validation != IGNORE:
        sentence = f"error converting YAML to JSON: {yamltext.repeated_sentence(repeated)}"
        if field_validation == STRICT:
            raise bad_request(f"error strict decoding YAML: {sentence}")
        warnings.append(sentence)
    return Decoded(made, warnings)


def _read(body: bytes) -> tuple[Object, list[str]]:
    if body.startswith(b"{"):  # JSON is YAML, and is read ten times faster as what it is
        with suppress(SyntaxMistake):
            value = jsontext.read(body)
            if jsontext.is_deeper(value, DEEPEST):
                raise bad_request("error decoding YAML: exceeded max depth")
            if next(repetitions(value), None) is None:
                return value, []
    try:
        value, repeated = yamltext.read(body)
    except YamlMistake as mistake:
        raise bad_request(f"error decoding YAML: error converting YAML to JSON: {mistake}") from None
    if jsontext.is_deeper(value, DEEPEST):
        raise bad_request("error decoding YAML: exceeded max depth")
    if value is None:
        return {}, repeated
    if not isinstance(value, dict):
        go = f"json: cannot unmarshal {json_kind(value)} into Go value of type map[string]interface {{}}"
        raise bad_request(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {go}")
    return value, repeated


class _Application:
    """One apply. `run` gives the object as it will be stored."""

    def __init__(self, scope: Scope, current: Object | None, applied: Object, manager: str, now: float) -> None:
        self.scope, self.schema, self.type = scope, scope.schema, scope.type
        self.applied, self.now = applied, now
        self.current = current
        self.live = _without_managed_fields(current) if current is not None else scope.empty()
        self.manager = Manager(manager, "Apply", "", scope.subresource)

    def run(self, *, force: bool) -> Object:
        meta = self.applied.get("metadata")
        if isinstance(meta, dict) and meta.get("managedFields") is not None:
            raise bad_request("metadata.managedFields must be nil")
        mistakes = check(self.schema, self.type, self.applied)
        if mistakes:
            raise unclassified(f"failed to create typed patch object ({self._identity()}): {_listed(mistakes)}")
        try:
            made, managed = self._forgiving(force=force)
        except TypedError as mistake:
            raise unclassified(f"failed to merge config: {mistake}") from None
        if made is None:
            made = self.live
        else:
            made = self._decoded(made)
            if self.manager in managed:
                managed[self.manager] = replace(managed[self.manager], time=rfc3339(self.now))
        made = self._with_last_applied(made)
        entries = encode(managed)
        meta = {**made["metadata"], "managedFields": entries} if entries else made["metadata"]
        return {"kind": self.scope.kind.kind, "apiVersion": self.scope.kind.api_version, **made, "metadata": meta}

    def _forgiving(self, *, force: bool) -> tuple[Object | None, Managed]:
        """Apply; kubectl gets what client-side apply owned, since that was kubectl too."""
        try:
            return self._apply(force=force)
        except Conflicts as conflicts:
            allowed = self._client_side_fields() if self.manager.name == KUBECTL else None
            if allowed is None:
                raise
            left = [one for one in conflicts.listed if not allowed.has(one[1])]
            if left:
                raise Conflicts(left) from None
        return self._apply(force=True)

    def _apply(self, *, force: bool) -> tuple[Object | None, Managed]:
        """The merged object (None when nothing changes) and its owners; raises Conflicts."""
        managed = self._owners()
        before = managed.pop(self.manager, None)
        merged = merge(self.schema, self.type, self.live, self.applied)
        if merged is MISSING:
            merged = {}
        fields = self.scope.writable(field_set(self.schema, self.type, self.applied))
        managed[self.manager] = Owned(fields, self.scope.kind.api_version, before.time if before is not None else "")
        if before is not None and before.fields:
            merged = self._prune(merged, managed, before.fields)
        found = self.scope.differences(self.live, merged)
        changed = found.modified | found.added
        if not force:
            conflicts = [
                (manager, path)
                for manager, owned in managed.items()
                if manager != self.manager
                for path in (owned.fields & changed).paths()
            ]
            if conflicts:
                raise Conflicts(conflicts)
        take_from_others(managed, changed, found.removed, but=self.manager)
        owned = managed[self.manager]
        owned.fields = owned.fields - NEVER_OWNED
        if not owned.fields:
            del managed[self.manager]
        return (None if same(self.live, merged) else merged), managed

    def _owners(self) -> Managed:
        """The owners before; an object that never had any belongs to `before-first-apply`."""
        entries = ((self.current or {}).get("metadata") or {}).get("managedFields")
        managed = decode(entries)
        if managed is None:
            raise unclassified("failed to decode managed fields")
        if not managed and self.current is not None:
            version = self.scope.kind.api_version
            earlier = Manager(BEFORE_FIRST_APPLY, "Update", version, self.scope.subresource)
            update(self.scope, self.scope.empty(), self.live, managed, earlier, self.now)
        return managed

    def _prune(self, merged: Object, managed: Managed, last: FieldSet) -> Object:
        """`merged` without what the manager owned before, does not mention now, and nobody else owns."""
        schema, kind = self.schema, self.type
        named_last = last.with_named_fields(schema, kind)
        pruned = remove(schema, kind, merged, named_last) or {}
        owned = FieldSet()
        for one in managed.values():
            owned = owned | one.fields
        everything = field_set(schema, kind, merged).with_named_fields(schema, kind)
        kept = field_set(schema, kind, pruned).with_named_fields(schema, kind)
        wanted = kept | owned.with_named_fields(schema, kind)
        pruned = remove(schema, kind, merged, everything - wanted) or {}
        kept = field_set(schema, kind, pruned).with_named_fields(schema, kind)
        return remove(schema, kind, merged, (everything - kept) & named_last) or {}

    def _client_side_fields(self) -> FieldSet | None:
        """What the last-applied annotation says and the live object still has; None without a usable annotation."""
        annotation = (self.live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
        try:
            last = json.loads(annotation or "")
        except ValueError:
            return None
        if not isinstance(last, dict) or last.get("apiVersion") != self.scope.kind.api_version:
            return None
        if check(self.schema, self.type, last):
            return None
        found = compare(self.schema, self.type, last, self.live)
        return field_set(self.schema, self.type, last) - found.modified - found.added - found.removed

    def _with_last_applied(self, made: Object) -> Object:
        annotations = made["metadata"].get("annotations") or {}
        if self.manager.name != KUBECTL or not annotations.get(LAST_APPLIED):
            return made
        applied: Object = orjson.loads(orjson.dumps(self.applied))
        own = (applied.get("metadata") or {}).get("annotations")
        if own is not None:
            own.pop(LAST_APPLIED, None)
        text = compact_json(applied) + "\n"
        return {**made, "metadata": {**made["metadata"], "annotations": {**annotations, LAST_APPLIED: text}}}

    def _decoded(self, merged: Object) -> Object:
        decoder = UnstructuredDecoder(self.schema)
        try:
            made = decoder.decode(merged, self.schema.for_kind(self.scope.kind))
        except DecodingError as mistake:
            why = f"failed to convert new typed object ({self._identity()}) to object: {mistake}"
            raise unclassified(why) from None
        return apply_defaults(self.scope.kind, made)

    def _identity(self) -> str:
        meta = self.applied.get("metadata")
        found = meta if isinstance(meta, dict) else {}
        return f"{found.get('namespace', '')}/{found.get('name', '')}; {self.scope.kind}"


def _without_managed_fields(obj: Object) -> Object:
    meta = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    return {**obj, "metadata": meta}


def _listed(mistakes: list[str]) -> str:
    return mistakes[0] if len(mistakes) == 1 else "\n  ".join(["errors:", *mistakes])


def _refusal(conflicts: list[Conflict]) -> ApiError:
    causes = [Cause("FieldManagerConflict", f"conflict with {_called(who)}", shown(path)) for who, path in conflicts]
    if len(conflicts) == 1:
        who, path = conflicts[0]
        return apply_conflict(causes, f"Apply failed with 1 conflict: conflict with {_called(who)}: {shown(path)}")
    lines = []
    for manager in sorted({who for who, _ in conflicts}):
        lines.append(f"conflicts with {_called(manager)}:")
        lines += [f"- {shown(path)}" for who, path in conflicts if who == manager]
    return apply_conflict(causes, f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines))


def _called(manager: Manager) -> str:
    """A manager as a conflict names it."""
    text = quote(manager.name)
    if manager.subresource:
        text += f" with subresource {quote(manager.subresource)}"
    return f"{text} using {manager.api_version}" if manager.operation == "Update" else text
