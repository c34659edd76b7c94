"""Tables: the status of pods in every state, and a row of every other kind."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.errors import ApiError
from podrun.api.gvk import KindRef
from podrun.api.humantime import human_duration
from podrun.api.kinds import KINDS
from podrun.api.printers import check_include_object, table

NOW = 1_700_000_000.0
CREATED = "2023-11-14T22:12:20Z"  # a minute before
POD = KindRef("", "v1", "Pod")


def pod(status: dict[str, Any], **more: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "a"}, {"name": "b"}], **more.pop("spec", {})}
    return {"metadata": {"name": "p", "creationTimestamp": CREATED, **more}, "spec": spec, "status": status}


def state(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    extra: dict[str, Any] = {
        key: fields.pop(key) for key in ("ready", "restartCount", "lastState", "started") if key in fields
    }
    return {"name": name, "state": {kind: fields}, **extra}


def running(name: str, ready: bool = True, **fields: Any) -> dict[str, Any]:
    return state(name, "running", ready=ready, **fields)


def cells(obj: dict[str, Any]) -> list[Any]:
    made = table(POD, [obj], now=NOW, list_metadata={}, include_object="None")
    found: list[Any] = made["rows"][0]["cells"]
    return found


READY = {"type": "Ready", "status": "True"}
INIT = {"initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]}
ENDED = {"terminated": {"exitCode": 1, "finishedAt": "2023-11-14T22:13:10Z"}}

PODS: list[tuple[str, dict[str, Any], tuple[str, str, str]]] = [
    ("pending", pod({"phase": "Pending"}), ("0/2", "Pending", "0")),
    ("all run", pod({"phase": "Running", "containerStatuses": [running("a"), running("b")]}), ("2/2", "Running", "0")),
    (
        "one waits",
        pod(
            {
                "phase": "Running",
                "containerStatuses": [
                    running("a"),
                    state("b", "waiting", reason="CrashLoopBackOff", restartCount=3, lastState=ENDED),
                ],
            }
        ),
        ("1/2", "CrashLoopBackOff", "3 (10s ago)"),
    ),
    (
        "the first container's word counts",
        pod(
            {
                "phase": "Pending",
                "containerStatuses": [
                    state("a", "waiting", reason="ErrImagePull"),
                    state("b", "waiting", reason="ContainerCreating"),
                ],
            }
        ),
        ("0/2", "ErrImagePull", "0"),
    ),
    (
        "completed",
        pod(
            {
                "phase": "Succeeded",
                "containerStatuses": [
                    state("a", "terminated", exitCode=0, reason="Completed"),
                    state("b", "terminated", exitCode=0, reason="Completed"),
                ],
            }
        ),
        ("0/2", "Completed", "0"),
    ),
    (
        "one is done, one runs",
        pod(
            {
                "phase": "Running",
                "conditions": [READY],
                "containerStatuses": [state("a", "terminated", exitCode=0, reason="Completed"), running("b")],
            }
        ),
        ("1/2", "Running", "0"),
    ),
    (
        "one is done, and the pod is not ready",
        pod(
            {
                "phase": "Running",
                "containerStatuses": [state("a", "terminated", exitCode=0, reason="Completed"), running("b")],
            }
        ),
        ("1/2", "NotReady", "0"),
    ),
    (
        "one failed, one completed",
        pod(
            {
                "phase": "Failed",
                "containerStatuses": [
                    state("a", "terminated", exitCode=0, reason="Completed"),
                    state("b", "terminated", exitCode=2, reason="Error"),
                ],
            }
        ),
        ("0/2", "Error", "0"),
    ),
    (
        "killed by a signal",
        pod({"phase": "Failed", "containerStatuses": [state("a", "terminated", exitCode=137, signal=9)]}),
        ("0/2", "Signal:9", "0"),
    ),
    (
        "ended without a reason",
        pod({"phase": "Failed", "containerStatuses": [state("a", "terminated", exitCode=3)]}),
        ("0/2", "ExitCode:3", "0"),
    ),
    ("evicted", pod({"phase": "Failed", "reason": "Evicted"}), ("0/2", "Evicted", "0")),
    (
        "gated",
        pod(
            {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
            }
        ),
        ("0/2", "SchedulingGated", "0"),
    ),
    (
        "being deleted",
        pod({"phase": "Running", "containerStatuses": [running("a"), running("b")]}, deletionTimestamp=CREATED),
        ("2/2", "Terminating", "0"),
    ),
    ("deleted and done", pod({"phase": "Succeeded"}, deletionTimestamp=CREATED), ("0/2", "Succeeded", "0")),
    (
        "on a lost node",
        pod({"phase": "Running", "reason": "NodeLost"}, deletionTimestamp=CREATED),
        ("0/2", "Unknown", "0"),
    ),
    (
        "the first init container runs",
        pod(
            {
                "phase": "Pending",
                "initContainerStatuses": [state("i", "running"), state("s", "waiting", reason="PodInitializing")],
            },
            spec=INIT,
        ),
        ("0/3", "Init:0/2", "0"),
    ),
    (
        "the sidecar starts",
        pod(
            {
                "phase": "Pending",
                "initContainerStatuses": [state("i", "terminated", exitCode=0), running("s", started=False)],
            },
            spec=INIT,
        ),
        ("0/3", "Init:1/2", "0"),
    ),
    (
        "an init container fails",
        pod({"phase": "Pending", "initContainerStatuses": [state("i", "terminated", exitCode=4)]}, spec=INIT),
        ("0/3", "Init:ExitCode:4", "0"),
    ),
    (
        "an init container crashes",
        pod(
            {
                "phase": "Pending",
                "initContainerStatuses": [
                    state("i", "waiting", reason="CrashLoopBackOff", restartCount=2, lastState=ENDED)
                ],
            },
            spec=INIT,
        ),
        ("0/3", "Init:CrashLoopBackOff", "2 (10s ago)"),
    ),
    (
        "sidecars count, and their restarts",
        pod(
            {
                "phase": "Running",
                "initContainerStatuses": [
                    state("i", "terminated", exitCode=0, restartCount=5),
                    running("s", started=True, restartCount=1),
                ],
                "containerStatuses": [running("a", restartCount=2), running("b")],
            },
            spec=INIT,
        ),
        ("3/3", "Running", "3"),
    ),
    (
        "a sidecar crashed after the start",
        pod(
            {
                "phase": "Running",
                "conditions": [{"type": "Initialized", "status": "True"}],
                "initContainerStatuses": [
                    state("i", "terminated", exitCode=0),
                    state("s", "waiting", reason="CrashLoopBackOff", restartCount=1),
                ],
                "containerStatuses": [running("a"), running("b")],
            },
            spec=INIT,
        ),
        ("2/3", "Init:CrashLoopBackOff", "1"),
    ),
]


@pytest.mark.parametrize(("_", "obj", "expected"), PODS, ids=[row[0] for row in PODS])
def test_a_pods_row(_: str, obj: dict[str, Any], expected: tuple[str, str, str]) -> None:
    assert cells(obj)[:5] == ["p", *expected, "60s"]


def test_the_wide_columns_of_a_pod() -> None:
    gates = {"readinessGates": [{"conditionType": "x"}, {"conditionType": "y"}], "nodeName": "n"}
    status = {"podIPs": [{"ip": "10.0.0.1"}], "conditions": [{"type": "x", "status": "True"}]}
    assert cells(pod(status, spec=gates))[5:] == ["10.0.0.1", "n", "<none>", "1/2"]
    assert cells(pod({}))[5:] == ["<none>"] * 4


def test_rows_of_pods_that_are_done_say_so() -> None:
    made = table(POD, [pod({"phase": "Failed"})], now=NOW, list_metadata={"resourceVersion": "5"})
    assert made["metadata"] == {"resourceVersion": "5"}
    assert made["rows"][0]["conditions"] == [
        {"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}
    ]


def meta(**fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x", "creationTimestamp": CREATED}, **fields}


KIND_ROWS: list[tuple[tuple[str, str], dict[str, Any], list[Any]]] = [
    (("", "Namespace"), meta(status={"phase": "Active"}), ["x", "Active", "60s"]),
    (("", "ConfigMap"), meta(data={"a": "1"}, binaryData={"b": ""}), ["x", 2, "60s"]),
    (("", "Secret"), meta(type="Opaque", data={"a": ""}), ["x", "Opaque", 1, "60s"]),
    (("", "ServiceAccount"), meta(), ["x", "60s"]),
    (
        ("", "PodTemplate"),
        meta(
            template={
                "metadata": {"labels": {"b": "2", "a": "1"}},
                "spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]},
            }
        ),
        ["x", "c,d", "i,j", "a=1,b=2"],
    ),
    (
        ("", "Service"),
        meta(
            spec={
                "type": "NodePort",
                "clusterIPs": ["10.96.0.5"],
                "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
                "selector": {"a": "b"},
            }
        ),
        ["x", "NodePort", "10.96.0.5", "<none>", "80:30080/TCP,53/UDP", "60s", "a=b"],
    ),
    (
        ("", "Service"),
        meta(spec={"type": "ExternalName", "externalName": "e.x"}),
        ["x", "ExternalName", "<none>", "e.x", "<none>", "60s", "<none>"],
    ),
    (
        ("", "Service"),
        meta(spec={"type": "LoadBalancer"}),
        ["x", "LoadBalancer", "<none>", "<pending>", "<none>", "60s", "<none>"],
    ),
    (("", "Endpoints"), meta(), ["x", "<none>", "60s"]),
    (
        ("", "Endpoints"),
        meta(subsets=[{"addresses": [{"ip": f"10.0.0.{n}"} for n in range(5)], "ports": [{"port": 80}]}]),
        ["x", "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more...", "60s"],
    ),
    (
        ("", "Endpoints"),
        meta(subsets=[{"addresses": [{"ip": "fd00::1"}], "ports": [{"port": 80}]}]),
        ["x", "[fd00::1]:80", "60s"],
    ),
    (
        ("", "Node"),
        meta(
            status={
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"kubeletVersion": "v1", "kernelVersion": "6.1", "architecture": "amd64"},
                "addresses": [{"type": "InternalIP", "address": "10.0.0.9"}],
            },
            spec={"unschedulable": True},
        ),
        [
            "x",
            "Ready,SchedulingDisabled",
            "<none>",
            "60s",
            "v1",
            "10.0.0.9",
            "<none>",
            "<unknown>",
            "6.1 (amd64)",
            "<unknown>",
        ],
    ),
    (
        ("", "Event"),
        meta(
            type="Normal",
            reason="Started",
            involvedObject={"kind": "Pod", "name": "p", "fieldPath": "spec"},
            source={"component": "kubelet", "host": "n"},
            message=" hi\n",
            firstTimestamp=CREATED,
            count=3,
        ),
        ["60s", "Normal", "Started", "pod/p", "spec", "kubelet, n", "hi", "60s", 3, "x"],
    ),
    (("coordination.k8s.io", "Lease"), meta(spec={"holderIdentity": "me"}), ["x", "me", "60s"]),
    (("scheduling.k8s.io", "PriorityClass"), meta(value=5, preemptionPolicy="Never"), ["x", 5, False, "60s", "Never"]),
    (("node.k8s.io", "RuntimeClass"), meta(handler="runc"), ["x", "runc", "60s"]),
    (
        ("metrics.k8s.io", "PodMetrics"),
        meta(
            window="15s",
            containers=[
                {"name": "a", "usage": {"cpu": "250000001n", "memory": "1Mi"}},
                {"name": "b", "usage": {"cpu": "500m", "memory": "512Ki"}},
            ],
        ),
        ["x", "750000001n", "1536Ki", "15s"],
    ),
    (
        ("metrics.k8s.io", "NodeMetrics"),
        meta(window="15s", usage={"cpu": "1500m", "memory": "2Gi"}),
        ["x", "1500m", "2Gi", "15s"],
    ),
    (
        ("discovery.k8s.io", "EndpointSlice"),
        meta(addressType="IPv4", ports=[{"port": 80}], endpoints=[{"addresses": ["10.0.0.1"]}]),
        ["x", "IPv4", "80", "10.0.0.1", "60s"],
    ),
    (
        ("rbac.authorization.k8s.io", "RoleBinding"),
        meta(
            roleRef={"kind": "Role", "name": "r"},
            subjects=[{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "namespace": "n", "name": "s"}],
        ),
        ["x", "Role/r", "60s", "u", "", "n/s"],
    ),
    (("rbac.authorization.k8s.io", "Role"), meta(), ["x", CREATED]),
]


@pytest.mark.parametrize(("kind", "obj", "expected"), KIND_ROWS, ids=[f"{row[0][1]}" for row in KIND_ROWS])
def test_a_row_of_every_kind(kind: tuple[str, str], obj: dict[str, Any], expected: list[Any]) -> None:
    made = table(KindRef(kind[0], "v1", kind[1]), [obj], now=NOW, list_metadata={})
    assert made["rows"][0]["cells"] == expected
    assert len(made["columnDefinitions"]) == len(expected)


def test_every_column_of_every_served_kind_is_described() -> None:
    for kind in KINDS.values():
        made = table(KindRef(kind.group, kind.version, kind.kind), [], now=NOW, list_metadata={})
        assert all(column["name"] and column["type"] for column in made["columnDefinitions"])


def test_what_a_row_carries() -> None:
    obj = meta(data={})
    kind = KindRef("", "v1", "ConfigMap")

    def carried(include: str) -> Any:
        return table(kind, [obj], now=NOW, list_metadata={}, include_object=include)["rows"][0]["object"]

    assert carried("None") is None
    assert carried("Object") is obj
    assert carried("Metadata") == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj["metadata"],
    }
    assert table(kind, [], now=NOW, list_metadata={}, columns=False)["columnDefinitions"] is None
    with pytest.raises(ApiError, match="must be 'Metadata', 'Object', 'None', or empty"):
        check_include_object("Bad")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (201, "3m21s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (5 * 3600 + 60, "5h1m"),
        (8 * 3600, "8h"),
        (48 * 3600, "2d"),
        (49 * 3600, "2d1h"),
        (8 * 86400, "8d"),
        (729 * 86400, "729d"),
        (800 * 86400, "2y70d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_ages_for_people(seconds: float, shown: str) -> None:
    assert human_duration(seconds) == shown
