"""metrics.k8s.io: what is measured when, and how it is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from podrun.apiserver.resource_metrics import duration
from podrun.apiserver.streams.pods import PodAccess
from podrun.apiserver.usage import Reading, UsageMeter, boot_id, machine_reading
from podrun.runtime.model import State
from podrun.runtime.service import Statistics
from tests.apiserver.conftest import Client, pod
from tests.apiserver.serving import Serving

Object = dict[str, Any]

PODS = "/api/v1/namespaces/default/pods"
METRICS = "/apis/metrics.k8s.io/v1beta1"


@dataclass
class Counters:
    """One counter that grows by `rate` nanoseconds a second of a clock that only `sleep` and the test move."""

    now: float = 1000.0
    rate: int = 250_000_000
    slept: list[float] = field(default_factory=list)

    def read(self) -> dict[str, Reading]:
        return {"a": Reading(self.now, round((self.now - 900) * self.rate), 4096)}

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.mark.parametrize(
    ("pause", "slept", "window"),
    [
        pytest.param(None, [0.5], 0.5, id="the first question makes a second reading"),
        pytest.param(10.0, [], 10.0, id="the next is compared with the one before"),
        pytest.param(0.25, [0.25], 0.5, id="one that follows at once waits for the rest of the shortest window"),
        pytest.param(61.0, [0.5], 0.5, id="one a long time later begins anew"),
    ],
)
async def test_when_a_second_reading_is_made(pause: float | None, slept: list[float], window: float) -> None:
    counters = Counters()
    meter = UsageMeter(counters.sleep)
    if pause is not None:
        await meter.measure(counters.read)
        counters.now += pause
        counters.slept.clear()
    usage = (await meter.measure(counters.read))["a"]
    assert (counters.slept, usage.window, usage.time) == (slept, window, counters.now)
    assert (usage.cpu, usage.memory) == (counters.rate, 4096)


async def test_what_ends_meanwhile_is_left_out() -> None:
    counters = Counters()
    answers: Iterator[dict[str, Reading]] = iter([counters.read(), {}])
    assert await UsageMeter(counters.sleep).measure(lambda: next(answers)) == {}


async def test_nothing_to_measure_waits_for_nothing() -> None:
    counters = Counters()
    assert await UsageMeter(counters.sleep).measure(dict) == {}
    assert counters.slept == []


def test_the_machine_is_read(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  100 20 30 9000 500 4 6 0 50 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    (tmp_path / "meminfo").write_text(
        "MemTotal: 1000 kB\nMemFree: 300 kB\nInactive(file): 200 kB\nHugePages_Total: 0\n"
    )
    reading = machine_reading(tmp_path)
    assert (reading.cpu_ns, reading.memory) == (1_600_000_000, 500 * 1024)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.5, "500ms"), (1, "1s"), (15.0204, "15.02s"), (60, "1m0s"), (59.9999, "1m0s")]
)
def test_a_window_in_gos_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@dataclass
class Running:
    """A runtime in which one container of each pod runs, using half a core."""

    now: Callable[[], float]
    uids: list[str] = field(default_factory=list)

    def containers(self, pod_uid: str | None = None) -> list[Any]:
        config = SimpleNamespace(name="a")
        return [SimpleNamespace(id=f"c{uid}", pod_uid=uid, state=State.RUNNING, config=config) for uid in self.uids]

    def container_statistics(self, container_id: str) -> Statistics:
        at = self.now()
        return Statistics(at, round(at * 500_000_000), 8 << 20, 6 << 20, 1)


@pytest.fixture
async def running(served: Serving) -> Running:
    clock = iter(range(1000, 2000, 4))
    runtime: Any = Running(lambda: float(next(clock)))
    served.server.pods = PodAccess(runtime, lambda *_: None, Path("/nowhere"))
    return runtime


async def test_pods_that_run_are_measured(client: Client, running: Running) -> None:
    for name, labels in (("a", {"app": "x"}), ("b", {})):
        made = await client.make(PODS, pod(name, labels=labels))
        running.uids.append(made["metadata"]["uid"])
    await client.make(PODS, pod("idle"))
    await client.call("GET", f"{METRICS}/pods")
    code, listed = await client.call("GET", f"{METRICS}/namespaces/default/pods")
    assert (code, listed["kind"]) == (200, "PodMetricsList")
    assert [one["metadata"]["name"] for one in listed["items"]] == ["a", "b"]
    assert listed["items"][0]["containers"] == [{"name": "a", "usage": {"cpu": "500m", "memory": "6Mi"}}]
    chosen = (await client.call("GET", f"{METRICS}/pods?labelSelector=app%3Dx"))[1]
    assert [one["metadata"]["labels"] for one in chosen["items"]] == [{"app": "x"}]
    shown = (await client.call("GET", f"{METRICS}/pods", Accept="application/json;as=Table;v=v1;g=meta.k8s.io"))[1]
    assert [column["name"] for column in shown["columnDefinitions"]] == ["Name", "Cpu", "Memory", "Window"]
    assert [row["cells"][:3] for row in shown["rows"]] == [["a", "500m", "6Mi"], ["b", "500m", "6Mi"]]
    one = (await client.call("GET", f"{METRICS}/namespaces/default/pods/b"))[1]
    assert (one["kind"], one["apiVersion"]) == ("PodMetrics", "metrics.k8s.io/v1beta1")
    for name, message in (
        ("idle", 'podmetrics.metrics.k8s.io "default/idle" not found'),
        ("none", 'pods "default/none" not found'),
    ):
        code, refused = await client.call("GET", f"{METRICS}/namespaces/default/pods/{name}")
        assert (code, refused["message"]) == (404, message)


async def test_only_this_machines_node_is_measured(client: Client) -> None:
    for name, boot in (("here", boot_id()), ("elsewhere", "another")):
        await client.make("/api/v1/nodes", {"metadata": {"name": name}})
        status = {"status": {"nodeInfo": _node_info(boot)}}
        code, answer = await client.call(
            "PATCH", f"/api/v1/nodes/{name}/status", status, Content_Type="application/merge-patch+json"
        )
        assert code == 200, answer
    listed = (await client.call("GET", f"{METRICS}/nodes"))[1]["items"]
    assert [one["metadata"]["name"] for one in listed] == ["here"]
    assert set(listed[0]["usage"]) == {"cpu", "memory"}
    code, refused = await client.call("GET", f"{METRICS}/nodes/elsewhere")
    assert (code, refused["message"]) == (404, 'nodemetrics.metrics.k8s.io "elsewhere" not found')


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("POST", "nodes", 405), ("DELETE", "nodes/a", 405), ("GET", "pods/a", 404), ("GET", "things", 404)],
)
async def test_metrics_are_read_only(client: Client, method: str, path: str, code: int) -> None:
    assert (await client.call(method, f"{METRICS}/{path}"))[0] == code


def _node_info(boot: str) -> Object:
    words = ("machineID", "systemUUID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion")
    return {**dict.fromkeys((*words, "kubeProxyVersion", "operatingSystem", "architecture"), "x"), "bootID": boot}
