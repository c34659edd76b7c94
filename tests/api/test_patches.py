"""The three patches: what they give, what they refuse and how; and properties of strategic merges."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from podrun.api import jsonpatch, mergepatch, strategicpatch
from podrun.api.decode import normalise
from podrun.api.errors import ApiError
from podrun.api.gvk import KindRef
from podrun.api.patches import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, apply_patch
from podrun.api.schema import shared

POD = KindRef("", "v1", "Pod")
CONFIG_MAP = KindRef("", "v1", "ConfigMap")

CURRENT = normalise(
    POD,
    {
        "metadata": {"name": "p", "labels": {"a": "1", "b": "2"}, "finalizers": ["x/y"]},
        "spec": {
            "containers": [
                {"name": "a", "image": "x:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
                {"name": "b", "image": "y:1"},
            ],
            "tolerations": [{"key": "k", "operator": "Exists"}],
        },
    },
)


def strategic(patch: Any) -> dict[str, Any]:
    definition = shared().for_kind(POD).definition
    return strategicpatch.apply(shared(), definition, CURRENT, patch)


def names(made: dict[str, Any]) -> list[str]:
    return [one["name"] for one in made["spec"]["containers"]]


STRATEGIC: list[tuple[str, Any, Any, Any]] = [
    # what the patch does, the patch, where to look, what is there
    ("null deletes", {"metadata": {"labels": {"a": None}}}, ("metadata", "labels"), {"b": "2"}),
    ("a map is merged", {"metadata": {"labels": {"c": "3"}}}, ("metadata", "labels"), {"a": "1", "b": "2", "c": "3"}),
    (
        "a map is replaced when told",
        {"metadata": {"labels": {"$patch": "replace", "z": "9"}}},
        ("metadata", "labels"),
        {"z": "9"},
    ),
    ("a map is emptied when told", {"metadata": {"labels": {"$patch": "delete"}}}, ("metadata", "labels"), {}),
    (
        "scalars merge as a set",
        {"metadata": {"finalizers": ["z/w", "x/y"]}},
        ("metadata", "finalizers"),
        ["z/w", "x/y"],
    ),
    (
        "scalars are taken out",
        {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/y"]}},
        ("metadata", "finalizers"),
        [],
    ),
    (
        "a list without a strategy is replaced",
        {"spec": {"tolerations": [{"key": "n"}]}},
        ("spec", "tolerations"),
        [{"key": "n"}],
    ),
    (
        "an object is found by its key",
        {"spec": {"containers": [{"name": "b", "image": "y:2"}]}},
        ("spec", "containers", 1, "image"),
        "y:2",
    ),
    (
        "an object is deleted by its key",
        {"spec": {"containers": [{"name": "b", "$patch": "delete"}]}},
        ("spec", "containers", 1),
        None,
    ),
    (
        "nested lists merge too",
        {"spec": {"containers": [{"name": "a", "env": [{"name": "B", "value": "9"}]}]}},
        ("spec", "containers", 0, "env"),
        [{"name": "A", "value": "1"}, {"name": "B", "value": "9"}],
    ),
    (
        "only the named fields are kept",
        {"metadata": {"$retainKeys": ["name"], "name": "p"}},
        ("metadata",),
        {"name": "p"},
    ),
]


def at(made: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        try:
            made = made[part]
        except (KeyError, IndexError):
            return None
    return made


@pytest.mark.parametrize(("_", "patch", "path", "expected"), STRATEGIC, ids=[row[0] for row in STRATEGIC])
def test_a_strategic_merge(_: str, patch: Any, path: tuple[Any, ...], expected: Any) -> None:
    assert at(strategic(patch), path) == expected


def test_the_order_of_a_list_can_be_given() -> None:
    order = [{"name": "b"}, {"name": "a"}]
    made = strategic({"spec": {"$setElementOrder/containers": order, "containers": [{"name": "a", "image": "z"}]}})
    assert names(made) == ["b", "a"]
    made = strategic({"spec": {"$setElementOrder/containers": [{"name": "b"}]}})
    assert names(made) == ["a", "b"]


BAD: list[tuple[str, Any, str, int]] = [
    (
        "an unknown directive",
        {"spec": {"containers": [{"name": "a", "$patch": "explode"}]}},
        "unknown patch type: explode in map: map[$patch:explode name:a]",
        500,
    ),
    (
        "no merge key",
        {"spec": {"containers": [{"image": "z"}]}},
        "map: map[image:z] does not contain declared merge key: name",
        500,
    ),
    (
        "an order that is none",
        {
            "spec": {
                "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                "containers": [{"name": "a"}, {"name": "b"}],
            }
        },
        "The order in patch list:\n[map[name:a] map[name:b]]\n "
        "doesn't match $setElementOrder list:\n[map[name:b] map[name:a]]\n",
        500,
    ),
    (
        "fields that are not retained",
        {"spec": {"$retainKeys": ["a"], "b": 1}},
        "invalid patch format of retainKeys",
        400,
    ),
    ("mixed elements", {"metadata": {"finalizers": [1]}}, "list element types are not identical: [[x/y] [1]]", 500),
]


@pytest.mark.parametrize(("_", "patch", "message", "code"), BAD, ids=[row[0] for row in BAD])
def test_a_strategic_merge_that_cannot_be(_: str, patch: Any, message: str, code: int) -> None:
    with pytest.raises(ApiError) as refused:
        apply_patch(POD, CURRENT, json.dumps(patch).encode(), STRATEGIC_PATCH)
    assert (refused.value.message, refused.value.code) == (message, code)


def patch_refusal(body: str, media_type: str, field_validation: str = "") -> tuple[int, str]:
    with pytest.raises(ApiError) as refused:
        apply_patch(POD, CURRENT, body.encode(), media_type, field_validation)
    return refused.value.code, refused.value.message


ARRAY = "json: cannot unmarshal array into Go value of type map[string]interface {}"
REJECTED = "the server rejected our request due to an error in our request"
REFUSALS = [
    ("a list is no strategic patch", "[1]", STRATEGIC_PATCH, "", 400, ARRAY),
    ("a list is no merge patch", "[1]", MERGE_PATCH, "", 400, f"error decoding patch: {ARRAY}"),
    (
        "an object is no JSON patch",
        '{"op":"add"}',
        JSON_PATCH,
        "",
        400,
        "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
    ),
    ("half a patch", '{"a"', MERGE_PATCH, "", 400, "error decoding patch: unexpected end of JSON input"),
    ("a test that fails", '[{"op":"test","path":"/metadata/name","value":"q"}]', JSON_PATCH, "", 422, REJECTED),
    ("an unknown operation", '[{"op":"explode","path":"/x"}]', JSON_PATCH, "", 422, REJECTED),
    (
        "a string where a map is",
        '{"metadata":{"labels":"x"}}',
        STRATEGIC_PATCH,
        "",
        422,
        ' "" is invalid: patch: Invalid value: "map[metadata:map[labels:x]]": cannot restore map from string',
    ),
    (
        "a string where a number is",
        '{"spec":{"priority":"x"}}',
        STRATEGIC_PATCH,
        "",
        422,
        ' "" is invalid: patch: Invalid value: "map[spec:map[priority:x]]": unrecognized type: int32',
    ),
    (
        "a number where a string is",
        '{"spec":{"nodeName":1}}',
        STRATEGIC_PATCH,
        "",
        422,
        ' "" is invalid: patch: Invalid value: "map[spec:map[nodeName:1]]": cannot convert int64 to string',
    ),
    (
        "an unknown field, strictly",
        '{"spec":{"colour":1}}',
        STRATEGIC_PATCH,
        "Strict",
        422,
        ' "" is invalid: patch: Invalid value: "map[spec:map[colour:1]]": '
        'strict decoding error: unknown field "spec.colour"',
    ),
]


@pytest.mark.parametrize(
    ("_", "body", "media_type", "validation", "code", "message"), REFUSALS, ids=[row[0] for row in REFUSALS]
)
def test_what_is_refused(_: str, body: str, media_type: str, validation: str, code: int, message: str) -> None:
    assert patch_refusal(body, media_type, validation) == (code, message)


def test_a_merge_patch_is_decoded_by_the_other_decoder() -> None:
    code, message = patch_refusal('{"spec":{"priority":"x"}}', MERGE_PATCH)
    assert code == 422
    assert message.endswith("json: cannot unmarshal string into Go struct field PodSpec.spec.priority of type int32")


def test_unknown_fields_of_a_patch_warn() -> None:
    body = b'{"metadata":{"colour":1,"labels":{"z":"1","z":"2"}}}'
    made = apply_patch(POD, CURRENT, body, MERGE_PATCH)
    assert made.warnings == ['duplicate field "metadata.labels.z"', 'unknown field "metadata.colour"']
    assert made.object["metadata"]["labels"]["z"] == "2"
    assert apply_patch(POD, CURRENT, body, MERGE_PATCH, "Ignore").warnings == []
    operations = b'[{"op":"add","path":"/metadata/labels/c","value":"3","extra":1}]'
    assert apply_patch(POD, CURRENT, operations, JSON_PATCH).warnings == ['json patch unknown field "[0].extra"']


OPERATIONS: list[tuple[str, list[dict[str, Any]], Any]] = [
    ("add a member", [{"op": "add", "path": "/c", "value": 3}], {"a": 1, "b": [1, 2], "c": 3}),
    ("add to a list", [{"op": "add", "path": "/b/1", "value": 9}], {"a": 1, "b": [1, 9, 2]}),
    ("append", [{"op": "add", "path": "/b/-", "value": 3}], {"a": 1, "b": [1, 2, 3]}),
    ("the last but one", [{"op": "replace", "path": "/b/-1", "value": 9}], {"a": 1, "b": [1, 9]}),
    ("replace what is not there", [{"op": "replace", "path": "/z", "value": 9}], {"a": 1, "b": [1, 2], "z": 9}),
    ("remove", [{"op": "remove", "path": "/b/0"}], {"a": 1, "b": [2]}),
    ("move", [{"op": "move", "from": "/a", "path": "/c"}], {"b": [1, 2], "c": 1}),
    ("copy what is not there", [{"op": "copy", "from": "/z", "path": "/c"}], {"a": 1, "b": [1, 2], "c": None}),
    ("escaped names", [{"op": "add", "path": "/x~1y~0z", "value": 1}], {"a": 1, "b": [1, 2], "x/y~z": 1}),
    ("a test that holds", [{"op": "test", "path": "/b", "value": [1, 2]}], {"a": 1, "b": [1, 2]}),
    ("replace everything", [{"op": "replace", "path": "", "value": {}}], {}),
]


@pytest.mark.parametrize(("_", "operations", "expected"), OPERATIONS, ids=[row[0] for row in OPERATIONS])
def test_a_json_patch(_: str, operations: list[dict[str, Any]], expected: Any) -> None:
    document = {"a": 1, "b": [1, 2]}
    assert jsonpatch.apply(document, operations) == expected
    assert document == {"a": 1, "b": [1, 2]}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/z"},
        {"op": "add", "path": "/b/5", "value": 1},
        {"op": "add", "path": "/z/y", "value": 1},
        {"op": "add", "path": "/b/x", "value": 1},
        {"op": "test", "path": "/a", "value": True},
        {"op": "move", "from": "/z", "path": "/c"},
        {"op": "add", "path": "a", "value": 1},
        {"path": "/a"},
    ],
)
def test_a_json_patch_that_fails(operation: dict[str, Any]) -> None:
    with pytest.raises(jsonpatch.PatchFails):
        jsonpatch.apply({"a": 1, "b": [1, 2]}, [operation])


def test_copies_that_double_an_object_each_time_are_refused_soon() -> None:
    operations = [{"op": "copy", "from": "/a", "path": f"/a/x{n}"} for n in range(60)]
    with pytest.raises(jsonpatch.PatchFails, match="too much is copied"):
        jsonpatch.apply({"a": {"b": "c"}}, operations)


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "replace", "path": "", "value": 7}, {"op": "add", "path": "/a/b", "value": 1}],
        [{"op": "add", "path": f"/b/{'9' * 5000}", "value": 1}],
    ],
    ids=["a document that is a number", "an index of five thousand digits"],
)
def test_a_path_that_leads_nowhere_is_refused(operations: list[dict[str, Any]]) -> None:
    with pytest.raises(jsonpatch.PatchFails):
        jsonpatch.apply({"a": 1, "b": [1, 2]}, operations)


def test_too_many_operations_are_too_large() -> None:
    body = json.dumps([{"op": "test", "path": "/kind", "value": "Pod"}] * 10_001)
    code, message = patch_refusal(body, JSON_PATCH)
    assert code == 413
    assert "The allowed maximum operations in a JSON patch is 10000, got 10001" in message


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


NESTED_OBJECTS = st.recursive(
    st.none() | st.integers(), lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=8
)


@given(JSON_VALUES, NESTED_OBJECTS)
def test_a_merge_patch_applied_twice_does_no_more(document: Any, patch: Any) -> None:
    before = copy.deepcopy((document, patch))
    once = mergepatch.apply(document, patch)
    assert mergepatch.apply(once, patch) == once
    assert (document, patch) == before


LABELS = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("123"), max_size=4)
CONTAINERS = st.lists(st.sampled_from("abcd"), unique=True, max_size=4)


@given(LABELS, LABELS)
def test_the_difference_of_two_maps_leads_from_one_to_the_other(old: dict[str, str], new: dict[str, str]) -> None:
    difference = {key: new.get(key) for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    document = {"metadata": {"labels": old}}
    definition = shared().for_kind(POD).definition
    made = strategicpatch.apply(shared(), definition, document, {"metadata": {"labels": difference}})
    assert made["metadata"].get("labels", {}) == new


@given(CONTAINERS, CONTAINERS)
def test_deleting_what_is_gone_and_giving_the_order_leads_to_the_new_list(old: list[str], new: list[str]) -> None:
    assume(old or new)
    entries: list[dict[str, Any]] = [{"name": name, "image": "new"} for name in new]
    gone = [{"name": name, "$patch": "delete"} for name in old if name not in new]
    patch = {"spec": {"$setElementOrder/containers": [{"name": name} for name in new], "containers": entries + gone}}
    document = {"spec": {"containers": [{"name": name, "image": "old"} for name in old]}}
    made = strategicpatch.apply(shared(), shared().for_kind(POD).definition, document, patch)
    assert made["spec"]["containers"] == entries


@given(CONTAINERS, CONTAINERS)
def test_a_merged_list_has_each_key_once_and_the_patch_in_its_order(old: list[str], new: list[str]) -> None:
    document = {"spec": {"containers": [{"name": name} for name in old]}}
    patch = {"spec": {"containers": [{"name": name} for name in new]}}
    made = strategicpatch.apply(shared(), shared().for_kind(POD).definition, document, patch)
    found = names(made)
    assert sorted(found) == sorted({*old, *new})
    assert [name for name in found if name in new] == new
    assert [name for name in found if name not in new] == [name for name in old if name not in new]
