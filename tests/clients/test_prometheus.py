"""Debian's Prometheus, unpacked and not installed, scrapes the API and the node with a ServiceAccount's token."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.clients.go_programs import CACHE
from tests.harness import Podrun, wait_until
from tests.pods.living import Pods, pod

ADDRESS = "127.0.0.1:9090"
PATHS = {
    "apiserver": "/metrics",
    "kubelet": "/api/v1/nodes/{node}/proxy/metrics",
    "cadvisor": "/api/v1/nodes/{node}/proxy/metrics/cadvisor",
    "resource": "/api/v1/nodes/{node}/proxy/metrics/resource",
}
RULES = [
    {"apiGroups": [""], "resources": ["nodes/proxy", "nodes/metrics"], "verbs": ["get"]},
    {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
]
QUERIES = (
    'apiserver_request_total{job="apiserver",resource="pods"}',
    'container_memory_working_set_bytes{job="cadvisor",namespace="default",pod="web",container="a"}',
    'container_cpu_usage_seconds_total{job="cadvisor",namespace="default",pod="web",container="a"}',
    'pod_memory_working_set_bytes{job="resource",namespace="default",pod="web"}',
    'node_cpu_usage_seconds_total{job="resource"}',
)
"""What a dashboard of a cluster asks for, with the kubelet's names and labels."""


@pytest.fixture(scope="session")
def program() -> Path:
    """The program out of Debian's package, unpacked once per machine; skips where it cannot be had."""
    directory = CACHE / "prometheus"
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.is_dir():
            fresh = directory.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            for words in (["apt-get", "download", "prometheus"], ["sh", "-c", "dpkg-deb -x prometheus_*.deb ."]):
                done = subprocess.run(words, cwd=fresh, capture_output=True, text=True, timeout=120, check=False)
                if done.returncode != 0:
                    pytest.skip(f"no Prometheus from Debian: {done.stderr.strip()[-300:]}")
            fresh.rename(directory)
    return directory / "usr/bin/prometheus"


def _scrape(name: str, path: str, token: Path, ca: Path) -> dict[str, Any]:
    return {
        "job_name": name,
        "scheme": "https",
        "metrics_path": path,
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "authorization": {"credentials_file": str(token)},
        "tls_config": {"ca_file": str(ca)},
        "static_configs": [{"targets": ["127.0.0.1:6443"]}],
    }


@pytest.fixture
def scraped(podrun: Podrun, program: Path, tmp_path: Path) -> Iterator[Podrun]:
    """A podrun with a Prometheus beside it whose ServiceAccount may read metrics, and nothing else."""
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    podrun.kubectl("create", "serviceaccount", "prometheus")
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "prometheus"}
    subject = {"kind": "ServiceAccount", "name": "prometheus", "namespace": "default"}
    named = {"metadata": {"name": "prometheus"}}
    podrun.apply(
        {**rbac, **named, "kind": "ClusterRole", "rules": RULES},
        {**rbac, **named, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [subject]},
    )
    token, ca = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text(podrun.kubectl("create", "token", "prometheus"))
    ca.write_text(podrun.get("configmap", "kube-root-ca.crt")["data"]["ca.crt"])
    (node,) = podrun.get("nodes")["items"]
    paths = {job: path.format(node=node["metadata"]["name"]) for job, path in PATHS.items()}
    config = tmp_path / "prometheus.yml"
    config.write_text(yaml.safe_dump({"scrape_configs": [_scrape(job, paths[job], token, ca) for job in paths]}))
    options = [f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address={ADDRESS}"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(podrun.inside(program, *options), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield podrun
        finally:
            process.terminate()
            process.wait(10)


def _ask(podrun: Podrun, path: str) -> Any:
    done = podrun.run("curl", "-sf", f"http://{ADDRESS}/api/v1/{path}", check=False)
    return json.loads(done.stdout)["data"] if done.returncode == 0 else None


def test_prometheus_finds_pods_and_containers_under_the_kubelets_names(scraped: Podrun) -> None:
    pods = Pods(scraped)
    pods.create(pod("web"))
    pods.ready("web")

    def targets() -> dict[str, tuple[str, str]]:
        found = (_ask(scraped, "targets") or {}).get("activeTargets", [])
        return {one["labels"]["job"]: (one["health"], one["lastError"]) for one in found}

    up = dict.fromkeys(PATHS, ("up", ""))
    wait_until(lambda: targets() == up, 20, "not every target is scraped", every=0.2)
    for query in QUERIES:
        asked = f"query?query={urllib.parse.quote(query)}"

        def answered(asked: str = asked) -> bool:
            return bool((_ask(scraped, asked) or {}).get("result"))

        wait_until(answered, 20, f"no answer to {query}", every=0.2)
