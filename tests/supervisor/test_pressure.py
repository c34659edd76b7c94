"""A machine that runs short: who is evicted, what the node says, and who is admitted meanwhile."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from podrun.lifecycle.pressure import HARD_DEFAULTS, Observation, thresholds
from podrun.lifecycle.victims import SYSTEM_CRITICAL
from podrun.supervisor import shortage
from podrun.supervisor.pressure import PressureWatch
from tests.supervisor.conftest import House

pytestmark = pytest.mark.looptime
ENOUGH = {
    "memory.available": Observation(4 << 30, 8 << 30),
    "nodefs.available": Observation(50, 100),
    "imagefs.available": Observation(50, 100),
}
FULL = ENOUGH | {"nodefs.available": Observation(5, 100)}
STARVED = ENOUGH | {"memory.available": Observation(64 << 20, 8 << 30)}


class Short:
    """A watch over a house, a machine that can be made short, and what was asked for."""

    def __init__(self, house: House) -> None:
        self.house, self.now, self.freed = house, ENOUGH, ENOUGH
        self.conditions: list[set[str]] = []
        self.told: list[tuple[str, str]] = []
        self.collected = 0
        supervisor = house.supervisor
        self.watch = PressureWatch(
            supervisor.services,
            supervisor.workers,
            thresholds(HARD_DEFAULTS),
            lambda: self.now,
            self._collect,
            self._changed,
            lambda kind, reason, message: self.told.append((reason, message)),
        )
        supervisor.short_of, supervisor.ended = self.watch.rejection, self.watch.ended

    async def _collect(self) -> None:
        self.collected += 1
        self.now = self.freed

    async def _changed(self, conditions: frozenset[str]) -> None:
        self.conditions.append(set(conditions))

    async def look(self, seconds: float = 5.0) -> None:
        self.watch.tick()
        await asyncio.sleep(seconds)


@pytest.fixture
async def short(house: House) -> AsyncIterator[Short]:
    made = Short(house)
    yield made
    await made.watch.stop()


async def run(house: House, name: str, **spec: Any) -> None:
    await house.create({"containers": [{"name": "a"}], **spec}, name=name, uid=name)
    await asyncio.sleep(0.5)


async def test_nothing_is_looked_at_while_nothing_runs(short: Short) -> None:
    short.now = STARVED
    await short.look()
    assert short.conditions == []


async def test_a_pod_goes_when_memory_runs_out_and_says_why(short: Short) -> None:
    house = short.house
    await run(house, "p")
    short.now = STARVED
    await short.look(0.1)
    short.now = ENOUGH
    await asyncio.sleep(5)
    status = house.pod["status"]
    message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 64Mi. "
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "Evicted", message)
    target = status["conditions"][0]
    assert (target["type"], target["status"], target["reason"], target["message"], target["observedGeneration"]) == (
        "DisruptionTarget",
        "True",
        "TerminationByKubelet",
        message,
        1,
    )
    assert short.told[0] == ("EvictionThresholdMet", "Attempting to reclaim memory")
    assert short.conditions == [{"MemoryPressure"}]
    event = next(e for e in house.store.list("events") if e["reason"] == "Evicted")
    assert (event["type"], event["message"]) == ("Warning", message)
    assert event["metadata"]["annotations"]["starved_resource"] == "memory"


async def test_why_it_is_disrupted_is_told_with_the_end_itself(short: Short) -> None:
    house = short.house
    await run(house, "p")
    short.now = STARVED
    await short.look(5)
    shown = [
        (obj["status"]["phase"], any(c["type"] == "DisruptionTarget" for c in obj["status"].get("conditions", ())))
        for obj in house.store.history
    ]
    assert ("Running", True) not in shown
    assert shown[-1] == ("Failed", True)


async def test_one_goes_at_a_time_the_least_important_first_and_never_a_critical_one(short: Short) -> None:
    house = short.house
    for name, priority in (("low", 0), ("high", 1000), ("critical", SYSTEM_CRITICAL)):
        await run(house, name, priority=priority)
    short.now = STARVED
    await short.look(30)  # when one has ended the next look is taken by itself
    order = [e["involvedObject"]["name"] for e in house.store.list("events") if e["reason"] == "Evicted"]
    assert order == ["low", "high"]
    assert (
        house.store.objects[next(k for k in house.store.objects if k.name == "critical")]["status"]["phase"]
        == "Running"
    )


async def test_unused_images_go_before_pods_do(short: Short) -> None:
    await run(short.house, "p")
    short.now, short.freed = FULL, ENOUGH
    await short.look()
    assert short.collected == 1
    assert short.house.pod["status"]["phase"] == "Running"
    short.now, short.freed = FULL, FULL
    await short.look()
    assert short.house.pod["status"]["reason"] == "Evicted"


async def test_a_node_that_is_short_of_memory_admits_no_best_effort_pod(short: Short) -> None:
    house = short.house
    await run(house, "critical", priority=SYSTEM_CRITICAL)
    short.now = STARVED
    await short.look()
    await run(house, "p")
    status = house.pod["status"]
    message = "Pod was rejected: The node had condition: [MemoryPressure]. "
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "Evicted", message)
    asking = {"name": "a", "resources": {"requests": {"memory": "1Mi"}}}
    await run(house, "burstable", containers=[asking])
    assert house.store.get("pods", "n", "burstable")["status"]["phase"] == "Running"  # type: ignore[index]


async def test_an_eviction_goes_on_when_podrund_is_restarted(short: Short) -> None:
    house = short.house
    house.runtime.ignores_term.add("a")
    await run(house, "p")
    short.now = STARVED
    await short.look(0.1)
    await house.supervisor.stop()
    house.supervisor = house.make()
    await house.supervisor.start()
    await asyncio.sleep(5)
    assert (house.pod["status"]["phase"], house.pod["status"]["reason"]) == ("Failed", "Evicted")


async def test_a_critical_pod_takes_the_room_of_another(house: House) -> None:
    await run(house, "p", containers=[{"name": "a", "resources": {"requests": {"cpu": "1500m"}}}])
    asking = [{"name": "a", "resources": {"requests": {"cpu": "1"}}}]
    await run(house, "critical", containers=asking, priority=SYSTEM_CRITICAL)
    await asyncio.sleep(5)
    status = house.pod["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "Preempting")
    assert status["message"] == "Preempted in order to admit critical pod"
    target = status["conditions"][0]
    assert (target["type"], target["message"]) == (
        "DisruptionTarget",
        "Pod was preempted by Kubelet to accommodate a critical pod.",
    )
    assert house.store.get("pods", "n", "critical")["status"]["phase"] == "Running"  # type: ignore[index]


async def test_the_machine_is_looked_at(tmp_path: Path) -> None:
    seen = shortage.observations(tmp_path, tmp_path / "none")
    assert seen["nodefs.available"] == seen["imagefs.available"]
    used = shutil.disk_usage(tmp_path).used
    assert abs(seen["nodefs.available"].capacity - seen["nodefs.available"].available - used) < 1 << 30
    assert 0 < seen["memory.available"].available <= seen["memory.available"].capacity
    assert 0 < seen["pid.available"].available < seen["pid.available"].capacity


def test_memory_that_files_hold_idly_is_available() -> None:
    text = "MemTotal: 1000 kB\nMemFree: 100 kB\nActive(file): 300 kB\nInactive(file): 200 kB\n"
    assert shortage.memory(text) == Observation(300 * 1024, 1000 * 1024)
