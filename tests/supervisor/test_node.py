"""The Node, its Lease, and what is kept for the next podrund."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from podrun.api.disruption import Disruption
from podrun.lifecycle.observed import ActualResources, Backoff, Verdict
from podrun.lifecycle.probes import Role
from podrun.lifecycle.status import Ending
from podrun.supervisor import machine as machines
from podrun.supervisor.machine import Machine
from podrun.supervisor.memory import Memory, Remembered
from podrun.supervisor.node import LEASE_NAMESPACE, LEASES, NodeStatus, node_object
from podrun.supervisor.recorder import Recorder
from tests.supervisor.fakes import FakeStore

MACHINE = Machine("h", ("192.0.2.1",), 2, 4 << 30, 10 << 30, "amd64", "6.18", "Debian", "boot", "machine", False)


def test_a_node_as_clients_know_them() -> None:
    node = node_object("h", MACHINE, (), "0.1", 0.0, None)
    status = node["status"]
    assert status["capacity"]["cpu"] == "2"
    assert status["allocatable"]["memory"] == f"{(4 << 20) - 100 * 1024}Ki"
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "MemoryPressure": "False",
        "DiskPressure": "False",
        "PIDPressure": "False",
        "Ready": "True",
    }
    assert status["nodeInfo"]["kubeletVersion"] == "v1.36.2"
    assert status["features"] == {"supplementalGroupsPolicy": True}
    assert "RestartAllContainersOnContainerExits" in status["declaredFeatures"]
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "h"


def test_what_others_wrote_on_the_node_is_kept() -> None:
    before = node_object("h", MACHINE, (), "0.1", 0.0, None)
    before["metadata"]["labels"]["mine"] = "x"
    before["spec"]["taints"] = [{"key": "k"}]
    after = node_object("h", MACHINE, (), "0.1", 100.0, before)
    assert after["metadata"]["labels"]["mine"] == "x"
    assert after["spec"]["taints"] == [{"key": "k"}]
    ready = after["status"]["conditions"][-1]
    assert (ready["lastTransitionTime"], ready["lastHeartbeatTime"]) == ("1970-01-01T00:00:00Z", "1970-01-01T00:01:40Z")


@pytest.mark.looptime
async def test_the_node_says_what_it_is_short_of(tmp_path: Path) -> None:
    store: Any = FakeStore()
    clock = asyncio.get_running_loop().time
    recorder = Recorder(store, "h", clock=clock)
    node = NodeStatus(store, recorder, "h", MACHINE, lambda: (), "0.1", clock)
    await node.short_of(frozenset({"MemoryPressure"}))
    await node.short_of(frozenset({"DiskPressure"}))
    await asyncio.sleep(0)
    said = {c["type"]: (c["status"], c["reason"]) for c in store.get("nodes", "", "h")["status"]["conditions"]}
    assert said["DiskPressure"] == ("True", "KubeletHasDiskPressure")
    assert said["MemoryPressure"] == ("False", "KubeletHasSufficientMemory")
    assert [(e["reason"], e["message"]) for e in store.list("events")] == [
        ("NodeHasInsufficientMemory", "Node h status is now: NodeHasInsufficientMemory"),
        ("NodeHasDiskPressure", "Node h status is now: NodeHasDiskPressure"),
        ("NodeHasSufficientMemory", "Node h status is now: NodeHasSufficientMemory"),
    ]


@pytest.mark.looptime
async def test_the_lease_is_renewed_every_ten_seconds() -> None:
    store: Any = FakeStore()
    clock = asyncio.get_running_loop().time
    recorder = Recorder(store, "h", clock=clock)
    node = NodeStatus(store, recorder, "h", MACHINE, lambda: (), "0.1", clock)
    await node.start()
    await asyncio.sleep(1)
    first = store.get(LEASES, LEASE_NAMESPACE, "h")["spec"]["renewTime"]
    await asyncio.sleep(9.5)
    assert store.get(LEASES, LEASE_NAMESPACE, "h")["spec"]["renewTime"] > first
    await node.stop()
    await recorder.stop()


def test_this_machine_can_be_looked_at(tmp_path: Path) -> None:
    found = Machine.look(tmp_path / "not" / "there")
    assert found.cpus > 0
    assert found.memory > 0
    assert found.addresses


def test_a_stub_on_loopback_is_replaced_by_what_is_behind_it(tmp_path: Path) -> None:
    (tmp_path / "stub").write_text("nameserver 127.0.0.53\nsearch example.com\noptions edns0\n")
    (tmp_path / "real").write_text("# c\nnameserver 192.0.2.53\n")
    found = machines.resolver(tmp_path / "stub", tmp_path / "real")
    assert (found.nameservers, found.searches, found.options) == (("192.0.2.53",), ("example.com",), ("edns0",))
    assert machines.resolver(tmp_path / "none", tmp_path / "real").nameservers == ()


def test_memory_comes_back_as_it_was(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "m")
    kept = Remembered(backoffs={"k": Backoff(10.0, 5.0)}, resources={"c": ActualResources(1, 2, 3, None)})
    kept.verdicts[Role.READINESS]["c"] = Verdict.SUCCESS
    kept.resize["PodResizePending"] = {"type": "PodResizePending"}
    kept.ending, kept.ending_grace = Ending("Evicted", "why", Disruption("TerminationByKubelet", "why")), 1
    memory.save("u", kept)
    assert Memory(tmp_path / "m").load("u") == kept
    assert memory.known() == ["u"]
    memory.forget("u")
    assert memory.known() == []
    assert memory.load("u") == Remembered()


def test_what_cannot_be_read_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "u.json").write_text("{")
    assert Memory(tmp_path).load("u") == Remembered()
