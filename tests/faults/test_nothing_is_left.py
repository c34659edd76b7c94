"""Forty pods up and down, and starts that fail, leave the machine as it was."""

from __future__ import annotations

from tests.harness import Podrun, wait_until
from tests.pods.living import FOREVER, Pods, once, pod, shell, state


def everything(name: str) -> dict:
    """A pod that uses much of what there is to be cleaned up."""
    mounts = [{"name": volume, "mountPath": f"/{volume}"} for volume in ("disk", "memory", "info")]
    volumes = [
        {"name": "disk", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
        {"name": "info", "downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]
    first = shell("first", "true", volumeMounts=mounts)
    side = shell("side", FOREVER, restartPolicy="Always")
    limits = {"limits": {"memory": "32Mi", "cpu": "100m"}}
    return pod(
        name,
        shell("a", f"sleep 1000 & sleep 1000 & {FOREVER}", volumeMounts=mounts, resources=limits),
        shell("b", stdin=True, tty=True),
        initContainers=[first, side],
        volumes=volumes,
        shareProcessNamespace=int(name[-1]) % 2 == 0,
        terminationGracePeriodSeconds=1,
    )


def test_forty_pods_up_and_down(pods: Pods, podrun: Podrun) -> None:
    pods.run(everything("warm0"))
    pods.delete("warm0")
    assert podrun.leaks() == {}
    before = podrun.descriptors()
    for _ in range(2):
        names = [f"pod{n}" for n in range(20)]
        pods.create(*(everything(name) for name in names))
        for name in names:
            pods.until(name, lambda now: now["status"]["phase"] == "Running", 60)
        podrun.kubectl("delete", "pods", "--all", "--timeout=60s", seconds=90)
    assert podrun.leaks() == {}

    def as_before() -> bool:
        after = podrun.descriptors()
        return after[0] <= before[0] + 2 and after[1] <= before[1]

    wait_until(as_before, 10, f"more descriptors of podrund and the spawner than {before}")


def test_starts_that_fail(pods: Pods, podrun: Podrun) -> None:
    before = podrun.descriptors()
    pods.create(
        pod("command", shell("a", command=["/no/such/program"])),
        pod("directory", shell("a", workingDir="/etc/passwd/x")),
        pod("image", shell("a", image="nowhere:1", imagePullPolicy="Never")),
        pod("map", shell("a", env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k"}}}])),
        pod("user", shell("a", securityContext={"runAsNonRoot": True})),
        pod("hook", shell("a", lifecycle={"postStart": {"exec": {"command": ["false"]}}})),
        once("fails", "exit 3"),
    )
    reasons = {
        "command": "RunContainerError",
        "image": "ErrImageNeverPull",
        "map": "CreateContainerConfigError",
        "user": "CreateContainerConfigError",
    }
    for name, reason in reasons.items():
        expected = {reason, "CrashLoopBackOff"}
        pods.until(name, lambda now: state(now).get("reason") in expected)  # noqa: B023  (called at once)
    podrun.delete_pods()
    assert podrun.leaks() == {}
    wait_until(lambda: podrun.descriptors()[1] <= before[1], 10, f"the spawner's descriptors: {before} before")


def test_pods_deleted_while_they_start(pods: Pods, podrun: Podrun) -> None:
    for _ in range(3):
        names = [f"pod{n}" for n in range(6)]
        pods.create(*(everything(name) for name in names))
        podrun.delete_pods()
    assert podrun.leaks() == {}
