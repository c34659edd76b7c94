# ruff: noqa: E501 (a row of a table is one line)
"""The one-node scheduler: what it binds, and what it says of what it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from podrun.controllers.scheduling import Scheduler
from podrun.supervisor.recorder import Recorder
from tests.supervisor.fakes import FakeStore

pytestmark = pytest.mark.looptime
NODE = {
    "metadata": {"name": "node1", "labels": {"topology.kubernetes.io/zone": "z1"}},
    "spec": {},
    "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "110"}},
}
NO_HELP = (
    " no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
)
NO_VICTIMS = (
    " no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
)


class House:
    def __init__(self) -> None:
        self.store = FakeStore()
        store: Any = self.store
        clock = asyncio.get_running_loop().time
        self.recorder = Recorder(store, "node1", clock=clock)
        self.scheduler = Scheduler(store, self.recorder, "node1", clock)

    async def create(self, name: str, spec: dict[str, Any] | None = None, **meta: Any) -> None:
        obj = {
            "metadata": {"name": name, "namespace": "n", "uid": name, "generation": 1, **meta},
            "spec": {"containers": [{"name": "a"}], "schedulerName": "default-scheduler", **(spec or {})},
            "status": {"phase": "Pending"},
        }
        await self.store.create("pods", obj)
        await asyncio.sleep(0.01)

    def pod(self, name: str) -> dict[str, Any]:
        obj = self.store.get("pods", "n", name)
        assert obj is not None
        return obj

    def scheduled(self, name: str) -> dict[str, Any]:
        conditions = self.pod(name)["status"].get("conditions", [])
        return next((c for c in conditions if c["type"] == "PodScheduled"), {})

    def events(self) -> list[tuple[str, str]]:
        return [(e["reason"], e["message"]) for e in self.store.list("events")]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    await made.store.create("nodes", NODE)
    made.scheduler.start()
    yield made
    await made.scheduler.stop()
    await made.recorder.stop()


def asking(cpu: str) -> dict[str, Any]:
    return {"containers": [{"name": "a", "resources": {"requests": {"cpu": cpu}}}]}


async def test_a_pod_that_fits_is_bound_and_told_of(house: House) -> None:
    await house.create("p")
    assert house.pod("p")["spec"]["nodeName"] == "node1"
    assert house.scheduled("p")["status"] == "True"
    assert house.pod("p")["metadata"]["labels"] == {"topology.kubernetes.io/zone": "z1"}
    assert house.events() == [("Scheduled", "Successfully assigned n/p to node1")]


AFFINITY = {"matchExpressions": [{"key": "no", "operator": "In", "values": ["such"]}]}
BY_NAME = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["other"]}]}
REASONS: list[tuple[str, dict[str, Any], str]] = [
    (
        "affinity that no node has",
        {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [AFFINITY]}}}},
        "1 node(s) didn't match Pod's node affinity/selector." + NO_HELP,
    ),
    ("a selector that no node has", {"nodeSelector": {"a": "b"}}, "1 node(s) didn't match Pod's node affinity/selector." + NO_HELP),
    ("a topology that the node is not in", {"topologySpreadConstraints": [{"topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}]}, "1 node(s) didn't match pod topology spread constraints (missing required label)." + NO_HELP),
    ("more than the node has", asking("9"), "1 Insufficient cpu." + NO_HELP),
    (
        "affinity to another node by its name",
        {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [BY_NAME]}}}},
        "1 node(s) didn't satisfy plugin(s) [NodeAffinity]." + NO_HELP,
    ),
    (
        "more domains than there are",
        {"topologySpreadConstraints": [{"topologyKey": "topology.kubernetes.io/zone", "maxSkew": 1, "minDomains": 2, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "x"}}}]},
        "1 node(s) didn't match pod topology spread constraints." + NO_VICTIMS,
    ),
    (
        "a claim on storage, of which there is none",
        {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]},
        'persistentvolumeclaim "c" not found.' + NO_HELP,
    ),
    (
        "a volume for which a claim would have to be made",
        {"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]},
        'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-v".' + NO_HELP,
    ),
    (
        "more of two things",
        {"containers": [{"name": "a", "resources": {"requests": {"cpu": "9", "memory": "9Gi"}}}]},
        "1 Insufficient cpu, 1 Insufficient memory." + NO_HELP,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "text"), [pytest.param(*row[1:], id=row[0]) for row in REASONS])
async def test_one_that_does_not_fit_is_told_why(house: House, spec: dict[str, Any], text: str) -> None:
    if "topologySpreadConstraints" in spec:
        await house.create("alike", labels={"app": "x"})
    await house.create("p", spec, labels={"app": "x"})
    message = f"0/1 nodes are available: {text}"
    condition = house.scheduled("p")
    assert (condition["status"], condition["reason"], condition["message"]) == ("False", "Unschedulable", message)
    assert house.events()[-1] == ("FailedScheduling", message)
    assert "nodeName" not in house.pod("p")["spec"]


async def test_room_that_others_have_is_waited_for(house: House) -> None:
    await house.create("first", asking("1500m"))
    await house.create("second", asking("1"))
    assert house.scheduled("second")["message"] == f"0/1 nodes are available: 1 Insufficient cpu.{NO_VICTIMS}"
    await house.store.remove("pods", "n", "first")
    await asyncio.sleep(0.01)
    assert house.pod("second")["spec"]["nodeName"] == "node1"


async def test_a_pod_that_has_ended_gives_its_room_back(house: House) -> None:
    await house.create("first", asking("1500m"))
    await house.create("second", asking("1"))
    await house.store.modify("pods", "n", "first", lambda o: {**o, "status": {**o["status"], "phase": "Succeeded"}})
    await asyncio.sleep(0.01)
    assert house.pod("second")["spec"]["nodeName"] == "node1"


async def test_two_at_once_do_not_get_the_same_room(house: House) -> None:
    await asyncio.gather(house.create("a", asking("1500m")), house.create("b", asking("1500m")))
    assert sorted("nodeName" in house.pod(name)["spec"] for name in "ab") == [False, True]


async def test_taints_keep_pods_off_until_they_are_gone(house: House) -> None:
    taint = {"key": "k", "effect": "NoSchedule"}
    await house.store.modify("nodes", "", "node1", lambda o: {**o, "spec": {"taints": [taint]}})
    await house.create("p")
    assert house.scheduled("p")["message"].startswith("0/1 nodes are available: 1 node(s) had untolerated taint(s).")
    await house.create("tolerant", {"tolerations": [{"operator": "Exists"}]})
    assert house.pod("tolerant")["spec"]["nodeName"] == "node1"
    await house.store.modify("nodes", "", "node1", lambda o: {**o, "spec": {}})
    await asyncio.sleep(0.01)
    assert house.pod("p")["spec"]["nodeName"] == "node1"


async def test_a_cordoned_node_takes_nothing(house: House) -> None:
    await house.store.modify("nodes", "", "node1", lambda o: {**o, "spec": {"unschedulable": True}})
    await house.create("p")
    assert house.scheduled("p")["message"].startswith("0/1 nodes are available: 1 node(s) were unschedulable.")


async def test_gates_hold_a_pod_without_an_event(house: House) -> None:
    await house.create("p", {"schedulingGates": [{"name": "x"}]})
    condition = house.scheduled("p")
    assert (condition["reason"], condition["message"]) == (
        "SchedulingGated",
        "Scheduling is blocked due to non-empty scheduling gates",
    )
    assert house.events() == []
    await house.store.modify("pods", "n", "p", lambda o: {**o, "spec": {**o["spec"], "schedulingGates": []}})
    await asyncio.sleep(0.01)
    assert house.pod("p")["spec"]["nodeName"] == "node1"


async def test_another_schedulers_pods_are_left_alone(house: House) -> None:
    await house.create("p", {"schedulerName": "none"})
    assert house.pod("p")["status"] == {"phase": "Pending"}


async def test_pods_that_must_not_be_together(house: House) -> None:
    term = {"topologyKey": "topology.kubernetes.io/zone", "labelSelector": {"matchLabels": {"app": "x"}}}
    anti = {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}
    await house.create("a", anti, labels={"app": "x"})
    await house.create("b", anti, labels={"app": "x"})
    assert house.scheduled("b")["message"].startswith(
        "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules."
    )


# Preemption

AT_RISK = {"terminationGracePeriodSeconds": 5}


def ranked(cpu: str, priority: int, **more: Any) -> dict[str, Any]:
    return {**asking(cpu), "priority": priority, **more}


async def test_a_pod_of_higher_priority_takes_the_room_of_a_lower_one(house: House) -> None:
    await house.create("low", ranked("1500m", 0, **AT_RISK))
    await house.create("high", ranked("1", 1000))
    await asyncio.sleep(0.01)
    low = house.pod("low")
    assert low["metadata"]["deletionGracePeriodSeconds"] == 5
    target = next(c for c in low["status"]["conditions"] if c["type"] == "DisruptionTarget")
    assert (target["status"], target["reason"], target["message"], target["observedGeneration"]) == (
        "True",
        "PreemptionByScheduler",
        "default-scheduler: preempting to accommodate a higher priority pod",
        1,
    )
    assert house.pod("high")["status"]["nominatedNodeName"] == "node1"
    assert house.scheduled("high")["message"] == "0/1 nodes are available: 1 Insufficient cpu."
    told = [e for e in house.store.list("events") if e["reason"] == "Preempted"]
    assert [(e["type"], e["message"], e["action"], e["related"]["name"]) for e in told] == [
        ("Normal", "Preempted by pod high on node node1", "Preempting", "high")
    ]
    # its room is nobody else's while the other ends
    await house.create("late", asking("400m"))  # beside the one that ends it would fit
    assert "nodeName" not in house.pod("late")["spec"]
    await house.store.remove("pods", "n", "low")
    await asyncio.sleep(0.01)
    assert house.pod("high")["spec"]["nodeName"] == house.pod("late")["spec"]["nodeName"] == "node1"
    assert "nominatedNodeName" not in house.pod("high")["status"]


async def test_a_victim_that_is_ending_is_waited_for_and_not_ended_twice(house: House) -> None:
    await house.create("low", ranked("1500m", 0, **AT_RISK))
    await house.create("high", ranked("1", 1000))
    await house.store.modify("nodes", "", "node1", lambda o: {**o, "metadata": {**o["metadata"], "labels": {"a": "b"}}})
    await asyncio.sleep(0.01)
    assert house.scheduled("high")["message"] == (
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, "
        "preemption: not eligible due to a terminating pod on the nominated node."
    )
    assert sum(reason == "Preempted" for reason, _ in house.events()) == 1


async def test_a_nomination_is_lost_to_a_pod_of_higher_priority(house: House) -> None:
    await house.create("low", ranked("1900m", 0, **AT_RISK))
    await house.create("high", ranked("1500m", 10))
    await house.create("highest", ranked("1500m", 20))
    assert house.pod("highest")["status"]["nominatedNodeName"] == "node1"
    assert "nominatedNodeName" not in house.pod("high")["status"]
    assert sum(reason == "Preempted" for reason, _ in house.events()) == 1
    await house.store.remove("pods", "n", "low")
    await asyncio.sleep(0.01)
    assert house.pod("highest")["spec"]["nodeName"] == "node1"
    assert "nodeName" not in house.pod("high")["spec"]


async def test_a_pod_that_never_preempts_waits(house: House) -> None:
    await house.create("low", ranked("1500m", 0))
    await house.create("high", ranked("1", 1000, preemptionPolicy="Never"))
    assert house.scheduled("high")["message"].endswith("preemption: not eligible due to preemptionPolicy=Never.")
    assert "deletionTimestamp" not in house.pod("low")["metadata"]
