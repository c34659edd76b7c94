"""The options of a request, from its query, checked as meta/v1's validation does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from podrun.api import yamltext
from podrun.api.deletion import DeleteOptions, options_of
from podrun.api.errors import Cause, bad_request, invalid
from podrun.api.gotext import quote
from podrun.apiserver.call import Call
from podrun.apiserver.negotiation import JSON, YAML

LONGEST_MANAGER = 128
_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
PROTOBUF = "application/vnd.kubernetes.protobuf"
BODY_TYPES = (JSON, YAML, PROTOBUF)


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """The options of a create, update or patch."""

    dry_run: bool
    field_validation: str
    force: bool = False


def write_options(call: Call, kind: str, *, apply: bool = False) -> WriteOptions:
    """`kind` is CreateOptions, UpdateOptions or PatchOptions. Raises Invalid."""
    query = call.query
    causes = []
    manager = query.get("fieldManager", "")
    if apply and not manager:
        causes.append(Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager"))
    if kind == "PatchOptions" and not apply and "force" in query:
        causes.append(Cause("FieldValueForbidden", "Forbidden: may not be specified for non-apply patch", "force"))
    causes += _manager(manager)
    causes += _dry_run(query.getall("dryRun", ()))
    validation = query.get("fieldValidation", "")
    if validation not in _VALIDATIONS:
        listing = ", ".join(quote(one) for one in _VALIDATIONS)
        message = f"Unsupported value: {quote(validation)}: supported values: {listing}"
        causes.append(Cause("FieldValueNotSupported", message, "fieldValidation"))
    if causes:
        raise invalid(f"{kind}.meta.k8s.io", "", causes)
    return WriteOptions(call.dry_run, validation, call.flag("force"))


def _manager(manager: str) -> Iterable[Cause]:
    if len(manager.encode()) > LONGEST_MANAGER:
        yield Cause("FieldValueTooLong", f"Too long: may not be more than {LONGEST_MANAGER} bytes", "fieldManager")
    for position, char in enumerate(manager):
        if not char.isprintable():
            message = f"Invalid value: {quote(manager)}: invalid character U+{ord(char):04X} (at position {position})"
            yield Cause("FieldValueInvalid", message, "fieldManager")


def _dry_run(values: Iterable[str]) -> Iterable[Cause]:
    given = list(values)
    if any(value != "All" for value in given):
        listing = f"[{','.join(quote(value) for value in given)}]"
        yield Cause("FieldValueNotSupported", f'Unsupported value: {listing}: supported values: "All"', "dryRun")


async def delete_options(call: Call) -> DeleteOptions:
    """The options of a delete: the body's, or without one the query's. Raises BadRequest and Invalid."""
    body = await call.body()
    if body:
        media_type = call.media_type(*BODY_TYPES)
        try:
            parsed = yamltext.read(body)[0] if media_type == YAML else orjson.loads(body)
        except ValueError as error:
            raise bad_request(f"couldn't get version/kind; json parse error: {error}") from None
        options = options_of(parsed)
    else:
        query = call.query
        orphan = call.flag("orphanDependents") if "orphanDependents" in query else None
        options = DeleteOptions(
            grace_seconds=call.number("gracePeriodSeconds"),
            policy=query.get("propagationPolicy") or None,
            orphan_dependents=orphan,
        )
    options.check()
    causes = list(_dry_run(call.query.getall("dryRun", ())))
    if causes:
        raise invalid("DeleteOptions.meta.k8s.io", "", causes)
    if call.dry_run and not options.dry_run:
        return DeleteOptions(
            options.grace_seconds,
            options.uid,
            options.resource_version,
            options.policy,
            options.orphan_dependents,
            dry_run=True,
        )
    return options
