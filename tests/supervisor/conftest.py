"""A supervisor over fakes, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from podrun.supervisor.memory import Memory
from podrun.supervisor.options import Options
from podrun.supervisor.pulls import Pulls
from podrun.supervisor.recorder import Recorder
from podrun.supervisor.services import Services
from podrun.supervisor.supervisor import Supervisor
from tests.supervisor.fakes import FakeImages, FakeRuntime, FakeStore, FakeVolumes

ALLOCATABLE = {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "10Gi", "pods": "110"}


class House:
    """The supervisor and the fakes around it."""

    def __init__(self, tmp_path: Path) -> None:
        loop = asyncio.get_running_loop()
        self.clock: Callable[[], float] = loop.time
        self.store, self.runtime = FakeStore(), FakeRuntime()
        self.images, self.volumes = FakeImages("busybox"), FakeVolumes()
        self.tmp_path = tmp_path
        self.supervisor = self.make()

    def make(self, **settings: Any) -> Supervisor:
        store: Any = self.store
        runtime: Any = self.runtime
        lookup: Any = None
        paths = (self.tmp_path / "logs", self.tmp_path / "state")
        options = Options("node1", *paths, allocatable=ALLOCATABLE, **settings)
        self.recorder = Recorder(store, "node1", clock=self.clock)
        pulls = Pulls(self.images, store, self.recorder, options, self.clock)
        services = Services(
            store,
            runtime,
            pulls,
            self.volumes,
            lookup,
            self.recorder,
            Memory(options.state),
            options,
            runtime.termination_message,
            self.clock,
        )
        return Supervisor(services)

    async def create(self, spec: dict[str, Any], **meta: Any) -> dict[str, Any]:
        for container in (*spec.get("containers", ()), *spec.get("initContainers", ())):
            container.setdefault("image", "busybox")
        obj = {
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1, **meta},
            "spec": {"nodeName": "node1", **spec},
            "status": {"phase": "Pending", "qosClass": "BestEffort"},
        }
        return await self.store.create("pods", obj)

    async def delete(self, grace: int = 30) -> None:
        at = "2026-01-01T00:00:00Z"

        def marked(obj: dict[str, Any]) -> dict[str, Any]:
            meta = {**obj["metadata"], "deletionTimestamp": at, "deletionGracePeriodSeconds": grace}
            return {**obj, "metadata": meta}

        await self.store.modify("pods", "n", "p", marked)

    @property
    def pod(self) -> dict[str, Any]:
        obj = self.store.get("pods", "n", "p")
        assert obj is not None
        return obj

    def events(self) -> list[tuple[str, str, int]]:
        return [(e["reason"], e["message"], e["count"]) for e in self.store.list("events")]

    def states(self, name: str) -> list[str]:
        """The states that a watch would have shown of a container, in order."""
        seen: list[str] = []
        for obj in self.store.history:
            for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
                for status in obj["status"].get(key, ()):
                    if status["name"] != name:
                        continue
                    ((kind, detail),) = status["state"].items()
                    text = f"{kind} {detail.get('reason', '')}".strip() + f" {status['restartCount']}"
                    if not seen or seen[-1] != text:
                        seen.append(text)
        return seen

    def phases(self) -> list[str]:
        seen: list[str] = []
        for obj in self.store.history:
            if not seen or seen[-1] != obj["status"]["phase"]:
                seen.append(obj["status"]["phase"])
        return seen


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    await made.supervisor.start()
    yield made
    await made.supervisor.stop()
