"""Manifests that are wrong or hostile: the API's refusal names the field, and what runs goes on undisturbed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Podrun, wait_until
from tests.pods.living import FOREVER, Object, Pods, Refused, pod, shell, state


@pytest.fixture
def witness(pods: Pods) -> Iterator[Pods]:
    """A pod that runs beside all this, and must not notice."""
    before = pods.run(pod("witness"))
    pid = pods.pid("witness")
    yield pods
    after = pods.get("witness")
    assert after["status"] == before["status"]
    assert pods.pid("witness") == pid


def refusal(pods: Pods, obj: Object) -> tuple[int, str, list[str]]:
    """The code, the reason and the fields of the causes with which a pod is refused."""
    with pytest.raises(Refused) as caught:
        pods.create(obj)
    status = caught.value.status
    causes = status.get("details", {}).get("causes", ())
    return status["code"], status["reason"], [cause.get("field", "") for cause in causes]


ONE = [{"name": "v", "emptyDir": {}}]

AT_V = {"name": "v", "mountPath": "/v"}

WRONG_PODS = [
    ("no containers", pod("p") | {"spec": {"containers": []}}, "spec.containers"),
    ("two containers of one name", pod("p", shell("a"), shell("a")), "spec.containers[1].name"),
    ("a name with capitals", pod("Bad"), "metadata.name"),
    ("two volumes of one name", pod("p", volumes=ONE * 2), "spec.volumes[1].name"),
    ("a volume of two kinds", pod("p", volumes=[{**ONE[0], "hostPath": {"path": "/"}}]), "spec.volumes[0].hostPath"),
    (
        "a host path that goes up",
        pod("p", volumes=[{"name": "v", "hostPath": {"path": "/a/../etc"}}]),
        "spec.volumes[0].hostPath.path",
    ),
    ("a negative deadline", pod("p", activeDeadlineSeconds=-1), "spec.activeDeadlineSeconds"),
    (
        "a sysctl that is no name",
        pod("p", securityContext={"sysctls": [{"name": "vm..swappiness", "value": "1"}]}),
        "spec.securityContext.sysctls[0].name",
    ),
    ("a policy that does not exist", pod("p", restartPolicy="Sometimes"), "spec.restartPolicy"),
    ("ephemeral containers at once", pod("p", ephemeralContainers=[shell("x")]), "spec.ephemeralContainers"),
]

WRONG_CONTAINERS: list[tuple[str, Object, str]] = [
    ("a port out of range", {"ports": [{"containerPort": 70000}]}, "ports[0].containerPort"),
    ("a volume that is not declared", {"volumeMounts": [{"name": "w", "mountPath": "/w"}]}, "volumeMounts[0].name"),
    ("a sub path that goes up", {"volumeMounts": [{**AT_V, "subPath": "../.."}]}, "volumeMounts.subPath"),
    ("two mounts at one place", {"volumeMounts": [AT_V] * 2}, "volumeMounts[1].mountPath"),
    ("a request above its limit", {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": 1}}}, "resources.requests"),
    ("a probe that does nothing", {"livenessProbe": {}}, "livenessProbe"),
    ("a user below zero", {"securityContext": {"runAsUser": -1}}, "securityContext.runAsUser"),
    (
        "privileged without escalation",
        {"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}},
        "securityContext",
    ),
    (
        "a host port twice",
        {"ports": [{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]},
        "ports[1].hostPort",
    ),
]

WRONG = WRONG_PODS + [
    (sentence, pod("p", shell(**fields), volumes=ONE), f"spec.containers[0].{field}")
    for sentence, fields, field in WRONG_CONTAINERS
]


@pytest.mark.parametrize(("obj", "field"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_is_refused_by_its_field(pods: Pods, obj: Object, field: str) -> None:
    code, reason, fields = refusal(pods, obj)
    assert (code, reason) == (422, "Invalid")
    assert field in fields


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "BadRequest"),
        (b"{", "BadRequest"),
        (b"[]", "BadRequest"),
        (b'{"kind":"Pod","apiVersion":"v1","spec":"none"}', "BadRequest"),
        (b'{"kind":"Node","apiVersion":"v1"}', "BadRequest"),
        (b"\xff\xfe\x00", "BadRequest"),
        (b"[" * 100_000, "BadRequest"),
        (
            b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","labels":{"a":' + b'"' + b"x" * 70000 + b'"}}}',
            "Invalid",
        ),
    ],
    ids=["nothing", "half", "a list", "a wrong type", "another kind", "no text", "a deep hole", "a huge label"],
)
def test_bodies_that_are_no_pods(witness: Pods, podrun: Podrun, tmp_path: Path, body: bytes, said: str) -> None:
    (tmp_path / "body").write_bytes(body)
    path = "/api/v1/namespaces/default/pods"
    argv = ["curl", "-s", "--unix-socket", str(podrun.layout.api_socket), "-H", "Content-Type: application/json"]
    answer = podrun.run(*argv, "--data-binary", f"@{tmp_path}/body", f"http://localhost{path}").stdout
    assert json.loads(answer)["reason"] == said


def test_a_refused_pod_leaves_no_trace(witness: Pods, podrun: Podrun) -> None:
    refusal(witness, pod("p", restartPolicy="Sometimes"))
    assert podrun.kubectl("get", "pod", "p", "--ignore-not-found") == ""
    assert len(list(podrun.layout.pods.iterdir())) == 1


class TestHostile:
    def test_a_fork_bomb_is_counted_and_ended(self, witness: Pods) -> None:
        bomb = "f() { f | f & }; ulimit -u 200; for n in $(seq 60); do sleep 1000 & done; sleep 1000"
        witness.run(pod("bomb", shell("a", f"trap 'exit 0' TERM; {bomb}")))
        witness.delete("bomb", grace=0)

    def test_a_process_that_hides_from_its_end(self, witness: Pods, podrun: Podrun) -> None:
        script = f"setsid sh -c 'trap \"\" TERM HUP INT; exec sleep 4321' & {FOREVER}"
        witness.run(pod("hides", shell("a", script)))
        witness.delete("hides")

        def gone() -> bool:
            return not any(b"4321" in _command(pid) for pid in podrun._processes())

        wait_until(gone, 5, "a process outlives its pod")

    def test_a_shared_pid_namespace_too(self, witness: Pods, podrun: Podrun) -> None:
        script = f"setsid sh -c 'trap \"\" TERM HUP INT; exec sleep 4322' & {FOREVER}"
        witness.run(pod("hides", shell("a", script), shell("b"), shareProcessNamespace=True))
        witness.delete("hides")
        wait_until(lambda: not any(b"4322" in _command(pid) for pid in podrun._processes()), 5, "it goes on")

    def test_a_log_that_never_ends_a_line(self, witness: Pods) -> None:
        witness.create(pod("stream", shell("a", "head -c 5000000 /dev/zero; exit 0"), restartPolicy="Never"))
        assert state(witness.finished("stream"))["exitCode"] == 0
        assert len(witness.log("stream")) == 5_000_000

    def test_a_volume_full_of_files(self, witness: Pods, podrun: Podrun) -> None:
        mount = [{"name": "v", "mountPath": "/v"}]
        fill = "mkdir -p $(printf '/v/d%.0s' $(seq 50)); cd /v; for n in $(seq 300); do : > f$n; done; chmod 000 ."
        script = f"{fill}; {FOREVER}"
        witness.run(pod("many", shell("a", script, volumeMounts=mount), volumes=ONE))
        witness.delete("many")
        wait_until(lambda: len(list(podrun.layout.pods.iterdir())) == 1, 5, "the volume is left")

    def test_a_volume_with_a_link_out(self, witness: Pods, podrun: Podrun) -> None:
        (podrun.root / "precious").mkdir()
        (podrun.root / "precious/file").write_text("kept")
        mount = [{"name": "v", "mountPath": "/v"}]
        script = f"ln -s {podrun.root}/precious /v/out; {FOREVER}"
        witness.run(pod("link", shell("a", script, volumeMounts=mount), volumes=ONE))
        witness.delete("link")
        assert (podrun.root / "precious/file").read_text() == "kept"

    def test_control_characters_in_a_log_stay_in_their_line(self, witness: Pods) -> None:
        witness.create(pod("odd", shell("a", r"printf 'a\rb\033[2Jc\0d\n'"), restartPolicy="Never"))
        witness.finished("odd")
        assert "\x1b[2Jc\0d\n" in witness.log("odd")


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
