"""What is short is taken from containers, never from podrun: processes, memory, descriptors."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from podrun.cgroups import hierarchy
from tests.harness import Podrun, wait_until
from tests.pods.living import FOREVER, Pods, container_status, pod, shell, state
from tests.torture.client import answer_after

BOMB = "trap '' TERM; (while :; do sleep 1000 & done) 2>/dev/null; exec sleep 1000"
"""A shell that cannot fork ends: it is not to be the container's first process, nor to need another fork afterwards."""
FEW = 150
"""The machine that runs the tests is spared a bomb of full size."""


@pytest.fixture
def witness(pods: Pods) -> Iterator[Pods]:
    """A pod that must not notice."""
    pods.run(pod("witness"))
    pid = pods.pid("witness")
    yield pods
    assert pods.pid("witness") == pid
    assert container_status(pods.get("witness"))["restartCount"] == 0


def group_of(podrun: Podrun, uid: str, controller: str) -> Path:
    """A pod's cgroup in the tree of a controller."""
    machine = hierarchy.detect()
    top = machine.legacy.get(controller) or machine.unified
    assert top is not None
    return next(path for path in Path(top).rglob(f"pod{uid}") if podrun.layout.name in str(path))


def test_a_fork_bomb_ends_with_its_pod(podrun: Podrun, witness: Pods) -> None:
    witness.run(pod("bomb", shell("a", f"while [ ! -e /tmp/go ]; do sleep 0.1; done; {BOMB}")))
    limit = group_of(podrun, witness.get("bomb")["metadata"]["uid"], "pids") / "pids.max"
    assert limit.read_text() == "4096\n"
    limit.write_text(str(FEW))
    witness.sh("bomb", "touch /tmp/go")
    current = limit.with_name("pids.current")

    def gone_off() -> bool:
        """The kernel says so of the group that asked or of the one with the limit, by its version."""
        return any(file.read_text() != "max 0\n" for file in limit.parent.rglob("pids.events"))

    wait_until(gone_off, 20, f"the bomb does not go off: {current.read_text()}")
    assert answer_after(podrun) < 5
    assert witness.exec("witness", "echo", "here").stdout == "here\n"
    witness.run(pod("other"))
    witness.delete("other", grace=0)
    witness.delete("bomb")
    assert not current.exists()


def test_podrund_and_the_spawner_are_spared_when_memory_runs_out(podrun: Podrun, pods: Pods) -> None:
    may = subprocess.run(["sh", "-c", "echo -999 > /proc/self/oom_score_adj"], capture_output=True).returncode == 0
    spared = -999 if may else 0
    pods.run(pod("p"))
    scores = {
        name: int(Path(f"/proc/{pid}/oom_score_adj").read_text())
        for name, pid in (("podrund", podrun.daemon_pid), ("spawner", podrun.spawner_pid), ("pod", pods.pid("p")))
    }
    assert scores == {"podrund": spared, "spawner": spared, "pod": 1000}
    assert pods.sh("p", "cat /proc/self/oom_score_adj") == "1000\n"


def test_podrund_at_the_limit_of_its_own_cgroup_is_another_podrund(podrun: Podrun, witness: Pods) -> None:
    """As after any other kill -9."""
    machine = hierarchy.detect()
    top = machine.legacy.get("memory")
    if top is None:
        pytest.skip("on cgroup v2 the tests' own group would have to be split first")
    group = Path(top) / f"{podrun.layout.name}-limited"
    group.mkdir()
    before = podrun.daemon_pid
    try:
        (group / "memory.limit_in_bytes").write_text(str(1 << 20))
        (group / "cgroup.procs").write_text(str(before))
        for number in range(400):
            try:
                body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"m{number}"}}
                witness.create(body | {"data": {"a": "x" * 100_000}})
            except (OSError, ValueError):
                break
            if not Path(f"/proc/{before}").exists():
                break
        wait_until(lambda: podrun.daemon_is_new(before), 40, "podrund goes on beyond its limit, or does not come back")
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        wait_until(lambda: not (group / "cgroup.procs").read_text(), 10, "somebody is left in the group")
        group.rmdir()
    podrun.kubectl("delete", "cm", "--all", seconds=60)


def test_memory_beyond_its_limit_ends_a_container_alone(podrun: Podrun, witness: Pods) -> None:
    greedy = shell("a", "x=a; while :; do x=$x$x; done", resources={"limits": {"memory": "16Mi"}})
    witness.create(pod("greedy", greedy, shell("b", FOREVER), restartPolicy="Never"))
    ended = state(witness.until("greedy", lambda now: state(now)["is"] == "terminated"))
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
    assert state(witness.get("greedy"), "b")["is"] == "running"


def test_ten_thousand_descriptors_are_the_pods_own(podrun: Podrun, witness: Pods) -> None:
    before = podrun.descriptors()
    # Each tail holds a hundred files.
    files = " ".join(["/etc/hosts"] * 100)
    script = f"n=0; while [ $n -lt 100 ]; do tail -f {files} >/dev/null & n=$((n + 1)); done; echo all; {FOREVER}"
    witness.run(pod("many", shell("a", script)))
    witness.logged("many", "all", seconds=30)

    def held() -> int:
        procs = group_of(podrun, witness.get("many")["metadata"]["uid"], "pids").rglob("cgroup.procs")
        pids = [pid for file in procs for pid in file.read_text().split()]
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)

    wait_until(lambda: held() >= 10_000, 30, "there are not so many", every=0.5)
    after = podrun.descriptors()
    assert after[0] - before[0] < 10
    assert after[1] - before[1] < 10
    assert witness.exec("witness", "echo", "here").stdout == "here\n"
