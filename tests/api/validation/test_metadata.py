"""metadata of any kind, new and changed."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.validation import validate_create, validate_update
from tests.api.validation.samples import GONE, changed, named, told

CONFIG_MAP = named("ConfigMap")
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "o", "uid": "1", "controller": True}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, [], id="a plain object is fine"),
        pytest.param(
            {"metadata.name": GONE},
            ["metadata.name: Required value: name or generateName is required"],
            id="a name is needed",
        ),
        pytest.param({"metadata.generateName": "a-"}, [], id="a generateName may end in a dash"),
        pytest.param({"metadata.namespace": GONE}, ["metadata.namespace: Required value"], id="a namespace is needed"),
        pytest.param(
            {"metadata.namespace": "a.b"},
            ['metadata.namespace: Invalid value: "a.b": must not contain dots'],
            id="a namespace is a label",
        ),
        pytest.param(
            {"metadata.labels": {"a": "x" * 64}},
            [f'metadata.labels: Invalid value: "{"x" * 64}": must be no more than 63 bytes'],
            id="a label's value is short",
        ),
        pytest.param({"metadata.annotations": {"UPPER/case": "any\n"}}, [], id="a domain in capitals"),
        pytest.param(
            {"metadata.annotations": {"a": "x" * (256 * 1024)}},
            ["metadata.annotations: Too long: may not be more than 262144 bytes"],
            id="annotations have 256 KiB together",
        ),
        pytest.param(
            {"metadata.ownerReferences": [OWNER | {"uid": ""}]},
            ['metadata.ownerReferences.uid: Invalid value: "": must not be empty'],
            id="an owner has a uid",
        ),
        pytest.param(
            {"metadata.ownerReferences": [OWNER | {"apiVersion": "a/b/c"}]},
            ['metadata.ownerReferences.apiVersion: Invalid value: "a/b/c": version must not be empty'],
            id="an owner has a version",
        ),
        pytest.param(
            {"metadata.ownerReferences": [OWNER | {"kind": "Event"}]},
            [
                'metadata.ownerReferences: Invalid value: {"apiVersion":"v1","kind":"Event","name":"o","uid":"1",'
                '"controller":true}: /v1, Kind=Event is disallowed from being an owner'
            ],
            id="an Event owns nothing",
        ),
        pytest.param(
            {"metadata.ownerReferences": [OWNER, OWNER | {"name": "q"}]},
            [
                'metadata.ownerReferences: Invalid value: [{"apiVersion":"v1","kind":"Pod","name":"o","uid":"1",'
                '"controller":true},{"apiVersion":"v1","kind":"Pod","name":"q","uid":"1","controller":true}]: Only one '
                'reference can have Controller set to true. Found "true" in references for Pod/o and Pod/q'
            ],
            id="one owner is the controller",
        ),
        pytest.param(
            {"metadata.finalizers": ["x"]},
            [
                'metadata.finalizers[0]: Invalid value: "x": name is neither a standard finalizer name nor is it '
                "fully qualified"
            ],
            id="a finalizer has a domain",
        ),
        pytest.param(
            {"metadata.finalizers": ["orphan", "foregroundDeletion"]},
            [
                'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and '
                "foregroundDeletion cannot be both set"
            ],
            id="dependents are either left or deleted first",
        ),
        pytest.param(
            {"metadata.managedFields": [{"manager": "x\ty", "operation": "Replace", "fieldsType": "V2"}]},
            [
                'metadata.managedFields[0].fieldsType: Invalid value: "V2": must be `FieldsV1`',
                'metadata.managedFields[0].manager: Invalid value: "x\\ty": invalid character U+0009 (at position 1)',
                'metadata.managedFields[0].operation: Invalid value: "Replace": must be `Apply` or `Update`',
            ],
            id="managed fields are well formed",
        ),
    ],
)
def test_a_new_object(changes: dict[str, Any], expected: list[str]) -> None:
    assert told(validate_create("ConfigMap", changed(CONFIG_MAP, changes))) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, [], id="no change is fine"),
        pytest.param({"metadata.labels": {"a": "b"}}, [], id="labels may change"),
        pytest.param(
            {"metadata.uid": "v"},
            ['metadata.uid: Invalid value: "v": field is immutable'] * 2,
            id="the uid stays; the server's and the kind's rules both tell it",
        ),
        pytest.param(
            {"metadata.resourceVersion": GONE},
            ['metadata.resourceVersion: Invalid value: "": must be specified for an update'] * 2,
            id="an update says what it is based on",
        ),
        pytest.param(
            {"metadata.labels": {"-": "a"}},
            4,
            id="a bad label is told by each of the four rules that look at it",
        ),
    ],
)
def test_a_changed_object(changes: dict[str, Any], expected: list[str] | int) -> None:
    causes = told(validate_update("ConfigMap", changed(CONFIG_MAP, changes), CONFIG_MAP))
    assert (len(causes) if isinstance(expected, int) else causes) == expected


def test_an_object_that_is_being_deleted_gets_no_new_finalizers() -> None:
    old = changed(CONFIG_MAP, {"metadata.deletionTimestamp": "2026-01-01T00:00:00Z", "metadata.finalizers": ["a/b"]})
    new = changed(old, {"metadata.finalizers": ["a/b", "c/d"]})
    why = "no new finalizers can be added if the object is being deleted, found new finalizers"
    assert told(validate_update("ConfigMap", new, old)) == [
        f'metadata.finalizers: Forbidden: {why} []string{{"c/d"}}',
        f'metadata.finalizers: Forbidden: {why} []string{{"c/d"}}',
    ]


def test_a_kind_without_rules_still_needs_a_name() -> None:
    unknown = named("Whatever", namespaced=False)
    assert validate_create("Whatever", unknown) == []
    assert told(validate_create("Whatever", changed(unknown, {"metadata.name": "a/b"}))) == [
        "metadata.name: Invalid value: \"a/b\": may not contain '/'"
    ]
