"""Every command of the first document, word for word, in its order: one story, one pod.

The `kind ...` lines are not played (there is no cluster to make); `-it` gets a terminal, as a person has one.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Podrun, wait_until

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def story(images: Path) -> Iterator[Podrun]:
    """The daemon in which the story happens: the tests below go on where the one before ended."""
    with Podrun.start(images=images) as podrun:
        podrun.shell("kubectl apply -f examples/bookstore/raw-manifests/01-catalog-pod.yaml")
        podrun.kubectl("wait", "--for=condition=Ready", "pod/catalog", "--timeout=30s")
        yield podrun


class TestInspectTheBarePod:
    def test_wide(self, story: Podrun) -> None:
        head, row = story.shell("kubectl get pod catalog -o wide").splitlines()
        assert re.sub(" {2,}", "|", head) == "NAME|READY|STATUS|RESTARTS|AGE|IP|NODE|NOMINATED NODE|READINESS GATES"
        assert row.split()[:4] == ["catalog", "1/1", "Running", "0"]
        assert re.fullmatch(r"10\.244\.\d+\.\d+", row.split()[5])

    def test_phase(self, story: Podrun) -> None:
        assert story.shell("""kubectl get pod catalog -o jsonpath='{.status.phase}{"\\n"}'""") == "Running\n"

    def test_conditions(self, story: Podrun) -> None:
        said = story.shell(
            "kubectl get pod catalog \\\n"
            """  -o jsonpath='{range .status.conditions[*]}{.type}={.status}{"\\n"}{end}'"""
        )
        promised = {"PodScheduled=True", "Initialized=True", "ContainersReady=True", "Ready=True"}
        assert promised <= set(said.split())


class TestAddTheSidecar:
    def test_replace_the_bare_pod(self, story: Podrun) -> None:
        said = story.shell("kubectl delete pod catalog --ignore-not-found")
        assert 'pod "catalog" deleted' in said
        said = story.shell("kubectl apply -f examples/bookstore/raw-manifests/02-catalog-pod-sidecar.yaml")
        assert said == "pod/catalog created\n"

    def test_names_of_both(self, story: Podrun) -> None:
        said = story.shell(
            "kubectl get pod catalog -o jsonpath="
            """'{.spec.containers[*].name} | INIT(sidecar): {.spec.initContainers[*].name}{"\\n"}'"""
        )
        assert said == "catalog | INIT(sidecar): log-sidecar\n"

    def test_two_of_two(self, story: Podrun) -> None:
        story.kubectl("wait", "--for=condition=Ready", "pod/catalog", "--timeout=30s")
        assert story.shell("kubectl get pod catalog").splitlines()[1].split()[:3] == ["catalog", "2/2", "Running"]

    def test_logs_of_the_app_are_json(self, story: Podrun) -> None:
        lines = story.shell("kubectl logs catalog -c catalog --tail=3").splitlines()
        assert 1 <= len(lines) <= 3
        assert all(isinstance(json.loads(line), dict) for line in lines)

    def test_logs_of_the_sidecar(self, story: Podrun) -> None:
        said = story.shell("kubectl logs catalog -c log-sidecar --tail=3")
        assert "log-sidecar: shipping from /var/log/app" in said
        assert re.search(r"^\d{4}-\d\d-\d\dT[\d:]{8}Z log-sidecar: tail/ship tick$", said, re.MULTILINE)


class TestSharedNamespaces:
    def test_the_sidecar_reaches_the_app_over_localhost(self, story: Podrun) -> None:
        said = story.shell("kubectl exec catalog -c log-sidecar -- wget -qO- http://localhost:8080/healthz ; echo")
        assert said.strip() == '{"status":"ok"}'

    def test_the_sidecar_writes_into_the_volume(self, story: Podrun) -> None:
        said = story.shell(
            "kubectl exec catalog -c log-sidecar -- sh -c 'echo hi > /var/log/app/x; ls -l /var/log/app'"
        )
        assert re.search(r"^-rw-r--r-- +1 root +root +3 .* x$", said, re.MULTILINE)

    def test_a_debug_container_sees_the_same_file(self, story: Podrun) -> None:
        story.shell("kubectl debug -q catalog --image=busybox:1.36 --target=catalog -- ls -l /var/log/app")
        name = story.kubectl("get", "pod", "catalog", "-o", "jsonpath={.spec.ephemeralContainers[-1:].name}")

        def listed() -> bool:
            return " x\n" in story.kubectl("logs", "catalog", "-c", name)

        wait_until(listed, 10, "the debug container does not list x")

    def test_the_app_has_no_shell(self, story: Podrun) -> None:
        failed = story.run("kubectl", "exec", "catalog", "-c", "catalog", "--", "sh", check=False)
        assert failed.returncode != 0
        assert 'exec: "sh": executable file not found in $PATH' in failed.stderr


class TestDebugContainer:
    def test_with_a_terminal_in_the_apps_network_and_processes(self, story: Podrun) -> None:
        said = story.type_into(
            "kubectl debug -it catalog --image=busybox:1.36 --target=catalog -- sh",
            ["wget -qO- localhost:8080/books; echo", "ps", "exit"],
        )
        assert '"title"' in said
        assert "/catalog" in said

    def test_its_name_stays_in_the_spec(self, story: Podrun) -> None:
        said = story.shell("""kubectl get pod catalog -o jsonpath='{.spec.ephemeralContainers[*].name}{"\\n"}'""")
        assert re.fullmatch(r"debugger-\w+ debugger-\w+\n", said)


class TestTheBarePodIsGoneForGood:
    @pytest.mark.slow
    def test_deleted_after_its_whole_grace(self, story: Podrun) -> None:
        began = time.monotonic()
        story.shell("kubectl delete pod catalog")
        # The sidecar's sh, as process 1, ignores TERM: the app goes at once, the sidecar at the end of the grace.
        assert 29 <= time.monotonic() - began <= 35

    def test_nothing_recreates_it(self, story: Podrun) -> None:
        failed = story.run("kubectl", "get", "pod", "catalog", check=False)
        assert failed.returncode == 1
        assert failed.stderr == 'Error from server (NotFound): pods "catalog" not found\n'

    def test_applied_again(self, story: Podrun) -> None:
        said = story.shell("kubectl apply -f examples/bookstore/raw-manifests/02-catalog-pod-sidecar.yaml")
        assert said == "pod/catalog created\n"
        story.kubectl("wait", "--for=condition=Ready", "pod/catalog", "--timeout=30s")


class TestQuickReference:
    """The document's last list, its placeholders filled in for this pod."""

    def test_describe_shows_conditions_and_events(self, story: Podrun) -> None:
        said = story.shell("kubectl describe pod catalog")
        assert "PodReadyToStartContainers" in said
        assert re.search(r"Normal +Started .* kubelet ", said)

    def test_logs_follow_and_previous(self, story: Podrun) -> None:
        failed = story.run("kubectl", "logs", "catalog", "-c", "catalog", "--previous", check=False)
        assert 'previous terminated container "catalog" in pod "catalog" not found' in failed.stderr
        followed = story.run("timeout", "2", "kubectl", "logs", "catalog", "-c", "log-sidecar", "-f", check=False)
        assert "shipping from" in followed.stdout

    def test_shell_with_a_terminal(self, story: Podrun) -> None:
        said = story.type_into("kubectl exec -it catalog -c log-sidecar -- sh", ["tty", "hostname", "exit"])
        assert "/dev/pts/" in said
        assert "catalog" in said

    def test_debug_with_the_short_image_name(self, story: Podrun) -> None:
        said = story.type_into(
            "kubectl debug -it catalog --image=busybox --target=catalog -- sh", ["echo it is $((6 * 7))", "exit"]
        )
        assert "it is 42" in said

    def test_native_sidecars_are_among_the_init_containers(self, story: Podrun) -> None:
        assert story.shell("kubectl get pod catalog -o jsonpath='{.spec.initContainers[*].name}'") == "log-sidecar"

    def test_the_skeleton_filled_in(self, story: Podrun) -> None:
        story.shell("kubectl apply -f examples/skeleton.yaml")
        story.kubectl("wait", "--for=condition=Ready", "pod/greeter", "--timeout=30s")

        def shared() -> bool:
            return "hello at" in story.kubectl("logs", "greeter", "-c", "reader")

        wait_until(shared, 10, "the sidecar does not read what the app writes")
