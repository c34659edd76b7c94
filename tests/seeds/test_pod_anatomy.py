"""The second document: its pod `web` and its five commands, word for word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Podrun, wait_until


@pytest.fixture(scope="module")
def web(images: Path) -> Iterator[Podrun]:
    with Podrun.start(images=images) as podrun:
        podrun.shell("kubectl apply -f examples/pod-anatomy/web.yaml")
        podrun.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=30s")
        yield podrun


def test_wide(web: Podrun) -> None:
    row = web.shell("kubectl get pod web -o wide").splitlines()[1].split()
    assert row[:3] == ["web", "2/2", "Running"]


def test_describe_walks_phase_conditions_and_states(web: Podrun) -> None:
    said = web.shell("kubectl describe pod web")
    for part in ("Status:           Running", "write-page:", "Completed", "Liveness:", "Readiness:", "Startup:"):
        assert part in said
    assert re.search(r"^ +Ready +True", said, re.MULTILINE)


def test_logs_of_the_main_container(web: Podrun) -> None:
    assert "serving on :8080" in web.shell("kubectl logs web -c app         # main container")


def test_logs_of_the_helper_container(web: Podrun) -> None:
    def reached() -> bool:
        said = web.shell("kubectl logs web -c sidecar     # helper container")
        return "localhost:8080 says: <h1>hello from the pod</h1>" in said

    wait_until(reached, 15, "the sidecar does not reach the app over localhost")


def test_a_shell_in_the_main_container(web: Podrun) -> None:
    said = web.type_into("kubectl exec -it web -c app -- sh", ["cat /www/index.html", "exit"])
    assert "hello from the pod" in said


def test_init_container_that_waits_for_a_dependency(web: Podrun) -> None:
    """The document's own snippet, word for word: it waits until somebody answers at db:5432."""
    web.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "waiting"},
            "spec": {
                "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["db"]}],
                "initContainers": [
                    {
                        "name": "listen",
                        "image": "busybox",
                        "restartPolicy": "Always",
                        "command": ["sh", "-c", "sleep 2; nc -ll -p 5432 -e true"],
                    },
                    {
                        "name": "wait-for-db",
                        "image": "busybox",
                        "command": ["sh", "-c", "until nc -z db 5432; do sleep 1; done"],
                    },
                ],
                "containers": [{"name": "app", "image": "busybox", "command": ["sleep", "1000"]}],
            },
        }
    )
    assert web.kubectl("get", "pod", "waiting", "-o", "jsonpath={.status.phase}") == "Pending"
    web.kubectl("wait", "--for=condition=Ready", "pod/waiting", "--timeout=30s")
