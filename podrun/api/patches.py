"""PATCH: a body of one of three kinds, applied to an object, decoded again; refusals in Kubernetes' words.

Server-side apply is in `apply.py`. The result is a canonical object; defaults, metadata that the server owns and
validation are the caller's next steps. Source: apiserver/pkg/endpoints/handlers/patch.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from podrun.api import gotext, jsonpatch, jsontext, mergepatch, strategicpatch
from podrun.api.decode import IGNORE, STRICT, Decoded, Read, convert, kind_in, strict_sentence
from podrun.api.decoder import DEEPEST, DecodingError, json_kind
from podrun.api.errors import ApiError, Cause, bad_request, invalid, request_entity_too_large, unclassified
from podrun.api.gvk import KindRef
from podrun.api.jsontext import Repeated, SyntaxMistake
from podrun.api.schema import shared
from podrun.api.strategicpatch import BadPatch
from podrun.api.unstructured import UnstructuredDecoder

Object = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

MOST_OPERATIONS = 10_000
_OPERATION = ("op", "path", "from", "value")


def apply_patch(kind: KindRef, current: Object, body: bytes, media_type: str, field_validation: str = "") -> Decoded:
    """`current` (an object of `kind` as stored) changed by the patch in `body`.

    `media_type` is one of the first three above. Raises ApiError: 400 for a body that is no such patch, 413 for too
    many operations, 422 for what cannot be applied or decoded, 500 for what Kubernetes leaves unclassified.
    """
    if media_type == STRATEGIC_PATCH:
        return _strategic(kind, current, body, field_validation)
    prefix = "" if field_validation == IGNORE else "error decoding patch: "
    patch = _read(body, prefix)
    if media_type == JSON_PATCH:
        mistakes = _check_operations(patch, prefix, field_validation)
        if len(patch) > MOST_OPERATIONS:
            raise request_entity_too_large(
                f"The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {len(patch)}"
            )
        try:
            patched = jsonpatch.apply(current, jsontext.unrepeated(patch))
        except jsonpatch.PatchFails:
            raise _rejected() from None
    else:
        if not isinstance(patch, dict):
            _not_a(patch, "map[string]interface {}", prefix)
        mistakes = [f"duplicate field {gotext.quote(path)}" for path in repetitions(patch)]
        patched = mergepatch.apply(current, jsontext.unrepeated(patch))
    return _decoded(kind, patched, [] if field_validation == IGNORE else mistakes, field_validation)


def repetitions(value: Any, path: str = "") -> Iterator[str]:
    """The paths of the names that stand twice in their object."""
    if isinstance(value, dict):
        seen: set[str] = set()
        for name, item in value.pairs if isinstance(value, Repeated) else value.items():
            here = f"{path}.{name}" if path else name
            if name in seen:
                yield here
            seen.add(name)
            yield from repetitions(item, here)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from repetitions(item, f"{path}[{index}]")


def _read(body: bytes, prefix: str) -> Any:
    try:
        patch = jsontext.read(body)
    except SyntaxMistake as mistake:
        raise bad_request(f"{prefix}{mistake}") from None
    if jsontext.is_deeper(patch, DEEPEST):
        raise bad_request(f"{prefix}exceeded max depth")
    return patch


def _not_a(value: Any, go: str, prefix: str) -> NoReturn:
    raise bad_request(f"{prefix}json: cannot unmarshal {json_kind(value)} into Go value of type {go}")


def _check_operations(patch: Any, prefix: str, field_validation: str) -> list[str]:
    """A JSON patch's shape: raises ApiError 400 when it has another; unknown and repeated members are given back."""
    package = "jsonpatch.Patch" if field_validation == IGNORE else "[]handlers.jsonPatchOp"
    if not isinstance(patch, list):
        _not_a(patch, package, prefix)
    mistakes = []
    for index, operation in enumerate(patch):
        if not isinstance(operation, dict):
            _not_a(operation, "handlers.jsonPatchOp", prefix)
        for name in _OPERATION[:3]:
            given = operation.get(name)
            if given is not None and not isinstance(given, str):
                what = f"{json_kind(given)} into Go struct field jsonPatchOp.{name} of type string"
                raise bad_request(f"{prefix}json: cannot unmarshal {what}")
        mistakes += [
            f"json patch duplicate field {gotext.quote(path)}" for path in repetitions(operation, f"[{index}]")
        ]
        unknown = [name for name in operation if name not in _OPERATION]
        mistakes += [f"json patch unknown field {gotext.quote(f'[{index}].{name}')}" for name in unknown]
    return mistakes


def _rejected() -> ApiError:
    return ApiError(422, "Invalid", "the server rejected our request due to an error in our request", {})


def _refused(shown: str, why: str) -> ApiError:
    cause = Cause("FieldValueInvalid", f"Invalid value: {gotext.quote(shown)}: {why}", "patch")
    return invalid("", "", [cause])


def _decoded(kind: KindRef, patched: Any, mistakes: list[str], field_validation: str) -> Decoded:
    """What a JSON or merge patch gave, as an object; raises ApiError 422."""
    shown = gotext.compact_json(patched)
    if not isinstance(patched, dict):
        raise _refused(shown, "couldn't get version/kind; json parse error: not an object")
    try:
        made = convert(Read(patched, kind_in(patched, kind), []), kind)
    except DecodingError as mistake:
        raise _refused(shown, str(mistake)) from None
    found = [] if field_validation == IGNORE else mistakes + made.warnings
    if found and field_validation == STRICT:
        raise _refused(shown, strict_sentence(found))
    return Decoded(made.object, found)


def _strategic(kind: KindRef, current: Object, body: bytes, field_validation: str) -> Decoded:
    patch = _read(body, "")
    if not isinstance(patch, dict):
        _not_a(patch, "map[string]interface {}", "")
    mistakes = [f"duplicate field {gotext.quote(path)}" for path in repetitions(patch)]
    patch = jsontext.unrepeated(patch)
    struct = shared().for_kind(kind)
    try:
        patched = strategicpatch.apply(shared(), struct.definition, current, patch)
    except BadPatch as mistake:
        if mistake.code == 400:
            raise bad_request(str(mistake)) from None
        raise (_rejected() if mistake.code == 422 else unclassified(str(mistake))) from None
    decoder = UnstructuredDecoder(shared())
    try:
        made = decoder.decode(patched, struct)
    except DecodingError as mistake:
        raise _refused(gotext.plain(patch), str(mistake)) from None
    found = [] if field_validation == IGNORE else mistakes + sorted(decoder.strict)
    if found and field_validation == STRICT:
        raise _refused(gotext.plain(patch), strict_sentence(found))
    # What it is cannot be patched: a patch of kind or apiVersion is lost in the typed object.
    return Decoded({**made, "kind": kind.kind, "apiVersion": kind.api_version}, found)
