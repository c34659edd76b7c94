"""Who owns which field: after creates, updates and patches, and under server-side apply with its conflicts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podrun.api.apply import server_side_apply
from podrun.api.decode import normalise
from podrun.api.defaults import apply_defaults
from podrun.api.errors import ApiError
from podrun.api.fieldset import FieldSet
from podrun.api.gvk import KindRef
from podrun.api.managedfields import MOST_UPDATERS, keep_times, managed_fields

POD = KindRef("", "v1", "Pod")
CONFIG_MAP = KindRef("", "v1", "ConfigMap")
NOW = 1_700_000_000.0
THEN = "2023-11-14T22:13:20Z"


def config(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, **fields}


def applied(
    current: dict[str, Any] | None, patch: dict[str, Any], manager: str, kind: KindRef = CONFIG_MAP, **options: Any
) -> dict[str, Any]:
    body = json.dumps(patch).encode()
    options.setdefault("force", False)
    return server_side_apply(kind, current, body, manager=manager, now=NOW, **options).object


def owners(obj: dict[str, Any]) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", [])}


def updated(old: dict[str, Any] | None, new: dict[str, Any], manager: str, **options: Any) -> dict[str, Any]:
    """What an ordinary write makes of a ConfigMap."""
    made = normalise(CONFIG_MAP, new)
    entries = managed_fields(CONFIG_MAP, old, made, manager=manager, now=options.pop("now", NOW), **options)
    made["metadata"].pop("managedFields", None)
    return {**made, "metadata": {**made["metadata"], "managedFields": entries}} if entries else made


# Ordinary writes


def test_a_create_owns_what_it_says_and_what_defaults_add() -> None:
    pod = {"metadata": {"name": "p", "labels": {"a": "1"}}, "spec": {"containers": [{"name": "a", "image": "x:1"}]}}
    made = apply_defaults(POD, normalise(POD, pod))
    (entry,) = managed_fields(POD, None, made, manager="tool", now=NOW)
    assert {key: entry[key] for key in ("manager", "operation", "apiVersion", "time", "fieldsType")} == {
        "manager": "tool",
        "operation": "Update",
        "apiVersion": "v1",
        "time": THEN,
        "fieldsType": "FieldsV1",
    }
    assert entry["fieldsV1"] == {
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
        "f:spec": {
            "f:containers": {
                'k:{"name":"a"}': {
                    ".": {},
                    "f:image": {},
                    "f:imagePullPolicy": {},
                    "f:name": {},
                    "f:resources": {},
                    "f:terminationMessagePath": {},
                    "f:terminationMessagePolicy": {},
                }
            },
            "f:dnsPolicy": {},
            "f:enableServiceLinks": {},
            "f:restartPolicy": {},
            "f:schedulerName": {},
            "f:securityContext": {},
            "f:terminationGracePeriodSeconds": {},
        },
    }


def test_an_update_takes_what_it_changes() -> None:
    made = updated(None, config(data={"a": "1", "b": "1"}), "one")
    made = updated(made, config(data={"a": "2", "b": "1"}), "two")
    assert owners(made) == {"one": {"f:data": {".": {}, "f:b": {}}}, "two": {"f:data": {"f:a": {}}}}
    made = updated(made, config(data={"b": "1"}), "two")
    assert owners(made) == {"one": {"f:data": {".": {}, "f:b": {}}}}


def test_a_write_that_changes_nothing_changes_no_time() -> None:
    made = updated(None, config(data={"a": "1"}), "one", now=NOW)
    again = updated(made, config(data={"a": "1"}), "one", now=NOW + 60)
    assert again == made


def test_writes_that_differ_in_times_only_are_the_same() -> None:
    made = updated(None, config(data={"a": "1"}), "one", now=NOW)
    later = updated(None, config(data={"a": "1"}), "one", now=NOW + 60)
    assert keep_times(later, made) is made
    other = updated(None, config(data={"a": "2"}), "one", now=NOW + 60)
    assert keep_times(other, made) is other


def test_the_status_belongs_to_its_subresource() -> None:
    old = normalise(POD, {"metadata": {"name": "p", "uid": "u"}, "spec": {"containers": []}})
    old["metadata"]["managedFields"] = managed_fields(POD, None, old, manager="one", now=NOW) or [
        {"manager": "one", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:x": {}}}
    ]
    new = {**old, "status": {"phase": "Failed"}}
    assert "f:status" not in json.dumps(managed_fields(POD, old, new, manager="two", now=NOW))
    entries = managed_fields(POD, old, new, manager="two", now=NOW, subresource="status")
    assert [(entry.get("subresource"), entry["fieldsV1"]) for entry in entries if entry["manager"] == "two"] == [
        ("status", {"f:status": {"f:phase": {}}})
    ]


def test_an_object_without_owners_stays_without() -> None:
    old = normalise(CONFIG_MAP, config(data={"a": "1"}))
    assert managed_fields(CONFIG_MAP, old, config(data={"a": "2"}), manager="x", now=NOW) == []


def test_a_client_can_reset_the_owners() -> None:
    made = updated(None, config(data={"a": "1"}), "one")
    new = normalise(CONFIG_MAP, config(data={"a": "2"}))
    new["metadata"]["managedFields"] = [{}]
    assert managed_fields(CONFIG_MAP, made, new, manager="two", now=NOW) == []


def test_the_oldest_updaters_are_put_together() -> None:
    made = updated(None, config(data={"k": "0"}), "m0", now=NOW)
    for index in range(1, MOST_UPDATERS + 3):
        data = {**made["data"], f"k{index}": "1"}
        made = updated(made, config(data=data), f"m{index}", now=NOW + index)
    found = owners(made)
    assert len(found) == MOST_UPDATERS
    assert found["ancient-changes"] == {"f:data": {".": {}, "f:k": {}, "f:k1": {}, "f:k2": {}, "f:k3": {}}}


# Apply


def test_an_applier_owns_exactly_its_configuration() -> None:
    made = applied(None, config(data={"a": "1"}), "m1")
    assert made["data"] == {"a": "1"}
    assert owners(made) == {"m1": {"f:data": {"f:a": {}}}}
    assert made["metadata"]["managedFields"][0]["operation"] == "Apply"


def test_what_is_no_longer_applied_is_removed() -> None:
    made = applied(None, config(data={"a": "1", "b": "1"}), "m1")
    made = applied(made, config(data={"b": "1"}), "m1")
    assert made["data"] == {"b": "1"}
    assert owners(made) == {"m1": {"f:data": {"f:b": {}}}}


def test_what_somebody_else_owns_too_stays() -> None:
    made = applied(None, config(data={"a": "1"}), "m1")
    made = applied(made, config(data={"a": "1"}), "m2")
    made = applied(made, config(), "m1")
    assert made["data"] == {"a": "1"}
    assert owners(made) == {"m2": {"f:data": {"f:a": {}}}}


def test_what_an_update_made_is_not_removed_by_an_applier_that_never_had_it() -> None:
    made = updated(None, config(data={"a": "1"}), "tool")
    made = applied(made, config(data={"b": "2"}), "m1")
    made = applied(made, config(data={}), "m1")
    assert made["data"] == {"a": "1"}


def conflict(current: dict[str, Any], patch: dict[str, Any], manager: str, **options: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        applied(current, patch, manager, **options)
    assert (refused.value.code, refused.value.reason) == (409, "Conflict")
    return refused.value


def test_changing_what_others_own_is_a_conflict() -> None:
    made = applied(None, config(data={"a": "1", "b": "1"}), "m1")
    refused = conflict(made, config(data={"a": "2"}), "m2")
    assert refused.message == 'Apply failed with 1 conflict: conflict with "m1": .data.a'
    assert refused.details == {
        "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "m1"', "field": ".data.a"}]
    }
    refused = conflict(made, config(data={"a": "2", "b": "2"}), "m2")
    assert refused.message == 'Apply failed with 2 conflicts: conflicts with "m1":\n- .data.a\n- .data.b'
    made = updated(made, config(data={"a": "3", "b": "1"}), "tool")
    refused = conflict(made, config(data={"a": "1", "b": "1"}), "m1")
    assert refused.message == 'Apply failed with 1 conflict: conflict with "tool" using v1: .data.a'


def test_a_forced_apply_takes_over() -> None:
    made = applied(None, config(data={"a": "1"}), "m1")
    made = applied(made, config(data={"a": "2"}), "m2", force=True)
    assert made["data"] == {"a": "2"}
    assert owners(made) == {"m2": {"f:data": {"f:a": {}}}}


def test_an_applier_that_only_agrees_has_no_time() -> None:
    made = applied(None, config(data={"a": "1"}), "m1")
    made = applied(made, config(data={"a": "1"}), "m2")
    times = {entry["manager"]: entry.get("time") for entry in made["metadata"]["managedFields"]}
    assert times == {"m1": THEN, "m2": None}


def test_objects_of_client_side_apply_are_taken_over() -> None:
    last = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(config(data={"a": "1"}))}
    before = config(data={"a": "1"}, metadata={"name": "c", "annotations": last})
    made = updated(None, before, "kubectl-client-side-apply")
    taken = applied(made, config(data={"a": "2"}), "kubectl")
    assert taken["data"] == {"a": "2"}
    annotation = taken["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert annotation == '{"apiVersion":"v1","data":{"a":"2"},"kind":"ConfigMap","metadata":{"name":"c"}}\n'
    conflict(made, config(data={"a": "2"}), "somebody")


def test_an_object_from_before_belongs_to_nobody_in_particular() -> None:
    old = normalise(CONFIG_MAP, config(data={"a": "1"}))
    made = applied(old, config(data={"b": "1"}), "m1")
    assert owners(made) == {"before-first-apply": {"f:data": {".": {}, "f:a": {}}}, "m1": {"f:data": {"f:b": {}}}}


PODS: list[tuple[str, Any, str]] = [
    ("an unknown field", {"spec": {"colour": 1}}, ".spec.colour: field not declared in schema"),
    (
        "a string for a number",
        {"spec": {"priority": "x"}},
        ".spec.priority: expected numeric (int or float), got string",
    ),
    (
        "a number for a string",
        {"spec": {"nodeName": 1}},
        ".spec.nodeName: expected string, got &value.valueUnstructured{Value:1}",
    ),
    ("a string for a bool", {"spec": {"hostNetwork": "x"}}, ".spec.hostNetwork: expected boolean, got &{x}"),
    ("a string for a list", {"spec": {"containers": "x"}}, ".spec.containers: expected list, got &{x}"),
    ("a string for an object", {"spec": "x"}, ".spec: expected map, got &{x}"),
    (
        "a key twice",
        {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}},
        '.spec.containers: duplicate entries for key [name="a"]',
    ),
    (
        "no key",
        {"spec": {"containers": [{"image": "x"}]}},
        ".spec.containers: element 0: associative list with keys has an element that omits all key fields "
        '["name"] (and doesn\'t have default values for any key fields)',
    ),
]


@pytest.mark.parametrize(("_", "patch", "why"), PODS, ids=[row[0] for row in PODS])
def test_a_configuration_that_does_not_fit(_: str, patch: dict[str, Any], why: str) -> None:
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, **patch}
    with pytest.raises(ApiError) as refused:
        applied(None, body, "m1", POD)
    assert (refused.value.code, refused.value.reason) == (500, "")
    assert refused.value.message == f"failed to create typed patch object (/p; /v1, Kind=Pod): {why}"


def test_bodies_that_cannot_be_applied() -> None:
    def refusal(body: bytes, **options: Any) -> str:
        with pytest.raises(ApiError) as refused:
            server_side_apply(CONFIG_MAP, None, body, manager="m", force=False, now=NOW, **options)
        assert refused.value.code == 400
        return refused.value.message

    assert refusal(b"apiVersion: v1\nkind: Secret\n") == "invalid object type: /v1, Kind=Secret"
    assert refusal(b"a: b: c\n").startswith("error decoding YAML: error converting YAML to JSON: yaml: ")
    assert refusal(b"[1]") == (
        "error decoding YAML: error unmarshaling JSON: while decoding JSON: "
        "json: cannot unmarshal array into Go value of type map[string]interface {}"
    )
    managed = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, managedFields: []}\n"
    assert refusal(managed) == "metadata.managedFields must be nil"
    twice = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: one}\ndata: {a: two}\n"
    assert refusal(twice, field_validation="Strict").startswith("error strict decoding YAML: ")


def names(obj: dict[str, Any]) -> list[str]:
    return [one["name"] for one in obj["spec"]["containers"]]


def pod_of(*containers: str) -> dict[str, Any]:
    listed = [{"name": name, "image": "x:1"} for name in containers]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": listed}}


def test_items_of_a_list_are_merged_by_key_and_keep_their_order() -> None:
    made = applied(None, pod_of("a", "b", "c"), "m1", POD)
    made = applied(made, pod_of("d", "b"), "m2", POD)
    assert names(made) == ["a", "d", "b", "c"]
    made = applied(made, pod_of("c", "a"), "m1", POD)
    assert sorted(names(made)) == ["a", "b", "c", "d"]
    assert names(made).index("c") < names(made).index("a")


def test_keys_that_are_left_out_have_their_default() -> None:
    patch = pod_of("a")
    patch["spec"]["containers"][0]["ports"] = [{"containerPort": 80}]
    made = applied(None, patch, "m1", POD)
    ports = owners(made)["m1"]["f:spec"]["f:containers"]['k:{"name":"a"}']["f:ports"]
    assert ports == {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}}


# Sets of fields

PATHS = st.lists(
    st.lists(st.sampled_from(["f:a", "f:b", 'k:{"name":"c"}']), min_size=1, max_size=3).map(tuple), max_size=6
)
SETS = PATHS.map(FieldSet)


@given(SETS)
def test_a_set_is_read_back_from_its_fields(one: FieldSet) -> None:
    assert FieldSet.of_fields(one.to_fields()) == one


@given(SETS, SETS)
def test_sets_are_sets(one: FieldSet, other: FieldSet) -> None:
    ours, theirs = set(one.paths()), set(other.paths())
    assert set((one | other).paths()) == ours | theirs
    assert set((one & other).paths()) == ours & theirs
    assert set((one - other).paths()) == ours - theirs
    below = {path for path in ours if any(path[: len(top)] == top for top in theirs)}
    assert set(one.without(other).paths()) == ours - below


DATA = st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), max_size=3)


@given(st.lists(st.tuples(st.sampled_from(["m1", "m2"]), DATA), min_size=1, max_size=5))
def test_after_a_forced_apply_the_object_says_what_was_applied(steps: list[tuple[str, dict[str, str]]]) -> None:
    made = None
    for manager, data in steps:
        made = applied(made, config(data=data), manager, force=True)
        assert {key: value for key, value in made.get("data", {}).items() if key in data} == data
        owned = owners(made).get(manager, {}).get("f:data", {})
        assert owned == {f"f:{key}": {} for key in data}
    everybody = {key for fields in owners(made or {"metadata": {}}).values() for key in fields.get("f:data", {})}
    assert {f"f:{key}" for key in (made or {}).get("data", {})} == everybody
