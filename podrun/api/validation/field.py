"""Paths to fields, and the causes of a refusal as Kubernetes words them.

A validator is a generator of causes: it yields one for each thing that is wrong and never stops at the first. The
constructors below give each kind of cause its reason (`FieldValueInvalid`, ...) and the head of its message
(`Invalid value: "x"`); the rule adds the detail that says what is allowed instead.

Values stand in messages as Go prints them: strings as Go quotes them, everything else as compact JSON with the
characters `<`, `>` and `&` escaped (apimachinery/pkg/util/validation/field/errors.go).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from podrun.api.errors import Cause
from podrun.api.gotext import quote

Causes = Iterator[Cause]
"""What a validator gives: the causes found, in the order of the fields."""

HTML_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


class Path(str):
    """Where in an object a field is: `spec.containers[0].name`."""

    __slots__ = ()

    def child(self, *names: str) -> Path:
        """The field `names[-1]` under this one; several names go down several levels."""
        tail = ".".join(names)
        return Path(f"{self}.{tail}" if self else tail)

    def at(self, position: int) -> Path:
        """The element at `position` of this list."""
        return Path(f"{self}[{position}]")

    def key(self, name: str) -> Path:
        """The entry `name` of this map."""
        return Path(f"{self}[{name}]")


NOWHERE = Path("[]")
"""How Kubernetes spells the path of a cause that concerns the whole object."""


def spell(value: Any) -> str:
    """A refused value as it stands in a message; the keys of a mapping keep their order."""
    if isinstance(value, str):
        return quote(value)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.translate(HTML_ESCAPES)


def worded(head: str, detail: str) -> str:
    """A message of a head and, where there is something to add, a detail."""
    return f"{head}: {detail}" if detail else head


def required(path: str, detail: str = "") -> Cause:
    return Cause("FieldValueRequired", worded("Required value", detail), str(path))


def forbidden(path: str, detail: str) -> Cause:
    return Cause("FieldValueForbidden", worded("Forbidden", detail), str(path))


def invalid(path: str, value: Any, detail: str) -> Cause:
    return Cause("FieldValueInvalid", worded(f"Invalid value: {spell(value)}", detail), str(path))


def not_supported(path: str, value: Any, supported: Iterable[str]) -> Cause:
    """`value` is none of the `supported` ones, which are listed in the order given."""
    listing = ", ".join(quote(one) for one in supported)
    detail = f"supported values: {listing}" if listing else ""
    return Cause("FieldValueNotSupported", worded(f"Unsupported value: {spell(value)}", detail), str(path))


def duplicate(path: str, value: Any, detail: str = "") -> Cause:
    return Cause("FieldValueDuplicate", worded(f"Duplicate value: {spell(value)}", detail), str(path))


def not_found(path: str, value: Any, detail: str = "") -> Cause:
    return Cause("FieldValueNotFound", worded(f"Not found: {spell(value)}", detail), str(path))


def too_long(path: str, limit: int) -> Cause:
    """Longer than `limit` bytes."""
    return Cause("FieldValueTooLong", f"Too long: may not be more than {limit} bytes", str(path))


def too_many(path: str, actual: int, limit: int) -> Cause:
    """`actual` items where there may be `limit`."""
    return Cause("FieldValueTooMany", f"Too many: {actual}: must have at most {limit} items", str(path))


def internal(path: str, detail: str) -> Cause:
    """Kubernetes itself did not expect this value here."""
    return Cause("InternalError", worded("Internal error", detail), str(path))


def each_invalid(path: str, value: Any, details: Iterable[str]) -> Causes:
    """One cause for each of the `details` that a check of a name, a label or a number gave."""
    return (invalid(path, value, detail) for detail in details)


def choice(path: str, value: str, supported: Iterable[str]) -> Causes:
    """A field that must hold one of the `supported` values: required when empty."""
    options = tuple(supported)
    if not value:
        yield required(path)
    elif value not in options:
        yield not_supported(path, value, options)
