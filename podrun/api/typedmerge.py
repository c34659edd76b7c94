"""Merging an applied configuration into an object, and taking fields out of one, along their types.

Items of lists keep a common order where the two have one: the configuration's items in its order, the others where they
stood. Source: sigs.k8s.io/structured-merge-diff, typed (merge.go, remove.go).
"""

from __future__ import annotations

from typing import Any

from podrun.api.fieldset import FieldSet, field_element
from podrun.api.schema import Schema, Type
from podrun.api.typedvalue import MISSING, TypedError, child_type, is_one_value, item_element

Object = dict[str, Any]


def merge(schema: Schema, kind: Type, live: Any, applied: Any) -> Any:
    """`live` with `applied` merged into it; MISSING when nothing is left. Neither is changed."""
    if is_one_value(kind) or (not live and not applied):
        return live if applied is MISSING else applied
    if kind.shape == "list":
        return _merge_lists(schema, kind, live or [], applied or []) or MISSING
    ours, theirs = live or {}, applied or {}
    made: Object = {}
    for name in {**ours, **theirs}:
        value = merge(schema, child_type(schema, kind, name), ours.get(name, MISSING), theirs.get(name, MISSING))
        if value is not MISSING:
            made[name] = value
    return made or MISSING


def _indexed(schema: Schema, kind: Type, items: list[Any], *, repeated: bool) -> tuple[list[str], dict[str, Any]]:
    """The items' elements in order, and the items by element; one that is there twice is null."""
    order, found = [], {}
    for index, item in enumerate(items):
        try:
            element = item_element(schema, kind, item)
        except TypedError as mistake:
            raise TypedError(f"element {index}: {mistake}") from None
        if element in found and not repeated:
            raise TypedError(f"duplicate entries for key {element}")
        found[element] = None if element in found else item
        order.append(element)
    return order, found


def _merge_lists(schema: Schema, kind: Type, live: list[Any], applied: list[Any]) -> list[Any]:
    assert kind.items is not None
    items = kind.items
    theirs, their_items = _indexed(schema, kind, applied, repeated=False)
    ours, our_items = _indexed(schema, kind, live, repeated=True)
    shared = [element for element in theirs if element in our_items]
    made: list[Any] = []
    merged: set[str] = set()

    def take(element: str) -> None:
        merged.add(element)
        value = merge(schema, items, our_items.get(element, MISSING), their_items[element])
        if value is not MISSING:
            made.append(value)
        if shared and shared[0] == element:
            shared.pop(0)

    left = right = 0
    while left < len(ours) or right < len(theirs):
        if left < len(ours) and right < len(theirs):
            element = ours[left]
            if element == theirs[right]:
                take(element)
                left += 1
                right += 1
                continue
            if element in their_items and shared and shared[0] != element:
                left += 1  # shared, but its turn comes later
                continue
        if left < len(ours):
            element = ours[left]
            if element not in their_items:
                made.append(live[left])
                left += 1
                continue
            if element in merged:
                left += 1
        if right < len(theirs):
            take(theirs[right])
            right += 1
    return made


def remove(schema: Schema, kind: Type, value: Any, fields: FieldSet) -> Any:
    """`value` without the fields of the set; null when nothing is left. `value` itself stays as it is."""
    if kind.shape not in ("list", "map", "struct"):
        return value
    if not value or is_one_value(kind):
        return None
    matched = False
    if kind.shape == "list":
        assert kind.items is not None
        items = []
        for item in value:
            element = item_element(schema, kind, item)
            if element in fields.members:
                continue
            below = fields.children.get(element)
            if below:
                matched = True
                item = _emptied(item, remove(schema, kind.items, item, below))
            items.append(item)
        return items if items or matched else None
    made: Object = {}
    for name, item in value.items():
        element = field_element(name)
        if element in fields.members:
            continue
        below = fields.children.get(element)
        if below:
            matched = True
            item = _emptied(item, remove(schema, child_type(schema, kind, name), item, below))
        made[name] = item
    return made if made or matched else None


def _emptied(before: Any, after: Any) -> Any:
    """A list or object that lost everything in it is still there, empty."""
    if after is None and isinstance(before, (dict, list)):
        return type(before)()
    return after
