"""From JSON values to canonical objects: what Go's decoder makes of them, and what it says when it cannot.

A value is walked along its type. What comes out is what the API server would write back after decoding into its
structs: unknown fields gone, empty values of `omitempty` fields gone, fields that are always written present,
quantities and times in canonical form. What is wrong is of three sorts, with Go's precedence between them:

- a custom decoder's complaint (a quantity, a time) ends everything at once;
- a value of the wrong type is remembered, the first of them, and decoding goes on;
- unknown and repeated fields are collected; they matter to strict decoding only.

Source: sigs.k8s.io/json (a copy of encoding/json), `UnmarshalJSON` of apimachinery's types.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Any

from podrun.api import gotime, quantity
from podrun.api.gotext import quote
from podrun.api.jsontext import Decimal, Repeated
from podrun.api.schema import Field, Schema, Struct, Type

Object = dict[str, Any]

MOST_STRICT_ERRORS = 100
DEEPEST = 200
"""Levels of a value that has no type of its own (a FieldsV1); deeper ones could not be written back."""

_INT_RANGES = {"int32": 1 << 31, "int64": 1 << 63}


class DecodingError(ValueError):
    """The object cannot be decoded; the message is Go's."""


class _Unset:
    """Stands for null: the field is left as if it had not been given."""


UNSET = _Unset()


class Decoder:
    """One decoding: `struct()` gives the object; afterwards `strict` holds the unknown and repeated fields."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.strict: dict[str, None] = {}
        self.saved: str | None = None
        self._fields: list[str] = []
        self._owner = ""
        self._path: list[str] = []
        self._readers: dict[str, Callable[[Any, Type], Any]] = {
            "string": self._string,
            "bool": self._bool,
            "int32": self._integer,
            "int64": self._integer,
            "float64": self._float,
            "bytes": self._bytes,
            "quantity": self._quantity,
            "intstr": self._intstr,
            "time": self._time,
            "microtime": self._time,
            "duration": self._string,
            "struct": self._nested,
            "list": self._list,
            "map": self._map,
            "any": self._raw,
            "fields": self._raw,
        }

    def decode(self, value: Object, struct: Struct) -> Object:
        """The canonical object of a struct; raises DecodingError."""
        made = self.struct(value, struct)
        if self.saved is not None:
            raise DecodingError(self.saved)
        return made

    def struct(self, value: Object, struct: Struct) -> Object:
        """The canonical form of a struct's JSON object."""
        out: Object = {}
        fields = struct.fields
        owner, depth = self._owner, len(self._fields)
        seen: Object = {}
        for name, item in pairs(value):
            found = fields.get(name)
            if found is None:
                self._complain("unknown", name)
                continue
            if name in seen:
                self._complain("duplicate", name)
                item = decoded_over(seen[name], item)
            seen[name] = item
            self._owner = struct.name
            if found.embedded:
                self._fields.append(found.embedded)
            self._fields.append(name)
            self._path.append(f".{name}")
            made = self._readers[found.type.shape](item, found.type)
            self._path.pop()
            del self._fields[depth:]
            if made is UNSET or left_out(found, made):
                out.pop(name, None)
            else:
                out[name] = made
        self._owner = owner
        for name in struct.always:
            if name not in out:
                out[name] = unset_value(self.schema, fields[name])
        return out

    # What JSON a shape takes

    def _nested(self, value: Any, kind: Type) -> Any:
        if isinstance(value, dict):
            return self.struct(value, self.schema.struct(kind.definition))
        return self._refuse(value, kind)

    def _list(self, value: Any, kind: Type) -> Any:
        if not isinstance(value, list):
            return self._refuse(value, kind)
        assert kind.items is not None
        read, items = self._readers[kind.items.shape], kind.items
        out = []
        for index, item in enumerate(value):
            self._path.append(f"[{index}]")
            made = read(item, items)
            self._path.pop()
            out.append(zero_value(self.schema, items) if made is UNSET else made)
        return out

    def _map(self, value: Any, kind: Type) -> Any:
        if not isinstance(value, dict):
            return self._refuse(value, kind)
        assert kind.items is not None
        read, items = self._readers[kind.items.shape], kind.items
        out: Object = {}
        for name, item in pairs(value):
            if name in out:
                self._complain("duplicate", name)
            self._path.append(f".{name}")
            made = read(item, items)
            self._path.pop()
            out[clean(name)] = zero_value(self.schema, items) if made is UNSET else made
        return out

    def _string(self, value: Any, kind: Type) -> Any:
        return clean(value) if isinstance(value, str) else self._refuse(value, kind)

    def _bool(self, value: Any, kind: Type) -> Any:
        return value if isinstance(value, bool) else self._refuse(value, kind)

    def _integer(self, value: Any, kind: Type) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return self._refuse(value, kind)
        limit = _INT_RANGES[kind.shape]
        if isinstance(value, float) or not -limit <= value < limit:
            return self._save(f"number {spelled(value)}", kind.go)
        return value

    def _float(self, value: Any, kind: Type) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return self._refuse(value, kind)
        return float(value)

    def _bytes(self, value: Any, kind: Type) -> Any:
        if not isinstance(value, str):
            return self._refuse(value, kind)
        problem = base64_problem(value)
        if problem is not None:
            self.saved = self.saved or f"illegal base64 data at input byte {problem}"
            return UNSET
        text = value.replace("\n", "").replace("\r", "")
        return base64.b64encode(binascii.a2b_base64(text)).decode("ascii")

    def _quantity(self, value: Any, kind: Type) -> Any:
        if value is None:
            return UNSET
        try:
            return quantity.canonical(value if isinstance(value, str) else spelled(value))
        except ValueError as mistake:
            raise DecodingError(str(mistake)) from None

    def _intstr(self, value: Any, kind: Type) -> Any:
        if value is None:
            return UNSET
        if isinstance(value, str):
            return clean(value)
        if isinstance(value, int) and not isinstance(value, bool) and -(1 << 31) <= value < 1 << 31:
            return value
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        raise self._mistake(f"number {spelled(value)}" if number else json_kind(value), "int32")

    def _time(self, value: Any, kind: Type) -> Any:
        if value is None:
            return UNSET
        if not isinstance(value, str):
            raise self._mistake(json_kind(value), "string")
        try:
            return gotime.seconds(value) if kind.shape == "time" else gotime.micros(value)
        except ValueError as mistake:
            raise DecodingError(str(mistake)) from None

    def _raw(self, value: Any, kind: Type) -> Any:
        return UNSET if value is None else plain(value)

    # Mistakes

    def _refuse(self, value: Any, kind: Type) -> Any:
        """Null leaves the field alone; anything else is of the wrong type."""
        return UNSET if value is None else self._save(json_kind(value), kind.go)

    def _save(self, what: str, go: str) -> _Unset:
        if self.saved is None:
            self.saved = self._sentence(what, go)
        return UNSET

    def _mistake(self, what: str, go: str) -> DecodingError:
        return DecodingError(self._sentence(what, go))

    def _sentence(self, what: str, go: str) -> str:
        return f"json: cannot unmarshal {what} into Go struct field {self._owner}.{'.'.join(self._fields)} of type {go}"

    def _complain(self, what: str, name: str) -> None:
        if len(self.strict) < MOST_STRICT_ERRORS:
            self.strict[f"{what} field {quote(''.join([*self._path, '.', name]).lstrip('.'))}"] = None


def pairs(value: Object) -> Iterable[tuple[str, Any]]:
    """The names and values of a JSON object as written, repeated ones included."""
    return value.pairs if isinstance(value, Repeated) else value.items()


def decoded_over(before: Any, item: Any) -> Any:
    """What a repeated field holds: Go decodes the later object into the earlier one."""
    if not isinstance(before, dict) or not isinstance(item, dict):
        return item
    merged = dict(before)
    for name, value in item.items():
        merged[name] = decoded_over(merged.get(name), value)
    return merged


def left_out(field: Field, value: Any) -> bool:
    """Whether the encoder leaves out this value of an `omitempty` field."""
    if not field.omit_empty or value:
        return False
    if field.type.shape in ("list", "map", "bytes"):
        return True
    return not field.pointer and field.type.shape not in ("struct", "quantity", "intstr")


def unset_value(schema: Schema, field: Field) -> Any:
    """What is written for a field that is written though nothing was given."""
    return None if field.pointer else zero_value(schema, field.type)


def zero_value(schema: Schema, kind: Type) -> Any:
    """Go's zero value of a type, as it is written."""
    match kind.shape:
        case "string" | "bytes" | "duration":
            return ""
        case "bool":
            return False
        case "int32" | "int64" | "float64" | "intstr":
            return 0
        case "quantity":
            return "0"
        case "struct":
            struct = schema.struct(kind.definition)
            return {name: unset_value(schema, struct.fields[name]) for name in struct.always}
        case _:
            return None


def plain(value: Any, depth: int = 0) -> Any:
    """JSON values without what the reader noted about them; raises DecodingError when nested too deep."""
    if depth > DEEPEST:
        raise DecodingError("exceeded max depth")
    if isinstance(value, dict):
        return {clean(name): plain(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, Decimal):
        return float(value)
    return clean(value) if isinstance(value, str) else value


def json_kind(value: Any) -> str:
    """What Go calls a JSON value in a sentence."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    return "null" if value is None else "number"


def spelled(value: Any) -> str:
    """A number as it was written."""
    return value.text if isinstance(value, Decimal) else str(value)


def clean(text: str) -> str:
    """`text` without lone surrogates, which JSON can hold and UTF-8 cannot; Go replaces them."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def base64_problem(text: str) -> int | None:
    """Where Go's standard encoding stops understanding `text` (an offset in bytes), or None."""
    digits = 0
    for at, char in enumerate(text):
        if char in "\r\n":
            continue
        if char in _ALPHABET:
            digits = (digits + 1) % 4
            continue
        if char != "=" or digits < 2:
            return at
        rest = text[at + 1 :].replace("\r", "").replace("\n", "")
        if digits == 2:
            if not rest:
                return len(text)
            if rest[0] != "=":
                return at
            rest = rest[1:]
        if rest:
            return text.index(rest[0], at + (2 if digits == 2 else 1))
        return None
    return len(text) - digits if digits else None
