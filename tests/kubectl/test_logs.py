"""kubectl logs: of the living, the dead and the restarted; following, cutting, and saying why there is nothing."""

from __future__ import annotations

import re

import pytest

from tests.harness import Podrun
from tests.pods.living import FOREVER, Pods, container_status, once, pod, running, shell, state

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"


@pytest.fixture
def counted(pods: Pods) -> Pods:
    """A pod `counted` that printed 1 to 10, odd numbers on stderr, and lives on."""
    script = f"for n in 1 3 5 7 9; do echo $n >&2; echo $((n + 1)); done; {FOREVER}"
    pods.run(pod("counted", shell("a", script)))
    pods.logged("counted", "10\n")
    return pods


def test_all_of_it_is_in_order(counted: Pods, podrun: Podrun) -> None:
    lines = podrun.kubectl("logs", "counted").split()
    assert sorted(map(int, lines)) == list(range(1, 11))
    assert [n for n in lines if int(n) % 2] == ["1", "3", "5", "7", "9"]
    assert [n for n in lines if not int(n) % 2] == ["2", "4", "6", "8", "10"]


def test_the_tail(counted: Pods, podrun: Podrun) -> None:
    assert len(podrun.kubectl("logs", "counted", "--tail=3").split()) == 3
    assert podrun.kubectl("logs", "counted", "--tail=0") == ""
    assert len(podrun.kubectl("logs", "counted", "--tail=100").split()) == 10


def test_timestamps(counted: Pods, podrun: Podrun) -> None:
    lines = podrun.kubectl("logs", "counted", "--timestamps").splitlines()
    assert all(re.fullmatch(rf"{STAMP} \d+", line) for line in lines)
    assert lines == sorted(lines, key=lambda line: line.split()[0])


def test_since(counted: Pods, podrun: Podrun) -> None:
    assert len(podrun.kubectl("logs", "counted", "--since=1h").split()) == 10
    assert len(podrun.kubectl("logs", "counted", "--since-time=2020-01-01T00:00:00Z").split()) == 10
    assert podrun.kubectl("logs", "counted", "--since-time=2099-01-01T00:00:00Z") == ""


def test_limited_to_some_bytes(counted: Pods, podrun: Podrun) -> None:
    assert len(podrun.kubectl("logs", "counted", "--limit-bytes=5")) == 5


def test_a_container_must_be_chosen_where_there_are_two(podrun: Podrun, pods: Pods) -> None:
    pods.create(pod("two", shell("a", "echo from a"), shell("b", "echo from b"), restartPolicy="Never"))
    pods.finished("two")
    done = podrun.run("kubectl", "logs", "two")
    assert (done.stdout, done.stderr) == ("from a\n", 'Defaulted container "a" out of: a, b\n')
    assert podrun.kubectl("logs", "two", "-c", "b") == "from b\n"
    said = podrun.kubectl("logs", "two", "--all-containers", "--prefix")
    assert sorted(said.splitlines()) == ["[pod/two/a] from a", "[pod/two/b] from b"]


def test_a_label_selects(podrun: Podrun, pods: Pods) -> None:
    for name in ("one", "two"):
        pods.create(once(name, f"echo from {name}", metadata={"labels": {"set": "logs"}}))
        pods.finished(name)
    assert sorted(podrun.kubectl("logs", "-l", "set=logs").splitlines()) == ["from one", "from two"]


def test_a_container_that_is_not_there(podrun: Podrun, pods: Pods) -> None:
    pods.run(pod("p"))
    failed = podrun.run("kubectl", "logs", "p", "-c", "z", check=False)
    assert failed.stderr == "error: container z is not valid for pod p out of: a\n"
    failed = podrun.run("kubectl", "logs", "ghost", check=False)
    assert 'pods "ghost" not found' in failed.stderr


def test_init_containers_have_logs(podrun: Podrun, pods: Pods) -> None:
    pods.run(pod("p", shell("a"), initContainers=[shell("first", "echo hello from init")]))
    assert podrun.kubectl("logs", "p", "-c", "first") == "hello from init\n"


def test_one_that_waits_to_start_says_so(podrun: Podrun, pods: Pods) -> None:
    pods.create(pod("p", shell("a"), initContainers=[shell("first")]))
    pods.until("p", lambda now: state(now, "first")["is"] == "running")
    failed = podrun.run("kubectl", "logs", "p", "-c", "a", check=False)
    assert failed.stderr == (
        'Error from server (BadRequest): container "a" in pod "p" is waiting to start: PodInitializing\n'
    )


def test_one_whose_image_is_missing_says_so(podrun: Podrun, pods: Pods) -> None:
    pods.create(pod("p", shell("a", image="nowhere:1", imagePullPolicy="Never")))
    pods.until("p", lambda now: state(now, "a").get("reason") == "ErrImageNeverPull")
    failed = podrun.run("kubectl", "logs", "p", check=False)
    assert failed.stderr == (
        'Error from server (BadRequest): container "a" in pod "p" is waiting to start: ErrImageNeverPull\n'
    )


class TestPrevious:
    def test_shows_the_attempt_before(self, podrun: Podrun, pods: Pods) -> None:
        script = (
            f"echo attempt $(ls /d | wc -l); touch /d/$(ls /d | wc -l); [ $(ls /d | wc -l) -gt 1 ] || exit 1; {FOREVER}"
        )
        mount = [{"name": "d", "mountPath": "/d"}]
        pods.create(pod("phoenix", shell("a", script, volumeMounts=mount), volumes=[{"name": "d", "emptyDir": {}}]))
        pods.until("phoenix", lambda now: container_status(now)["restartCount"] == 1 and state(now)["is"] == "running")
        pods.logged("phoenix", "attempt 1")
        assert podrun.kubectl("logs", "phoenix") == "attempt 1\n"
        assert podrun.kubectl("logs", "phoenix", "--previous") == "attempt 0\n"
        assert podrun.kubectl("logs", "phoenix", "-p", "--timestamps").endswith(" attempt 0\n")

    def test_of_one_that_never_restarted(self, podrun: Podrun, pods: Pods) -> None:
        pods.run(pod("p"))
        failed = podrun.run("kubectl", "logs", "p", "--previous", check=False)
        assert failed.stderr == (
            'Error from server (BadRequest): previous terminated container "a" in pod "p" not found\n'
        )

    def test_in_a_crash_loop_the_log_is_the_last_attempts(self, podrun: Podrun, pods: Pods) -> None:
        pods.create(pod("loop", shell("a", "echo crashing; exit 1")))
        pods.until("loop", lambda now: container_status(now)["restartCount"] == 1 and state(now)["is"] == "terminated")
        assert podrun.kubectl("logs", "loop") == "crashing\n"


class TestFollow:
    def test_ends_with_the_container(self, podrun: Podrun, pods: Pods) -> None:
        pods.create(once("p", "for n in 1 2 3; do echo $n; sleep 0.2; done"))
        pods.until("p", lambda now: state(now)["is"] == "running")
        assert podrun.kubectl("logs", "p", "-f") == "1\n2\n3\n"

    def test_shows_each_line_when_it_is_written(self, podrun: Podrun, pods: Pods) -> None:
        pods.run(pod("p", shell("a", f"mkfifo /tmp/f; while :; do cat /tmp/f; done & {FOREVER}")))
        with running(podrun, "kubectl", "logs", "-f", "p") as kubectl:
            assert kubectl.stdout is not None
            for word in ("one", "two"):
                pods.sh("p", f"echo {word} > /tmp/f")
                assert kubectl.stdout.readline() == f"{word}\n"

    def test_starts_with_the_tail(self, counted: Pods, podrun: Podrun) -> None:
        with running(podrun, "kubectl", "logs", "-f", "--tail=1", "counted") as kubectl:
            assert kubectl.stdout is not None
            assert kubectl.stdout.readline() in ("9\n", "10\n")  # stdout and stderr are two pipes

    def test_ends_when_the_pod_is_deleted(self, podrun: Podrun, pods: Pods) -> None:
        pods.run(pod("p", shell("a", f"echo here; {FOREVER}")))
        with running(podrun, "kubectl", "logs", "-f", "p") as kubectl:
            assert kubectl.stdout is not None
            assert kubectl.stdout.readline() == "here\n"
            pods.delete("p")
            assert kubectl.wait(5) == 0

    def test_of_several_pods(self, podrun: Podrun, pods: Pods) -> None:
        for name in ("one", "two"):
            pods.create(once(name, f"sleep 0.3; echo from {name}", metadata={"labels": {"set": "follow"}}))
            pods.until(name, lambda now: state(now)["is"] == "running")
        said = podrun.kubectl("logs", "-f", "-l", "set=follow", "--prefix")
        assert sorted(said.splitlines()) == ["[pod/one/a] from one", "[pod/two/a] from two"]


def test_long_lines_bytes_and_a_last_line_without_an_end(podrun: Podrun, pods: Pods) -> None:
    script = r"head -c 40000 /dev/zero | tr '\0' x; echo; printf 'caf\303\251\nno end'"
    pods.create(once("odd", script))
    pods.finished("odd")
    assert podrun.kubectl("logs", "odd") == "x" * 40000 + "\ncafé\nno end"


def test_a_flood_is_complete(podrun: Podrun, pods: Pods) -> None:
    pods.create(once("flood", "seq 1 200000"))
    pods.finished("flood")
    lines = podrun.kubectl("logs", "flood").splitlines()
    assert lines == [str(n) for n in range(1, 200001)]
