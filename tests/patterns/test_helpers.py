"""The patterns in which a second container helps the first: what their pages claim."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from tests.harness import HarnessError, wait_until
from tests.patterns.conftest import Pattern

Play = Callable[[str], Pattern]


def test_sidecar_ships_the_first_line_and_the_last(play: Play) -> None:
    pattern = play("sidecar")
    pattern.apply("collector.yaml", "pod.yaml")
    pattern.wait("collector", "shop")
    shipped = pattern.logged("collector", "rsyslog", "order 3 is sold")
    assert "the shop opens" in shipped
    pattern.podrun.kubectl("delete", "pod", "shop")
    last = re.search(r"the shop closes after (\d+) orders", pattern.logged("collector", "rsyslog", "the shop closes"))
    assert last is not None
    sold = [int(number) for number in re.findall(r"order (\d+) is sold", pattern.logs("collector", "rsyslog"))]
    assert sold == list(range(1, int(last[1]) + 1)), "no line is lost, and none comes twice"


def test_adapter_speaks_prometheus(play: Play) -> None:
    pattern = play("adapter")
    pattern.apply("pod.yaml")
    pattern.wait("web")
    address = pattern.field("web", "{.status.podIP}")

    def requests() -> int:
        page = pattern.page(f"http://{address}:9113/metrics")
        assert "nginx_up 1" in page
        found = re.search(r"^nginx_http_requests_total (\d+)$", page, re.MULTILINE)
        assert found is not None, page
        return int(found[1])

    before = requests()
    for _ in range(5):
        assert "Welcome to nginx" in pattern.page(f"http://{address}/")
    assert requests() >= before + 5
    with pytest.raises(HarnessError, match="Connection refused"):
        pattern.page(f"http://{address}:8081/status")


def test_ambassador_finds_the_real_redis_also_when_it_moves(play: Play) -> None:
    pattern = play("ambassador")
    pattern.apply("redis.yaml", "pod.yaml")
    pattern.wait("redis", "catalog")
    pattern.logged("catalog", "app", ":2")
    assert int(pattern.exec("redis", "redis", "redis-cli", "get", "visits")) >= 2
    first = pattern.field("redis", "{.status.podIP}")
    pattern.podrun.kubectl("delete", "pod", "redis")
    pattern.apply("redis.yaml")
    pattern.wait("redis")
    assert pattern.field("redis", "{.status.podIP}") != first

    def visited() -> bool:
        return pattern.exec("redis", "redis", "redis-cli", "get", "visits").strip() != ""

    wait_until(visited, 30, "the app has not found the new Redis", every=0.3)
    assert pattern.restarts("catalog") == {0}


def test_config_reloader_tells_nginx_without_a_restart(play: Play) -> None:
    pattern = play("config-reloader")
    pattern.apply("pod.yaml")
    pattern.wait("web")
    address = pattern.field("web", "{.status.podIP}")
    assert "good morning" in pattern.page(f"http://{address}/")
    first = pattern.exec("web", "reloader", "cat", "/run/nginx/pid")
    assert pattern.exec("web", "reloader", "cat", "/proc/1/comm") == "pause\n"

    def configure(text: str) -> None:
        patch = {"data": {"default.conf": text}}
        pattern.podrun.kubectl("patch", "configmap", "web", "--type=merge", "-p", json.dumps(patch))

    configure('server { listen 80; location / { return 200 "good evening"; } }')
    wait_until(lambda: "good evening" in pattern.page(f"http://{address}/"), 15, "nginx was not told", every=0.2)
    assert pattern.exec("web", "reloader", "cat", "/run/nginx/pid") == first
    configure("nonsense;")
    pattern.logged("web", "nginx", 'unknown directive "nonsense"')
    assert "good evening" in pattern.page(f"http://{address}/")
    assert pattern.restarts("web") == {0}


def test_legacy_and_native_sidecars_differ_as_the_table_says(play: Play) -> None:
    pattern = play("legacy-and-native")
    pattern.apply("pods.yaml")
    pattern.wait("native", until="jsonpath={.status.phase}=Succeeded")
    assert pattern.logs("native", "work") == "native\nthe work is done\n"
    assert "refused" in pattern.logged("legacy", "work", "refused")
    pattern.wait("legacy", until="jsonpath={.status.containerStatuses[?(@.name=='proxy')].started}=true")
    status = pattern.podrun.get("pod", "legacy")["status"]
    assert status["phase"] == "Running"
    states = {each["name"]: set(each["state"]) for each in status["containerStatuses"]}
    assert states == {"work": {"terminated"}, "proxy": {"running"}}
