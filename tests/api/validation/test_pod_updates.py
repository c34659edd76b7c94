"""What may change on a pod, through which door."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.validation import validate_update
from podrun.api.validation.pod_update import UPDATABLE
from tests.api.validation.samples import GONE, POD, Object, changed, container, rows, told

C = "spec.containers.0."
OTHERWISE = f"spec: Forbidden: pod updates may not change fields other than {UPDATABLE}"
GATED = changed(
    POD,
    {
        "spec.schedulingGates": [{"name": "g"}, {"name": "h"}],
        "spec.nodeSelector": {"a": "b"},
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms": [
            {"matchExpressions": [{"key": "k", "operator": "Exists"}]}
        ],
    },
)
TOLERATION = {"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
TOLERANT = changed(POD, {"spec.tolerations": [TOLERATION]})
LIMITED = changed(POD, {"spec.activeDeadlineSeconds": 100})
SIZED = changed(
    POD,
    {
        C + "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}},
        "status.qosClass": "Burstable",
    },
)
DEBUGGED = changed(POD, {"spec.ephemeralContainers": [container(name="d")]})
TERMS = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"

UPDATES = {
    "nothing may change, of course": (POD, {}, []),
    "the image may change": (POD, {C + "image": "other"}, []),
    "the command may not": (POD, {C + "command": ["x"]}, [OTHERWISE]),
    "containers do not come and go": (
        POD,
        {"spec.initContainers": [container(name="i")]},
        ["spec.initContainers: Forbidden: pod updates may not add or remove containers"],
    ),
    "a deadline may be set": (POD, {"spec.activeDeadlineSeconds": 5}, []),
    "a deadline may come nearer": (LIMITED, {"spec.activeDeadlineSeconds": 5}, []),
    "a deadline may not move away": (
        LIMITED,
        {"spec.activeDeadlineSeconds": 101},
        ["spec.activeDeadlineSeconds: Invalid value: 101: must be less than or equal to previous value"],
    ),
    "a deadline may not go": (
        LIMITED,
        {"spec.activeDeadlineSeconds": GONE},
        ["spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"],
    ),
    "tolerations may be added": (TOLERANT, {"spec.tolerations": [TOLERATION, {"operator": "Exists"}]}, []),
    "a toleration may hold longer": (TOLERANT, {"spec.tolerations": [TOLERATION | {"tolerationSeconds": 9}]}, []),
    "a toleration may not go": (
        TOLERANT,
        {"spec.tolerations": []},
        ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"],
    ),
    "a negative grace period may become one": (
        changed(POD, {"spec.terminationGracePeriodSeconds": -1}),
        {"spec.terminationGracePeriodSeconds": 1},
        [],
    ),
    "any other grace period stays": (POD, {"spec.terminationGracePeriodSeconds": 1}, [OTHERWISE]),
    "gates may go": (GATED, {"spec.schedulingGates": [{"name": "h"}]}, []),
    "gates may not come": (
        GATED,
        {"spec.schedulingGates": [{"name": "i"}]},
        ["spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'i'"],
    ),
    "a gated pod may be told more narrowly where to go": (
        GATED,
        {
            "spec.nodeSelector": {"a": "b", "c": "d"},
            TERMS: [{"matchExpressions": [{"key": "k", "operator": "Exists"}, {"key": "l", "operator": "Exists"}]}],
        },
        [],
    ),
    "a gated pod may not be told otherwise": (
        GATED,
        {"spec.nodeSelector": {"a": "c"}, TERMS: [{"matchExpressions": [{"key": "l", "operator": "Exists"}]}]},
        [
            'spec.nodeSelector: Invalid value: {"a":"c"}: only additions to spec.nodeSelector are allowed (no '
            "mutations or "
            "deletions)",
            TERMS + '[0]: Invalid value: {"MatchExpressions":[{"Key":"l","Operator":"Exists","Values":null}],'
            '"MatchFields":null}: only additions are allowed (no mutations or deletions)',
        ],
    ),
    "a gated pod gets affinity for the first time": (
        changed(POD, {"spec.schedulingGates": [{"name": "g"}]}),
        {TERMS: [{"matchExpressions": [{"key": "l", "operator": "Exists"}]}]},
        [],
    ),
    "a pod without gates goes where it was told": (POD, {"spec.nodeSelector": {"a": "b"}}, [OTHERWISE]),
    "a mirror pod stays one": (
        POD,
        {"metadata/annotations": {"kubernetes.io/config.mirror": "x"}},
        ["metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod annotation"]
        + 2
        * [
            'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if '
            "mirror pod "
            "annotation is set"
        ],
    ),
}

RESIZES = {
    "more CPU is fine": (SIZED, {C + "resources.limits.cpu": "3"}, []),
    "a limit does not go": (
        SIZED,
        {C + "resources.limits": {"cpu": "2"}},
        ["spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"],
    ),
    "the class stays": (
        SIZED,
        {C + "resources.requests": {"cpu": "2", "memory": "1Gi"}},
        ['spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing'],
    ),
    "nothing else has a size": (
        SIZED,
        {C + "resources.requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}},
        ["spec: Forbidden: only cpu and memory resources are mutable"],
    ),
    "the containers stay": (
        SIZED,
        {"spec.containers": [SIZED["spec"]["containers"][0] | {"name": "b"}]},
        ["spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize"],
    ),
    "a node that tells no resources cannot change them": (
        changed(SIZED, {"status.containerStatuses": [{"name": "a", "state": {"running": {}}}]}),
        {C + "resources.limits.cpu": "3"},
        ["spec: Forbidden: Pod running on node without support for resize"],
    ),
    "the pod's budget does not go": (
        changed(SIZED, {"spec.resources": {"limits": {"cpu": "4", "memory": "2Gi"}}}),
        {"spec.resources": GONE},
        ["spec.resources: Forbidden: pod-level resources cannot be removed"],
    ),
    "a pod of Windows stays as large": (
        changed(SIZED, {"spec.os": {"name": "windows"}}),
        {},
        ["[]: Forbidden: windows pods cannot be resized"],
    ),
}

EPHEMERAL = {
    "a container for debugging may come": (POD, {"spec.ephemeralContainers": [container(name="d")]}, []),
    "it may not go": (
        DEBUGGED,
        {"spec.ephemeralContainers": []},
        ['spec.ephemeralContainers: Forbidden: existing ephemeral containers "d" may not be removed\n'],
    ),
    "it has a name of its own, and nobody depends on it": (
        POD,
        {
            "spec.ephemeralContainers": [
                container(targetContainerName="z", ports=[{"containerPort": 1, "protocol": "TCP"}], lifecycle={})
            ]
        },
        [
            'spec.ephemeralContainers[0].name: Duplicate value: "a"',
            'spec.ephemeralContainers[0].targetContainerName: Not found: "z"',
            "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
            "spec.ephemeralContainers[0].lifecycle: Forbidden: cannot be set for an Ephemeral Container",
        ],
    ),
    "a static pod is not debugged": (
        changed(POD, {"metadata/annotations": {"kubernetes.io/config.mirror": "x"}, "spec.nodeName": "n"}),
        {},
        ["[]: Forbidden: static pods do not support ephemeral containers"],
    ),
}

ENDED = changed(
    POD,
    {
        "spec.restartPolicy": "OnFailure",
        "spec.nodeName": "n",
        "status.containerStatuses": [{"name": "a", "state": {"terminated": {"exitCode": 0}}}],
    },
)
RUNNING = [{"name": "a", "state": {"running": {}}}]

STATUSES = {
    "a phase may change": (POD, {"status.phase": "Running"}, []),
    "the class stays": (
        POD,
        {"status.qosClass": "Burstable"},
        ['status.qosClass: Invalid value: "Burstable": field is immutable'],
    ),
    "what ended well does not run again": (
        ENDED,
        {"status.containerStatuses": RUNNING},
        ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"],
    ),
    "what failed may run again": (
        changed(ENDED, {"status.containerStatuses.0.state.terminated.exitCode": 1}),
        {"status.containerStatuses": RUNNING},
        [],
    ),
    "a rule may start it again": (
        changed(
            ENDED,
            {
                C + "restartPolicy": "Never",
                C + "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [1]}}],
            },
        ),
        {"status.containerStatuses": RUNNING},
        [],
    ),
    "a rule for all may start everything again": (
        changed(ENDED, {C + "restartPolicyRules": [{"action": "RestartAllContainers"}]}),
        {"status.containerStatuses": RUNNING},
        [],
    ),
    "addresses are addresses, one of each family": (
        POD,
        {"status.podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "status.hostIP": "1.1.1.1"},
        [
            'status.podIPs: Invalid value: [{"IP":"10.0.0.1"},{"IP":"10.0.0.2"}]: may specify no more than one IP '
            "for each "
            "IP family"
        ],
    ),
    "the host's first address is its address": (
        POD,
        {"status.hostIPs": [{"ip": "1.1.1.1"}], "status.hostIP": "1.1.1.2"},
        ['status.hostIPs[0].ip: Invalid value: "1.1.1.1": must be equal to `hostIP`'],
    ),
    "a bound pod is not promised to a node": (
        ENDED,
        {"status.nominatedNodeName": "m"},
        ["status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node"],
    ),
    "a user of a container has an id": (
        POD,
        {"status.containerStatuses": [{"name": "a", "user": {"linux": {"uid": -1, "gid": 0}}}]},
        ["status.containerStatuses[0].user.linux.uid: Invalid value: -1: must be between 0 and 2147483647, inclusive"],
    ),
    "a device was asked for": (
        POD,
        {
            "status.containerStatuses": [
                {"name": "a", "allocatedResourcesStatus": [{"name": "x/y", "resources": [{"health": "Ill"}]}]}
            ]
        },
        [
            'status.containerStatuses[0].allocatedResourcesStatus[0].name: Invalid value: "x/y": must match one of the '
            "container's resource requests",
            'status.containerStatuses[0].allocatedResourcesStatus[0].resources[0].health: Unsupported value: "Ill": '
            'supported values: "Healthy", "Unhealthy", "Unknown"',
        ],
    ),
}


def check(old: Object, changes: dict[str, Any], expected: list[str], subresource: str) -> None:
    causes = told(validate_update("Pod", changed(old, changes), old, subresource))
    assert [one.split("\n@@")[0] for one in causes] == sorted(expected)


@pytest.mark.parametrize(("old", "changes", "expected"), rows(UPDATES))
def test_through_the_pod(old: Object, changes: dict[str, Any], expected: list[str]) -> None:
    check(old, changes, expected, "")


@pytest.mark.parametrize(("old", "changes", "expected"), rows(RESIZES))
def test_through_resize(old: Object, changes: dict[str, Any], expected: list[str]) -> None:
    check(old, changes, expected, "resize")


@pytest.mark.parametrize(("old", "changes", "expected"), rows(EPHEMERAL))
def test_through_ephemeral_containers(old: Object, changes: dict[str, Any], expected: list[str]) -> None:
    check(old, changes, expected, "ephemeralcontainers")


@pytest.mark.parametrize(("old", "changes", "expected"), rows(STATUSES))
def test_through_status(old: Object, changes: dict[str, Any], expected: list[str]) -> None:
    check(old, changes, expected, "status")


def test_a_refused_change_is_shown() -> None:
    (cause,) = validate_update("Pod", changed(POD, {"spec.hostname": "x"}), POD)
    assert '\n+ "hostname": "x",\n' in cause.message
