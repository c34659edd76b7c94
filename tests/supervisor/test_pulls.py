"""Having an image: policies, texts, back-off, and secrets that an image was pulled with."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from podrun.api.pod import Pod
from podrun.images.model import Credentials, Image, ImageConfig, ImageError, Reason, Source
from podrun.supervisor.needs import NotStarted
from podrun.supervisor.options import Options
from podrun.supervisor.pull_memory import PullMemory
from podrun.supervisor.pulls import Pulls
from podrun.supervisor.recorder import Recorder
from podrun.supervisor.waiting import Left, together, unless_leaving
from tests.supervisor.fakes import FakeStore

pytestmark = pytest.mark.looptime
SECRET = {"auths": {"reg.example": {"username": "u", "password": "p"}, "other.example": {"username": "x"}}}


class Images:
    def __init__(self) -> None:
        self.here: dict[str, Image] = {}
        self.asked: list[tuple[str, tuple[Credentials, ...]]] = []
        self.error: ImageError | None = None

    def get(self, reference: str) -> Image | None:
        if " " in reference:
            raise ImageError(reference, Reason.INVALID_NAME, "no name")
        return self.here.get(reference)

    async def pull(self, reference: str, credentials: Any = (), on_progress: Any = None) -> Image:
        self.asked.append((reference, tuple(credentials)))
        if self.error is not None:
            raise self.error
        image = Image(reference, (reference,), (), ImageConfig(), (), 7, source=Source.PULLED)
        self.here[reference] = image
        return image


class House:
    def __init__(self, tmp_path: Path) -> None:
        self.store, self.images = FakeStore(), Images()
        store: Any = self.store
        clock = asyncio.get_running_loop().time
        self.recorder = Recorder(store, "node1", clock=clock)
        options = Options("node1", tmp_path, tmp_path)
        self.tmp_path = tmp_path

        def begin() -> Pulls:
            memory = PullMemory(tmp_path / "failures", tmp_path / "kept" / "secrets")
            return Pulls(self.images, store, self.recorder, options, clock, memory)

        self.restarted = begin
        self.pulls = begin()

    async def ensure(self, reference: str, policy: str, *secrets: str, uid: str = "u") -> str:
        spec = {"containers": [{"name": "a"}], "imagePullSecrets": [{"name": name} for name in secrets]}
        pod = Pod.of({"metadata": {"name": "p", "namespace": "n", "uid": uid}, "spec": spec})
        try:
            await self.pulls.ensure(pod, reference, policy, "a")
        except NotStarted as error:
            return str(error)
        await asyncio.sleep(0)
        return str(self.store.list("events")[-1]["message"])


@pytest.fixture
async def house(tmp_path: Path) -> House:
    return House(tmp_path)


def image(name: str, source: Source = Source.LOADED) -> Image:
    return Image(name, (name,), (), ImageConfig(), (), 1, source=source)


async def test_what_is_here_is_taken(house: House) -> None:
    house.images.here["a:1"] = image("a:1")
    said = await house.ensure("a:1", "IfNotPresent")
    assert said == 'Container image "a:1" already present on machine and can be accessed by the pod'
    assert house.images.asked == []


async def test_always_asks_the_registry_but_not_for_what_podrun_built(house: House) -> None:
    house.images.here["a:1"] = image("a:1")
    said = await house.ensure("a:1", "Always")
    assert said == 'Successfully pulled image "a:1" in 0s (0s including waiting). Image size: 7 bytes.'
    house.images.here["b:1"] = image("b:1", Source.BUILT)
    assert "already present" in await house.ensure("b:1", "Always")
    assert [name for name, _ in house.images.asked] == ["a:1"]


async def test_never_means_never(house: House) -> None:
    said = await house.ensure("a:1", "Never")
    assert said == 'ErrImageNeverPull: Container image "a:1" is not present with pull policy of Never'


async def test_a_name_that_is_none(house: House) -> None:
    assert await house.ensure("a b", "IfNotPresent") == "InvalidImageName: no name"


async def test_a_failed_pull_backs_off_and_says_why(house: House) -> None:
    house.images.error = ImageError("a:1", Reason.PULL, "connection refused")
    assert await house.ensure("a:1", "IfNotPresent") == "ErrImagePull: connection refused"
    again = 'ImagePullBackOff: Back-off pulling image "a:1": ErrImagePull: connection refused'
    assert await house.ensure("a:1", "IfNotPresent") == again
    assert await house.ensure("a:1", "IfNotPresent", uid="other") == "ErrImagePull: connection refused"
    await asyncio.sleep(10)
    assert await house.ensure("a:1", "IfNotPresent") == "ErrImagePull: connection refused"
    await asyncio.sleep(19)
    assert await house.ensure("a:1", "IfNotPresent") == again
    assert len(house.images.asked) == 3


async def test_an_unreachable_registry_has_a_reason_of_its_own(house: House) -> None:
    house.images.error = ImageError("a:1", Reason.REGISTRY_UNAVAILABLE, "no route")
    assert await house.ensure("a:1", "Always") == (
        "RegistryUnavailable: image pull failed for a:1 because the registry is unavailable: no route"
    )


async def secret(house: House, name: str) -> None:
    data = {".dockerconfigjson": base64.b64encode(json.dumps(SECRET).encode()).decode()}
    await house.store.create("secrets", {"metadata": {"name": name, "namespace": "n"}, "data": data})


async def test_a_registry_gets_its_own_log_in_only(house: House) -> None:
    await secret(house, "s")
    await house.ensure("reg.example/a:1", "IfNotPresent", "s")
    assert house.images.asked == [("reg.example/a:1", (Credentials("u", "p"),))]


async def test_what_was_pulled_with_a_secret_is_for_pods_that_have_it(house: House) -> None:
    await secret(house, "s")
    await house.ensure("reg.example/a:1", "IfNotPresent", "s")
    assert "already present" in await house.ensure("reg.example/a:1", "IfNotPresent", "s")
    assert len(house.images.asked) == 1
    await house.ensure("reg.example/a:1", "IfNotPresent")
    assert len(house.images.asked) == 2, "a pod without the secret has to ask the registry"
    await house.ensure("reg.example/b:1", "IfNotPresent", "s")
    assert (await house.ensure("reg.example/b:1", "Never")).startswith("ErrImageNeverPull")
    house.images.here["reg.example/b:1"] = replace(image("reg.example/b:1"))
    assert "already present" in await house.ensure("reg.example/b:1", "Never"), "what was loaded is for all"


async def test_together_waits_for_all_before_it_fails() -> None:
    done: list[str] = []

    async def work(name: str, seconds: float, *, fails: bool = False) -> str:
        await asyncio.sleep(seconds)
        if fails:
            raise RuntimeError(name)
        done.append(name)
        return name

    with pytest.raises(RuntimeError, match="a"):
        await together(work("a", 1, fails=True), work("b", 2))
    assert done == ["b"]
    assert await together(work("c", 2), work("d", 1)) == ["c", "d"]


async def test_nothing_is_waited_for_when_the_pod_is_to_end() -> None:
    leaving, done = asyncio.Event(), []

    async def work(name: str) -> None:
        await asyncio.sleep(10)
        done.append(name)

    asyncio.get_running_loop().call_later(1, leaving.set)
    with pytest.raises(Left):
        await unless_leaving(leaving, work("cancelled"))
    with pytest.raises(Left):
        await unless_leaving(leaving, work("alone"), cancel=False)
    await asyncio.sleep(11)
    assert done == ["alone"]


async def test_what_failed_lately_is_not_asked_for_again_by_the_next_podrund(house: House) -> None:
    house.images.error = ImageError("a:1", Reason.PULL, "no")
    await house.ensure("a:1", "Always")
    house.pulls = house.restarted()
    assert await house.ensure("a:1", "Always") == 'ImagePullBackOff: Back-off pulling image "a:1": ErrImagePull: no'
    assert len(house.images.asked) == 1


async def test_whose_secret_an_image_was_pulled_with_is_known_to_the_next_podrund(house: House) -> None:
    data = base64.b64encode(json.dumps(SECRET).encode()).decode()
    secret = {
        "metadata": {"name": "s", "namespace": "n"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": data},
    }
    await house.store.create("secrets", secret)
    await house.ensure("reg.example/a:1", "IfNotPresent", "s")
    house.pulls = house.restarted()
    said = await house.ensure("reg.example/a:1", "Never", uid="other")
    assert said.startswith("ErrImageNeverPull")
    assert "already present" in await house.ensure("reg.example/a:1", "Never", "s", uid="another")


def test_a_memory_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "failures").write_text("[[1]]")
    assert PullMemory(tmp_path / "failures").backoffs == {}
