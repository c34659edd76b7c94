"""The kernel is read while somebody looks, at once when something happens, and not at all otherwise."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import SimpleNamespace

import pytest

from podrun.ui import looking
from podrun.ui.looking import Looks

POD = {"metadata": {"namespace": "default", "name": "web", "uid": "u1"}}
KEY = ("pods", "default", "web")


class World:
    """A store with one pod, a runtime, and a kernel whose pictures are numbers; what is asked of them is counted."""

    def __init__(self) -> None:
        self.pod: dict | None = POD
        self.handlers: list = []
        self.subscriptions = 0
        self.pictures = iter(range(1, 1000))
        self.picture: int | None = None
        self.readings = 0
        self.looks = Looks(self, self, self.read)  # type: ignore[arg-type]

    def get(self, resource, namespace, name):
        return self.pod if (resource, namespace, name) == KEY else None

    def subscribe(self, *arguments):
        handler = arguments[-1]
        self.handlers.append((arguments[0] if len(arguments) == 2 else "", handler))
        self.subscriptions += 1

        def end() -> None:
            self.subscriptions -= 1

        return end

    def read(self, pod):
        self.readings += 1
        return {"number": next(self.pictures) if self.picture is None else self.picture}

    def tell_store(self) -> None:
        for resource, handler in self.handlers:
            if resource == "pods":
                handler(SimpleNamespace(key=KEY))


@pytest.fixture
def world(monkeypatch) -> World:
    monkeypatch.setattr(looking, "EVERY", 30.0)
    monkeypatch.setattr(looking, "AT_ONCE", 0.0)
    return World()


async def test_nothing_is_read_before_and_after(world):
    assert world.readings == 0
    async with world.looks.at("default", "web") as pictures:
        assert (await anext(pictures))["anatomy"] == {"number": 1}
        assert len(world.looks) == 1
    read = world.readings
    world.tell_store()
    await asyncio.sleep(0.05)
    assert (world.readings, world.subscriptions, len(world.looks)) == (read, 0, 0)


async def test_what_happens_is_seen_at_once(world):
    async with world.looks.at("default", "web") as pictures:
        await anext(pictures)
        world.tell_store()
        assert (await asyncio.wait_for(anext(pictures), 5))["anatomy"] == {"number": 2}


async def test_what_nobody_tells_is_seen_in_a_second(world, monkeypatch):
    monkeypatch.setattr(looking, "EVERY", 0.01)
    async with world.looks.at("default", "web") as pictures:
        await anext(pictures)
        assert (await asyncio.wait_for(anext(pictures), 5))["anatomy"]["number"] > 1


async def test_what_is_the_same_is_not_sent_again(world, monkeypatch):
    monkeypatch.setattr(looking, "EVERY", 0.005)
    world.picture = 7
    async with world.looks.at("default", "web") as pictures:
        await anext(pictures)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                raise AssertionError(await anext(pictures))
    assert world.readings > 2


async def test_all_who_look_share_one_reader(world):
    async with world.looks.at("default", "web") as first, world.looks.at("default", "web") as second:
        assert (await anext(first))["anatomy"] == (await anext(second))["anatomy"]
        assert world.readings == 1
    assert len(world.looks) == 0


async def test_a_pod_that_goes_is_told_of(world):
    async with world.looks.at("default", "web") as pictures:
        await anext(pictures)
        world.pod = None
        world.tell_store()
        assert (await asyncio.wait_for(anext(pictures), 5))["type"] == "gone"


async def test_a_pod_that_changes_under_the_readers_eyes_is_read_again(world):
    calls = []

    def read(pod):
        calls.append(pod)
        if len(calls) == 1:
            raise FileNotFoundError("/proc/1")
        return {"number": 1}

    world.looks = Looks(world, world, read)
    async with world.looks.at("default", "web") as pictures:
        await asyncio.sleep(0.05)
        world.tell_store()
        assert (await asyncio.wait_for(anext(pictures), 5))["anatomy"] == {"number": 1}
