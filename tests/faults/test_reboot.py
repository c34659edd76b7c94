"""After a reboot /run is empty, and nothing of a pod is left but its object, its volumes on disk and its logs.

tests/vm does it to a machine; here everything is ended and taken away that would not be there any more.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from typing import Any

from tests.harness import Podrun, wait_until
from tests.pods.living import FOREVER, Object, Pods, condition, container_status, once, pod, shell, state

_UNPLUG = """
umount -R "$1"/*/volumes/*/* 2>/dev/null
ip -o link | grep -o 'vpod[^@]*' | xargs -rn1 ip link del
nft flush ruleset
"""
_LOST = ("ContainerStatusUnknown", 137)


def lose_power(podrun: Podrun) -> None:
    """Everything that runs has gone, and so have mounts, links, rules and /run."""
    for pid in (podrun.daemon_pid, podrun.spawner_pid):
        os.kill(pid, signal.SIGKILL)

    def nobody() -> bool:
        pids = podrun._processes()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids

    wait_until(nobody, 10, "something survives a power cut")
    podrun.run("sh", "-c", _UNPLUG, "sh", podrun.layout.pods, check=False)
    shutil.rmtree(podrun.layout.run)


def keeping(name: str, **spec: Any) -> Object:
    """A pod with a volume on disk and one in memory, in which each start is noted."""
    mounts = [{"name": volume, "mountPath": f"/{volume}"} for volume in ("disk", "memory")]
    volumes = [{"name": "disk", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}}]
    script = f"echo started >> /disk/f; echo started >> /memory/f; {FOREVER}"
    first = shell("first", "echo first >> /disk/f", volumeMounts=mounts)
    return pod(name, shell("a", script, volumeMounts=mounts), initContainers=[first], volumes=volumes, **spec)


def again(pods: Pods, name: str, restarts: int) -> Object:
    """The pod, ready after so many restarts."""

    def ready(now: Object) -> bool:
        return condition(now, "Ready") == "True" and bool(container_status(now)["restartCount"] == restarts)

    return pods.until(name, ready, 40)


def test_pods_run_again_by_their_policy(new_podrun: Callable[..., Podrun]) -> None:
    podrun = new_podrun()
    pods = Pods(podrun)
    pods.create(
        keeping("always"), pod("failing", restartPolicy="OnFailure"), once("never", FOREVER), once("done", "exit 4")
    )
    pods.ready("always", "failing", "never")
    pods.finished("done")
    for boot in (1, 2):
        lose_power(podrun)
        podrun.start_daemon()
        for name in ("always", "failing"):
            now = again(pods, name, boot)
            last = container_status(now)["lastState"]["terminated"]
            assert (last["reason"], last["exitCode"]) == _LOST
        lost = state(pods.finished("never"))
        assert (lost["reason"], lost["exitCode"]) == _LOST
        assert state(pods.finished("done"))["exitCode"] == 4
        assert pods.sh("always", "cat /disk/f") == "first\nstarted\n" * (boot + 1)
        assert pods.sh("always", "cat /memory/f") == "started\n"
        assert pods.sh("failing", "hostname") == "failing\n"
    podrun.delete_pods()
    assert podrun.leaks() == {}
