"""Children forked ahead: used, replaced, let go, and never in the way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from podrun.spawner.client import SpawnerError
from podrun.spawner.protocol import Spawn
from tests.spawner.conftest import Box


def spares_of(box: Box) -> list[int]:
    pid = box.client.welcome.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found: list[int] = []
    for child in children:
        with contextlib.suppress(OSError):  # it has ended since
            if Path(f"/proc/{child}/comm").read_text() == "podrun spare\n":
                found.append(int(child))
    return found


async def ready(box: Box) -> list[int]:
    """The spares, once all three are there and asleep."""
    async with asyncio.timeout(10):
        while len(found := spares_of(box)) < 3 or not all(_waits(pid) for pid in found):
            await box.client.drain_log("nobody")
    return found


def _waits(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


async def test_a_start_uses_a_spare_and_another_one_follows(box: Box) -> None:
    await box.run_to_end(box.container("true"))
    before = await ready(box)
    started = await box.client.spawn(box.container("sleep", "100"))
    assert started.pid in before
    assert Path(f"/proc/{started.pid}/comm").read_text() == "sleep\n"
    after = await ready(box)
    assert started.pid not in after
    box.close(started)


async def test_a_failure_in_a_spare_is_the_same_answer(box: Box) -> None:
    await box.run_to_end(box.container("true"))
    await ready(box)
    with pytest.raises(SpawnerError, match=r'exec: "missing": executable file not found in \$PATH'):
        await box.client.spawn(box.container("missing"))


async def test_spares_that_were_killed_are_done_without(box: Box) -> None:
    await box.run_to_end(box.container("true"))
    for pid in await ready(box):
        os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        while spares_of(box):
            await box.client.drain_log("nobody")
    for _ in range(4):
        _, lines = await box.run_to_end(box.container("echo", "here"))
        assert lines == ["here"]


async def test_a_request_too_large_for_a_packet_goes_without_a_spare(box: Box) -> None:
    await box.run_to_end(box.container("true"))
    await ready(box)
    spawn = replace(box.container("sh", "-c", "echo ${#BIG}"), env=("PATH=/bin", f"BIG={'x' * 100_000}"))
    _, lines = await box.run_to_end(spawn)
    assert lines == ["100000"]


async def test_they_are_let_go(box: Box) -> None:
    await box.run_to_end(box.container("true"))
    await ready(box)
    await box.client.rest()
    assert spares_of(box) == []


async def test_pause_uses_one_without_a_pid_namespace(box: Box) -> None:
    await box.run_to_end(box.container("true"))
    before = await ready(box)
    started = await box.client.spawn(Spawn("p", "pause", ("/pause",), builtin_pause=True))
    assert started.pid in before
    assert os.readlink(f"/proc/{started.pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    async with asyncio.timeout(5):  # it is told when execve has succeeded; its first instruction names it
        while Path(f"/proc/{started.pid}/comm").read_text() != "pause\n":
            await box.client.drain_log("nobody")
    box.close(started)
