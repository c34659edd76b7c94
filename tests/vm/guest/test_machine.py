"""What the quickstart leaves on a Debian machine with systemd and pure cgroup v2, in the order it happens."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.vm.guest.conftest import PROJECT, first_processes, get, run

SIDECAR = PROJECT / "examples/bookstore/raw-manifests/02-catalog-pod-sidecar.yaml"
RESTARTS = 20


def main_pid() -> int:
    return int(run("systemctl", "show", "-PMainPID", "podrun.service"))


def test_the_machine_is_what_the_test_is_for():
    assert Path("/proc/1/comm").read_text() == "systemd\n"
    assert run("stat", "-fc", "%T", "/sys/fs/cgroup") == "cgroup2fs\n"


def test_quickstart_ends_with_the_bookstore_pod_ready():
    assert "2/2     Running" in run("scripts/quickstart", seconds=400)
    assert run("systemctl", "is-active", "podrun.service") == "active\n"
    assert run("kubectl", "config", "current-context") == "podrun\n"


def test_quickstart_again_is_harmless():
    before = first_processes()
    assert "2/2     Running" in run("scripts/quickstart", seconds=400)
    assert first_processes() == before


def test_the_app_answers_its_sidecar_over_localhost():
    words = ("exec", "catalog", "-c", "log-sidecar", "--", "wget", "-qO-", "http://localhost:8080/healthz")
    assert run("kubectl", *words).strip() == '{"status":"ok"}'


def test_pods_live_in_a_scope_of_their_own_and_podrun_in_its_service():
    assert "/podrun.service" in Path(f"/proc/{main_pid()}/cgroup").read_text()
    assert any("/pod" in group for group in first_processes())


def test_limits_reach_the_kernel():
    manifest = """
apiVersion: v1
kind: Pod
metadata: {name: limited}
spec:
  containers:
  - name: a
    image: busybox:1.36
    command: [sleep, "1000"]
    resources: {limits: {cpu: 200m, memory: 64Mi}}
"""
    subprocess.run(["kubectl", "apply", "-f", "-"], input=manifest, text=True, check=True)
    run("kubectl", "wait", "--for=condition=Ready", "pod/limited", "--timeout=60s")
    inside = run("kubectl", "exec", "limited", "--", "cat", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/cpu.max")
    assert inside.split() == [str(64 << 20), "20000", "100000"]


def test_memory_beyond_the_limit_is_an_oom_kill():
    manifest = """
apiVersion: v1
kind: Pod
metadata: {name: greedy}
spec:
  restartPolicy: Never
  containers:
  - name: a
    image: busybox:1.36
    command: [sh, -c, "x=a; while :; do x=$x$x; done"]
    resources: {limits: {memory: 16Mi}}
"""
    subprocess.run(["kubectl", "apply", "-f", "-"], input=manifest, text=True, check=True)
    run("kubectl", "wait", "--for=jsonpath={.status.phase}=Failed", "pod/greedy", "--timeout=60s")
    ended = get("pod", "greedy")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


@pytest.mark.parametrize("how", ["restart", "kill -9"])
def test_a_restart_of_the_service_touches_no_pod(how: str):
    before = first_processes()
    for _ in range(RESTARTS // 2):
        old = main_pid()
        if how == "restart":
            run("systemctl", "restart", "podrun.service")
        else:
            os.kill(old, signal.SIGKILL)
            deadline = time.monotonic() + 180  # emulated, on a machine that does other things too
            while main_pid() in (0, old) or run("systemctl", "show", "-PActiveState", "podrun.service") != "active\n":
                assert time.monotonic() < deadline, run("journalctl", "-u", "podrun.service", "-n", "50")
                time.sleep(0.05)
        # Never "connection refused": the socket is the spawner's.
        assert get("pod", "catalog")["status"]["phase"] == "Running"
    assert first_processes() == before
    statuses = get("pod", "catalog")["status"]
    every = statuses["containerStatuses"] + statuses["initContainerStatuses"]
    assert {status["restartCount"] for status in every} == {0}
