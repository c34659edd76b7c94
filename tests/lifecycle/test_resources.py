# ruff: noqa: E501 (a row of a table is one line)
"""QoS classes, effective resources, cgroup numbers, fitting a node."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.pod import Pod
from podrun.lifecycle import admission, fitting, resize, resources
from podrun.lifecycle.fitting import NodeView
from podrun.lifecycle.observed import ActualResources
from podrun.lifecycle.qos import qos_class
from tests.lifecycle.build import pod, running, side

GIB = 1 << 30


def needing(requests: Any = None, limits: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": "a", "image": "i", "resources": {"requests": requests or {}, "limits": limits or {}}, **more}


QOS: list[tuple[str, Pod, str]] = [
    ("nothing asked for", pod("a"), "BestEffort"),
    ("ephemeral storage alone does not count", pod(containers=[needing({"ephemeral-storage": "1Gi"})]), "BestEffort"),
    ("a request without a limit", pod(containers=[needing({"cpu": "1"})]), "Burstable"),
    ("limits for both, equal to the requests", pod(containers=[needing({"cpu": "1", "memory": "1Gi"}, {"cpu": "1000m", "memory": "1024Mi"})]), "Guaranteed"),
    ("limits for both, requests not said", pod(containers=[needing({}, {"cpu": "1", "memory": "1Gi"})]), "Guaranteed"),
    ("a limit for memory only", pod(containers=[needing({}, {"memory": "1Gi"})]), "Burstable"),
    ("one container without", pod(containers=[needing({}, {"cpu": "1", "memory": "1Gi"}), {"name": "b", "image": "i"}]), "Burstable"),
    ("an init container without", pod(containers=[needing({}, {"cpu": "1", "memory": "1Gi"})], init=["i"]), "Burstable"),
    ("the pod's own resources decide alone", pod("a", resources={"limits": {"cpu": "1", "memory": "1Gi"}}), "Guaranteed"),
]  # fmt: skip


@pytest.mark.parametrize(("pod_", "expected"), [pytest.param(*row[1:], id=row[0]) for row in QOS])
def test_qos(pod_: Pod, expected: str) -> None:
    assert qos_class(pod_) == expected


def test_effective_requests_are_the_peak_of_what_runs_at_once() -> None:
    def ask(cpu: str) -> Any:
        return {"requests": {"cpu": cpu}}

    init = [{"name": "s1", "restartPolicy": "Always", "resources": ask("100m")}, {"name": "i", "resources": ask("1")}]
    made = pod(containers=[needing({"cpu": "300m"})], init=[*init, {**side("s2"), "resources": ask("200m")}])
    assert resources.texts(resources.pod_requests(made)) == {"cpu": "1100m"}
    small = pod(containers=[needing({"cpu": "900m"})], init=[*init[:1], {"name": "i", "resources": ask("500m")}])
    assert resources.texts(resources.pod_requests(small)) == {"cpu": "1"}


@pytest.mark.parametrize(
    ("millis", "shares", "quota"),
    [
        (0, 2, None),
        (1, 2, 1000),
        (100, 102, 10_000),
        (1000, 1024, 100_000),
        (2500, 2560, 250_000),
        (900_000, 262_144, 90_000_000),
    ],
)
def test_cpu_becomes_shares_and_quota(millis: int, shares: int, quota: int | None) -> None:
    assert (resources.shares(millis), resources.quota(millis)) == (shares, quota)


OOM: list[tuple[str, Pod, int]] = [
    ("Guaranteed", pod(containers=[needing({}, {"cpu": "1", "memory": "1Gi"})]), -997),
    ("BestEffort", pod("a"), 1000),
    ("Burstable with a quarter of the memory", pod(containers=[needing({"memory": "1Gi"})]), 750),
    ("Burstable with nearly nothing", pod(containers=[needing({"memory": "1Ki"})]), 999),
    ("Burstable with everything", pod(containers=[needing({"memory": "4Gi"})]), 3),
]


@pytest.mark.parametrize(("pod_", "expected"), [pytest.param(*row[1:], id=row[0]) for row in OOM])
def test_oom_score(pod_: Pod, expected: int) -> None:
    assert resources.oom_score_adj(pod_.spec.containers[0], pod_, 4 * GIB) == expected


def test_a_sidecar_is_no_better_victim_than_the_smallest_container() -> None:
    made = pod(containers=[needing({"memory": "2Gi"})], init=[side("s")])
    assert resources.oom_score_adj(made.spec.init_containers[0], made, 4 * GIB) == 500


def test_a_container_without_a_limit_gets_the_pods() -> None:
    made = pod("a", resources={"limits": {"cpu": "2", "memory": "1Gi"}})
    numbers = resources.container_numbers(made.spec.containers[0], made, 4 * GIB)
    assert (numbers.cpu_quota_us, numbers.memory_limit) == (200_000, GIB)


def test_the_pods_cgroup_is_limited_only_where_every_container_is() -> None:
    both = pod(containers=[needing({}, {"memory": "1Gi"}), {"name": "b", "image": "i"}])
    assert resources.pod_numbers(both).memory_limit is None
    assert resources.pod_numbers(pod(containers=[needing({}, {"memory": "1Gi"})])).memory_limit == GIB


def test_a_resize_is_in_place_unless_its_policy_says_restart() -> None:
    have = ActualResources(cpu_request=100, cpu_limit=200, memory_request=GIB, memory_limit=GIB)
    seen = running("a", resources=have)
    same = needing({"cpu": "100m", "memory": "1Gi"}, {"cpu": "200m", "memory": "1Gi"})
    more = needing({"cpu": "100m", "memory": "1Gi"}, {"cpu": "300m", "memory": "1Gi"})
    restart = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]

    def step(container: dict[str, Any]) -> resize.Step:
        made = pod(containers=[container])
        return resize.step(made.spec.containers[0], made, seen)

    assert step(same) is resize.Step.NONE
    assert step(more) is resize.Step.IN_PLACE
    assert step({**more, "resizePolicy": restart}) is resize.Step.RESTART
    assert step({**same, "resizePolicy": restart}) is resize.Step.NONE


NODE = NodeView("node1", {"zone": "a"}, {"cpu": "2", "memory": "1Gi", "pods": "3"})
TAINT = {"key": "k", "value": "v", "effect": "NoExecute"}


def affinity(*expressions: dict[str, Any]) -> dict[str, Any]:
    required = {"nodeSelectorTerms": [{"matchExpressions": list(expressions)}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


ADMISSION: list[tuple[str, Pod, NodeView, str | None]] = [
    ("a pod that fits", pod("a"), NODE, None),
    ("too much CPU", pod(containers=[needing({"cpu": "3"})]), NODE, "OutOfcpu: Node didn't have enough resource: cpu, requested: 3000, used: 1000, capacity: 2000"),
    ("too much memory", pod(containers=[needing({"memory": "2Gi"})]), NODE, "OutOfmemory: Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824"),
    ("a resource of which there are too few", pod(containers=[needing({"x.com/gpu": "2"})]), NodeView("node1", allocatable={"x.com/gpu": "1"}), "OutOfx.com/gpu: Node didn't have enough resource: x.com/gpu, requested: 2, used: 0, capacity: 1"),
    ("the wrong nodeSelector", pod("a", nodeSelector={"zone": "b"}), NODE, "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"),
    ("affinity that holds", pod("a", affinity=affinity({"key": "zone", "operator": "In", "values": ["a"]})), NODE, None),
    ("affinity that does not", pod("a", affinity=affinity({"key": "zone", "operator": "DoesNotExist"})), NODE, "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"),
    ("a taint that ends pods", pod("a"), NodeView("node1", taints=[TAINT]), "TaintToleration: Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"),
    ("a taint that is tolerated", pod("a", tolerations=[{"key": "k", "operator": "Exists"}]), NodeView("node1", taints=[TAINT]), None),
    ("AppArmor where there is none", pod("a", securityContext={"appArmorProfile": {"type": "RuntimeDefault"}}), NODE, "AppArmor: Cannot enforce AppArmor: AppArmor is not enabled on the host"),
    ("a safe sysctl", pod("a", securityContext={"sysctls": [{"name": "net/ipv4/tcp_rmem", "value": "1"}]}), NODE, None),
    ("an unsafe sysctl", pod("a", securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}), NODE, 'SysctlForbidden: forbidden sysctl: "kernel.msgmax" not allowlisted'),
    ("a sysctl of the host's network", pod("a", hostNetwork=True, securityContext={"sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1"}]}), NODE, 'SysctlForbidden: forbidden sysctl: "net.ipv4.tcp_rmem" not allowed with host Net enabled'),
    ("a label of its own for another operating system", pod("a", meta={"labels": {"kubernetes.io/os": "windows"}}), NODE, "PodOSSelectorNodeLabelDoesNotMatch: Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"),
    ("a resource that the node has never heard of", pod(containers=[needing({"x.com/gpu": "1"})]), NODE, None),
    ("another operating system", pod("a", os={"name": "windows"}), NODE, "PodOSNotSupported: Failed to admit pod as the OS field doesn't match node OS"),
]  # fmt: skip


@pytest.mark.parametrize(("pod_", "node", "expected"), [pytest.param(*row[1:], id=row[0]) for row in ADMISSION])
def test_admission(pod_: Pod, node: NodeView, expected: str | None) -> None:
    other = pod(containers=[needing({"cpu": "1"})])
    found = admission.rejection(pod_, node, [other], app_armor=False)
    assert (f"{found.reason}: {found.message}" if found else None) == expected


def test_a_host_port_is_for_one_pod() -> None:
    def listening(port: int, **more: Any) -> Pod:
        return pod(containers=[{"name": "a", "image": "i", "ports": [{"containerPort": 80, "hostPort": port, **more}]}])

    assert fitting.ports_clash(listening(80), [listening(80)])
    assert not fitting.ports_clash(listening(80), [listening(81)])
    assert not fitting.ports_clash(listening(80), [listening(80, protocol="UDP")])
    assert fitting.ports_clash(listening(80, hostIP="127.0.0.1"), [listening(80)])
    assert not fitting.ports_clash(listening(80, hostIP="127.0.0.1"), [listening(80, hostIP="10.0.0.1")])
