"""Whatever a client sends: an answer, never a crash. Objects of every kind with parts replaced by anything."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podrun.api import validation
from podrun.api.admission import Lookups, admit_pod
from podrun.api.apply import server_side_apply
from podrun.api.decode import JSON, decode_body
from podrun.api.defaults import apply_defaults
from podrun.api.errors import ApiError
from podrun.api.gvk import KindRef
from podrun.api.kinds import KINDS
from podrun.api.managedfields import managed_fields
from podrun.api.patches import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, apply_patch
from podrun.api.printers import table
from podrun.api.schema import Type, shared

POD = KindRef("", "v1", "Pod")
SERVED = sorted({KindRef(kind.group, kind.version, kind.kind) for kind in KINDS.values()})
LOOKUPS = Lookups(lambda name: {"metadata": {"name": name}}, lambda name: None, list)

SCALARS: dict[str, list[Any]] = {
    "string": ["", "a", "x/y", "A_B", "a" * 300, "é"],
    "bool": [True, False],
    "int32": [0, 1, -1, 80, 1 << 30],
    "int64": [0, 1, -1, 1 << 40],
    "float64": [0.5],
    "bytes": ["", "YQ=="],
    "quantity": ["1", "500m", "-1", "1Gi", 0.5],
    "intstr": [80, "http", "10%", 0],
    "time": ["2024-01-02T03:04:05Z"],
    "microtime": ["2024-01-02T03:04:05.000000Z"],
    "duration": ["5s"],
    "any": [{}],
    "fields": [{"f:a": {}}],
}
ODD: list[Any] = [None, "", 0, -1, 1.5, True, [], {}, [None], {"a": None}, "x", [[]], {"": {"": 1}}]


def anything(choose: random.Random, kind: Type, odd: float, depth: int = 0) -> Any:
    """A random value of a type; with the probability `odd`, of none."""
    if choose.random() < odd:
        return choose.choice(ODD)
    if kind.shape in ("list", "map"):
        assert kind.items is not None
        count = choose.choice([0, 1, 1, 2]) if depth < 9 else 0
        items = [anything(choose, kind.items, odd, depth + 1) for _ in range(count)]
        return items if kind.shape == "list" else {f"k{index}": item for index, item in enumerate(items)}
    if kind.shape != "struct":
        return choose.choice(SCALARS[kind.shape])
    fields = list(shared().struct(kind.definition).fields.values())
    picked = choose.sample(fields, min(len(fields), choose.choice([0, 1, 2, 3, 5]))) if depth < 9 else []
    if depth == 1:  # metadata and spec: more of them, or nothing happens
        picked = choose.sample(fields, min(len(fields), 8))
    return {field.name: anything(choose, field.type, odd, depth + 1) for field in picked}


def body(choose: random.Random, kind: KindRef, odd: float) -> dict[str, Any]:
    struct = shared().for_kind(kind)
    made = {
        field.name: anything(choose, field.type, odd, 1)
        for field in struct.fields.values()
        if field.name not in ("apiVersion", "kind", "status")
    }
    if isinstance(made.get("metadata"), dict):
        made["metadata"]["name"] = "x"
    return made


def answered(kind: KindRef, value: dict[str, Any]) -> dict[str, Any] | None:
    """What the server would make of a create up to the store, or None when it refuses."""
    try:
        made = apply_defaults(kind, decode_body(json.dumps(value).encode(), JSON, kind).object)
        made["metadata"].setdefault("namespace", "n")
        managed_fields(kind, None, made, manager="m", now=0)
        if kind == POD:
            made = admit_pod(made, "n", LOOKUPS)
    except ApiError:
        return None
    validation.validate_create(kind.kind, made)
    table(kind, [made], now=0, list_metadata={})
    return made


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(SERVED), st.sampled_from([0.0, 0.05, 0.3]))
def test_creates(choose: random.Random, kind: KindRef, odd: float) -> None:
    answered(kind, body(choose, kind, odd))


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([STRATEGIC_PATCH, MERGE_PATCH]), st.sampled_from([0.0, 0.1]))
def test_patches_and_configurations(choose: random.Random, media_type: str, odd: float) -> None:
    current = answered(POD, body(choose, POD, 0.0))
    if current is None:
        return
    patch = json.dumps(body(choose, POD, odd)).encode()
    for change in (
        lambda: apply_patch(POD, current, patch, media_type),
        lambda: server_side_apply(POD, current, patch, manager="m", force=True, now=0),
        lambda: server_side_apply(POD, None, patch, manager="m", force=False, now=0),
    ):
        try:
            made = change().object
        except ApiError:
            continue
        new = apply_defaults(POD, made)
        validation.validate_update("Pod", new, current)
        managed_fields(POD, current, new, manager="n", now=0)


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False))
def test_what_was_made_is_made_again(choose: random.Random) -> None:
    """A stored object that a client sends back unchanged comes out unchanged."""
    kind = choose.choice(SERVED)
    made = answered(kind, body(choose, kind, 0.0))
    if made is None:
        return
    again = apply_defaults(kind, decode_body(json.dumps(made).encode(), JSON, kind).object)
    assert again == made


@pytest.mark.parametrize("value", ODD)
def test_a_json_patch_of_anything(value: Any) -> None:
    operations = [
        {"op": op, "path": path, "value": value, "from": "/spec"}
        for op in ("add", "replace", "test", "copy", "move", "remove")
        for path in ("", "/", "/spec", "/spec/containers/-", "/spec/containers/0/name", "/a/b")
    ]
    current = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "a"}]}}
    for operation in operations:
        with suppress(ApiError):
            apply_patch(POD, current, json.dumps([operation]).encode(), JSON_PATCH)
