"""When two values of the API are the same: Kubernetes' semantic equality, on JSON.

What is absent, null, an empty string, list or map is one and the same; quantities are equal when their amounts are
(`1000m` and `1`).
"""

from __future__ import annotations

from typing import Any

from podrun.api.validation.amounts import amount

QUANTITY_MAPS = frozenset({"limits", "requests", "overhead", "podFixed", "capacity", "allocatable"})
MAPS = QUANTITY_MAPS | {"labels", "annotations", "nodeSelector", "matchLabels", "data", "binaryData", "resources"}
QUANTITIES = frozenset({"sizeLimit", "divisor"})


def same(one: Any, other: Any, key: str = "") -> bool:
    """Whether the two are semantically equal; `key` is the name of the field that holds them."""
    if isinstance(one, dict) and isinstance(other, dict):
        if key in QUANTITY_MAPS:
            return one.keys() == other.keys() and all(_same_amount(one[name], other[name]) for name in one)
        return all(same(one.get(name), other.get(name), name) for name in one.keys() | other.keys())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if _empty(one, key) or _empty(other, key):
        return _empty(one, key) and _empty(other, key)
    if key in QUANTITIES:
        return _same_amount(one, other)
    return type(one) is type(other) and bool(one == other)


def _empty(value: Any, key: str) -> bool:
    """Whether the value counts as not set; an empty object does only where it is a map or always there."""
    return value is None or value == "" or value == [] or (value == {} and key in MAPS)


def _same_amount(one: Any, other: Any) -> bool:
    a, b = amount(one), amount(other)
    return one == other if a is None or b is None else a == b
