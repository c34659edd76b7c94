"""Quantities in objects, read leniently: what cannot be parsed is no amount (the decoder has refused it before)."""

from __future__ import annotations

from typing import Any

from podrun.api.quantity import Quantity
from podrun.api.validation.read import Object, mapping

ZERO = Quantity(0)


def amount(value: Any) -> Quantity | None:
    """The quantity of a field on the wire; None when it is absent or makes no sense."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        return Quantity.parse(value.strip() if isinstance(value, str) else str(value))
    except (ValueError, OverflowError):
        return None


def amounts(obj: Object, name: str) -> dict[str, Quantity]:
    """A ResourceList (`limits`, `requests`, ...) in the order of its names."""
    values = mapping(obj, name)
    read = {key: amount(values[key]) for key in sorted(values)}
    return {key: value for key, value in read.items() if value is not None}
