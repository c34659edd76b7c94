"""Paths to fields, and the causes of a refusal as Kubernetes words them.

A validator is a generator of causes: it yields one for each thing that is wrong and never stops at the first. The
constructors below give each kind of cause its reason (`FieldValueInvalid`, ...) and the head of its message
(`Invalid value: "x"`); the rule adds the detail that says what is allowed instead.

Values appear in messages as Go prints them: strings as Go quotes them, numbers and booleans bare, everything else as
compact JSON with the characters `<`, `>` and `&` escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from podrun.api.errors import Cause

Causes = Iterator[Cause]
"""What a validator gives: the causes found, in the order of the fields."""

HTML_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
GO_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    '"': '\\"',
    "\\": "\\\\",
}


class Path(str):
    """Where in an object a field is: `spec.containers[0].name`. An empty path is the object itself."""

    __slots__ = ()

    def child(self, *names: str) -> Path:
        """The field `names[-1]` under this one; several names go down several levels."""
        tail = ".".join(names)
        return Path(f"{self}.{tail}" if self else tail)

    def index(self, position: int) -> Path:
        """The element at `position` of this list."""
        return Path(f"{self}[{position}]")

    def key(self, name: str) -> Path:
        """The entry `name` of this map."""
        return Path(f"{self}[{name}]")


class GoLiteral(str):
    """A value already spelled as Go would print it: it goes into the message unquoted."""

    __slots__ = ()


def go_quote(text: str) -> str:
    """`text` in double quotes as Go's `%q` writes it."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    out = []
    for char in text:
        code = ord(char)
        if char in GO_ESCAPES:
            out.append(GO_ESCAPES[char])
        elif char.isprintable():
            out.append(char)
        elif code < 0x80:
            out.append(f"\\x{code:02x}")
        elif code < 0x10000:
            out.append(f"\\u{code:04x}")
        else:
            out.append(f"\\U{code:08x}")
    return '"' + "".join(out) + '"'


def spell(value: Any) -> str:
    """A refused value as it stands in a message."""
    if isinstance(value, GoLiteral):
        return str(value)
    if isinstance(value, str):
        return go_quote(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).translate(HTML_ESCAPES)


def message(head: str, detail: str) -> str:
    return f"{head}: {detail}" if detail else head


def required(path: str, detail: str = "") -> Cause:
    return Cause("FieldValueRequired", message("Required value", detail), str(path))


def forbidden(path: str, detail: str) -> Cause:
    return Cause("FieldValueForbidden", message("Forbidden", detail), str(path))


def invalid(path: str, value: Any, detail: str = "") -> Cause:
    return Cause("FieldValueInvalid", message(f"Invalid value: {spell(value)}", detail), str(path))


def type_invalid(path: str, value: Any, detail: str = "") -> Cause:
    return Cause("FieldValueTypeInvalid", message(f"Invalid value: {spell(value)}", detail), str(path))


def not_supported(path: str, value: Any, supported: Iterable[str]) -> Cause:
    """`value` is none of the `supported` ones, which are listed in the order given."""
    listing = ", ".join(go_quote(one) for one in supported)
    detail = f"supported values: {listing}" if listing else ""
    return Cause("FieldValueNotSupported", message(f"Unsupported value: {spell(value)}", detail), str(path))


def duplicate(path: str, value: Any) -> Cause:
    return Cause("FieldValueDuplicate", f"Duplicate value: {spell(value)}", str(path))


def not_found(path: str, value: Any) -> Cause:
    return Cause("FieldValueNotFound", f"Not found: {spell(value)}", str(path))


def too_long(path: str, limit: int, unit: str = "byte") -> Cause:
    """Longer than `limit` bytes (or characters, as `unit` says in the singular)."""
    return Cause(
        "FieldValueTooLong", f"Too long: may not be more than {limit} {unit if limit == 1 else unit + 's'}", str(path)
    )


def too_many(path: str, actual: int | None, limit: int) -> Cause:
    """More than `limit` items; `actual` of them, where the message tells."""
    head = "Too many" if actual is None else f"Too many: {actual}"
    return Cause(
        "FieldValueTooMany", f"{head}: must have at most {limit} {'item' if limit == 1 else 'items'}", str(path)
    )


def internal(path: str, detail: str) -> Cause:
    return Cause("InternalError", message("Internal error", detail), str(path))
