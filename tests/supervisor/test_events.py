"""Events: counted when they repeat, combined when alike, held back when too many, gone after an hour."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from podrun.api.pod import Pod
from podrun.supervisor.event_rules import Correlator, Told
from podrun.supervisor.recorder import SCHEDULER, Recorder
from tests.supervisor.fakes import FakeStore

ABOUT = ("Pod", "n", "p", "u", "")
POD = Pod.of({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": [{"name": "a"}]}})


def told(message: str = "m", reason: str = "R") -> Told:
    return Told(ABOUT, "kubelet", "Normal", reason, message)


def test_the_same_words_raise_a_count() -> None:
    correlator = Correlator()
    first = correlator.correlate(told(), 0.0, "one")
    second = correlator.correlate(told(), 10.0, "two")
    assert first is not None
    assert second is not None
    assert (first[1].name, first[1].count) == ("one", 1)
    assert (second[1].name, second[1].count) == ("one", 2)


def test_other_words_are_another_event() -> None:
    correlator = Correlator()
    correlator.correlate(told("a"), 0.0, "one")
    other = correlator.correlate(told("b"), 0.0, "two")
    assert other is not None
    assert other[1].name == "two"


def test_ten_alike_are_combined() -> None:
    correlator = Correlator()
    made = [correlator.correlate(told(f"m{index}"), 0.0, f"e{index}") for index in range(12)]
    texts = [m[0].message for m in made if m is not None]
    assert texts[8] == "m8"
    assert texts[9:] == [f"(combined from similar events): m{index}" for index in (9, 10, 11)]
    assert made[11] is not None
    assert (made[11][1].name, made[11][1].count) == ("e9", 3)


def test_twenty_five_at_once_are_enough_for_one_object() -> None:
    correlator = Correlator()
    made = [correlator.correlate(told(), 0.0, "e") for _ in range(30)]
    assert sum(m is not None for m in made) == 25
    assert correlator.correlate(told(), 301.0, "e") is not None
    assert correlator.correlate(told(), 302.0, "e") is None


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def recorder_of(store: Any, **more: Any) -> Recorder:
    return Recorder(store, "node1", clock=asyncio.get_running_loop().time, **more)


@pytest.mark.looptime
async def test_an_event_as_the_kubelet_writes_it(store: FakeStore) -> None:
    recorder = recorder_of(store)
    recorder.pod(POD, "Warning", "BackOff", "text", container="a")
    await recorder.stop()
    (event,) = store.list("events")
    about = event["involvedObject"]
    assert about == {
        "kind": "Pod",
        "namespace": "n",
        "name": "p",
        "uid": "u",
        "apiVersion": "v1",
        "fieldPath": "spec.containers{a}",
    }
    assert event["source"] == {"component": "kubelet", "host": "node1"}
    assert (event["type"], event["reason"], event["message"], event["count"]) == ("Warning", "BackOff", "text", 1)
    assert event["metadata"]["name"].startswith("p.")


@pytest.mark.looptime
async def test_the_schedulers_are_of_the_newer_kind(store: FakeStore) -> None:
    recorder = recorder_of(store)
    for _ in range(2):
        recorder.pod(POD, "Normal", "Scheduled", "text", component=SCHEDULER)
    await recorder.stop()
    (event,) = store.list("events")
    assert event["reportingComponent"] == "default-scheduler"
    assert event["source"] == {}
    assert event["series"]["count"] == 2
    assert "count" not in event


@pytest.mark.looptime
async def test_an_event_expires_an_hour_after_the_last_time(store: FakeStore) -> None:
    recorder = recorder_of(store)
    recorder.pod(POD, "Normal", "R", "m")
    await asyncio.sleep(3000)
    recorder.pod(POD, "Normal", "R", "m")
    await asyncio.sleep(3000)
    assert len(store.list("events")) == 1
    await asyncio.sleep(700)
    assert store.list("events") == []
    recorder.pod(POD, "Normal", "R", "m")
    await asyncio.sleep(1)
    assert store.list("events")[0]["count"] == 1
    await recorder.stop()


@pytest.mark.looptime
async def test_events_of_an_earlier_podrund_expire_too_and_time_may_run_faster(store: FakeStore) -> None:
    recorder = recorder_of(store, time_scale=0.1)
    recorder.pod(POD, "Normal", "R", "m")
    await asyncio.sleep(1)
    await recorder.stop()
    again = recorder_of(store, time_scale=0.1)
    again.start()
    await asyncio.sleep(361)
    assert store.list("events") == []
    await again.stop()
