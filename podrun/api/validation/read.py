"""Reading JSON as its schema says, whatever is really there.

Validators run after the decoder, which has refused values of the wrong type; these readers make sure that a validator
does not fail where the decoder was more lenient (a null in a list, say): what has the wrong type counts as absent.
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def has(obj: Object, name: str) -> bool:
    """Whether the field is set: present and not null."""
    return obj.get(name) is not None


def text(obj: Object, name: str) -> str:
    """A string; empty when absent."""
    value = obj.get(name)
    return value if isinstance(value, str) else ""


def optional_text(obj: Object, name: str) -> str | None:
    """A string that may be left out, where the empty string is a value of its own."""
    value = obj.get(name)
    return value if isinstance(value, str) else None


def optional_number(obj: Object, name: str) -> int | None:
    """An integer that may be left out."""
    value = obj.get(name)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number(obj: Object, name: str) -> int:
    """An integer; 0 when absent."""
    return optional_number(obj, name) or 0


def flag(obj: Object, name: str) -> bool:
    """A boolean; false when absent."""
    return obj.get(name) is True


def optional_flag(obj: Object, name: str) -> bool | None:
    """A boolean that may be left out."""
    value = obj.get(name)
    return value if isinstance(value, bool) else None


def mapping(obj: Object, name: str) -> Object:
    """An object; empty when absent."""
    value = obj.get(name)
    return value if isinstance(value, dict) else {}


def optional_mapping(obj: Object, name: str) -> Object | None:
    """An object that may be left out."""
    value = obj.get(name)
    return value if isinstance(value, dict) else None


def texts(obj: Object, name: str) -> dict[str, str]:
    """A map of strings (labels, annotations, data) in the order of its keys, the order in which it is checked."""
    value = mapping(obj, name)
    return {key: value[key] if isinstance(value[key], str) else "" for key in sorted(value)}


def items(obj: Object, name: str) -> list[Object]:
    """A list of objects; empty when absent."""
    value = obj.get(name)
    return [one if isinstance(one, dict) else {} for one in value] if isinstance(value, list) else []


def strings(obj: Object, name: str) -> list[str]:
    """A list of strings; empty when absent."""
    value = obj.get(name)
    return [one if isinstance(one, str) else "" for one in value] if isinstance(value, list) else []


def numbers(obj: Object, name: str) -> list[int]:
    """A list of integers; empty when absent."""
    value = obj.get(name)
    if not isinstance(value, list):
        return []
    return [one if isinstance(one, int) and not isinstance(one, bool) else 0 for one in value]


def size(value: str) -> int:
    """The length of a string as Go counts it: in bytes of UTF-8."""
    return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
