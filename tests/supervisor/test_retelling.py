"""Which Events are told again after podrund was killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from podrun.api.names import rfc3339
from podrun.api.pod import Pod
from podrun.runtime.model import ContainerConfig, ContainerStatus, State
from podrun.supervisor.retelling import Untold, untold
from tests.pods.living import pod

NOW = 1_800_000_000.0
POD = Pod.of(pod("p") | {"metadata": {"name": "p", "namespace": "default", "uid": "u"}})
CREATED, STARTED = Untold("a", "Created", "Container created"), Untold("a", "Started", "Container started")


def attempt(**changes) -> ContainerStatus:
    config = ContainerConfig("a", 0, "busybox", "sha256:1", (), ("sh",), (), Path("/log"))
    status = ContainerStatus(
        id="1",
        sandbox_id="s",
        pod_uid="u",
        config=config,
        state=State.RUNNING,
        created_at=NOW - 5.5,
        started_at=NOW - 5.4,
    )
    return replace(status, **changes)


def told(reason: str, when: float) -> dict:
    return {
        "reason": reason,
        "lastTimestamp": rfc3339(when),
        "involvedObject": {"uid": "u", "fieldPath": "spec.containers{a}"},
    }


@pytest.mark.parametrize(
    ("attempts", "events", "expected"),
    [
        ([attempt()], [], [CREATED, STARTED]),
        ([attempt()], [told("Created", NOW - 5.5)], [STARTED]),
        ([attempt()], [told("Created", NOW - 5.5), told("Started", NOW - 5.4)], []),
        ([attempt()], [told("Created", NOW - 60), told("Started", NOW - 59)], [CREATED, STARTED]),
        ([attempt(state=State.EXITED)], [told("Created", NOW - 5.5)], [STARTED]),
        ([attempt(started_at=0.0, state=State.EXITED)], [told("Created", NOW - 5.5)], []),
        ([attempt(created_at=NOW - 9000, started_at=NOW - 8999)], [], []),
        ([attempt(started_at=NOW - 60), attempt(id="2")], [told("Created", NOW), told("Started", NOW)], []),
    ],
    ids=[
        "nothing was told of a start",
        "it was told that it is created",
        "all was told",
        "what was told is about the attempt before",
        "it has ended since",
        "its start failed",
        "its Events have expired by now",
        "only the newest attempt counts",
    ],
)
def test_untold(attempts: list, events: list, expected: list) -> None:
    assert untold(POD, attempts, events, NOW) == expected
