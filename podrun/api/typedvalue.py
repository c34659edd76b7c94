"""Objects against their types as server-side apply sees them: what is one value, what is merged, what differs.

A list is one value (atomic), a set of scalars, or a list of objects known by their keys; maps and structs are merged
unless the schema calls them atomic. Values are those of canonical objects; MISSING is not the same as null. Source:
sigs.k8s.io/structured-merge-diff, typed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from podrun.api.fieldset import FieldSet, Path, field_element, key_element, shown, value_element
from podrun.api.gotext import plain, quote
from podrun.api.schema import Schema, Type
from podrun.api.unstructured import go_kind

Object = dict[str, Any]


class _Missing:
    """Stands for a field that is not there."""

    def __bool__(self) -> bool:
        return False


MISSING = _Missing()


class TypedError(ValueError):
    """An object does not fit its type; the message is Kubernetes'."""


def is_one_value(kind: Type) -> bool:
    """Whether a value of this type is owned and replaced as a whole."""
    if kind.shape == "list":
        return kind.list_type == "atomic"
    return kind.atomic or kind.shape not in ("map", "struct")


def item_element(schema: Schema, kind: Type, item: Any) -> str:
    """The path element of a list's item; raises TypedError when it has none."""
    if kind.list_type == "set":
        if isinstance(item, dict):
            raise TypedError("associative list without keys has an element that's a map type")
        if isinstance(item, list):
            raise TypedError("not supported: associative list with lists as elements")
        if item is None:
            raise TypedError("associative list without keys has an element that's an explicit null")
        return value_element(item)
    if item is None:
        raise TypedError("associative list with keys may not have a null element")
    if not isinstance(item, dict):
        raise TypedError("associative list with keys may not have non-map elements")
    assert kind.items is not None
    fields = schema.struct(kind.items.definition).fields if kind.items.shape == "struct" else {}
    keys: Object = {}
    for name in kind.keys:
        if name in item:
            keys[name] = item[name]
        elif name in fields and fields[name].default is not None:
            keys[name] = fields[name].default
    if not keys:
        listed = " ".join(map(quote, kind.keys))
        why = "associative list with keys has an element that omits all key fields"
        raise TypedError(f"{why} [{listed}] (and doesn't have default values for any key fields)")
    return key_element(keys)


def child_type(schema: Schema, kind: Type, name: str) -> Type:
    """The type of a field of a struct or of a map's values."""
    if kind.shape == "struct":
        return schema.struct(kind.definition).fields[name].type
    assert kind.items is not None
    return kind.items


# Comparing


@dataclass(slots=True)
class Comparison:
    """What differs between two objects; no path is in two of the sets."""

    removed: FieldSet = field(default_factory=FieldSet)
    modified: FieldSet = field(default_factory=FieldSet)
    added: FieldSet = field(default_factory=FieldSet)


def compare(schema: Schema, kind: Type, left: Any, right: Any) -> Comparison:
    """How the right object differs from the left one, both of the type."""
    found = Comparison()
    _compare(schema, kind, left, right, (), found)
    return found


def _compare(schema: Schema, kind: Type, left: Any, right: Any, path: Path, found: Comparison) -> None:
    if is_one_value(kind) or (not left and not right):
        if left is MISSING:
            found.added.insert(path)
        elif right is MISSING:
            found.removed.insert(path)
        elif not same(left, right):
            found.modified.insert(path)
        return
    if kind.shape == "list":
        _compare_lists(schema, kind, left or [], right or [], path, found)
    else:
        ours, theirs = left or {}, right or {}
        for name in {**ours, **theirs}:
            inner = child_type(schema, kind, name)
            here = (*path, field_element(name))
            _compare(schema, inner, ours.get(name, MISSING), theirs.get(name, MISSING), here, found)
    if left is MISSING:
        found.added.insert(path)
    elif right is MISSING:
        found.removed.insert(path)


def _compare_lists(
    schema: Schema, kind: Type, left: list[Any], right: list[Any], path: Path, found: Comparison
) -> None:
    assert kind.items is not None
    ours, theirs = _by_element(schema, kind, left), _by_element(schema, kind, right)
    for element in {**ours, **theirs}:
        before, after = ours.get(element, []), theirs.get(element, [])
        here = (*path, element)
        if len(before) <= 1 and len(after) <= 1:
            one, other = (before or [MISSING])[0], (after or [MISSING])[0]
            _compare(schema, kind.items, one, other, here, found)
        elif len(before) >= 2 and len(after) >= 2:
            if not same(before, after):
                found.modified.insert(here)
        elif len(before) >= 2:
            if after:
                _compare(schema, kind.items, MISSING, after[0], here, found)
            found.removed.insert(here)
        else:
            if before:
                _compare(schema, kind.items, before[0], MISSING, here, found)
            found.added.insert(here)


def _by_element(schema: Schema, kind: Type, items: list[Any]) -> dict[str, list[Any]]:
    """The items by path element; those that have none are passed over."""
    found: dict[str, list[Any]] = {}
    for item in items:
        try:
            element = item_element(schema, kind, item)
        except TypedError:
            continue
        found.setdefault(element, []).append(item)
    return found


def same(left: Any, right: Any) -> bool:
    """Equality of JSON values: true is not 1."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(value, right[name]) for name, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)


# The fields that an object has


def field_set(schema: Schema, kind: Type, value: Any) -> FieldSet:
    """The fields that an applied object speaks of."""
    found = FieldSet()
    _fields(schema, kind, value, (), found)
    return found


def _fields(schema: Schema, kind: Type, value: Any, path: Path, found: FieldSet) -> None:
    if is_one_value(kind):
        found.insert(path)
        return
    if kind.shape == "list":
        assert kind.items is not None
        for element, items in _by_element(schema, kind, value or []).items():
            if len(items) == 1:
                _fields(schema, kind.items, items[0], (*path, element), found)
            found.insert((*path, element))
        return
    for name, item in (value or {}).items():
        here = (*path, field_element(name))
        _fields(schema, child_type(schema, kind, name), item, here, found)
        if item is None or item == {} or kind.shape == "map":
            found.insert(here)


# Checking what was applied


def check(schema: Schema, kind: Type, value: Any) -> list[str]:
    """What in an applied object does not fit its type; sentences begin with the path."""
    return [f"{shown(path)}: {why}" if path else why for path, why in _mistakes(schema, kind, value, ())]


def _mistakes(schema: Schema, kind: Type, value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if value is None:
        return
    match kind.shape:
        case "list":
            if not isinstance(value, list):
                yield path, f"expected list, got {_pointed(value)}"
                return
            yield from _item_mistakes(schema, kind, value, path)
        case "map" | "struct":
            if not isinstance(value, dict):
                yield path, f"expected map, got {_pointed(value)}"
                return
            for name, item in value.items():
                here = (*path, field_element(name))
                if kind.shape == "struct" and name not in schema.struct(kind.definition).fields:
                    yield here, "field not declared in schema"
                    return
                yield from _mistakes(schema, child_type(schema, kind, name), item, here)
        case "int32" | "int64" | "float64":
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                yield path, f"expected numeric (int or float), got {_GO_TYPES.get(go_kind(value), go_kind(value))}"
        case "bool":
            if not isinstance(value, bool):
                yield path, f"expected boolean, got {_pointed(value)}"
        case "quantity" | "intstr":
            if isinstance(value, (dict, list)):
                yield path, f"expected any scalar, got {_pointed(value)}"
        case "any" | "fields":
            return
        case _:
            if not isinstance(value, str):
                yield path, f"expected string, got &value.valueUnstructured{{Value:{_go_syntax(value)}}}"


def _item_mistakes(schema: Schema, kind: Type, items: list[Any], path: Path) -> Iterator[tuple[Path, str]]:
    assert kind.items is not None
    seen = set()
    for index, item in enumerate(items):
        element = f"i:{index}"
        if kind.list_type != "atomic":
            try:
                element = item_element(schema, kind, item)
            except TypedError as mistake:
                yield path, f"element {index}: {mistake}"
                return
            if element in seen:
                yield path, f"duplicate entries for key {shown((element,))}"
            seen.add(element)
        yield from _mistakes(schema, kind.items, item, (*path, element))


_GO_TYPES = {"map": "map[string]interface {}", "slice": "[]interface {}"}


def _pointed(value: Any) -> str:
    """How Go's %v shows the wrapper of a value."""
    return f"&{{{plain(value)}}}"


def _go_syntax(value: Any) -> str:
    """How Go's %#v shows a value."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, dict):
        inner = ", ".join(f"{quote(name)}:{_go_syntax(value[name])}" for name in sorted(value))
        return f"map[string]interface {{}}{{{inner}}}"
    if isinstance(value, list):
        return f"[]interface {{}}{{{', '.join(map(_go_syntax, value))}}}"
    return plain(value)
