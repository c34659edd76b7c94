"""The spawner is killed with -9: podrund starts another and tells honestly what was lost."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import HarnessError, Podrun, wait_until
from tests.pods.living import FOREVER, Pods, container_status, pod, shell, state


@pytest.fixture
def crashed(new_podrun: Callable[..., Podrun]) -> Pods:
    """A podrun whose spawner was killed while the pods `always` and `never` ran, and that has another."""
    podrun = new_podrun()
    pods = Pods(podrun)
    pods.create(
        pod("always", shell("a", f"echo here; {FOREVER}"), shell("b")),
        pod("never", restartPolicy="Never"),
    )
    pods.ready("always", "never")
    before = podrun.spawner_pid
    os.kill(before, signal.SIGKILL)

    def another() -> bool:
        with contextlib.suppress(OSError, HarnessError):
            return podrun.spawner_pid != before
        return False

    wait_until(another, 20, f"no other spawner comes\n{podrun.log()}")
    return pods


def test_pods_are_well_again_and_new_ones_run(crashed: Pods) -> None:
    crashed.until("always", lambda now: all(one["ready"] for one in now["status"]["containerStatuses"]), 30)
    wait_until(lambda: crashed.exec("always", "echo", "alive").stdout == "alive\n", 20, "the pod does not answer")
    crashed.run(pod("fresh"))
    assert crashed.sh("fresh", "hostname") == "fresh\n"
    crashed.delete("fresh")
    crashed.delete("always")


def test_what_was_lost_is_said(crashed: Pods) -> None:
    now = crashed.until(
        "never",
        lambda now: state(now)["is"] == "terminated" or crashed.exec("never", "true").returncode == 0,
    )
    if state(now)["is"] == "running":  # it was found and kept: as good
        assert container_status(crashed.ready("always"))["restartCount"] == 0
        return
    lost = state(now)
    assert (lost["exitCode"], lost["reason"]) == (137, "ContainerStatusUnknown")
    crashed.until("always", lambda now: container_status(now)["restartCount"] == 1)


def test_nothing_is_left_when_the_pods_are_gone(crashed: Pods) -> None:
    crashed.until("always", lambda now: all(one["ready"] for one in now["status"]["containerStatuses"]), 30)
    crashed.podrun.delete_pods()
    assert crashed.podrun.leaks() == {}
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in crashed.podrun._processes()]
    assert len([one for one in commands if b"spawner logs" in one]) == 1
