"""The queue of a controller; virtual time."""

from __future__ import annotations

import asyncio

import pytest

from podrun.api.errors import not_found
from podrun.controllers.work_queue import WorkQueue

pytestmark = [pytest.mark.looptime, pytest.mark.asyncio]


async def test_a_key_is_looked_at_once_however_often_it_is_asked_for() -> None:
    seen: list[str] = []

    async def settle(key: str) -> None:
        seen.append(key)

    queue = WorkQueue("test", settle)
    for key in "abab":
        queue.add(key)
    queue.start()
    await asyncio.sleep(0.1)
    assert seen == ["a", "b"]
    queue.add("a")
    await asyncio.sleep(0.1)
    await queue.stop()
    assert seen == ["a", "b", "a"]


async def test_what_is_asked_for_during_the_look_is_looked_at_again() -> None:
    seen: list[str] = []

    async def settle(key: str) -> None:
        seen.append(key)
        if len(seen) == 1:
            queue.add(key)

    queue = WorkQueue("test", settle)
    queue.add("a")
    queue.start()
    await asyncio.sleep(0.1)
    await queue.stop()
    assert seen == ["a", "a"]


async def test_a_crash_over_one_key_leaves_the_others_and_is_tried_again() -> None:
    seen: list[tuple[str, float]] = []
    loop = asyncio.get_running_loop()

    async def settle(key: str) -> None:
        seen.append((key, loop.time()))
        if key == "gone":
            raise not_found("pods", "gone")
        if key == "bad" and len([one for one in seen if one[0] == "bad"]) <= 2:
            raise RuntimeError("a bug")

    queue = WorkQueue("test", settle)
    began = loop.time()
    for key in ("gone", "bad", "good"):
        queue.add(key)
    queue.start()
    await asyncio.sleep(60)
    await queue.stop()
    assert [(key, round(at - began)) for key, at in seen] == [
        ("gone", 0),
        ("bad", 0),
        ("good", 0),
        ("bad", 1),
        ("bad", 3),
    ]
