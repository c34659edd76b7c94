"""What a namespace that ends says is in its way."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.kinds import KINDS
from podrun.controllers.namespace_conditions import conditions

THEN, NOW = "2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z"
PODS, MAPS, LEASES = KINDS["pods"], KINDS["configmaps"], KINDS["leases.coordination.k8s.io"]


def obj(*finalizers: str) -> dict[str, Any]:
    return {"metadata": {"name": "x", **({"finalizers": list(finalizers)} if finalizers else {})}}


FINE = [
    (
        "NamespaceDeletionDiscoveryFailure",
        "False",
        "ResourcesDiscovered",
        "All resources successfully discovered",
    ),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "False",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "False",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "False", "ContentRemoved", "All content successfully removed"),
    (
        "NamespaceFinalizersRemaining",
        "False",
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
]


def test_nothing_is_in_the_way() -> None:
    made = conditions([], [], NOW)
    assert [(one["type"], one["status"], one["reason"], one["message"]) for one in made] == FINE
    assert {one["lastTransitionTime"] for one in made} == {NOW}


@pytest.mark.parametrize(
    ("remaining", "content", "finalizers"),
    [
        pytest.param(
            [(PODS, obj()), (PODS, obj())],
            "Some resources are remaining: pods. has 2 resource instances",
            "All content-preserving finalizers finished",
            id="pods in their grace",
        ),
        pytest.param(
            [(MAPS, obj("a/b", "c/d")), (LEASES, obj("a/b"))],
            "Some resources are remaining: configmaps. has 1 resource instances, "
            "leases.coordination.k8s.io has 1 resource instances",
            "Some content in the namespace has finalizers remaining: a/b in 2 resource instances, "
            "c/d in 1 resource instances",
            id="finalizers",
        ),
    ],
)
def test_what_remains(remaining: list[Any], content: str, finalizers: str) -> None:
    *_, one, other = conditions([], remaining, NOW)
    assert (one["status"], one["message"]) == ("True", content)
    assert other["message"] == finalizers


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    strange = {"type": "Other", "status": "True", "lastTransitionTime": THEN}
    before = conditions([strange], [(PODS, obj()), (PODS, obj())], THEN)
    assert conditions(before, [(PODS, obj()), (PODS, obj())], NOW) == before
    fewer = {one["type"]: one for one in conditions(before, [(PODS, obj())], NOW)}
    assert fewer["NamespaceContentRemaining"]["lastTransitionTime"] == THEN
    assert "pods. has 1" in fewer["NamespaceContentRemaining"]["message"]
    none = {one["type"]: one["lastTransitionTime"] for one in conditions(before, [], NOW)}
    assert none == {**dict.fromkeys(none, THEN), "NamespaceContentRemaining": NOW}
