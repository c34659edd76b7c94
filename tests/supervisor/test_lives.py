"""Lives of pods under the supervisor, as clients see them; virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.supervisor.conftest import House

pytestmark = [pytest.mark.looptime, pytest.mark.asyncio]


def one(**more: Any) -> dict[str, Any]:
    return {"containers": [{"name": "a"}], **more}


async def test_a_pod_runs_and_is_deleted(house: House) -> None:
    await house.create(one())
    await asyncio.sleep(0.1)
    assert house.pod["status"]["phase"] == "Running"
    assert house.states("a") == ["waiting ContainerCreating 0", "running 0"]
    assert [c["status"] for c in house.pod["status"]["conditions"]] == ["True"] * 5
    await house.delete(1)
    await asyncio.sleep(3)
    assert house.store.get("pods", "n", "p") is None
    assert house.phases() == ["Pending", "Running", "Failed"]
    assert house.runtime.sandbox_list == []
    assert house.supervisor.worker("n", "p") is None
    assert [reason for reason, _, _ in house.events()] == ["Pulled", "Created", "Started", "Killing"]
