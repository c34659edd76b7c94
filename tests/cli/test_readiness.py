"""What a pod's status means to somebody who waits: a row per case."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.cli.readiness import Outcome, Verdict, judge


def _status(phase: str = "Pending", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x"}, "status": {"phase": phase, **fields}}


def _waiting(reason: str, message: str = "", **fields: Any) -> dict[str, Any]:
    return {"name": "app", "ready": False, "state": {"waiting": {"reason": reason, "message": message}}, **fields}


def _ended(code: int, reason: str) -> dict[str, Any]:
    return {"name": "app", "ready": False, "state": {"terminated": {"exitCode": code, "reason": reason}}}


READY = {"type": "Ready", "status": "True"}
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}


@pytest.mark.parametrize(
    ("pod", "verdict"),
    [
        pytest.param({"metadata": {}}, Verdict(Outcome.WAITING, "it has not begun yet"), id="nothing is known yet"),
        pytest.param(_status("Running", conditions=[READY]), Verdict(Outcome.READY), id="Ready is Ready"),
        pytest.param(_status("Succeeded"), Verdict(Outcome.DONE), id="Succeeded is done"),
        pytest.param(
            _status("Failed", containerStatuses=[_ended(3, "Error")]),
            Verdict(Outcome.STUCK, "container app ended with exit code 3 (Error)", "app"),
            id="Failed names the container that failed",
        ),
        pytest.param(
            _status("Failed", reason="DeadlineExceeded", message="Pod was active too long"),
            Verdict(Outcome.STUCK, "DeadlineExceeded: Pod was active too long"),
            id="Failed for a reason of the pod's own says that",
        ),
        pytest.param(
            _status(conditions=[UNSCHEDULABLE]),
            Verdict(Outcome.STUCK, "it cannot be scheduled: 0/1 nodes"),
            id="what cannot be scheduled is stuck",
        ),
        pytest.param(
            _status(containerStatuses=[_waiting("ContainerCreating")]),
            Verdict(Outcome.WAITING, "container app waits: ContainerCreating"),
            id="a container that is being created is on its way",
        ),
        pytest.param(
            _status(containerStatuses=[_waiting("ErrImagePull", "no route")]),
            Verdict(Outcome.WAITING, "container app waits: ErrImagePull: no route"),
            id="a first failed pull is tried again",
        ),
        pytest.param(
            _status(containerStatuses=[_waiting("ImagePullBackOff", "Back-off")]),
            Verdict(Outcome.STUCK, "container app: ImagePullBackOff: Back-off", "app"),
            id="a pull that failed twice is stuck",
        ),
        pytest.param(
            _status(
                "Running",
                containerStatuses=[
                    _waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 7, "reason": "Error"}})
                ],
            ),
            Verdict(Outcome.STUCK, "container app: CrashLoopBackOff (it ended with exit code 7)", "app"),
            id="a crash loop says how it ended",
        ),
        pytest.param(
            _status(initContainerStatuses=[_waiting("InvalidImageName", "bad")], containerStatuses=[]),
            Verdict(Outcome.STUCK, "container app: InvalidImageName: bad", "app"),
            id="init containers count",
        ),
        pytest.param(
            _status("Running", containerStatuses=[{"name": "app", "ready": False, "state": {"running": {}}}]),
            Verdict(Outcome.WAITING, "not ready yet: app"),
            id="running and not ready is on its way",
        ),
        pytest.param(
            {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Running"}},
            Verdict(Outcome.STUCK, "it is being deleted"),
            id="what is being deleted will not be Ready",
        ),
    ],
)
def test_verdict(pod: dict[str, Any], verdict: Verdict) -> None:
    assert judge(pod) == verdict
