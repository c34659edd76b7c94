"""POST, PUT, PATCH and DELETE of any stored kind."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from podrun.api import apply, patches, protobuf
from podrun.api.decode import decode_read, read_body
from podrun.api.deletion import decide
from podrun.api.errors import (
    ApiError,
    already_exists,
    bad_request,
    forbidden,
    generate_name_conflict,
    not_found,
    unsupported_media_type,
)
from podrun.api.kinds import KINDS
from podrun.apiserver.admission import await_account
from podrun.apiserver.answers import answer_list, answer_object, answer_record, answer_status, shown, success
from podrun.apiserver.call import Call
from podrun.apiserver.lists import select
from podrun.apiserver.options import BODY_TYPES, PROTOBUF, delete_options, write_options
from podrun.apiserver.registry import Registry, reference, stored_form, stored_resource
from podrun.store.deleting import delete
from podrun.store.records import Record
from podrun.store.store import Decision
from podrun.timeline import marks

Object = dict[str, Any]

PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
APPLY = PATCH_TYPES[-1]
GENERATED_NAME_ATTEMPTS = 8
"""How often a taken generated name is replaced by another (apiserver's maxNameGenerationCreateAttempts)."""
IMMORTAL = ("default", "kube-system", "kube-public")
"""Namespaces that may not be deleted (NamespaceLifecycle admission)."""


class _DryRun(Exception):
    """Carries what would have been stored out of a decision, which then changes nothing."""

    def __init__(self, obj: Object) -> None:
        self.obj = obj


class Writes:
    """The writing verbs over one registry."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.store = registry.store

    async def create(self, call: Call) -> web.Response:
        """POST to a collection."""
        options = write_options(call, "CreateOptions")
        obj = await self.body(call, options.field_validation)
        await await_account(self.store, call.kind, call.namespace)
        attempts = GENERATED_NAME_ATTEMPTS if _is_generated(obj) else 1
        for attempt in range(attempts):
            made = self.registry.new_object(call, obj)
            try:
                if options.dry_run:
                    return await self._dry_create(call, made)
                record = await self._store_new(call, made)
            except ApiError as error:
                if error.reason != "AlreadyExists" or not _is_generated(obj):
                    raise
                if attempt == attempts - 1:
                    raise generate_name_conflict(call.kind.resource, made["metadata"]["name"]) from None
                continue
            _note_arrival(call, record)
            return await answer_record(call, record, code=201)
        raise AssertionError("unreachable")

    async def body(self, call: Call, field_validation: str) -> Object:
        """The object in the request's body, in the form of the call's kind."""
        body = await call.body()
        media_type = call.media_type(*BODY_TYPES)
        kind = reference(call.kind)
        read = protobuf.read_body(body, kind) if media_type == PROTOBUF else read_body(body, media_type, kind)
        decoded = decode_read(read, kind, field_validation)
        call.warnings += decoded.warnings
        return decoded.object

    async def update(self, call: Call) -> web.Response:
        """PUT of an object or of one of its subresources."""
        options = write_options(call, "UpdateOptions")
        new = await self.body(call, options.field_validation)
        self._check_name(call, new)
        creates = self.registry.strategy(call.kind).create_on_update
        return await self._change(call, lambda old: new, lambda: new if creates else None, options.dry_run)

    async def patch(self, call: Call) -> web.Response:
        """PATCH: JSON patch, merge patch, strategic merge patch, or server-side apply."""
        media_type = call.request.content_type
        if media_type not in PATCH_TYPES:
            call.warnings.clear()  # it has not come to the kind, which has them
            raise unsupported_media_type("415: Unsupported Media Type", {})
        applying = media_type == APPLY
        options = write_options(call, "PatchOptions", apply=applying)
        body = await call.body()
        kind = reference(call.kind)
        if applying:

            def applied(old: Object | None) -> Object:
                decoded = apply.server_side_apply(
                    kind,
                    old,
                    body,
                    manager=call.manager,
                    force=options.force,
                    now=time.time(),
                    subresource=call.info.subresource,
                    field_validation=options.field_validation,
                )
                call.warnings += decoded.warnings
                return decoded.object if old is None else self._named(call, decoded.object)

            def fresh() -> Object | None:
                return None if call.info.subresource else self._named(call, applied(None))

            return await self._change(call, applied, fresh, options.dry_run, managed=False)

        def patched(old: Object) -> Object:
            decoded = patches.apply_patch(kind, old, body, media_type, options.field_validation)
            call.warnings += decoded.warnings
            self._check_name(call, decoded.object)
            return decoded.object

        return await self._change(call, patched, lambda: None, options.dry_run)

    async def _change(
        self,
        call: Call,
        change: Callable[[Object], Object],
        make: Callable[[], Object | None],
        dry_run: bool,
        *,
        managed: bool = True,
    ) -> web.Response:
        """Replace the object by what `change` makes of it, or create what `make` gives where there is none."""
        created = False
        kind, registry = call.kind, self.registry
        if not call.info.subresource:
            await await_account(self.store, kind, call.namespace)

        def changed(current: Object | None) -> Decision:
            nonlocal created
            if current is None:
                fresh = make()
                if fresh is None:
                    raise not_found(kind.resource, call.info.name)
                created = True
                new = registry.new_object(call, fresh, managed=managed)
                decision: Decision = stored_form(kind, new)
            else:
                old = shown(kind, current)
                new = registry.changed_object(call, change(old), old, managed=managed)
                decision = registry.decision(kind, new)
            if dry_run:
                raise _DryRun(new)
            return decision

        try:
            record = await self.store.write(stored_resource(kind), call.namespace, call.info.name, changed)
        except _DryRun as result:
            return await answer_object(call, result.obj, code=201 if created else 200)
        if created:
            _note_arrival(call, record)
        return await answer_record(call, record, code=201 if created else 200)

    async def delete(self, call: Call) -> web.Response:
        """DELETE of one object."""
        options = await delete_options(call)
        kind = KINDS[stored_resource(call.kind)]
        if kind.resource == "namespaces" and call.info.name in IMMORTAL:
            raise forbidden("namespaces", call.info.name, "this namespace may not be deleted")
        current = self.store.get(kind.resource, call.namespace, call.info.name)
        if current is None:
            raise not_found(call.kind.resource, call.info.name)
        if options.dry_run:
            decided = decide(kind, current, options, time.time())
            if decided.gone and not self.registry.strategy(call.kind).returns_deleted:
                return await self._answer_gone(call, current)
            return await answer_object(call, shown(call.kind, decided.state))
        record, gone = await delete(self.store, kind, call.namespace, call.info.name, options, time.time())
        if gone and not self.registry.strategy(call.kind).returns_deleted:
            return await self._answer_gone(call, record.object)
        return await answer_record(call, record)

    async def _answer_gone(self, call: Call, obj: Object) -> web.Response:
        """Most kinds say that an object is gone, and not what it was."""
        uid = obj["metadata"].get("uid", "")
        details = {"name": call.info.name, "group": call.kind.group, "kind": call.kind.plural, "uid": uid}
        return await answer_status(call, success({key: value for key, value in details.items() if value}))

    async def delete_collection(self, call: Call) -> web.Response:
        """DELETE of everything that the selectors match; the answer is the list as it was before."""
        options = await delete_options(call)
        selection = await select(self.store, call)
        kind = KINDS[stored_resource(call.kind)]
        for key, _ in () if options.dry_run else selection.items:
            try:
                await delete(self.store, kind, key.namespace, key.name, options, time.time())
            except ApiError as error:
                # Somebody else was faster: it is gone, as was wished.
                if error.reason != "NotFound":
                    raise
        return await answer_list(call, [record for _, record in selection.items], selection.metadata())

    async def _store_new(self, call: Call, obj: Object) -> Record:
        kind = call.kind
        stored = stored_form(kind, obj)
        name = stored["metadata"]["name"]

        def created(current: Object | None) -> Decision:
            if current is not None:
                raise _taken(call, current)
            return stored

        return await self.store.write(stored_resource(kind), call.namespace, name, created)

    async def _dry_create(self, call: Call, obj: Object) -> web.Response:
        name = obj["metadata"]["name"]
        current = self.store.get(stored_resource(call.kind), call.namespace, name)
        if current is not None:
            raise _taken(call, current)
        return await answer_object(call, obj, code=201)

    def _check_name(self, call: Call, obj: Object) -> None:
        name = (obj.get("metadata") or {}).get("name", "")
        if not name:
            raise bad_request(
                f"the name of the object ({call.info.name} based on URL) was undeterminable: name must be provided"
            )
        if name != call.info.name:
            raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({call.info.name})")

    def _named(self, call: Call, obj: Object) -> Object:
        self._check_name(call, obj)
        return obj


def _taken(call: Call, current: Object) -> ApiError:
    """The refusal of a name that another object has."""
    error = already_exists(call.kind.resource, current["metadata"]["name"])
    if "deletionTimestamp" in current["metadata"]:
        error.message = f"object is being deleted: {error.message}"
    return error


def _note_arrival(call: Call, record: Record) -> None:
    if call.kind.resource == "pods":
        marks.note(record.object["metadata"]["uid"], "posted", (call.arrived, call.manager))


def _is_generated(obj: Object) -> bool:
    metadata = obj.get("metadata") or {}
    return bool(not metadata.get("name") and metadata.get("generateName"))
