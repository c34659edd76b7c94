"""The types of the API: what fields an object has, and how Go holds each of them.

`load()` gives the one `Schema` of the process. A type is compiled from its OpenAPI definition (and the little that
OpenAPI leaves out: `gotypes.py`) when it is first asked for, without its descriptions, so that a process pays for the
kinds it handles and no others. Decoding, patching, server-side apply and defaulting all walk these types.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from podrun.api.definitions import REF, Definitions
from podrun.api.gotypes import EMBEDDED, exceptions
from podrun.api.gvk import KindRef

Object = dict[str, Any]

Shape = Literal[
    "string", "bool", "int32", "int64", "float64", "bytes", "quantity", "intstr", "time", "microtime", "duration",
    "struct", "list", "map", "any", "fields",
]  # fmt: skip
"""What JSON a type takes: `any` is a RawExtension, `fields` a FieldsV1, `bytes` base64 text."""

_NAMED: dict[str, Shape] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "intstr",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "microtime",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Duration": "duration",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "fields",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
}
_GO_NAMES = {
    "quantity": "resource.Quantity",
    "intstr": "intstr.IntOrString",
    "time": "v1.Time",
    "microtime": "v1.MicroTime",
    "duration": "v1.Duration",
    "fields": "v1.FieldsV1",
    "any": "runtime.RawExtension",
}
_GO_SCALARS = frozenset({"string", "bool", "int32", "int64", "float64", "[]uint8"})
_METADATA = ("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta")

# Defaults that belong to keys of lists (`x-kubernetes-list-map-keys`); server-side apply adds them to keys left out.
_KEY_DEFAULTS: dict[tuple[str, str], str] = {
    ("io.k8s.api.core.v1.ContainerPort", "protocol"): "TCP",
    ("io.k8s.api.core.v1.ServicePort", "protocol"): "TCP",
    ("io.k8s.api.core.v1.LocalObjectReference", "name"): "",
}


@dataclass(slots=True)
class Type:
    """How a value is held: its shape, its name in Go (as a decoder's sentence prints it), what is inside.

    `definition` names the struct (shape `struct`), `items` is the type of a list's or map's elements. `list_type` is
    `atomic`, `set` or `map` with its `keys`; `atomic` is also said of maps and structs that are one value to
    server-side apply.
    """

    shape: Shape
    go: str
    definition: str = ""
    items: Type | None = None
    list_type: str = "atomic"
    keys: tuple[str, ...] = ()
    atomic: bool = False


@dataclass(slots=True)
class Field:
    """A field of a struct: its type, and what the encoder does with it.

    `pointer`: absent and empty differ. `omit_empty`: an empty value is not written. `embedded` names the Go struct
    inside the struct that the field really belongs to. `strategy` and `merge_key` guide a strategic merge patch.
    """

    name: str
    type: Type
    pointer: bool
    omit_empty: bool
    embedded: str = ""
    strategy: tuple[str, ...] = ()
    merge_key: str = ""
    default: str | None = None


@dataclass(slots=True)
class Struct:
    """A struct: `name` is Go's (`PodSpec`), `definition` the schema's."""

    name: str
    definition: str
    fields: dict[str, Field]
    always: tuple[str, ...] = field(default=())
    """Names of the fields that are written even when nothing is set."""


class Schema:
    """Every type of the release spoken, compiled when first used."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self._structs: dict[str, Struct] = {}

    def definition(self, name: str) -> Object:
        """The OpenAPI definition of `io.k8s.api.core.v1.Pod`, with descriptions, freshly read; raises KeyError."""
        return self.definitions.read(name)

    def name_of(self, kind: KindRef) -> str | None:
        """The name of a kind's definition, or None when this release does not know it."""
        return self.definitions.name_of(*kind)

    def for_kind(self, kind: KindRef) -> Struct:
        """The struct of a kind; raises KeyError when this release does not know it."""
        name = self.name_of(kind)
        if name is None:
            raise KeyError(str(kind))
        return self.struct(name)

    def struct(self, name: str) -> Struct:
        """The struct of a definition; raises KeyError."""
        found = self._structs.get(name)
        if found is None:
            found = self._structs[name] = self._compile(name)
        return found

    def field_at(self, kind: KindRef, *path: str) -> Field:
        """The field that names lead to, through lists and maps: `("spec", "containers", "ports")`."""
        struct = self.for_kind(kind)
        for name in path[:-1]:
            inner = struct.fields[name].type
            while inner.items is not None:
                inner = inner.items
            struct = self.struct(inner.definition)
        return struct.fields[path[-1]]

    def closure(self, names: list[str]) -> Iterator[tuple[str, Object]]:
        """The definitions named and all that they refer to, each once, with descriptions."""
        waiting, seen = list(names), set(names)
        while waiting:
            name = waiting.pop()
            body = self.definitions.read(name)
            yield name, body
            for reference in _references(body):
                if reference not in seen:
                    seen.add(reference)
                    waiting.append(reference)

    def _compile(self, name: str) -> Struct:
        body = self.definitions.read(name)
        kind = name.rpartition(".")[2]
        otherwise = exceptions(name)
        required = frozenset(body.get("required", ()))
        embedded, own = EMBEDDED.get(kind, ("", ())) if name.startswith("io.k8s.api.core.v1.") else ("", ())
        fields = {}
        for field_name, node in body.get("properties", {}).items():
            made = self._field(name, field_name, node, field_name in required, otherwise.get(field_name, ""))
            if embedded and field_name not in own:
                made.embedded = embedded
            fields[field_name] = made
        always = tuple(one.name for one in fields.values() if _written_empty(one))
        return Struct(kind, name, fields, tuple(one for one in always if one not in ("apiVersion", "kind")))

    def _field(self, owner: str, name: str, node: Object, required: bool, otherwise: str) -> Field:
        made = self._type(node, owner)
        marks = otherwise[-1:] if otherwise[-1:] in ("!", "?") else ""
        spelled = otherwise[: len(otherwise) - len(marks)]
        referenced = "$ref" in node
        is_time = made.shape in ("time", "microtime")
        pointer = referenced and not required and made.definition not in _METADATA
        if spelled:
            pointer = spelled.startswith("*")
            _rename(made, spelled.lstrip("*"), owner)
        elif made.shape in ("quantity", "intstr", "time", "microtime", "any"):
            pointer = False
        omit = not required and not (is_time and not pointer)
        if marks:
            omit = marks == "?"
        strategy = tuple(part for part in node.get("x-kubernetes-patch-strategy", "").split(",") if part)
        return Field(
            name,
            made,
            pointer,
            omit,
            strategy=strategy,
            merge_key=node.get("x-kubernetes-patch-merge-key", ""),
            default=_KEY_DEFAULTS.get((owner, name)),
        )

    def _type(self, node: Object, owner: str) -> Type:
        reference = node.get("$ref")
        atomic = node.get("x-kubernetes-map-type") == "atomic"
        if reference is not None:
            target = reference.removeprefix(REF)
            named = _NAMED.get(target)
            if named is not None:
                return Type(named, _GO_NAMES[named])
            body = self.definitions.read(target)
            if "properties" not in body and body.get("type") != "object":
                return self._type(body, target)
            atomic = atomic or body.get("x-kubernetes-map-type") == "atomic"
            return Type("struct", f"v1.{target.rpartition('.')[2]}", target, atomic=atomic)
        kind, form = node.get("type"), node.get("format", "")
        if kind == "array":
            items = self._type(node["items"], owner)
            return Type(
                "list",
                f"[]{items.go}",
                items=items,
                list_type=node.get("x-kubernetes-list-type", "atomic"),
                keys=tuple(node.get("x-kubernetes-list-map-keys", ())),
            )
        if kind == "object":
            inner = node.get("additionalProperties")
            if not isinstance(inner, dict):
                return Type("any", "map[string]interface {}", atomic=True)
            items = self._type(inner, owner)
            return Type("map", f"map[string]{items.go}", items=items, atomic=atomic)
        if kind == "boolean":
            return Type("bool", "bool")
        if kind == "integer":
            return Type("int64", "int64") if form == "int64" else Type("int32", "int32")
        if kind == "number":
            return Type("float64", "float64")
        if kind is None:  # anything at all, such as a default value in a schema
            return Type("any", "interface {}", atomic=True)
        if form == "byte":
            return Type("bytes", "[]uint8")
        return Type("string", "string")


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(REF)
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


def _rename(made: Type, spelled: str, owner: str) -> None:
    """Give a type the Go name that the table spells (without its package); elements of slices get theirs too."""
    if spelled.startswith("[]") and made.items is not None:
        _rename(made.items, spelled[2:], owner)
        made.go = f"[]{made.items.go}"
    elif spelled.startswith("map[") and made.items is not None:
        key, _, inner = spelled[4:].partition("]")
        _rename(made.items, inner, owner)
        made.go = f"map[{_go_name(key)}]{made.items.go}"
    elif made.shape not in _GO_NAMES:
        made.go = _go_name(spelled)


def _go_name(spelled: str) -> str:
    return spelled if spelled in _GO_SCALARS or "." in spelled else f"v1.{spelled}"


def _written_empty(one: Field) -> bool:
    """Whether a field is written though unset: it is not `omitempty`, or it is a Go struct, which is never empty."""
    return not one.omit_empty or (not one.pointer and one.type.shape in ("struct", "quantity", "intstr"))


@cache
def load(cache_file: Path | None = None) -> Schema:
    """The schema; the definitions are kept in `cache_file` when it is given, else in 1.5 MiB of memory."""
    return Schema(Definitions(cache_file))


_shared: list[Schema] = []


def use(schema: Schema) -> None:
    """Make `schema` what `shared()` gives (the daemon does so at its start, with a cache file)."""
    _shared[:] = [schema]


def shared() -> Schema:
    """The process's schema, which everything in this package walks."""
    if not _shared:
        _shared.append(load())
    return _shared[0]
