"""The daemon as a whole: what it leaves alone when it dies, what it costs, and what it says when it cannot start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Podrun, wait_until

POD = Path(__file__).resolve().parents[2] / "examples/bookstore/raw-manifests/02-catalog-pod-sidecar.yaml"


def _facts(podrun: Podrun) -> dict[str, Any]:
    """What must be the same after a crash of podrund: containers, their processes, the address."""
    status = podrun.get("pod", "catalog")["status"]
    anatomy = json.loads(podrun.podrun("anatomy", "catalog", "-o", "json"))
    return {
        "address": status["podIP"],
        "containers": [
            (each["containerID"], each["restartCount"])
            for each in status["initContainerStatuses"] + status["containerStatuses"]
        ],
        "processes": [container["processes"][0]["pid"] for container in anatomy["containers"]],
        "namespaces": anatomy["namespaces"],
    }


def test_killed_it_comes_back_and_finds_everything_as_it_was(podrun: Podrun) -> None:
    podrun.podrun("play", POD)
    before = _facts(podrun)
    for _ in range(3):
        podrun.crash()
        assert _facts(podrun) == before
    podrun.kubectl("wait", "--for=condition=Ready", "pod/catalog", "--timeout=10s")


def test_no_client_is_refused_while_it_is_killed(podrun: Podrun) -> None:
    """A new connection every moment, over the unix socket and TLS, across kills: each gets its answer."""
    script = """
import ssl, socket, sys, time
path, ca = sys.argv[1:3]
context = ssl.create_default_context(cafile=ca)
asked = 0
print("begun", flush=True)
end = time.monotonic() + 6
while time.monotonic() < end:
    unix = socket.socket(socket.AF_UNIX); unix.connect(path)
    tcp = context.wrap_socket(socket.create_connection(("127.0.0.1", 6443)), server_hostname="localhost")
    for connection in (unix, tcp):
        connection.sendall(b"GET /version HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
        assert connection.recv(12) == b"HTTP/1.1 200", "no answer"
        connection.close()
        asked += 1
print(asked)
"""
    # A connection that podrund had already accepted dies with it: that is no refusal, so the client is begun between
    # kills and only the kernel's queue stands for podrund meanwhile.
    stop = threading.Event()
    refused: list[str] = []

    def ask() -> None:
        while not stop.is_set():
            done = podrun.run("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/6443", check=False)
            if done.returncode != 0:
                refused.append(done.stderr)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(3):
            podrun.crash()
    finally:
        stop.set()
        asking.join()
    assert refused == []
    certificate = podrun.layout.pki / "ca.crt"
    done = podrun.run("python3", "-c", script, podrun.layout.api_socket, certificate, seconds=30)
    assert int(done.stdout.split()[1]) > 100


def test_an_exit_that_nobody_saw_is_known_afterwards(new_podrun: Callable[..., Podrun]) -> None:
    podrun = new_podrun()
    podrun.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "short"},
            "spec": {
                "restartPolicy": "Never",
                "containers": [
                    {
                        "name": "app",
                        "image": "busybox:1.36",
                        "command": ["sh", "-c", "sleep 1; echo last words; exit 7"],
                    }
                ],
            },
        }
    )
    podrun.kubectl("wait", "--for=condition=Ready", "pod/short", "--timeout=10s")
    pid = podrun.daemon_pid
    os.kill(pid, signal.SIGSTOP)  # the exit happens while it cannot look, and then it is killed
    time.sleep(1.5)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: podrun.daemon_is_new(pid), 30, "podrund is not back")
    podrun.kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "pod/short", "--timeout=10s")
    ended = podrun.get("pod", "short")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (7, "Error")
    assert podrun.kubectl("logs", "short") == "last words\n"


def test_stopped_on_purpose_it_stays_away_and_pods_go_on(new_podrun: Callable[..., Podrun]) -> None:
    podrun = new_podrun()
    podrun.podrun("play", POD)
    before = _facts(podrun)
    os.kill(podrun.daemon_pid, signal.SIGTERM)
    wait_until(lambda: not podrun.daemon_runs(), 15, "it does not stop")
    time.sleep(0.5)
    assert not podrun.daemon_runs()
    assert all(Path(f"/proc/{process}").exists() for process in before["processes"])
    podrun.start_daemon()
    assert _facts(podrun) == before


def test_a_second_daemon_for_the_same_root_is_refused(podrun: Podrun) -> None:
    done = podrun.run("podrun", "daemon", check=False)
    assert done.returncode == 3
    assert f"a daemon runs here already (process {podrun.daemon_pid})" in done.stderr


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"listen": "here"}, "listen: 'here' is not ADDRESS:PORT"),
        ({"timeScale": 2}, "timeScale: Input should be less than or equal to 1"),
        ({"lisen": "127.0.0.1:6443"}, "lisen is not a setting; there are: listen"),
        (["listen"], "is not a mapping of names to values"),
    ],
)
def test_a_wrong_config_is_named(tmp_path: Path, config: object, said: str) -> None:
    (tmp_path / "etc/podrun").mkdir(parents=True)
    (tmp_path / "etc/podrun/config.yaml").write_text(json.dumps(config))
    command = ["podrun", "--root", str(tmp_path), "daemon"]
    done = subprocess.run(command, env=Podrun.path_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_named(podrun: Podrun, new_podrun: Callable[..., Podrun]) -> None:
    other = new_podrun()
    os.kill(other.daemon_pid, signal.SIGTERM)
    wait_until(lambda: not other.daemon_runs(), 15, "it does not stop")
    other.run("podrun", "reset", "--yes")
    listening = subprocess.Popen(other.inside("python3", "-m", "http.server", "-b", "127.0.0.1", "6443"))
    try:
        wait_until(lambda: other.run("bash", "-c", "</dev/tcp/127.0.0.1/6443", check=False).returncode == 0, 10, "?")
        done = other.run("podrun", "daemon", check=False)
    finally:
        listening.kill()
        listening.wait()
    assert done.returncode == 1
    assert "the API cannot listen at 127.0.0.1:6443: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr
    # Nothing is left that would take a client's connection and never answer it.
    assert other.run("podrun", "ps", check=False).returncode == 3


def test_idle_it_does_nothing_and_is_small(new_podrun: Callable[..., Podrun]) -> None:
    podrun = new_podrun()
    podrun.apply(*(_sleeper(f"idle-{number}") for number in range(10)))
    podrun.kubectl("wait", "--for=condition=Ready", "pods", "--all", "--timeout=30s")
    time.sleep(3)  # the last events are written
    pids = (podrun.daemon_pid, podrun.spawner_pid)
    before = [_switches(pid) for pid in pids]
    time.sleep(20)
    woken = [_switches(pid) - count for pid, count in zip(pids, before, strict=True)]
    # The Lease is renewed every 10 s: at most three times, each a few switches between the loop and SQLite's thread.
    assert woken[0] <= 3 * 8
    assert woken[1] <= 2
    assert sum(_proportional_kib(pid) for pid in pids) <= 100 * 1024


def _sleeper(name: str) -> dict[str, object]:
    container = {"name": "app", "image": "busybox:1.36", "command": ["sleep", "1000"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}}


def _switches(pid: int) -> int:
    """How often the process's threads were woken."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = dict(line.split(":\t") for line in (task / "status").read_text().splitlines() if ":\t" in line)
        total += int(fields["voluntary_ctxt_switches"])
    return total


def _proportional_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
