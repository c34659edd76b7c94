"""Objects as nobody sends them: made from the schema field by field, then spoilt; and bytes that are spoilt."""

from __future__ import annotations

import json
import random
from typing import Any

from podrun.api.gvk import KindRef
from podrun.api.kinds import KINDS, Kind
from podrun.api.schema import Field, Struct, Type, load
from tests.pods.living import Object

DEEP = 6
"""Levels that an object is made of."""
STORED = tuple(kind for kind in KINDS.values() if "create" in kind.verbs)

TEXTS = (
    "", "a", "x-1", "A_b", "a" * 64, "a" * 300, "../../etc/passwd", "/", "/proc/self/fd/7", "\x00", "\u2028", "é",
    "\U0001f600", "Never", "Always", "TCP", "RuntimeDefault", "ClusterIP", "None", "default", "busybox:1.36", "1e3",
    "10.244.0.1", "::1", "-1", "$(A)", "{{.}}", "%s%n", "a: b", "<script>", "2026-01-01T00:00:00Z", "999999999999Gi",
    "kubernetes.io/x",
)  # fmt: skip
NUMBERS = (0, 1, -1, 80, 6443, 65535, 65536, 1 << 31, -(1 << 31), (1 << 63) - 1, 1 << 63, 1 << 70, 0.5, 1e308, -0.0)
ODD: tuple[Any, ...] = (None, True, [], {}, [None], {"": None}, [[]], {"a": {"b": {}}}, "x", 7, 1.5, "\u0000")


SOUND = {"name": "a", "image": "busybox:1.36"}
_RBAC = "rbac.authorization.k8s.io"
_ROLE = {"roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "view"}}
LEAST: dict[str, Object] = {
    "services": {"spec": {"ports": [{"port": 80}]}},
    "endpointslices.discovery.k8s.io": {"addressType": "IPv4", "endpoints": []},
    "events": {"involvedObject": {"namespace": "default"}},
    "leases.coordination.k8s.io": {"spec": {}},
    "nodes": {},
    "podtemplates": {"template": {"spec": {"containers": [SOUND]}}},
    "priorityclasses.scheduling.k8s.io": {"value": 1},
    "runtimeclasses.node.k8s.io": {"handler": "runc"},
    f"clusterrolebindings.{_RBAC}": _ROLE,
    f"rolebindings.{_RBAC}": _ROLE,
}
"""What an object of a kind must have."""


class Maker:
    """Makes objects of every kind that can be made."""

    def __init__(self) -> None:
        self._schema = load()

    def obj(self, r: random.Random, kind: Kind, name: str) -> Object:
        """An object of a kind, mostly with the right types; a pod of it is taken by no scheduler."""
        made = self._struct(r, self._schema.for_kind(KindRef(kind.group, kind.version, kind.kind)), 0)
        if r.random() < 0.6:  # nothing wrong but one thing
            kept = r.choice([*made, ""])
            made = {
                **LEAST.get(kind.resource, {}),
                **({kept: made[kept]} if kept else {}),
                "metadata": made.get("metadata"),
            }
        version = f"{kind.group}/{kind.version}" if kind.group else kind.version
        made |= {"apiVersion": version, "kind": kind.kind}
        metadata = made.get("metadata")
        more = metadata if isinstance(metadata, dict) and r.random() < 0.3 else {}
        made["metadata"] = {**more, "name": name}
        if kind.resource == "pods":
            spec = dict(made["spec"]) if isinstance(made.get("spec"), dict) else {}
            listed = spec.get("containers")
            given = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
            containers = [SOUND | (one if r.random() < 0.5 else {}) for one in given or [{}]]
            made["spec"] = {**spec, "containers": containers, "schedulerName": "none"}
            made["spec"].pop("nodeName", None)
        return made

    def _struct(self, r: random.Random, struct: Struct, depth: int) -> Object:
        fields = [one for one in struct.fields.values() if one.name not in ("apiVersion", "kind")]
        chosen = r.sample(fields, min(len(fields), r.randint(0, 2 if depth > 2 else 5)))
        wanted = [one for one in fields if not one.omit_empty and not one.pointer and r.random() < 0.8]
        return {one.name: self._field(r, one, depth) for one in [*chosen, *wanted]}

    def _field(self, r: random.Random, field: Field, depth: int) -> Any:
        return r.choice(ODD) if r.random() < 0.01 else self._value(r, field.type, depth + 1)

    def _value(self, r: random.Random, type_: Type, depth: int) -> Any:
        shape = type_.shape
        if shape == "struct":
            return {} if depth > DEEP else self._struct(r, self._schema.struct(type_.definition), depth)
        if shape in ("list", "map"):
            assert type_.items is not None
            count = 0 if depth > DEEP else r.choice((0, 1, 1, 2, 3))
            items = [self._value(r, type_.items, depth + 1) for _ in range(count)]
            return items if shape == "list" else {r.choice(TEXTS): item for item in items}
        if shape == "bool":
            return r.random() < 0.5
        if shape in ("int32", "int64", "float64"):
            return r.choice(NUMBERS) if r.random() < 0.4 else r.randint(0, 100)
        if shape == "intstr":
            return r.choice((*NUMBERS[:8], "80", "http", "50%", ""))
        if shape == "quantity":
            return r.choice(("1", "100m", "64Mi", "-1", "1e400", "", "x", "1.5.5", 3, "9" * 400))
        if shape in ("time", "microtime", "duration"):
            return r.choice(("2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "", "never", "1h", None))
        if shape in ("any", "fields"):
            return r.choice(ODD)
        return r.choice(TEXTS)


def spoilt(r: random.Random, value: Any) -> Any:
    """A copy in which one thing is something else: replaced, repeated, gone, or nested."""
    made = json.loads(json.dumps(value))
    here, places = made, []

    def walk(node: Any) -> None:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        for key in keys:
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(here)
    if not places:
        return r.choice(ODD)
    node, key = r.choice(places)
    match r.randrange(5):
        case 0:
            node[key] = r.choice(ODD)
        case 1:
            node[key] = [node[key], node[key]]
        case 2 if isinstance(node, dict):
            node[r.choice(TEXTS)] = node[key]
        case 3:
            for _ in range(r.choice((1, 10, 200))):
                node[key] = {r.choice(("a", "metadata", "spec")): node[key]}
        case _:
            del node[key]
    return made


def spoilt_bytes(r: random.Random, data: bytes) -> bytes:
    """`data` with bytes flipped, gone, doubled or cut off."""
    made = bytearray(data)
    for _ in range(r.randint(1, 4)):
        at = r.randrange(len(made) + 1)
        match r.randrange(5):
            case 0 if at < len(made):
                made[at] ^= 1 << r.randrange(8)
            case 1:
                del made[at : at + r.randint(1, 20)]
            case 2:
                made[at:at] = r.randbytes(r.randint(1, 8))
            case 3:
                made[at:at] = made[max(at - 30, 0) : at]
            case _:
                del made[at + r.randrange(len(made) + 1) :]
    return bytes(made)
