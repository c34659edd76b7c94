"""Bodies of requests, and objects of our own, as canonical objects; what is wrong with them in Kubernetes' words."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

from podrun.api import jsontext, yamltext
from podrun.api.decoder import Decoder, DecodingError, json_kind
from podrun.api.errors import bad_request
from podrun.api.gotext import quote
from podrun.api.gvk import KindRef
from podrun.api.jsontext import SyntaxMistake
from podrun.api.schema import shared
from podrun.api.yamltext import YamlMistake

Object = dict[str, Any]

JSON = "application/json"
YAML = "application/yaml"

STRICT = "Strict"
IGNORE = "Ignore"

SCHEME = "pkg/api/legacyscheme/scheme.go:30"
"""What Kubernetes calls the registry of its types in messages."""

_SUMMARY_LENGTH = 30
_HEAD_TYPE = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
_INTERNAL_PACKAGES = {"": "core", "events.k8s.io": "core"}


class Decoded(NamedTuple):
    """A canonical object, and a sentence for each unknown or repeated field of it."""

    object: Object
    warnings: list[str]


class Read(NamedTuple):
    """A body as JSON values, the kind it is of, and sentences about keys that YAML has twice."""

    value: Object
    kind: KindRef
    repeated: list[str]


def decode_body(body: bytes, media_type: str, expected: KindRef, field_validation: str = "") -> Decoded:
    """The object in the body of a POST or PUT where an object of kind `expected` belongs.

    `media_type` is `application/json` or `application/yaml`; `field_validation` is the query's (empty means Warn).
    apiVersion and kind are filled in where they are missing. Raises ApiError 400: not JSON, a wrong type, an unknown
    kind or one that is not expected here, an unknown field under Strict.
    """
    read = read_body(body, media_type, expected)
    return decode_read(read, expected, field_validation)


def read_body(body: bytes, media_type: str, expected: KindRef) -> Read:
    """The body as JSON values, and what kind it says it is; raises ApiError 400."""
    repeated: list[str] = []
    try:
        if media_type == YAML:
            value, repeated = yamltext.read(body)
        else:
            value = jsontext.read(body)
    except YamlMistake as mistake:
        _unrecognized(str(mistake), body, expected)
    except SyntaxMistake as mistake:
        _no_kind(str(mistake), body, expected)
    if value is None:
        value = {}
    if not isinstance(value, dict):
        what = json_kind(value)
        _no_kind(f"json: cannot unmarshal {what} into Go value of type {_HEAD_TYPE}", body, expected)
    try:
        kind = kind_in(value, expected)
    except DecodingError as mistake:
        _unrecognized(str(mistake), body, expected)
    return Read(value, kind, repeated)


def decode_read(read: Read, expected: KindRef, field_validation: str = "") -> Decoded:
    """The object of a body that was read, where an object of kind `expected` belongs; raises ApiError 400."""
    kind = read.kind
    try:
        made = convert(read, expected)
    except DecodingError as mistake:
        _cannot_be_handled(kind, expected, str(mistake))
    warnings = [] if field_validation == IGNORE else made.warnings
    if field_validation == STRICT and warnings:
        _cannot_be_handled(kind, expected, strict_sentence(warnings))
    if kind != expected:
        message = (
            f"the API version in the data ({kind.api_version}) does not match the expected API version "
            f"({expected.api_version})"
        )
        raise bad_request(message)
    return Decoded(made.object, warnings)


def convert(read: Read, expected: KindRef) -> Decoded:
    """What was read as a canonical object of kind `expected`; raises DecodingError with the bare sentence."""
    kind = read.kind
    if shared().name_of(kind) is None:
        raise DecodingError(not_registered(kind))
    decoder = Decoder(shared())
    made = decoder.decode(read.value, shared().for_kind(kind))
    if kind.kind != expected.kind:
        target = f"{_internal_package(expected)}.{expected.kind}"
        raise DecodingError(f"converting (v1.{kind.kind}) to ({target}): unknown conversion")
    warnings = list(decoder.strict)
    if read.repeated:
        warnings.insert(0, yamltext.repeated_sentence(read.repeated))
    return Decoded({"kind": kind.kind, "apiVersion": kind.api_version, **made}, warnings)


def strict_sentence(mistakes: list[str]) -> str:
    """The strict decoder's sentence about unknown and repeated fields."""
    return f"strict decoding error: {', '.join(mistakes)}"


def kind_in(value: Object, expected: KindRef) -> KindRef:
    """The kind that JSON values say they are of, completed with the expected one; raises DecodingError."""
    head = {}
    for name in ("apiVersion", "kind"):
        given = value.get(name)
        if given is not None and not isinstance(given, str):
            sentence = f"json: cannot unmarshal {json_kind(given)} into Go struct field .{name} of type string"
            raise DecodingError(f"couldn't get version/kind; json parse error: {sentence}")
        head[name] = given or ""
    if head["apiVersion"].count("/") > 1:
        raise DecodingError(f"unexpected GroupVersion string: {head['apiVersion']}")
    return _with_defaults(KindRef.parse(head["apiVersion"], head["kind"]), expected)


def decode_object(kind: KindRef, value: Object) -> Decoded:
    """The canonical object of JSON values that are known to be of `kind`; raises DecodingError, KeyError."""
    decoder = Decoder(shared())
    made = decoder.decode(value, shared().for_kind(kind))
    return Decoded({"kind": kind.kind, "apiVersion": kind.api_version, **made}, list(decoder.strict))


def normalise(kind: KindRef, value: Object) -> Object:
    """An object of our own in canonical form: what the API server would write after reading it."""
    return decode_object(kind, value).object


def not_registered(kind: KindRef) -> str:
    """Kubernetes' sentence for a kind that it does not know."""
    return f"no kind {quote(kind.kind)} is registered for version {quote(kind.api_version)} in scheme {quote(SCHEME)}"


def _with_defaults(kind: KindRef, expected: KindRef) -> KindRef:
    group, version = kind.group, kind.version
    if not version and group in ("", expected.group):
        group, version = expected.group, expected.version
    return KindRef(group, version, kind.kind or expected.kind)


def _internal_package(kind: KindRef) -> str:
    return _INTERNAL_PACKAGES.get(kind.group) or kind.group.partition(".")[0]


def _cannot_be_handled(kind: KindRef, expected: KindRef, why: str) -> NoReturn:
    message = f"{kind.kind} in version {quote(kind.version)} cannot be handled as a {expected.kind}: {why}"
    raise bad_request(message)


def _no_kind(why: str, body: bytes, expected: KindRef) -> NoReturn:
    _unrecognized(f"couldn't get version/kind; json parse error: {why}", body, expected)


def _unrecognized(why: str, body: bytes, expected: KindRef) -> NoReturn:
    raise bad_request(
        f"the object provided is unrecognized (must be of type {expected.kind}): {why} ({_summary(body)})"
    )


def _summary(body: bytes) -> str:
    """The first bytes of a body: as text when it looks like JSON, else in hexadecimal."""
    if not body:
        return "<empty>"
    head, more = body[:_SUMMARY_LENGTH], " ..." if len(body) > _SUMMARY_LENGTH else ""
    return (head.decode("utf-8", "replace") if body.startswith(b"{") else head.hex()) + more
