"""Lives of pods on the real kernel: restarts, order, hooks, probes, ends. Back-offs are ten times faster here."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Podrun, wait_until
from tests.pods.living import FOREVER, Object, Pods, condition, container_status, once, pod, shell, state


@pytest.fixture(scope="module")
def module_podrun(images: Path) -> Iterator[Podrun]:
    with Podrun.start(images=images, options=["--time-scale", "0.1"]) as podrun:
        yield podrun


@pytest.fixture
def notes(pods: Pods, podrun: Podrun) -> Iterator[Path]:
    """A directory of the host that pods write notes into, mounted at /t by `noting`."""
    directory = podrun.root / "notes"
    directory.mkdir(exist_ok=True)
    yield directory
    for path in directory.iterdir():
        path.unlink()


def noting(directory: Path, obj: Object) -> Object:
    """The pod, with that directory at /t in each of its containers."""
    spec = obj["spec"]
    for container in spec["containers"] + spec.get("initContainers", []):
        container.setdefault("volumeMounts", []).append({"name": "t", "mountPath": "/t"})
    spec.setdefault("volumes", []).append({"name": "t", "hostPath": {"path": str(directory)}})
    return obj


class TestRestarts:
    @pytest.mark.parametrize(
        ("policy", "code", "phase", "restarts"),
        [
            ("Never", 0, "Succeeded", 0),
            ("Never", 3, "Failed", 0),
            ("OnFailure", 0, "Succeeded", 0),
            ("OnFailure", 3, "Running", 2),
            ("Always", 0, "Running", 2),
        ],
    )
    def test_by_policy(self, pods: Pods, policy: str, code: int, phase: str, restarts: int) -> None:
        pods.create(pod("p", shell("a", f"exit {code}"), restartPolicy=policy))
        if restarts:
            pods.until("p", lambda now: container_status(now)["restartCount"] == restarts)
        now = pods.until("p", lambda now: now["status"]["phase"] == phase)
        assert container_status(now)["restartCount"] >= restarts

    def test_the_first_is_immediate_and_the_next_backs_off(self, pods: Pods, notes: Path) -> None:
        pods.create(noting(notes, pod("loop", shell("a", "cat /proc/uptime >> /t/starts; exit 1"))))
        wait_until(lambda: (notes / "starts").exists() and len((notes / "starts").read_text().split()) >= 8, 20, "no")
        times = [float(one) for one in (notes / "starts").read_text().split()[::2]]
        waited = [later - before for before, later in itertools.pairwise(times)]
        assert waited[0] < 0.8
        assert 0.95 < waited[1] < 2
        assert 1.95 < waited[2] < 3.5
        assert pods.event("loop", "BackOff").startswith("Back-off restarting failed container a in pod loop_default(")

    def test_rules_of_a_container(self, pods: Pods) -> None:
        rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
        ruled = shell(
            "a", "[ -e /t/x ] && exit 1; touch /t/x; exit 42", restartPolicy="Never", restartPolicyRules=rules
        )
        ruled["volumeMounts"] = [{"name": "t", "mountPath": "/t"}]
        pods.create(pod("p", ruled, restartPolicy="Never", volumes=[{"name": "t", "emptyDir": {}}]))
        now = pods.finished("p")
        assert container_status(now)["restartCount"] == 1
        assert state(now)["exitCode"] == 1


class TestOrder:
    def test_init_containers_one_after_another(self, pods: Pods, notes: Path) -> None:
        init = [shell(name, f"echo {name} begins >> /t/n; sleep 0.1; echo {name} ends >> /t/n") for name in ("x", "y")]
        pods.create(noting(notes, once("p", "echo a begins >> /t/n", initContainers=init)))
        pods.finished("p")
        assert (notes / "n").read_text().splitlines() == ["x begins", "x ends", "y begins", "y ends", "a begins"]

    def test_an_init_container_that_fails(self, pods: Pods) -> None:
        pods.create(once("never", "true", initContainers=[shell("x", "exit 2")]))
        now = pods.finished("never")
        assert now["status"]["phase"] == "Failed"
        assert state(now, "a") == {"is": "waiting", "reason": "PodInitializing"}
        pods.create(pod("always", initContainers=[shell("x", "exit 2")]))
        pods.until("always", lambda now: container_status(now, "x")["restartCount"] >= 2)

    def test_sidecars_start_before_and_end_after_in_reverse(self, pods: Pods, notes: Path) -> None:
        def side(name: str) -> Object:
            script = f"trap 'echo {name} ends >> /t/n; exit 0' TERM; echo {name} begins >> /t/n; touch /tmp/up; "
            probe = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1}
            return shell(name, script + "while :; do sleep 0.02; done", restartPolicy="Always", startupProbe=probe)

        main = shell(
            "a", "trap 'echo a ends >> /t/n; exit 0' TERM; echo a begins >> /t/n; while :; do sleep 0.02; done"
        )
        pods.run(noting(notes, pod("p", main, initContainers=[side("x"), side("y")], terminationGracePeriodSeconds=9)))
        pods.delete("p")
        assert (notes / "n").read_text().splitlines() == [
            "x begins", "y begins", "a begins", "a ends", "y ends", "x ends",
        ]  # fmt: skip

    def test_a_sidecar_does_not_hold_a_job(self, pods: Pods) -> None:
        side = shell("side", FOREVER, restartPolicy="Always")
        pods.create(once("job", "sleep 0.2", initContainers=[side]))
        now = pods.finished("job")
        assert now["status"]["phase"] == "Succeeded"
        assert state(now, "side")["is"] == "terminated"

    def test_a_sidecar_restarts_though_the_policy_is_never(self, pods: Pods) -> None:
        side = shell("side", "sleep 0.1; exit 1", restartPolicy="Always")
        pods.create(once("p", FOREVER, initContainers=[side]))
        pods.until("p", lambda now: container_status(now, "side")["restartCount"] >= 1)
        assert container_status(pods.get("p"), "a")["restartCount"] == 0

    def test_containers_of_a_pod_start_side_by_side(self, pods: Pods, notes: Path) -> None:
        meet = "touch /t/{0}; for n in $(seq 200); do [ -e /t/{1} ] && exit; sleep 0.02; done; exit 1"
        pods.create(
            noting(
                notes,
                pod("p", shell("a", meet.format("a", "b")), shell("b", meet.format("b", "a")), restartPolicy="Never"),
            )
        )
        assert pods.finished("p")["status"]["phase"] == "Succeeded"


class TestHooks:
    def test_post_start_comes_before_ready_and_its_failure_kills(self, pods: Pods, notes: Path) -> None:
        hook = {"postStart": {"exec": {"command": ["sh", "-c", "sleep 0.2; echo started > /t/n"]}}}
        pods.run(noting(notes, pod("good", shell("a", lifecycle=hook))))
        assert (notes / "n").read_text() == "started\n"
        bad = {"postStart": {"exec": {"command": ["sh", "-c", "echo reason; exit 9"]}}}
        pods.create(pod("bad", shell("a", lifecycle=bad)))
        assert pods.event("bad", "FailedPostStartHook").startswith("PostStartHook failed")
        pods.until("bad", lambda now: container_status(now)["restartCount"] >= 1)

    def test_pre_stop_runs_before_term(self, pods: Pods, notes: Path) -> None:
        hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook >> /t/n; sleep 0.1"]}}}
        main = shell("a", "trap 'echo term >> /t/n; exit 0' TERM; while :; do sleep 0.02; done", lifecycle=hook)
        pods.run(noting(notes, pod("p", main, terminationGracePeriodSeconds=5)))
        pods.delete("p")
        assert (notes / "n").read_text() == "hook\nterm\n"

    def test_pre_stop_over_http(self, pods: Pods) -> None:
        server = f"mkdir -p /w && touch /w/bye; trap 'exit 0' TERM; httpd -f -p 80 -h /w & {FOREVER}"
        hook = {"preStop": {"httpGet": {"path": "/bye", "port": 80}}}
        pods.run(pod("p", shell("a", server, lifecycle=hook), terminationGracePeriodSeconds=5))
        began = time.monotonic()
        pods.delete("p")
        assert time.monotonic() - began < 4

    def test_sleep(self, pods: Pods) -> None:
        pods.run(
            pod("p", shell("a", lifecycle={"preStop": {"sleep": {"seconds": 1}}}), terminationGracePeriodSeconds=5)
        )
        began = time.monotonic()
        pods.delete("p")
        assert 0.9 < time.monotonic() - began < 3


FAST = {"periodSeconds": 1, "failureThreshold": 1}
"""Of a probe: one failure, seen within a second, counts."""


class TestProbes:
    def test_readiness_comes_and_goes(self, pods: Pods) -> None:
        probe = {"exec": {"command": ["test", "-e", "/tmp/well"]}, **FAST}
        pods.create(pod("p", shell("a", readinessProbe=probe)))
        pods.until("p", lambda now: state(now)["is"] == "running")
        assert pods.event("p", "Unhealthy").startswith("Readiness probe failed:")
        pods.sh("p", "touch /tmp/well")
        pods.ready("p")
        pods.sh("p", "rm /tmp/well")
        pods.until("p", lambda now: condition(now, "Ready") == "False")
        assert container_status(pods.get("p"))["restartCount"] == 0

    def test_liveness_restarts(self, pods: Pods) -> None:
        probe = {"exec": {"command": ["test", "!", "-e", "/tmp/ill"]}, **FAST}
        pods.run(pod("p", shell("a", livenessProbe=probe)))
        pods.sh("p", "touch /tmp/ill")
        pods.until("p", lambda now: container_status(now)["restartCount"] == 1)
        assert pods.event("p", "Killing") == "Container a failed liveness probe, will be restarted"

    def test_startup_holds_the_others_back(self, pods: Pods) -> None:
        startup = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 30}
        liveness = {"exec": {"command": ["false"]}, **FAST}
        pods.create(
            pod("p", shell("a", f"sleep 1.5; touch /tmp/up; {FOREVER}", startupProbe=startup, livenessProbe=liveness))
        )
        now = pods.until("p", lambda now: state(now)["is"] == "running")
        assert container_status(now)["started"] is False
        pods.until("p", lambda now: container_status(now)["restartCount"] == 1)

    @pytest.mark.parametrize(
        ("handler", "script"),
        [
            ({"httpGet": {"path": "/up", "port": "web"}}, "mkdir /w; touch /w/up; httpd -p 80 -h /w"),
            ({"tcpSocket": {"port": "web"}}, "nc -ll -p 80 -e true &"),
        ],
        ids=["http", "tcp"],
    )
    def test_over_the_network(self, pods: Pods, handler: Object, script: str) -> None:
        ports = [{"name": "web", "containerPort": 80}]
        pods.create(
            pod(
                "p",
                shell("a", f"sleep 0.5; {script}\n {FOREVER}", ports=ports, readinessProbe={**handler, **FAST}),
            )
        )
        pods.ready("p")

    def test_an_http_answer_that_is_no_success(self, pods: Pods) -> None:
        probe = {"httpGet": {"path": "/none", "port": 80}, "initialDelaySeconds": 1, **FAST}
        pods.create(pod("p", shell("a", f"httpd -p 80 -h /tmp; {FOREVER}", readinessProbe=probe)))
        assert pods.event("p", "Unhealthy") == "Readiness probe failed: HTTP probe failed with statuscode: 404"

    def test_a_grpc_port_without_a_server(self, pods: Pods) -> None:
        pods.create(pod("p", shell("a", readinessProbe={"grpc": {"port": 9}, **FAST})))
        assert "failed to connect service" in pods.event("p", "Unhealthy")


class TestEnds:
    def test_a_deadline(self, pods: Pods) -> None:
        pods.create(pod("p", activeDeadlineSeconds=1))
        now = pods.finished("p")
        assert (now["status"]["phase"], now["status"]["reason"]) == ("Failed", "DeadlineExceeded")
        assert now["status"]["message"] == "Pod was active on the node longer than the specified deadline"

    def test_by_a_signal(self, pods: Pods) -> None:
        pods.run(once("q", FOREVER, shareProcessNamespace=True))
        pods.sh("q", "kill -KILL $(pidof sh | tr ' ' '\\n' | sort -n | head -n 1)")
        assert state(pods.finished("q"))["exitCode"] == 137

    def test_a_readiness_gate(self, pods: Pods, podrun: Podrun) -> None:
        pods.create(pod("p", readinessGates=[{"conditionType": "example.com/go"}]))
        now = pods.until("p", lambda now: condition(now, "ContainersReady") == "True")
        assert condition(now, "Ready") == "False"
        gate = '{"status":{"conditions":[{"type":"example.com/go","status":"True"}]}}'
        podrun.kubectl("patch", "pod", "p", "--subresource=status", "-p", gate)
        pods.ready("p")


class TestWhatIsMissing:
    def test_a_command(self, pods: Pods) -> None:
        pods.create(pod("p", shell("a", command=["/no/such"]), restartPolicy="Never"))
        now = pods.finished("p")
        assert state(now)["reason"] == "StartError"
        assert state(now)["exitCode"] == 128
        assert re.search(r'exec: "/no/such": stat /no/such: no such file or directory', state(now)["message"])

    def test_an_image_that_must_be_there(self, pods: Pods) -> None:
        pods.create(pod("p", shell("a", image="nowhere:1", imagePullPolicy="Never")))
        now = pods.until("p", lambda now: state(now).get("reason") == "ErrImageNeverPull")
        assert state(now)["message"] == 'Container image "nowhere:1" is not present with pull policy of Never'
        assert (
            pods.event("p", "ErrImageNeverPull")
            == 'Container image "nowhere:1" is not present with pull policy of Never'
        )

    def test_an_image_that_cannot_be_pulled(self, pods: Pods) -> None:
        pods.create(pod("p", shell("a", image="127.0.0.1:9/none:1")))
        now = pods.until("p", lambda now: state(now).get("reason") in ("ErrImagePull", "ImagePullBackOff"))
        assert 'Failed to pull image "127.0.0.1:9/none:1"' in pods.event("p", "Failed")
        assert state(now)["message"]

    def test_a_name_that_is_none(self, pods: Pods) -> None:
        pods.create(pod("p", shell("a", image="NOT:A:NAME")))
        now = pods.until("p", lambda now: state(now).get("reason") == "InvalidImageName")
        assert 'couldn\'t parse image name "NOT:A:NAME": invalid reference format' in state(now)["message"]

    def test_a_secret_of_the_environment_until_it_comes(self, pods: Pods, podrun: Podrun) -> None:
        source = {"secretKeyRef": {"name": "late", "key": "k"}}
        pods.create(pod("p", shell(env=[{"name": "K", "valueFrom": source}])))
        now = pods.until("p", lambda now: state(now).get("reason") == "CreateContainerConfigError")
        assert state(now)["message"] == 'secret "late" not found'
        podrun.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "late"}, "stringData": {"k": "v"}})
        pods.ready("p")
        assert pods.sh("p", "echo $K") == "v\n"
        podrun.kubectl("delete", "secret", "late")
