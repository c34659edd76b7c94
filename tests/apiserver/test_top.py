"""`kubectl top` against pods that run: the numbers are those of the processes."""

from __future__ import annotations

import json

from tests.harness import Podrun

BUSY = "while :; do :; done"


def test_top_shows_what_pods_use(podrun: Podrun) -> None:
    containers = [
        {"name": "busy", "image": "busybox:1.36", "command": ["sh", "-c", BUSY], "resources": _at_most("200m", "64Mi")},
        {
            "name": "full",
            "image": "busybox:1.36",
            "command": ["sh", "-c", "head -c 32m /dev/zero > /dev/shm/x; sleep 3600"],
            "resources": _at_most("1", "128Mi"),
        },
    ]
    podrun.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": containers}},
    )
    podrun.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=20s")
    podrun.shell("while ! kubectl exec p -c full -- test -s /dev/shm/x; do :; done")
    rows = [line.split() for line in podrun.kubectl("top", "pods", "--containers", "--no-headers").splitlines()]
    assert [row[:2] for row in rows] == [["p", "busy"], ["p", "full"]]
    (busy_cpu, busy_memory), (full_cpu, full_memory) = ((_number(row[2], "m"), _number(row[3], "Mi")) for row in rows)
    assert 100 <= busy_cpu <= 260
    assert full_cpu < 100
    assert 30 <= full_memory <= 45
    assert busy_memory < 10
    name, cores, percent, memory, share = podrun.kubectl("top", "node", "--no-headers").split()
    assert name == podrun.get("nodes")["items"][0]["metadata"]["name"]
    assert _number(cores, "m") >= 100
    assert percent.endswith("%")
    assert share.endswith("%")
    assert _number(memory, "Mi") > 32
    measured = json.loads(podrun.kubectl("get", "podmetrics", "p", "-o", "json"))
    assert measured["apiVersion"] == "metrics.k8s.io/v1beta1"


def _at_most(cpu: str, memory: str) -> dict[str, dict[str, str]]:
    return {"limits": {"cpu": cpu, "memory": memory}}


def _number(text: str, unit: str) -> int:
    assert text.endswith(unit), text
    return int(text.removesuffix(unit))
