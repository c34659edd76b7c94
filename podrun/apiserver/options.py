"""The options of a request, from its query, checked as meta/v1's validation does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from podrun.api import jsontext, protobuf, yamltext
from podrun.api.deletion import DeleteOptions, options_of
from podrun.api.errors import bad_request, invalid
from podrun.api.gvk import KindRef
from podrun.api.jsontext import SyntaxMistake
from podrun.api.validation import options
from podrun.apiserver.call import Call
from podrun.apiserver.negotiation import JSON, YAML

PROTOBUF = protobuf.MEDIA_TYPE
_DELETE_OPTIONS = KindRef("meta.k8s.io", "v1", "DeleteOptions")
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
    given: dict[str, Any] = {
        "fieldManager": query.get("fieldManager", ""),
        "fieldValidation": query.get("fieldValidation", ""),
        "dryRun": list(query.getall("dryRun", ())),
    }
    if "force" in query:
        given["force"] = call.flag("force")
    patching = kind == "PatchOptions"
    causes = options.patch_options(given, is_apply=apply) if patching else options.write_options(given)
    if causes:
        raise invalid(f"{kind}.meta.k8s.io", "", causes)
    return WriteOptions(call.dry_run, given["fieldValidation"], call.flag("force"))


async def delete_options(call: Call) -> DeleteOptions:
    """The options of a delete: the body's, or without one the query's. Raises BadRequest and Invalid."""
    body = await call.body()
    given: Any
    if body:
        media_type = call.media_type(*BODY_TYPES)
        try:
            if media_type == PROTOBUF:
                given = protobuf.read_body(body, _DELETE_OPTIONS).value
            else:
                given = yamltext.read(body)[0] if media_type == YAML else jsontext.unrepeated(jsontext.read(body))
        except SyntaxMistake as mistake:
            raise bad_request(f"couldn't get version/kind; json parse error: {mistake}") from None
        except ValueError as error:
            raise bad_request(f"couldn't get version/kind; json parse error: {error}") from None
    else:
        query = call.query
        given = {"gracePeriodSeconds": call.number("gracePeriodSeconds")}
        if query.get("propagationPolicy"):
            given["propagationPolicy"] = query["propagationPolicy"]
        if "orphanDependents" in query:
            given["orphanDependents"] = call.flag("orphanDependents")
    if isinstance(given, dict) and call.dry_run:
        given["dryRun"] = list(call.query.getall("dryRun"))
    return checked_options(given)


def checked_options(given: Any) -> DeleteOptions:
    """DeleteOptions from JSON values; raises BadRequest for what is none, Invalid for values that mean nothing."""
    parsed = options_of(given)
    causes = options.delete_options(given)
    if causes:
        raise invalid("DeleteOptions.meta.k8s.io", "", causes)
    return parsed
