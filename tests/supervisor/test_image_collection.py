"""Images are removed when the disk fills up, never those of containers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from podrun.api.pod import Pod
from podrun.images.model import Image, ImageConfig
from podrun.lifecycle.image_collection import Disk
from podrun.runtime.model import ContainerConfig, SandboxConfig
from podrun.supervisor.image_collection import ImageCollection
from tests.supervisor.fakes import FakeRuntime


class Images:
    def __init__(self, *names: str) -> None:
        self.here = {name: Image(name, (name,), (), ImageConfig(), (), 500) for name in names}
        self.swept: list[Collection[Path]] = []

    def get(self, name: str) -> Image | None:
        return self.here.get(name)

    def list(self) -> list[Image]:
        return list(self.here.values())

    async def remove(self, name: str) -> bool:
        return self.here.pop(name, None) is not None

    async def garbage_collect(self, in_use: Collection[Path] = ()) -> int:
        self.swept.append(in_use)
        return 500


@pytest.mark.looptime
async def test_what_no_container_uses_goes_once_it_is_old_enough(tmp_path: Path) -> None:
    runtime, images = FakeRuntime(), Images("used", "unused", "named")
    sandbox = await runtime.run_sandbox(SandboxConfig("u", "n", "p", 0, "h", tmp_path, ""))
    config = ContainerConfig("a", 0, "used", "used", (Path("/layer"),), (), (), tmp_path / "log")
    await runtime.create_container(sandbox.id, config)
    service: Any = runtime
    clock = asyncio.get_running_loop().time
    spec = {"containers": [{"name": "a", "image": "named"}]}
    waiting = Pod.of({"metadata": {"name": "p", "namespace": "n", "uid": "w"}, "spec": spec})
    collection = ImageCollection(images, service, tmp_path, lambda: [waiting], clock, lambda _: Disk(1000, 10))
    collection.consider()
    await asyncio.sleep(60)
    assert set(images.here) == {"used", "unused", "named"}
    await asyncio.sleep(70)
    assert set(images.here) == {"used", "named"}
    assert images.swept == [{Path("/layer")}]
    await collection.stop()
