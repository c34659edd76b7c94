"""podrund is killed with -9 at the worst of times: nothing of a pod may notice.

The spawner starts it again. Pods go on, what happened meanwhile is told afterwards, and clients find the same server.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.harness import Podrun, wait_until
from tests.pods.living import FOREVER, Object, Pods, container_status, once, pod, shell, state


def kill(podrun: Podrun) -> None:
    """End podrund as nobody can prevent, and do not wait for the next."""
    os.kill(podrun.daemon_pid, signal.SIGKILL)


def on_signal(name: str, directory: Path, then: str) -> Object:
    """A pod that waits until the file `go` appears in a directory of the host, and then runs a script."""
    mount = [{"name": "v", "mountPath": "/v"}]
    script = f"while [ ! -e /v/go ]; do sleep 0.02; done; {then}"
    volume = {"name": "v", "hostPath": {"path": str(directory)}}
    return pod(name, shell("a", script, volumeMounts=mount), restartPolicy="Never", volumes=[volume])


class TestWhatRuns:
    def test_goes_on_with_its_process_address_and_place(self, pods: Pods, podrun: Podrun) -> None:
        before = pods.run(pod("p", shell("a"), shell("b"), shareProcessNamespace=True))
        pids = {pods.pid("p", name) for name in "ab"}
        podrun.crash()
        now = pods.ready("p")
        assert {pods.pid("p", name) for name in "ab"} == pids
        assert [one["restartCount"] for one in now["status"]["containerStatuses"]] == [0, 0]
        assert now["status"]["podIP"] == before["status"]["podIP"]
        assert now["status"]["containerStatuses"] == before["status"]["containerStatuses"]
        assert pods.sh("p", "echo still here") == "still here\n"

    def test_loses_no_line_through_five_kills(self, pods: Pods, podrun: Podrun) -> None:
        script = "n=0; trap 'exit 0' TERM; while [ $n -lt 60000 ]; do n=$((n + 1)); echo line $n; done"
        pods.create(once("counts", script))
        for _ in range(5):
            podrun.crash()
        pods.finished("counts", 60)
        assert pods.log("counts").splitlines() == [f"line {n}" for n in range(1, 60001)]

    def test_keeps_its_exit_code(self, pods: Pods, podrun: Podrun) -> None:
        directory = podrun.root / "exit"
        directory.mkdir()
        pods.create(on_signal("ends", directory, "echo last words; exit 42"))
        pods.until("ends", lambda now: state(now)["is"] == "running")
        kill(podrun)
        (directory / "go").touch()
        wait_until(lambda: answers(podrun), 30, "podrund does not come back")
        assert state(pods.finished("ends"))["exitCode"] == 42
        assert pods.log("ends") == "last words\n"

    def test_and_crashes_meanwhile_is_restarted_by_its_policy(self, pods: Pods, podrun: Podrun) -> None:
        pods.run(pod("phoenix", shell("a"), shell("b")))
        victim, other = pods.pid("phoenix", "a"), pods.pid("phoenix", "b")
        kill(podrun)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: answers(podrun), 30, "podrund does not come back")
        now = pods.until("phoenix", lambda now: container_status(now, "a")["restartCount"] == 1)
        now = pods.ready("phoenix")
        assert container_status(now, "a")["lastState"]["terminated"]["exitCode"] == 137
        assert pods.pid("phoenix", "b") == other

    def test_may_be_looked_into_again(self, pods: Pods, podrun: Podrun) -> None:
        pods.run(pod("p"))
        argv = podrun.inside("kubectl", "exec", "-i", "p", "--", "sh", "-c", "echo on; cat")
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=podrun.environment()
        ) as kubectl:
            assert kubectl.stdout is not None
            assert kubectl.stdout.read(3) == b"on\n"
            podrun.crash()
            kubectl.wait(10)
        assert pods.sh("p", "echo again") == "again\n"
        wait_until(lambda: "cat" not in pods.sh("p", "ps -o comm").split(), 5, "the lost exec's process is still there")

    def test_a_debug_container_too(self, pods: Pods, podrun: Podrun) -> None:
        pods.run(pod("p"))
        podrun.kubectl("debug", "-q", "p", "--image=busybox:1.36", "-c", "look", "--", "sleep", "1000")
        pods.until("p", lambda now: state(now, "look")["is"] == "running")
        pid = pods.pid("p", "look")
        podrun.crash()
        pods.until("p", lambda now: state(now, "look")["is"] == "running")
        assert pods.pid("p", "look") == pid


def answers(podrun: Podrun) -> bool:
    """Whether podrund serves."""
    return podrun.run("kubectl", "get", "--raw", "/readyz", check=False).returncode == 0


@pytest.mark.parametrize("milliseconds", [0, 5, 15, 40, 100, 300])
def test_pods_that_are_just_being_started_run_once(pods: Pods, podrun: Podrun, milliseconds: int) -> None:
    mount = [{"name": "v", "mountPath": "/v"}]
    counter = podrun.root / f"starts-{milliseconds}"
    counter.mkdir()
    volume = [{"name": "v", "hostPath": {"path": str(counter)}}]
    script = f"echo $(hostname) >> /v/starts; {FOREVER}"
    names = [f"p{n}" for n in range(6)]
    pods.create(*(pod(name, shell("a", script, volumeMounts=mount), volumes=volume) for name in names))
    time.sleep(milliseconds / 1000)  # the instant of the kill is what is varied
    kill(podrun)
    wait_until(lambda: answers(podrun), 30, "podrund does not come back")
    pods.ready(*names)
    started = (counter / "starts").read_text().split()
    restarts = {name: container_status(pods.get(name))["restartCount"] for name in names}
    assert sorted(started) == names, restarts
    assert restarts == dict.fromkeys(names, 0)
    assert len({pods.address(name) for name in names}) == len(names)


class TestEnding:
    DEAF = "trap '' TERM; while :; do sleep 0.1; done"

    def test_a_grace_period_is_neither_cut_nor_begun_again(self, pods: Pods, podrun: Podrun) -> None:
        pods.run(pod("deaf", shell("a", self.DEAF), terminationGracePeriodSeconds=6))
        pid = pods.pid("deaf")
        podrun.kubectl("delete", "pod", "deaf", "--wait=false")
        began = time.monotonic()
        podrun.crash()
        back = time.monotonic()
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 20, "the pod goes on")
        ended = time.monotonic()
        assert ended - began > 5.5
        assert ended < max(began + 6, back) + 2

    @pytest.mark.parametrize("milliseconds", [0, 5, 20, 60])
    def test_pods_that_are_just_ending_are_gone(self, pods: Pods, podrun: Podrun, milliseconds: int) -> None:
        names = [f"p{n}" for n in range(5)]
        pods.create(*(pod(name) for name in names))
        pods.ready(*names)
        podrun.kubectl("delete", "pods", "--all", "--wait=false")
        time.sleep(milliseconds / 1000)
        kill(podrun)
        wait_until(lambda: answers(podrun), 30, "podrund does not come back")
        for name in names:
            pods.gone(name, 10)

    def test_a_pod_deleted_by_force_takes_its_processes_along(self, pods: Pods, podrun: Podrun) -> None:
        pods.run(pod("deaf", shell("a", self.DEAF), terminationGracePeriodSeconds=30))
        pid = pods.pid("deaf")
        podrun.kubectl("delete", "pod", "deaf", "--force")
        kill(podrun)
        wait_until(lambda: answers(podrun), 30, "podrund does not come back")
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 10, "the process of a pod that is gone goes on")


class TestClients:
    LOOP = """
import socket, sys, time
refused = served = 0
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    try:
        with socket.create_connection(("127.0.0.1", 6443), 10):
            served += 1
    except ConnectionRefusedError:
        refused += 1
    time.sleep(0.001)
print(served, refused)
"""

    def test_are_never_refused(self, podrun: Podrun) -> None:
        argv = podrun.inside(sys.executable, "-S", "-c", self.LOOP, "4")
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as client:
            podrun.crash()
            podrun.crash()
            served, refused = map(int, client.communicate()[0].split())
        assert refused == 0
        assert served > 500

    def test_who_ask_in_between_are_answered(self, pods: Pods, podrun: Podrun) -> None:
        pods.run(pod("p"))
        kill(podrun)
        assert podrun.kubectl("get", "pod", "p", "-o", "jsonpath={.status.phase}") == "Running"

    def test_watches_go_on_where_they_were(self, pods: Pods, podrun: Podrun) -> None:
        pods.run(pod("p"))
        version = pods.call("GET", pods.path("pods"))["metadata"]["resourceVersion"]
        podrun.kubectl("label", "pod", "p", "n=1")
        podrun.crash()
        podrun.kubectl("label", "pod", "p", "n=2", "--overwrite")
        path = f"{pods.path('pods')}?watch=1&resourceVersion={version}&timeoutSeconds=1"
        events = [json.loads(line) for line in podrun.kubectl("get", "--raw", path).splitlines()]
        assert [event["type"] for event in events] == ["MODIFIED", "MODIFIED"]
        assert [event["object"]["metadata"]["labels"]["n"] for event in events] == ["1", "2"]

    def test_what_was_acknowledged_is_there(self, pods: Pods, podrun: Podrun) -> None:
        for number in range(20):
            name = f"kept-{number}"
            pods.create(
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"n": str(number)}}
            )
        kill(podrun)
        found = json.loads(podrun.kubectl("get", "cm", "-o", "json"))["items"]
        assert {f"kept-{n}" for n in range(20)} <= {one["metadata"]["name"] for one in found}
        podrun.kubectl("delete", "cm", *(f"kept-{n}" for n in range(20)))


def test_many_kills_leave_one_daemon_and_no_descriptors_behind(pods: Pods, podrun: Podrun) -> None:
    pods.run(pod("p"))
    podrun.crash()
    before = podrun.descriptors()
    for _ in range(4):
        podrun.crash()
    wait_until(lambda: podrun.descriptors()[1] <= before[1], 5, f"the spawner's descriptors grow: {before}")
    assert abs(podrun.descriptors()[0] - before[0]) <= 2
    daemons = [pid for pid in podrun._processes() if "podrund" in Path(f"/proc/{pid}/comm").read_text()]
    assert daemons == [podrun.daemon_pid]
