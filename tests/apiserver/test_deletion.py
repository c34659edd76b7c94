"""What a DELETE does to an object."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.deletion import DeleteOptions, decide, is_finished, options_of
from podrun.api.errors import ApiError
from podrun.api.kinds import KINDS
from podrun.api.names import rfc3339

Object = dict[str, Any]
NOW = 1_700_000_000.0
PODS, MAPS, NAMESPACES = KINDS["pods"], KINDS["configmaps"], KINDS["namespaces"]


def pod(*, node: str = "n", phase: str = "Running", **metadata: Any) -> Object:
    return {
        "metadata": {"name": "p", "uid": "u", "generation": 1, "resourceVersion": "7", **metadata},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 30},
        "status": {"phase": phase},
    }


def ending(grace: int, since: float = 0) -> Object:
    ends = rfc3339(NOW - since + grace)
    return pod(deletionTimestamp=ends, deletionGracePeriodSeconds=grace)


POD_ROWS = [
    ("a running pod gets its grace", pod(), DeleteOptions(), 30, 30, False),
    ("or the one asked for", pod(), DeleteOptions(5), 5, 5, False),
    ("a negative one is a second", pod(), DeleteOptions(-1), 1, 1, False),
    ("none is at once", pod(), DeleteOptions(0), 0, 0, True),
    ("a pod without a node goes at once", pod(node=""), DeleteOptions(), 0, 0, True),
    ("and so does one that has ended", pod(phase="Succeeded"), DeleteOptions(30), 0, 0, True),
    ("a finalizer holds it", pod(node="", finalizers=["a/b"]), DeleteOptions(), 0, 0, False),
    ("a grace is made shorter", ending(30), DeleteOptions(5), 5, 5, False),
    ("never longer", ending(5), DeleteOptions(30), 5, 5, False),
    ("asking again changes nothing", ending(30, since=10), DeleteOptions(), 20, 30, False),
    ("a new one that has passed already leaves a second", ending(30, since=10), DeleteOptions(5), 0, 1, False),
    ("and force leaves none", ending(30, since=10), DeleteOptions(0), 0, 0, True),
]


@pytest.mark.parametrize(
    ("obj", "options", "ends_in", "grace", "gone"), [r[1:] for r in POD_ROWS], ids=[r[0] for r in POD_ROWS]
)
def test_pods(obj: Object, options: DeleteOptions, ends_in: int, grace: int, gone: bool) -> None:
    deletion = decide(PODS, obj, options, NOW)
    metadata = deletion.state["metadata"]
    assert metadata["deletionTimestamp"] == rfc3339(NOW + ends_in)
    assert metadata["deletionGracePeriodSeconds"] == grace
    assert deletion.gone is gone
    assert metadata["generation"] == (1 if "deletionTimestamp" in obj["metadata"] else 2)


def test_what_is_not_graceful_goes_unchanged() -> None:
    obj = {"metadata": {"name": "c", "uid": "u"}}
    deletion = decide(MAPS, obj, DeleteOptions(), NOW)
    assert (deletion.state, deletion.gone, deletion.changed) == (obj, True, False)


@pytest.mark.parametrize(
    ("options", "finalizers"),
    [
        (DeleteOptions(policy="Foreground"), ["a/b", "foregroundDeletion"]),
        (DeleteOptions(policy="Orphan"), ["a/b", "orphan"]),
        (DeleteOptions(orphan_dependents=True), ["a/b", "orphan"]),
        (DeleteOptions(policy="Background"), ["a/b"]),
    ],
)
def test_propagation_is_asked_for_with_finalizers(options: DeleteOptions, finalizers: list[str]) -> None:
    obj = {"metadata": {"name": "c", "uid": "u", "finalizers": ["a/b"]}}
    deletion = decide(MAPS, obj, options, NOW)
    assert deletion.state["metadata"]["finalizers"] == finalizers
    assert deletion.state["metadata"]["deletionTimestamp"] == rfc3339(NOW)
    assert not deletion.gone


def test_a_namespace_terminates_first_and_goes_without_finalizers() -> None:
    obj = {"metadata": {"name": "n"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    first = decide(NAMESPACES, obj, DeleteOptions(), NOW)
    assert first.state["status"] == {"phase": "Terminating"}
    assert not first.gone
    assert not is_finished(NAMESPACES, first.state)
    emptied = {**first.state, "spec": {}}
    assert is_finished(NAMESPACES, emptied)
    assert decide(NAMESPACES, emptied, DeleteOptions(), NOW).gone


@pytest.mark.parametrize(
    ("obj", "finished"),
    [
        (pod(), False),
        (ending(0), True),
        (ending(5), False),
        (pod(deletionTimestamp="x", deletionGracePeriodSeconds=0, finalizers=["a/b"]), False),
    ],
    ids=["alive", "no grace left", "grace left", "held"],
)
def test_an_update_can_be_the_end(obj: Object, finished: bool) -> None:
    assert is_finished(PODS, obj) is finished


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (DeleteOptions(uid="other"), r"the UID in the precondition \(other\) does not match the UID in record \(u\)"),
        (DeleteOptions(resource_version="3"), r"the ResourceVersion in the precondition \(3\)"),
    ],
)
def test_preconditions(options: DeleteOptions, words: str) -> None:
    with pytest.raises(ApiError, match=words) as refused:
        decide(PODS, pod(), options, NOW)
    assert refused.value.reason == "Conflict"


@pytest.mark.parametrize(
    "body", [[], "x", {"kind": "Pod", "apiVersion": "v1"}, {"gracePeriodSeconds": "x"}, {"preconditions": 1}]
)
def test_a_body_that_is_no_options_is_refused(body: Any) -> None:
    with pytest.raises(ApiError) as refused:
        options_of(body)
    assert refused.value.code == 400
