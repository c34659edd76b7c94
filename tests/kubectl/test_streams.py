"""kubectl exec, attach, cp and run: the streams of processes in pods."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import subprocess
import termios
from pathlib import Path

import pytest

from tests.harness import Podrun, wait_until
from tests.pods.living import FOREVER, Pods, container_status, once, pod, running, shell, state

CATALOG = {"name": "catalog", "image": "bookstore/catalog:dev"}


@pytest.fixture
def living(pods: Pods) -> Pods:
    """A pod `living` with the containers `a` (a shell), `mute` (no shell within)."""
    pods.run(pod("living", shell("a"), {**CATALOG, "env": [{"name": "PORT", "value": "8080"}]}))
    return pods


def through(podrun: Podrun, *words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """kubectl with bytes as its standard input."""
    argv = podrun.inside("kubectl", *words)
    return subprocess.run(argv, input=data, capture_output=True, env=podrun.environment(), timeout=60)


class TestExec:
    def test_output_errors_and_exit_code(self, living: Pods) -> None:
        done = living.exec("living", "sh", "-c", "echo out; echo err >&2; exit 7")
        assert (done.returncode, done.stdout) == (7, "out\n")
        assert done.stderr == "err\ncommand terminated with exit code 7\n"

    def test_killed_by_a_signal(self, living: Pods) -> None:
        assert living.exec("living", "sh", "-c", "kill -9 $$").returncode == 137

    def test_the_first_container_is_the_default(self, living: Pods, podrun: Podrun) -> None:
        done = podrun.run("kubectl", "exec", "living", "--", "hostname")
        assert done.stdout == "living\n"
        assert done.stderr == 'Defaulted container "a" out of: a, catalog\n'

    def test_the_annotated_default(self, pods: Pods, podrun: Podrun) -> None:
        chosen = {"annotations": {"kubectl.kubernetes.io/default-container": "b"}}
        pods.run(pod("p", shell("a"), shell("b", env=[{"name": "ME", "value": "b"}]), metadata=chosen))
        assert podrun.run("kubectl", "exec", "p", "--", "sh", "-c", "echo $ME").stdout == "b\n"

    def test_binary_data_goes_in_and_comes_out(self, living: Pods, podrun: Podrun) -> None:
        data = os.urandom(3_000_000)
        done = through(podrun, "exec", "-i", "living", "-c", "a", "--", "cat", data=data)
        assert done.stdout == data
        done = through(podrun, "exec", "-i", "living", "-c", "a", "--", "sha256sum", data=data)
        assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()

    def test_empty_input_ends(self, living: Pods, podrun: Podrun) -> None:
        assert through(podrun, "exec", "-i", "living", "-c", "a", "--", "wc", "-c").stdout.strip() == b"0"

    def test_a_program_that_leaves_its_input_unread_ends(self, living: Pods, podrun: Podrun) -> None:
        done = through(podrun, "exec", "-i", "living", "-c", "a", "--", "true", data=b"x" * 2_000_000)
        assert done.returncode == 0

    def test_a_terminal(self, living: Pods, podrun: Podrun) -> None:
        said = podrun.type_into("kubectl exec -it living -c a -- sh", ["tty", "stty size", "exit 3"])
        assert re.search(r"/dev/pts/\d+", said)
        assert "command terminated with exit code 3" in said

    def test_a_terminal_follows_the_window(self, living: Pods, podrun: Podrun) -> None:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (33, 101))
        script = "trap 'stty size' WINCH; stty size; while :; do sleep 0.1; done"
        argv = podrun.inside("kubectl", "exec", "-it", "living", "-c", "a", "--", "sh", "-c", script)
        with subprocess.Popen(["setsid", "--ctty", *argv], stdin=theirs, stdout=theirs, env=podrun.environment()) as it:
            shown = b""
            while b"33 101" not in shown:
                shown += os.read(ours, 1000)
            termios.tcsetwinsize(theirs, (44, 122))
            while b"44 122" not in shown:
                shown += os.read(ours, 1000)
            it.kill()
        os.close(ours)
        os.close(theirs)

    def test_a_missing_command(self, living: Pods) -> None:
        done = living.exec("living", "no-such-program")
        assert done.returncode != 0
        assert 'exec: "no-such-program": executable file not found in $PATH' in done.stderr

    def test_in_an_image_without_a_shell(self, living: Pods) -> None:
        done = living.exec("living", "sh", container="catalog")
        assert 'exec: "sh": executable file not found in $PATH' in done.stderr
        assert done.returncode != 0

    def test_in_a_container_that_is_not_there(self, living: Pods) -> None:
        failed = living.exec("living", "true", container="z")
        assert failed.stderr == "error: container z is not valid for pod living out of: a, catalog\n"

    def test_in_a_pod_that_has_ended(self, pods: Pods) -> None:
        pods.create(once("done", "true"))
        pods.finished("done")
        assert pods.exec("done", "true").stderr == (
            "error: cannot exec into a container in a completed pod; current phase is Succeeded\n"
        )

    def test_in_a_container_that_waits(self, pods: Pods) -> None:
        pods.create(pod("p", shell("a"), initContainers=[shell("first")]))
        pods.until("p", lambda now: state(now, "first")["is"] == "running")
        assert 'container not found ("a")' in pods.exec("p", "true").stderr
        assert pods.exec("p", "echo", "here", container="first").stdout == "here\n"

    def test_is_the_user_and_the_environment_of_the_container(self, pods: Pods) -> None:
        env = [{"name": "COLOUR", "value": "blue"}]
        pods.run(
            pod("p", shell("a", env=env, workingDir="/tmp", securityContext={"runAsUser": 1234, "runAsGroup": 55}))
        )
        assert pods.sh("p", "id -u; id -g; echo $COLOUR; pwd") == "1234\n55\nblue\n/tmp\n"

    def test_many_at_once(self, living: Pods, podrun: Podrun) -> None:
        argv = podrun.inside("kubectl", "exec", "living", "-c", "a", "--", "sh", "-c", "echo $((6 * 7))")
        several = [
            subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=podrun.environment()) for _ in range(12)
        ]
        assert [one.communicate(timeout=30)[0] for one in several] == ["42\n"] * 12

    def test_leaves_with_the_client(self, living: Pods, podrun: Podrun) -> None:
        argv = podrun.inside(
            "kubectl", "exec", "-i", "living", "-c", "a", "--", "sh", "-c", "echo on; cat; touch /tmp/saw-the-end"
        )
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=podrun.environment()) as kubectl:
            assert kubectl.stdout is not None
            assert kubectl.stdout.read(3) == b"on\n"
            kubectl.kill()
        wait_until(lambda: "cat" not in living.sh("living", "ps -o comm").split(), 5, "cat is still there")


class TestAttach:
    def test_shows_what_the_first_process_prints(self, pods: Pods, podrun: Podrun) -> None:
        pods.run(pod("clock", shell("a", "trap 'exit 0' TERM; while :; do echo tick; sleep 0.05; done")))
        with running(podrun, "kubectl", "attach", "clock") as it:
            assert it.stdout is not None
            lines = [it.stdout.readline() for _ in range(4)]
        assert lines.count("tick\n") >= 3

    def test_feeds_its_input(self, pods: Pods, podrun: Podrun) -> None:
        pods.run(pod("reader", shell("a", f"read line; echo got $line; {FOREVER}", stdin=True)))
        with running(podrun, "kubectl", "attach", "-i", "-q", "reader", stdin=subprocess.PIPE) as kubectl:
            assert kubectl.stdin is not None
            assert kubectl.stdout is not None
            kubectl.stdin.write("hello\n")
            kubectl.stdin.flush()
            assert kubectl.stdout.readline() == "got hello\n"
        assert pods.log("reader") == "got hello\n"

    def test_stdin_once_ends_with_the_first_client(self, pods: Pods, podrun: Podrun) -> None:
        pods.run(pod("once", shell("a", "cat; echo the end", stdin=True, stdinOnce=True), restartPolicy="Never"))
        done = through(podrun, "attach", "-i", "-q", "once", data=b"some words\n")
        assert done.stdout.splitlines()[0] == b"some words"
        pods.finished("once")
        assert pods.log("once") == "some words\nthe end\n"


class TestRun:
    def test_and_remove_with_input(self, pods: Pods, podrun: Podrun) -> None:
        words = ["run", "brief", "--rm", "-i", "-q", "--image=busybox:1.36", "--restart=Never", "--", "cat"]
        done = through(podrun, *words, data=b"in and out\n")
        assert b"in and out\n" in done.stdout
        assert podrun.kubectl("get", "pod", "brief", "--ignore-not-found") == ""

    def test_with_a_terminal(self, podrun: Podrun) -> None:
        command = "kubectl run brief --rm -it --image=busybox:1.36 --restart=Never -- sh"
        said = podrun.type_into(command, ["echo $((6 * 7)) $(hostname)", "exit"])
        assert "42 brief" in said
        assert 'pod "brief" deleted' in said

    def test_gives_the_exit_code(self, podrun: Podrun) -> None:
        words = ["run", "brief", "--rm", "-i", "-q", "--image=busybox:1.36", "--restart=Never", "--", "sh", "-c"]
        assert through(podrun, *words, "sleep 0.3; exit 5").returncode == 5


class TestCopy:
    def test_a_file_both_ways(self, living: Pods, podrun: Podrun, tmp_path: Path) -> None:
        data = os.urandom(500_000)
        (tmp_path / "there").write_bytes(data)
        podrun.kubectl("cp", tmp_path / "there", "living:/tmp/there", "-c", "a")
        podrun.kubectl("cp", "living:/tmp/there", tmp_path / "back", "-c", "a")
        assert (tmp_path / "back").read_bytes() == data

    def test_a_directory(self, living: Pods, podrun: Podrun, tmp_path: Path) -> None:
        (tmp_path / "tree/deep").mkdir(parents=True)
        (tmp_path / "tree/deep/leaf").write_text("green")
        podrun.kubectl("cp", tmp_path / "tree", "living:/tmp", "-c", "a")
        assert living.sh("living", "cat /tmp/tree/deep/leaf") == "green"
        podrun.kubectl("cp", "living:/tmp/tree", tmp_path / "copy", "-c", "a")
        assert (tmp_path / "copy/deep/leaf").read_text() == "green"


class TestDebug:
    def test_sees_the_targets_processes_network_and_volumes(self, pods: Pods, podrun: Podrun) -> None:
        catalog = {**CATALOG, "volumeMounts": [{"name": "books", "mountPath": "/var/books"}]}
        writer = shell(
            "a", f"echo Emma > /shelf/novel; {FOREVER}", volumeMounts=[{"name": "books", "mountPath": "/shelf"}]
        )
        pods.run(pod("shop", catalog, writer, volumes=[{"name": "books", "emptyDir": {}}]))
        script = "ps; cat /var/books/novel; hostname; ls /proc/1/root/catalog; ls /var/run/secrets 2>&1"
        words = ("debug", "-q", "shop", "--image=busybox:1.36", "--target=catalog", "-c", "look", "--")
        podrun.kubectl(*words, "sh", "-c", script)
        pods.until("shop", lambda now: state(now, "look")["is"] == "terminated")
        said = pods.log("shop", "look")
        assert "/catalog" in said
        assert "Emma" in said
        assert "shop" in said
        assert "/proc/1/root/catalog" in said
        assert "kubernetes.io" not in said
        spec = pods.get("shop")["spec"]["ephemeralContainers"][0]
        assert "volumeMounts" not in spec

    def test_interactively(self, living: Pods, podrun: Podrun) -> None:
        command = "kubectl debug -it -q living --image=busybox:1.36 --target=catalog -c look -- sh"
        said = podrun.type_into(command, ["ps", "exit"])
        assert "/catalog" in said
        assert (
            state(living.until("living", lambda now: state(now, "look")["is"] == "terminated"), "look")["exitCode"] == 0
        )

    def test_without_a_target_sees_its_own_processes(self, living: Pods, podrun: Podrun) -> None:
        podrun.kubectl("debug", "-q", "living", "--image=busybox:1.36", "-c", "look", "--", "ps")
        living.until("living", lambda now: state(now, "look")["is"] == "terminated")
        said = living.log("living", "look")
        assert re.search(r"^ +1 root +ps$", said, re.MULTILINE)
        assert "/catalog" not in said

    def test_a_target_that_is_not_there(self, living: Pods, podrun: Podrun) -> None:
        failed = podrun.run(
            "kubectl", "debug", "-q", "living", "--image=busybox:1.36", "--target=z", "--", "true", check=False
        )
        assert failed.returncode == 1
        assert 'spec.ephemeralContainers[0].targetContainerName: Not found: "z"' in failed.stderr

    def test_a_copy_of_the_pod(self, living: Pods, podrun: Podrun) -> None:
        images = "--set-image=a=busybox:latest --image=busybox:1.36"
        podrun.kubectl(*f"debug living -q --copy-to=twin {images} -c look -- sleep 100".split())
        twin = living.ready("twin")
        assert {one["name"]: one["image"] for one in twin["spec"]["containers"]} == {
            "a": "busybox:latest",
            "catalog": "bookstore/catalog:dev",
            "look": "busybox:1.36",
        }

    def test_the_node(self, podrun: Podrun, pods: Pods) -> None:
        node = podrun.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
        (podrun.root / "mark").write_text("of the host")
        words = ("debug", f"node/{node}", "-q", "--image=busybox:1.36", "--", "cat", f"/host{podrun.root}/mark")
        podrun.kubectl(*words)
        name = podrun.kubectl("get", "pods", "-o", "jsonpath={.items[0].metadata.name}")
        pods.finished(name)
        assert podrun.kubectl("logs", name) == "of the host"

    def test_the_profile_of_an_administrator(self, living: Pods, podrun: Podrun) -> None:
        words = ("debug", "-q", "living", "--image=busybox:1.36", "--profile=sysadmin", "-c", "look", "--")
        podrun.kubectl(*words, "grep", "CapEff", "/proc/self/status")
        living.until("living", lambda now: state(now, "look")["is"] == "terminated")
        assert int(living.log("living", "look").split()[1], 16) == int(
            Path("/proc/self/status").read_text().split("CapBnd:\t")[1].split()[0], 16
        )

    def test_the_pods_containers_go_on(self, living: Pods, podrun: Podrun) -> None:
        podrun.kubectl("debug", "-q", "living", "--image=busybox:1.36", "-c", "look", "--", "true")
        now = living.until("living", lambda now: state(now, "look")["is"] == "terminated")
        assert [container_status(now, name)["restartCount"] for name in ("a", "catalog")] == [0, 0]
