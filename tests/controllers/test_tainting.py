"""What taints of the node do to its pods, and what cordoning it does to the node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from podrun.api.pod import Pod
from podrun.controllers.tainting import TaintController, seconds_left, with_own_taints
from podrun.supervisor.recorder import Recorder
from tests.supervisor.fakes import FakeStore

A, B = ({"key": key, "value": "v", "effect": "NoExecute"} for key in "ab")
CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
FULL = {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}


def bears(key: str, seconds: int | None = None) -> dict[str, Any]:
    tolerated: dict[str, Any] = {"key": key, "operator": "Exists", "effect": "NoExecute"}
    return tolerated if seconds is None else {**tolerated, "tolerationSeconds": seconds}


def pod(name: str, *tolerations: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "n", "uid": name, "generation": 1},
        "spec": {
            "nodeName": "node1",
            "containers": [{"name": "a"}],
            "tolerations": list(tolerations),
            "terminationGracePeriodSeconds": 7,
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


@pytest.mark.parametrize(
    ("tolerations", "taints", "expected"),
    [
        pytest.param((), [A], 0, id="a taint that is not borne: at once"),
        pytest.param((bears("a"),), [A], None, id="one that is borne: for ever"),
        pytest.param((bears("a", 30),), [A], 30, id="for as long as the toleration says"),
        pytest.param((bears("a", 30), bears("b", 20)), [A, B], 20, id="of two the shorter"),
        pytest.param((bears("a", 30), bears("b")), [A, B], 30, id="for ever does not shorten"),
        pytest.param((bears("a", 30),), [A, B], 0, id="every taint counts"),
        pytest.param((bears("a", -1),), [A], 0, id="a negative time is none"),
        pytest.param((), [], None, id="no taints: for ever"),
    ],
)
def test_how_long_a_pod_may_stay(tolerations: Any, taints: Any, expected: float | None) -> None:
    assert seconds_left(Pod.of(pod("p", *tolerations)), taints) == expected


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        pytest.param(
            {"spec": {"unschedulable": True}}, [{**CORDON, "timeAdded": "1970-01-01T00:00:00Z"}], id="cordoned: tainted"
        ),
        pytest.param({"spec": {"taints": [CORDON, A]}}, [A], id="uncordoned: that taint goes, others stay"),
        pytest.param({"spec": {"taints": [CORDON]}}, None, id="the last taint takes the list with it"),
        pytest.param({"spec": {"unschedulable": True, "taints": [CORDON]}}, [CORDON], id="nothing to do"),
        pytest.param(
            {"spec": {"taints": [A]}, "status": {"conditions": [{"type": "DiskPressure", "status": "True"}]}},
            [A, {**FULL, "timeAdded": "1970-01-01T00:00:00Z"}],
            id="short of disk: tainted",
        ),
        pytest.param(
            {"spec": {"taints": [FULL]}, "status": {"conditions": [{"type": "DiskPressure", "status": "False"}]}},
            None,
            id="no longer short: the taint goes",
        ),
        pytest.param(
            {"spec": {"taints": [{**FULL, "effect": "NoExecute"}]}},
            [{**FULL, "effect": "NoExecute"}],
            id="one of that name with another effect is somebody else's",
        ),
    ],
)
def test_the_nodes_own_taints(node: dict[str, Any], expected: Any) -> None:
    assert with_own_taints(node, 0)["spec"].get("taints") == expected


class House:
    def __init__(self) -> None:
        self.store = FakeStore()
        store: Any = self.store
        clock = asyncio.get_running_loop().time
        self.recorder = Recorder(store, "node1", clock=clock)
        self.controller = TaintController(store, self.recorder, "node1", clock)

    async def taint(self, *taints: dict[str, Any], **spec: Any) -> dict[str, Any]:
        await self.store.modify("nodes", "", "node1", lambda o: {**o, "spec": {"taints": list(taints), **spec}})
        await asyncio.sleep(0.1)
        node = self.store.get("nodes", "", "node1")
        assert node is not None
        return node

    def ending(self) -> list[str]:
        return [o["metadata"]["name"] for o in self.store.list("pods") if "deletionTimestamp" in o["metadata"]]

    def texts(self) -> list[str]:
        return [e["message"] for e in self.store.list("events")]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    await made.store.create("nodes", {"metadata": {"name": "node1"}, "spec": {}})
    made.controller.start()
    made.recorder.start()
    yield made
    await made.controller.stop()
    await made.recorder.stop()


@pytest.mark.looptime
async def test_a_no_execute_taint_deletes_the_pods_that_do_not_bear_it(house: House) -> None:
    for one in (pod("x"), pod("y", bears("a"))):
        await house.store.create("pods", one)
    await house.taint(A)
    assert house.ending() == ["x"]
    gone = house.store.get("pods", "n", "x")
    assert gone is not None
    assert gone["metadata"]["deletionGracePeriodSeconds"] == 7
    condition = gone["status"]["conditions"][-1]
    assert (condition["type"], condition["reason"]) == ("DisruptionTarget", "DeletionByTaintManager")
    assert house.texts() == ["Marking for deletion Pod n/x"]
    await house.store.create("pods", pod("z"))
    await asyncio.sleep(0.1)
    assert house.ending() == ["x", "z"]


@pytest.mark.looptime
async def test_a_pod_may_stay_a_while_and_longer_if_the_taint_goes(house: House) -> None:
    for one in (pod("x", bears("a", 30)), pod("y", bears("a", 60))):
        await house.store.create("pods", one)
    await house.taint(A)
    await asyncio.sleep(29)
    assert house.ending() == []
    await asyncio.sleep(2)
    assert house.ending() == ["x"]
    await house.taint()
    assert house.texts() == ["Marking for deletion Pod n/x", "Cancelling deletion of Pod n/y"]
    await asyncio.sleep(60)
    assert house.ending() == ["x"]


@pytest.mark.looptime
async def test_a_cordoned_node_is_tainted_until_it_is_uncordoned(house: House) -> None:
    (taint,) = (await house.taint(unschedulable=True))["spec"]["taints"]
    assert {key: taint[key] for key in CORDON} == CORDON
    assert (await house.taint(taint))["spec"] == {}
