"""The machine's clock is set by an hour, forwards and back: back-offs, deadlines and probes take as long as ever."""

from __future__ import annotations

import asyncio
import os

import pytest

from podrun.kernel import clock
from podrun.supervisor.clockwatch import ClockWatch
from tests.supervisor.conftest import House

pytestmark = pytest.mark.looptime


def test_small_steps_are_none_and_large_ones_are_told_once() -> None:
    told: list[float] = []
    offsets = iter((100.0, 100.2, 100.4, 3700.4, 3700.4, 100.4))
    watch = ClockWatch(told.append, lambda: next(offsets))
    for _ in range(5):
        watch.look()
    assert told == [pytest.approx(3600), pytest.approx(-3600)]


def test_the_kernel_gives_a_descriptor() -> None:
    descriptor = clock.watch()
    with pytest.raises(BlockingIOError):
        os.read(descriptor, 8)
    clock.arm(descriptor)
    os.close(descriptor)


def test_the_offset_stays() -> None:
    assert abs(clock.offset() - clock.offset()) < 0.1


@pytest.fixture
async def hour(house: House) -> House:
    """A house whose clock can be set, as a new supervisor of it hears."""
    loop = asyncio.get_running_loop()
    await house.supervisor.stop()
    house.clock = lambda: loop.time() + house.runtime.clock_set
    house.supervisor = house.make()
    await house.supervisor.start()
    return house


def set_clock(house: House, seconds: float) -> None:
    house.runtime.clock_set += seconds
    house.supervisor.clock_was_set(seconds)


BOTH_WAYS = pytest.mark.parametrize("seconds", [3600.0, -3600.0])


@BOTH_WAYS
async def test_a_back_off_takes_as_long_as_it_takes(hour: House, seconds: float) -> None:
    await hour.create({"containers": [{"name": "a"}]})
    await asyncio.sleep(1)
    for _ in range(3):  # ends at 1, 2, 13: the third wait is 20 s
        hour.runtime.exit("a", 1)
        await asyncio.sleep(11)
    set_clock(hour, seconds)
    await asyncio.sleep(8.5)
    assert "running 3" not in hour.states("a")
    await asyncio.sleep(1.5)
    assert hour.states("a")[-1] == "running 3"
    hour.runtime.exit("a", 1)  # and the next one is twice as long
    await asyncio.sleep(39)
    assert "running 4" not in hour.states("a")
    await asyncio.sleep(2)
    assert hour.states("a")[-1] == "running 4"


@BOTH_WAYS
async def test_a_deadline_comes_when_it_comes(hour: House, seconds: float) -> None:
    await hour.create({"containers": [{"name": "a"}], "activeDeadlineSeconds": 20})
    await asyncio.sleep(5)
    set_clock(hour, seconds)
    await asyncio.sleep(14)
    assert hour.pod["status"]["phase"] == "Running"
    await asyncio.sleep(40)
    assert hour.pod["status"]["reason"] == "DeadlineExceeded"


@BOTH_WAYS
async def test_a_probes_delay_is_what_it_is(hour: House, seconds: float) -> None:
    probe = {"exec": {"command": ["true"]}, "initialDelaySeconds": 20, "periodSeconds": 1}
    hour.runtime.execs[("true",)] = (0, b"")
    await hour.create({"containers": [{"name": "a", "readinessProbe": probe}]})
    await asyncio.sleep(5)
    set_clock(hour, seconds)
    await asyncio.sleep(14)
    assert hour.pod["status"]["containerStatuses"][0]["ready"] is False
    await asyncio.sleep(4)
    assert hour.pod["status"]["containerStatuses"][0]["ready"] is True


@BOTH_WAYS
async def test_what_was_published_stays(hour: House, seconds: float) -> None:
    await hour.create({"containers": [{"name": "a"}]})
    await asyncio.sleep(5)
    before = hour.pod["status"]
    set_clock(hour, seconds)
    await asyncio.sleep(5)
    assert hour.pod["status"] == before
