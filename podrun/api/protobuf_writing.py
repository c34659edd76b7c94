"""Objects in Kubernetes' protobuf form, for clients that accept nothing else.

The other direction of `protobuf`, by the same two tables: the fields of a message in the order of their numbers, the
keys of a map in the order of their names. What an object does not have is not written; every reader takes that for the
zero value.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from podrun.api.goduration import parse_duration
from podrun.api.gvk import KindRef
from podrun.api.names import parse_time
from podrun.api.protobuf_fields import numbered
from podrun.api.schema import Struct, Type, shared

Object = dict[str, Any]

_MAGIC = b"k8s\0"
_VARINT, _FIXED64, _BYTES = 0, 1, 2
_LIST_METADATA = (("selfLink", 1), ("resourceVersion", 2), ("continue", 3))
_REMAINING = 4


def write_object(kind: KindRef, obj: Object) -> bytes:
    """An object of a served kind."""
    return _unknown(kind, _message_of(kind, obj))


def write_list(kind: KindRef, list_kind: str, objects: Iterable[Object], metadata: Mapping[str, Any]) -> bytes:
    """A list of objects of a served kind; `metadata` is the list's own."""
    head = b"".join(_text(number, metadata[name]) for name, number in _LIST_METADATA if metadata.get(name))
    if metadata.get("remainingItemCount") is not None:
        head += _number(_REMAINING, metadata["remainingItemCount"])
    items = b"".join(_part(2, _message_of(kind, obj)) for obj in objects)
    return _unknown(KindRef(kind.group, kind.version, list_kind), _part(1, head) + items)


def _unknown(kind: KindRef, raw: bytes) -> bytes:
    head = _text(1, kind.api_version) + _text(2, kind.kind)
    return _MAGIC + _part(1, head) + _part(2, raw) + _part(3, b"") + _part(4, b"")


def _message_of(kind: KindRef, obj: Object) -> bytes:
    found = shared().for_kind(kind)
    return _message(found.definition, shared().struct(found.definition), obj)


def _message(definition: str, fields: Struct, obj: Object) -> bytes:
    """`fields` says what the members of `obj` hold: those of the struct around an embedded one."""
    made = b""
    for number, field in sorted(numbered(definition).items()):
        if field.embedded:
            made += _part(number, _message(field.embedded, fields, obj))
        elif obj.get(field.name) is not None and field.name in fields.fields:
            made += _field(number, fields.fields[field.name].type, obj[field.name])
    return made


def _field(number: int, type_: Type, value: Any) -> bytes:
    if type_.shape == "list":
        assert type_.items is not None
        return b"".join(_one(number, type_.items, item) for item in value)
    if type_.shape == "map":
        assert type_.items is not None
        entries = (_text(1, key) + _one(2, type_.items, item) for key, item in sorted(value.items()))
        return b"".join(_part(number, entry) for entry in entries)
    return _one(number, type_, value)


def _one(number: int, type_: Type, value: Any) -> bytes:
    match type_.shape:
        case "struct":
            return _part(number, _message(type_.definition, shared().struct(type_.definition), value))
        case "list":
            assert type_.items is not None
            return _part(number, b"".join(_one(1, type_.items, item) for item in value))
        case "bool" | "int32" | "int64":
            return _number(number, int(value))
        case "float64":
            return _varint(number << 3 | _FIXED64) + struct.pack("<d", value)
        case "string":
            return _text(number, value)
        case "bytes":
            return _part(number, base64.b64decode(value))
    return _part(number, _SPECIAL.get(type_.shape, _json)(value))


def _quantity(value: Any) -> bytes:
    return _text(1, str(value))


def _int_or_string(value: Any) -> bytes:
    return _number(1, 1) + _text(3, value) if isinstance(value, str) else _number(1, 0) + _number(2, value)


def _time(value: Any) -> bytes:
    nanos = round(parse_time(value) * 1_000_000) * 1000
    return _number(1, nanos // 1_000_000_000) + _number(2, nanos % 1_000_000_000)


def _duration(value: Any) -> bytes:
    return _number(1, round(parse_duration(value) * 1e9))


def _json(value: Any) -> bytes:
    """RawExtension and FieldsV1 hold JSON in field 1."""
    return _part(1, orjson.dumps(value))


_SPECIAL: Mapping[str, Callable[[Any], bytes]] = {
    "quantity": _quantity,
    "intstr": _int_or_string,
    "time": _time,
    "microtime": _time,
    "duration": _duration,
}


def _part(number: int, raw: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(raw)) + raw


def _text(number: int, value: str) -> bytes:
    return _part(number, value.encode())


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
