"""Bodies in Kubernetes' protobuf form, as Go's typed clients send them, to the values that JSON would have held.

    k8s\\0 | Unknown { 1: TypeMeta { 1: apiVersion  2: kind }  2: raw, the object itself  3: encoding  4: type }

An object is read by two tables: the schema says what a field holds, `protobuf_fields` which number it has. Go writes
every field that is not a pointer, set or not; the decoder of JSON values drops what means nothing, as it does with a
body that spells it out. Numbers that are not known (of a newer client) are passed over.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from podrun.api.decode import Read
from podrun.api.errors import bad_request
from podrun.api.gvk import KindRef
from podrun.api.names import rfc3339, rfc3339_micro
from podrun.api.protobuf_fields import numbered
from podrun.api.schema import Struct, Type, shared

Object = dict[str, Any]

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DEEPEST = 100
"""Messages within messages; the deepest type of the API has less than twenty."""


class Malformed(ValueError):
    """The bytes are no protobuf message, or not one of the type that they should be."""


def read_body(body: bytes, expected: KindRef) -> Read:
    """The object in a body where one of kind `expected` belongs, and the kind that it says it is.

    Raises ApiError 400.
    """
    try:
        if not body.startswith(_MAGIC):
            raise Malformed("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
        unknown = {number: value for number, _, value in _fields(body[len(_MAGIC) :])}
        head = {number: _text(value) for number, _, value in _fields(_bytes(unknown.get(1, b"")))}
        kind = KindRef.parse(head.get(1) or expected.api_version, head.get(2) or expected.kind)
        return Read(_object(kind, expected, _bytes(unknown.get(2, b""))), kind, [])
    except Malformed as mistake:
        raise bad_request(f"the object provided is unrecognized (must be of type {expected.kind}): {mistake}") from None


def _object(kind: KindRef, expected: KindRef, raw: bytes) -> Object:
    head: Object = {"apiVersion": kind.api_version, "kind": kind.kind}
    if kind.kind != expected.kind:
        # Another kind is refused by its name, whatever it holds.
        return head
    # DeleteOptions is in every group, and the same in each.
    definition = shared().name_of(expected) or f"{_META}.{expected.kind}"
    return {**head, **_message(definition, shared().struct(definition), raw, 0)}


def _message(definition: str, fields: Struct, raw: bytes, depth: int) -> Object:
    """The values of a message; `fields` says what they hold (those of the struct around an embedded one)."""
    if depth > _DEEPEST:
        raise Malformed("the message is nested too deeply")
    try:
        numbers = numbered(definition)
    except KeyError:
        raise Malformed(f"{definition} cannot be read from protobuf") from None
    made: Object = {}
    for number, wire, value in _fields(raw):
        field = numbers.get(number)
        if field is None:
            continue
        if field.embedded:
            made |= _message(field.embedded, fields, _bytes(value), depth + 1)
        elif field.name in fields.fields:
            _put(made, field.name, fields.fields[field.name].type, wire, value, depth)
    return made


def _put(made: Object, name: str, type_: Type, wire: int, value: int | bytes, depth: int) -> None:
    """Add a value of a field; lists and maps come one element at a time."""
    if type_.shape == "list":
        assert type_.items is not None
        listed = made.setdefault(name, [])
        if type_.items.shape in ("int32", "int64") and wire == _BYTES:
            listed += [_signed(one) for one in _packed(_bytes(value))]
        else:
            listed.append(_value(type_.items, value, depth))
    elif type_.shape == "map":
        assert type_.items is not None
        entry = {number: part for number, _, part in _fields(_bytes(value))}
        made.setdefault(name, {})[_text(entry.get(1, b""))] = _value(type_.items, entry.get(2, b""), depth)
    else:
        made[name] = _value(type_, value, depth)


def _value(type_: Type, value: int | bytes, depth: int) -> Any:
    match type_.shape:
        case "struct":
            return _message(type_.definition, shared().struct(type_.definition), _bytes(value), depth + 1)
        case "list":
            # A named list (`ExtraValue`) is a message whose field 1 repeats.
            assert type_.items is not None
            return [_value(type_.items, part, depth + 1) for number, _, part in _fields(_bytes(value)) if number == 1]
        case "bool":
            return bool(_int(value))
        case "int32" | "int64":
            return _signed(_int(value))
        case "float64":
            return struct.unpack("<d", _bytes(value))[0] if isinstance(value, bytes) and len(value) == 8 else 0.0
        case "string":
            return _text(value)
        case "bytes":
            return base64.b64encode(_bytes(value)).decode()
    return _special(type_.shape, {number: part for number, _, part in _fields(_bytes(value))})


def _special(shape: str, parts: dict[int, int | bytes]) -> Any:
    """Types that have a spelling of their own in JSON."""
    match shape:
        case "quantity":
            return _text(parts.get(1, b"")) or "0"
        case "intstr":
            return _text(parts.get(3, b"")) if _int(parts.get(1, 0)) else _signed(_int(parts.get(2, 0)))
        case "time" | "microtime":
            seconds, nanos = _signed(_int(parts.get(1, 0))), _int(parts.get(2, 0))
            if not seconds and not nanos:
                return None
            spell: Callable[[float], str] = rfc3339_micro if shape == "microtime" else rfc3339
            return _in_time(spell, seconds + nanos / 1e9)
        case "duration":
            return f"{_signed(_int(parts.get(1, 0))) / 1e9:g}s"
    # RawExtension and FieldsV1 hold JSON in field 1.
    raw = _bytes(parts.get(1, b""))
    if not raw:
        return None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"a field that holds JSON does not: {error}") from None


def _in_time(spell: Callable[[float], str], seconds: float) -> str:
    try:
        return spell(seconds)
    except (OverflowError, ValueError, OSError):
        raise Malformed("a time is out of range") from None


# The wire


def _fields(raw: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """(number, wire type, value) of each field; a value is an int or the bytes of what has a length."""
    at, end = 0, len(raw)
    while at < end:
        key, at = _varint(raw, at)
        number, wire = key >> 3, key & 7
        value: int | bytes
        if wire == _VARINT:
            value, at = _varint(raw, at)
        else:
            if wire == _BYTES:
                length, at = _varint(raw, at)
            elif wire == _FIXED64:
                length = 8
            elif wire == _FIXED32:
                length = 4
            else:
                raise Malformed(f"wire type {wire} is not known")
            if length > end - at:
                raise Malformed("unexpected end of the message")
            value = raw[at : at + length]
            at += length
        yield number, wire, value


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(raw):
            raise Malformed("unexpected end of the message")
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise Malformed("an integer is too long")


def _packed(raw: bytes) -> Iterator[int]:
    at = 0
    while at < len(raw):
        value, at = _varint(raw, at)
        yield value


def _signed(value: int) -> int:
    """A varint as the two's complement of 64 bits that it is."""
    return value - (1 << 64) if value >> 63 else value


def _int(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise Malformed("a number is expected")
    return value


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise Malformed("bytes are expected")
    return value


def _text(value: int | bytes) -> str:
    return _bytes(value).decode("utf-8", "replace")
