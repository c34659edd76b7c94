"""client-go, the library below every Kubernetes program written in Go: our programs in go/ on it, against podrun."""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clients.go_programs import go_program
from tests.clients.transcript import Transcript
from tests.harness import Podrun, wait_until
from tests.pods.living import Pods, pod, shell

Line = dict[str, Any]
SPOKEN = pytest.mark.parametrize("spoken", ["json", "protobuf"])


class ClientGo:
    """The programs, run beside a podrun."""

    def __init__(self, podrun: Podrun) -> None:
        self.podrun = podrun
        self.program = go_program("programs")

    def words(self, *words: str, spoken: str = "json") -> list[str | Path]:
        return [self.program, *(["-protobuf"] if spoken == "protobuf" else []), *words]

    def __call__(self, *words: str, spoken: str = "json", input: str | None = None) -> list[Line]:
        """What a program that ends well has said."""
        said = self.podrun.run(*self.words(*words, spoken=spoken), input=input).stdout
        return [json.loads(line) for line in said.splitlines()]

    @contextmanager
    def beside(self, *words: str, spoken: str = "json", **features: str) -> Iterator[Transcript]:
        """A program that goes on, and what it says meanwhile. `features` are gates of client-go."""
        argv = self.podrun.inside(*self.words(*words, spoken=spoken))
        gates = {f"KUBE_FEATURE_{name}": value for name, value in features.items()}
        with Transcript.of(argv, self.podrun.environment() | gates) as transcript:
            yield transcript


@pytest.fixture
def client_go(podrun: Podrun) -> ClientGo:
    return ClientGo(podrun)


@pytest.fixture
def namespace(podrun: Podrun, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"test-{zlib.crc32(request.node.name.encode()):08x}"
    podrun.kubectl("create", "namespace", name)
    yield name
    podrun.kubectl("delete", "namespace", name, "--wait=false")


@SPOKEN
def test_a_day_with_the_typed_client(client_go: ClientGo, namespace: str, spoken: str) -> None:
    rights, pages, life = client_go("tour", namespace, spoken=spoken)
    assert rights == {"server": "1.36", "may": True, "absent": True}
    assert pages == {"pages": 3, "listed": 25, "left": 0}
    assert life == {"said": ["one", "two"], "labels": {"seen": "yes"}, "evicted": True}


@SPOKEN
def test_server_side_apply(client_go: ClientGo, namespace: str, spoken: str) -> None:
    conflict, extracted, applied, pod = client_go("apply", namespace, spoken=spoken)
    assert conflict == {"conflict": ['FieldManagerConflict .data.b: conflict with "first"']}
    assert extracted == {"extracted": {"a": "1"}}  # "b" went to the second manager by force
    assert applied == {
        "data": {"b": "2", "c": "2", "d": "3", "e": "4"},
        "owners": {
            "first": 'Apply {"f:data":{"f:e":{}}}',
            "second": 'Apply {"f:data":{"f:b":{},"f:c":{}}}',
            "third": 'Apply {"f:data":{"f:d":{}}}',
        },
    }
    assert (pod["pod"], pod["gate"]) == ("applied", ["True"])
    assert pod["tries"] > 1  # the first is stale; the kubelet may come between the others


@SPOKEN
def test_events_are_counted(client_go: ClientGo, namespace: str, spoken: str) -> None:
    (counted,) = client_go("events", namespace, spoken=spoken)
    assert counted["events"] == 2


@pytest.mark.parametrize("way", ["spdy", "websocket", "fallback"])
def test_commands_are_run_over(client_go: ClientGo, podrun: Podrun, way: str) -> None:
    pods = Pods(podrun)
    pods.run(pod("host", shell()))
    big = "x" * 300_000
    script = "wc -c; echo complaint >&2; exit 7"
    assert client_go("exec", way, "default", "host", "sh", "-c", script, input=big) == [
        {"stdout": "300000\n", "stderr": "complaint\n", "code": 7}
    ]
    (echoed,) = client_go("exec", way, "default", "host", "cat", input=big)
    assert echoed == {"stdout": big, "stderr": "", "code": 0}


@pytest.mark.parametrize("way", ["spdy", "websocket"])
def test_ports_are_forwarded_over(client_go: ClientGo, podrun: Podrun, way: str) -> None:
    pods = Pods(podrun)
    script = "mkdir /www && echo hello >/www/index.html && exec httpd -f -p 8080 -h /www"
    pods.run(pod("web", shell(script=script, readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1})))
    assert client_go("forward", way, "default", "web", "8080", "/") == [
        {"bodies": ["hello", "hello"], "complaints": ""}
    ]


@pytest.mark.parametrize(
    ("spoken", "streamed"),
    [
        pytest.param("json", "false", id="list-then-watch"),
        pytest.param("protobuf", "true", id="streamed-list-protobuf"),
    ],
)
def test_informers_neither_lose_nor_double_an_event_while_podrund_is_killed(
    client_go: ClientGo, podrun: Podrun, namespace: str, spoken: str, streamed: str
) -> None:
    """Three informers, three ConfigMaps that count up, podrund killed twice meanwhile."""
    pods, changes = Pods(podrun, namespace), 20
    names = [f"counter-{number}" for number in range(3)]

    def count(name: str, number: int) -> None:
        patch = {"data": {"count": str(number)}}
        pods.call("PATCH", pods.path("configmaps", name), patch, "application/merge-patch+json")

    with client_go.beside("informers", namespace, spoken=spoken, WatchListClient=streamed) as said:
        said.until(lambda lines: sum("synced" in line for line in lines) == 3, 20, "the informers are not in sync")
        for name in names:
            made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"count": "0"}}
            pods.create(made)
        for number in range(1, changes + 1):
            for name in names:
                count(name, number)
            if number in (changes // 3, 2 * changes // 3):
                podrun.crash()
        for name in names:
            pods.call("DELETE", pods.path("configmaps", name))

        def all_deleted(lines: list[Line]) -> bool:
            return sum(line.get("event") == "delete" for line in lines) >= 3 * len(names)

        lines = said.until(all_deleted, 30, "the informers have not seen the end")
    seen: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in lines:
        if line.get("name") in names:
            seen[line["informer"], line["name"]].append(line)
    expected = ["add", *["update"] * changes, "delete"]
    for (informer, name), events in seen.items():
        assert [event["event"] for event in events] == expected, (informer, name, lines)
        versions = [int(event["version"]) for event in events]
        assert versions == sorted(set(versions)), (informer, name)
        if informer != "metadata":
            assert [event["count"] for event in events] == [*map(str, range(changes + 1)), str(changes)], (
                informer,
                name,
            )
    assert len(seen) == 3 * len(names)


def test_a_leader_stays_over_a_killed_podrund_and_hands_over_when_it_goes(
    client_go: ClientGo, podrun: Podrun, namespace: str
) -> None:
    def says(line: Line) -> Callable[[list[Line]], bool]:
        return lambda lines: line in lines

    with client_go.beside("leader", namespace, "first") as first:
        first.until(says({"leads": "first"}), 10, "nobody leads")
        with client_go.beside("leader", namespace, "second") as second:
            second.until(says({"leader": "first"}), 10, "the second does not see the first lead")
            podrun.crash()
            before = podrun.get("lease", "elected", "-n", namespace)["spec"]["renewTime"]
            wait_until(
                lambda: podrun.get("lease", "elected", "-n", namespace)["spec"]["renewTime"] > before,
                10,
                "the leader does not renew its lease at the new podrund",
            )
            assert {"leads": "second"} not in second.lines()
            first.end()
            second.until(says({"leads": "second"}), 10, "the second does not take over")
            assert {"leads no more": "first"} in first.lines()
    spec = podrun.get("lease", "elected", "-n", namespace)["spec"]
    assert spec["leaseTransitions"] >= 1


def test_a_client_that_would_rather_speak_cbor_falls_back(client_go: ClientGo, podrun: Podrun, namespace: str) -> None:
    """What is beta in 1.36 is not served: client-go's first request gets the 415, the others are JSON."""
    gates = ("env", "KUBE_FEATURE_ClientsAllowCBOR=true", "KUBE_FEATURE_ClientsPreferCBOR=true")
    said = json.loads(podrun.run(*gates, *client_go.words("cbor", namespace)).stdout)
    assert said == {"first": "UnsupportedMediaType", "listed": 1}


def test_a_pod_with_the_official_client_finds_the_api_by_itself(client_go: ClientGo, podrun: Podrun) -> None:
    """rest.InClusterConfig: the Service's address, the mounted token and authority; rights as its account has them."""
    pods = Pods(podrun)
    podrun.kubectl("create", "serviceaccount", "traveller")
    everything = ["--verb=*", "--resource=pods,pods/log,pods/eviction,configmaps"]
    podrun.kubectl("create", "role", "traveller", *everything)
    podrun.kubectl("create", "rolebinding", "traveller", "--role=traveller", "--serviceaccount=default:traveller")
    binary = {"name": "binary", "hostPath": {"path": str(client_go.program), "type": "File"}}
    mounted = [{"name": "binary", "mountPath": "/programs", "readOnly": True}]
    for name, account in (("guest", "default"), ("tour", "traveller")):
        container = shell(script="exec /programs tour default", volumeMounts=mounted)
        pods.create(
            pod(name, container, restartPolicy="Never", serviceAccountName=account, volumes=[binary]),
        )
    assert pods.finished("tour", 40)["status"]["phase"] == "Succeeded", pods.log("tour")
    assert '"evicted":true' in pods.log("tour")
    assert pods.finished("guest")["status"]["phase"] == "Failed"
    assert 'User "system:serviceaccount:default:default" cannot' in pods.log("guest")
