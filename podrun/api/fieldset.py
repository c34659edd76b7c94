"""Sets of fields of an object, as managedFields writes them (FieldsV1): who owns what.

A path element is the key of FieldsV1: `f:name` a field, `k:{"name":"a"}` the item of a list with these keys, `v:"x"`
the item of a set with this value. A set is a tree; an element is a member itself, or leads to members, or both (written
`.`). Source: sigs.k8s.io/structured-merge-diff, fieldpath.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from podrun.api.gotext import compact_json, plain, quote
from podrun.api.schema import Schema, Type

Object = dict[str, Any]
Path = tuple[str, ...]


class FieldSet:
    """A set of paths. The operations give new sets; `insert` changes this one."""

    __slots__ = ("children", "members")

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self.members: set[str] = set()
        self.children: dict[str, FieldSet] = {}
        for path in paths:
            self.insert(path)

    def insert(self, path: Path) -> None:
        """Add a path; the empty one (the whole object) is nobody's."""
        if not path:
            return
        node = self
        for element in path[:-1]:
            node = node.children.setdefault(element, FieldSet())
        node.members.add(path[-1])

    def __bool__(self) -> bool:
        return bool(self.members) or any(self.children.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSet) and self.to_fields() == other.to_fields()

    __hash__ = None  # type: ignore[assignment]  # sets can change

    def has(self, path: Path) -> bool:
        """Whether exactly this path is a member."""
        node: FieldSet | None = self
        for element in path[:-1]:
            node = node.children.get(element) if node is not None else None
        return node is not None and bool(path) and path[-1] in node.members

    def paths(self, prefix: Path = ()) -> Iterator[Path]:
        """Every member's path, in order."""
        for element in _in_order(self.members | self.children.keys()):
            if element in self.members:
                yield (*prefix, element)
            if element in self.children:
                yield from self.children[element].paths((*prefix, element))

    def __or__(self, other: FieldSet) -> FieldSet:
        made = FieldSet()
        made.members = self.members | other.members
        for element in self.children.keys() | other.children.keys():
            ours, theirs = self.children.get(element), other.children.get(element)
            made.children[element] = ours | theirs if ours and theirs else ours or theirs or FieldSet()
        return made

    def __and__(self, other: FieldSet) -> FieldSet:
        made = FieldSet()
        made.members = self.members & other.members
        for element in self.children.keys() & other.children.keys():
            both = self.children[element] & other.children[element]
            if both:
                made.children[element] = both
        return made

    def __sub__(self, other: FieldSet) -> FieldSet:
        """Without the other's members; what is below a member stays."""
        made = FieldSet()
        made.members = self.members - other.members
        for element, child in self.children.items():
            theirs = other.children.get(element)
            left = child - theirs if theirs is not None else child
            if left:
                made.children[element] = left
        return made

    def without(self, other: FieldSet) -> FieldSet:
        """Without the other's members and everything below them."""
        made = FieldSet()
        made.members = self.members - other.members
        for element, child in self.children.items():
            if element in other.members:
                continue
            theirs = other.children.get(element)
            left = child.without(theirs) if theirs is not None else child
            if left:
                made.children[element] = left
        return made

    def with_named_fields(self, schema: Schema, kind: Type) -> FieldSet:
        """This set with every declared field on the way to a member made a member too."""
        made = FieldSet()
        made.members = set(self.members)
        fields = schema.struct(kind.definition).fields if kind.shape == "struct" else {}
        for element, child in self.children.items():
            if element[2:] in fields:
                made.members.add(element)
            inner = element_type(schema, kind, element)
            made.children[element] = child.with_named_fields(schema, inner) if inner is not None else child
        return made

    def to_fields(self) -> Object:
        """The FieldsV1 of this set."""
        fields: Object = {}
        for element in _in_order(self.members | self.children.keys()):
            below = self.children[element].to_fields() if element in self.children else {}
            if element in self.members:
                fields[element] = {".": {}, **below} if below else {}
            elif below:
                fields[element] = below
        return fields

    @classmethod
    def of_fields(cls, fields: Object) -> FieldSet:
        """The set that a FieldsV1 describes; what is not understood is left out."""
        made = cls()
        for element, below in fields.items():
            if element[1:2] != ":" or element[:1] not in "fkvi" or not isinstance(below, dict):
                continue
            if not below or "." in below:
                made.members.add(element)
            child = cls.of_fields(below)
            if child:
                made.children[element] = child
        return made


def field_element(name: str) -> str:
    """The element of a field or of a map's key."""
    return f"f:{name}"


def key_element(keys: Object) -> str:
    """The element of the list item with these keys."""
    return f"k:{compact_json(keys)}"


def value_element(value: Any) -> str:
    """The element of the set item with this value."""
    return f"v:{compact_json(value)}"


def element_type(schema: Schema, kind: Type, element: str) -> Type | None:
    """The type of what a path element leads to, or None when the type has nothing there."""
    if kind.shape == "struct" and element.startswith("f:"):
        found = schema.struct(kind.definition).fields.get(element[2:])
        return found.type if found is not None else None
    return kind.items


def shown(path: Path) -> str:
    """A path for people: `.spec.containers[name="a"].image`."""
    return "".join(_shown(element) for element in path)


def _shown(element: str) -> str:
    mark, rest = element[0], element[2:]
    if mark == "f":
        return f".{rest}"
    if mark == "k":
        return f"[{','.join(f'{name}={_value(value)}' for name, value in sorted(json.loads(rest).items()))}]"
    return f"[={_value(json.loads(rest))}]" if mark == "v" else f"[{rest}]"


def _value(value: Any) -> str:
    return quote(value) if isinstance(value, str) else plain(value)


def _in_order(elements: set[str]) -> list[str]:
    """Fields, keys, values, indices: the alphabet's order but for the last, which hardly ever occur."""
    ordered = sorted(elements)
    indices = [element for element in ordered if element[0] == "i"]
    return [element for element in ordered if element[0] != "i"] + indices if indices else ordered
