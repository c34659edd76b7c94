"""What is measured: each topic is a function from a running podrun (and the peers) to rows of the table."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench import peers
from tests.bench.row import Row, median
from tests.harness import Podrun

CLIENT = Path(__file__).with_name("client.py")
RUNTIME_ALONE = Path(__file__).with_name("runtime_alone.py")
Topic = Callable[[Podrun], Iterator[Row]]


def ready(podrun: Podrun) -> Iterator[Row]:
    """POST to Ready, one pod after another, then fifty at once."""
    took = _client(podrun, "ready", "40")
    yield Row("POST of a pod to Ready=True on a watch", "ms", median(took["ready"]), 20)
    yield Row("POST of a pod answered", "ms", median(took["post"]), 2)
    yield Row("GET of a pod", "ms", median(took["get"]), 1)
    together = _client(podrun, "together", "50")
    yield Row("50 pods posted together, all Ready", "ms", together * 1000, 1000)
    podrun.delete_pods()


def runtime(podrun: Podrun) -> Iterator[Row]:
    """Sandbox and container by the runtime alone, beside two bare containers of crun's."""
    root = peers.unpack()
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="podrun-bench-") as scratch:
        command = ["unshare", "--net", "--mount", sys.executable, "-m", "tests.bench.runtime_alone"]
        done = subprocess.run(
            [*command, scratch, str(root / "rootfs"), "30"], check=True, capture_output=True, text=True
        )
    took = json.loads(done.stdout)
    bare = median(peers.crun_bare_containers(root, 30))
    whole = median(sandbox + container for sandbox, container in zip(took["sandbox"], took["container"], strict=True))
    yield Row(
        "sandbox with network and cgroup, and container, by the runtime alone", "ms", whole, bare, "crun", 2 * bare
    )
    yield Row("of that the container", "ms", median(took["container"]), 4, "crun", bare)


def play(podrun: Podrun) -> Iterator[Row]:
    """A manifest from the command line until it runs."""
    took = []
    with tempfile.TemporaryDirectory() as scratch:
        manifest = Path(scratch, "pod.json")
        manifest.write_text(json.dumps(_pod("play", ["sleep", "100000"])))
        for _ in range(8):
            took.append(_wall(podrun.inside("podrun", "play", manifest), podrun))
            podrun.delete_pods()
    yield Row(
        "`podrun play` of a pod until it is Ready",
        "ms",
        median(took),
        45,
        "podman kube play",
        median(peers.podman_play(peers.unpack(), 8)),
    )


def restart(podrun: Podrun) -> Iterator[Row]:
    """A crashed container's first restart: from its last line of log to the next attempt's first.

    Nobody asks for the logs meanwhile: the machine has nothing else to do.
    """
    gaps = []
    script = "if [ -e /s/x ]; then echo again; exec sleep 100000; fi; touch /s/x; echo last; exit 1"
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir="/tmp", prefix="podrun-bench-") as manifest:
        for number in range(12):
            pod = _pod(f"restart-{number}", ["sh", "-c", script])
            pod["spec"]["volumes"] = [{"name": "s", "emptyDir": {}}]
            pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "s", "mountPath": "/s"}]
            manifest.seek(0)
            manifest.truncate()
            json.dump(pod, manifest)
            manifest.flush()
            _client(podrun, "restarted", manifest.name)
            first, second = (
                _stamp(podrun.run("kubectl", "logs", "--timestamps", *words, pod["metadata"]["name"]).stdout)
                for words in (["--previous"], [])
            )
            gaps.append(second - first)
    podrun.delete_pods()
    yield Row("a crashed container running again (its first restart)", "ms", median(gaps), 10)


def services(podrun: Podrun) -> Iterator[Row]:
    """A pod that becomes Ready: from then on its Service leads to it; and one that no longer is."""
    took = _client(podrun, "services", "40")
    yield Row("a Service leads to a pod after it is Ready on a watch", "ms", median(took["served"]), 10)
    yield Row("a Service refuses after its only pod is unready on a watch", "ms", median(took["refused"]), 10)
    podrun.delete_pods()


def logs(podrun: Podrun) -> Iterator[Row]:
    """Log throughput from a container's stdout to a CRI log file."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="podrun-bench-") as scratch:
        text = Path(scratch, "text")
        text.write_bytes((b"x" * 99 + b"\n") * 4_000_000)
        manifest = Path(scratch, "pod.json")
        rates = []
        for number in range(3):
            pod = _pod(f"logs-{number}", ["cat", "/text"])
            pod["spec"] |= {"restartPolicy": "Never", "volumes": [{"name": "t", "hostPath": {"path": str(text)}}]}
            pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "t", "mountPath": "/text"}]
            manifest.write_text(json.dumps(pod))
            rates.append(text.stat().st_size / _client(podrun, "finished", str(manifest)) / 1e6)
        podrun.delete_pods()
        peer = [peers.conmon_log_throughput(peers.unpack(), text) / 1e6 for _ in range(3)]
    yield Row("container log throughput", "MB/s", max(rates), 300, "conmon", max(peer), more_is_better=True)


def idle(podrun: Podrun) -> Iterator[Row]:
    """Memory with no pods and with a hundred; CPU and wake-ups while nothing happens."""
    empty = _memory(podrun)
    yield Row("memory of podrund and spawner, idle", "MiB", empty, 100, note="proportional set size")
    _client(podrun, "together", "100")
    full = _memory(podrun)
    pauses = _pause_memory(podrun)
    yield Row("memory per pod beside its own processes", "MiB", (full - empty) / 100 + pauses / 100, 0.5)
    seconds = 30.0
    cpu, wakes = _activity(podrun)
    time.sleep(seconds)
    cpu_after, wakes_after = _activity(podrun)
    yield Row("CPU with 100 pods when nothing happens", "%", (cpu_after - cpu) / seconds * 100, 0.1)
    yield Row(
        "wake-ups per minute with 100 pods", "", (wakes_after - wakes) * 60 / seconds, note="the Lease every 10 s"
    )
    podrun.delete_pods()


def command_line(podrun: Podrun) -> Iterator[Row]:
    """The start of the command line."""
    ours = [_wall(podrun.inside("podrun", "ps"), podrun) for _ in range(15)]
    kubectl = [_wall(podrun.inside("kubectl", "get", "pods"), podrun) for _ in range(15)]
    yield Row("`podrun ps`", "ms", median(ours), 30, "kubectl get pods", median(kubectl))


def _client(podrun: Podrun, *words: str) -> Any:
    command: list[str | Path] = [sys.executable, CLIENT, podrun.kubeconfig, *words]
    return json.loads(podrun.run(*command, seconds=300).stdout)


def _pod(name: str, command: list[str]) -> dict[str, Any]:
    container = {"name": "a", "image": "busybox:1.36", "command": command}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _wall(command: list[str], podrun: Podrun) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=podrun.environment())
    return time.perf_counter() - begin


def _stamp(line: str) -> float:
    """The time of a log line that begins with an RFC 3339 time in nanoseconds."""
    whole, fraction = re.match(r"(\S+?)\.(\d+)Z", line).groups()  # type: ignore[union-attr]
    return datetime.fromisoformat(whole + "+00:00").timestamp() + float(f"0.{fraction}")


def _agents(podrun: Podrun) -> list[int]:
    """podrund, the spawner and the spawner's log process."""
    pids = [podrun.daemon_pid, podrun.spawner_pid]
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            title = (directory / "cmdline").read_bytes()
            parent = int((directory / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if b"podrun spawner logs" in title and parent == podrun.spawner_pid:
            pids.append(int(directory.name))
    return pids


def _memory(podrun: Podrun) -> float:
    return sum(_pss(pid) for pid in _agents(podrun)) / 1024


def _pause_memory(podrun: Podrun) -> float:
    names = (path for path in Path("/proc").glob("[0-9]*/comm") if _text(path).strip() == "pause")
    ours = [int(path.parent.name) for path in names if podrun.owns(int(path.parent.name))]
    return sum(_pss(pid) for pid in ours) / 1024


def _pss(pid: int) -> int:
    """The proportional set size of a process in KiB."""
    found = re.search(r"^Pss: +(\d+)", _text(Path(f"/proc/{pid}/smaps_rollup")), re.MULTILINE)
    return int(found[1]) if found else 0


def _activity(podrun: Podrun) -> tuple[float, int]:
    """CPU seconds and wake-ups (voluntary context switches) of podrun's own processes until now."""
    cpu, wakes = 0.0, 0
    for pid in _agents(podrun):
        fields = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
        cpu += (int(fields[11]) + int(fields[12])) / 100
        for task in Path(f"/proc/{pid}/task").glob("*/status"):
            wakes += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", _text(task), re.MULTILINE)[1])  # type: ignore[index]
    return cpu, wakes


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


TOPICS: dict[str, Topic] = {
    "ready": ready,
    "runtime": runtime,
    "play": play,
    "restart": restart,
    "services": services,
    "logs": logs,
    "idle": idle,
    "cli": command_line,
}
