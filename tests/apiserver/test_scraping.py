"""What Prometheus scrapes: the API's own numbers, and the kubelet's."""

from __future__ import annotations

import json
import re

import pytest

from podrun.apiserver.exposition import Family, Sample, number, render
from podrun.apiserver.request_metrics import RequestMetrics
from podrun.apiserver.requestinfo import parse
from tests.apiserver.conftest import Client, config_map
from tests.harness import Podrun

MAPS = "/api/v1/namespaces/default/configmaps"
_LINE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)(?: (\d+))?')


def read(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples of a scrape by name and labels; fails on a line that is no sample."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = _LINE.fullmatch(line)
            assert match, line
            labels = frozenset(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
            assert (match[1], labels) not in found
            found[match[1], labels] = float(match[3])
    return found


def test_the_text_format() -> None:
    family = Family("a_total", "counter", "What it is.")
    family.add(1, 1.5, path='a "b"\\c\nd')
    empty = Family("b", "gauge", "Nothing.")
    expected = '# HELP a_total What it is.\n# TYPE a_total counter\na_total{path="a \\"b\\"\\\\c\\nd"} 1 1500\n'
    assert render([empty, family]).decode() == expected
    assert render([Family("c", "gauge", "C.", [Sample({}, 0.25)])]).endswith(b"c 0.25\n")


@pytest.mark.parametrize(("value", "text"), [(3, "3"), (3.0, "3"), (0.1, "0.1"), (12345678901234, "12345678901234")])
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("method", "path", "applied", "labels"),
    [
        ("GET", MAPS, False, {"verb": "LIST", "scope": "namespace", "resource": "configmaps"}),
        ("GET", "/api/v1/configmaps", False, {"verb": "LIST", "scope": "cluster", "resource": "configmaps"}),
        ("POST", MAPS, False, {"verb": "POST", "scope": "resource", "resource": "configmaps"}),
        ("PATCH", f"{MAPS}/a", False, {"verb": "PATCH", "scope": "resource", "resource": "configmaps"}),
        ("PATCH", f"{MAPS}/a", True, {"verb": "APPLY", "scope": "resource", "resource": "configmaps"}),
        ("POST", "/api/v1/namespaces/a/pods/b/exec", False, {"verb": "CONNECT", "subresource": "exec"}),
        ("GET", "/api/v1/namespaces/a/things/b", False, {"verb": "GET", "resource": ""}),
        ("BREW", "/coffee", False, {"verb": "OTHER", "resource": ""}),
    ],
)
def test_how_a_request_is_counted(method: str, path: str, applied: bool, labels: dict[str, str]) -> None:
    metrics = RequestMetrics()
    metrics.note(parse(method, path), dry_run=False, applied=applied, code=200, seconds=0.03)
    total, duration, *_ = metrics.families()
    assert labels.items() <= total.samples[0].labels.items()
    buckets = {sample.labels["le"]: sample.value for sample in duration.samples if sample.suffix == "_bucket"}
    assert (buckets["0.025"], buckets["0.05"], buckets["+Inf"]) == (0, 1, 1)


async def test_the_api_counts_its_requests(client: Client, stranger: Client) -> None:
    await client.make(MAPS, config_map("a"))
    for _ in range(2):
        await client.call("POST", MAPS, config_map("a"))
    code, headers, text = await client.full("GET", "/metrics")
    assert (code, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    counted = {
        dict(labels)["code"]: value
        for (name, labels), value in read(text).items()
        if name == "apiserver_request_total" and {("verb", "POST"), ("resource", "configmaps")} <= labels
    }
    assert counted == {"201": 1, "409": 2}
    assert (await stranger.call("GET", "/metrics"))[0] == 403


async def test_a_node_elsewhere_is_not_reached(client: Client) -> None:
    await client.make("/api/v1/nodes", {"metadata": {"name": "elsewhere"}})
    code, answer = await client.call("GET", "/api/v1/nodes/elsewhere/proxy/metrics/cadvisor")
    assert (code, answer["reason"]) == (503, "ServiceUnavailable")
    assert (await client.call("GET", "/api/v1/nodes/none/proxy/metrics"))[0] == 404
    assert (await client.call("DELETE", "/api/v1/nodes/elsewhere/proxy/metrics"))[0] == 405


def test_a_node_tells_what_its_pods_use(podrun: Podrun) -> None:
    limits = {"limits": {"memory": "64Mi"}}
    container = {"name": "a", "image": "busybox:1.36", "command": ["sleep", "3600"], "resources": limits}
    podrun.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}})
    podrun.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=20s")
    status = podrun.get("pod", "p")["status"]
    node = f"/api/v1/nodes/{podrun.get('nodes')['items'][0]['metadata']['name']}/proxy"
    resource = read(podrun.kubectl("get", "--raw", f"{node}/metrics/resource"))
    pod = {("namespace", "default"), ("pod", "p")}
    own = frozenset({("container", "a"), *pod})
    assert 0 < resource["container_memory_working_set_bytes", own] <= 64 << 20
    assert resource["pod_cpu_usage_seconds_total", frozenset(pod)] >= resource["container_cpu_usage_seconds_total", own]
    assert resource["node_cpu_usage_seconds_total", frozenset()] > 0
    seen = read(podrun.kubectl("get", "--raw", f"{node}/metrics/cadvisor"))
    container_id = status["containerStatuses"][0]["containerID"].partition("://")[2]
    labels = next(dict(labels) for name, labels in seen if name == "container_spec_memory_limit_bytes")
    assert (labels["name"], labels["image"], labels["pod"]) == (container_id, "busybox:1.36", "p")
    assert labels["id"].endswith(f"/{container_id}")
    assert seen["container_spec_memory_limit_bytes", frozenset(labels.items())] == 64 << 20
    group = {dict(labels)["id"] for name, labels in seen if name == "container_threads" and ("container", "") in labels}
    assert [one.rpartition("/")[2] for one in group] == [f"pod{podrun.get('pod', 'p')['metadata']['uid']}"]
    received = [labels for name, labels in seen if name == "container_network_receive_bytes_total"]
    assert [dict(labels)["interface"] for labels in received] == ["eth0"]
    kubelet = read(podrun.kubectl("get", "--raw", f"{node}/metrics"))
    assert kubelet["kubelet_running_pods", frozenset()] == 1
    assert podrun.kubectl("get", "--raw", f"{node}/healthz") == "ok"
    summary = json.loads(podrun.kubectl("get", "--raw", f"{node}/stats/summary"))
    (only,) = summary["pods"]
    assert (only["podRef"]["name"], [one["name"] for one in only["containers"]]) == ("p", ["a"])
    assert 0 < only["containers"][0]["memory"]["workingSetBytes"] <= only["memory"]["workingSetBytes"]
    assert 0 < only["cpu"]["usageCoreNanoSeconds"] < summary["node"]["cpu"]["usageCoreNanoSeconds"]
