"""Ending containers: Killing is told, preStop runs, one's turn comes, TERM, and KILL when the grace is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from podrun.api.pod import Container, Handler, Pod
from podrun.lifecycle import termination
from podrun.lifecycle.actions import KillReason
from podrun.lifecycle.observed import ContainerSeen
from podrun.lifecycle.termination import GraceLeft
from podrun.runtime.errors import NotFound
from podrun.supervisor.hooks import HookFailed, run_hook
from podrun.supervisor.services import Services
from podrun.supervisor.waiting import together

log = logging.getLogger(__name__)


def _now() -> float:
    return asyncio.get_running_loop().time()


class Shortening:
    """A grace period that a second delete may shorten while containers are being ended; seconds, from `begin`."""

    def __init__(self, grace: int) -> None:
        self.begin = _now()
        self.grace = grace
        self._shorter = asyncio.Event()

    def shorten(self, grace: int) -> None:
        """Every container is left no more than this, counted from now."""
        left = self.begin + self.grace - _now()
        if grace < left:
            self.begin, self.grace = _now(), grace
            self._shorter.set()
            self._shorter = asyncio.Event()

    async def changed(self) -> None:
        """Return when it has been shortened."""
        await self._shorter.wait()


async def kill_container(
    services: Services,
    pod: Pod,
    container: Container,
    container_id: str,
    *,
    address: str,
    message: str = "",
    reason: KillReason = KillReason.UNKNOWN,
    grace: int | None = None,
    turn: Sequence[asyncio.Event] = (),
    shortening: Shortening | None = None,
) -> None:
    """End one running container; returns when it has ended.

    `grace` overrides what pod and reason give; `turn` are the ends of containers that go first.
    """
    text = message or termination.stop_message(container)
    services.recorder.pod(pod, "Normal", "Killing", text, container=container.name)
    left = GraceLeft(termination.container_grace(pod, container, reason) if grace is None else grace)
    hook = container.lifecycle.pre_stop if container.lifecycle is not None else None
    if hook is not None and left.seconds > 0:
        took = await _pre_stop(services, pod, container, hook, container_id, address, left.seconds, shortening)
        left = left.spent(took)
    if turn and left.seconds > 0:
        left = left.spent(await _wait_turn(turn, left.seconds, shortening))
    seconds = left.for_stop
    if shortening is not None:
        over = shortening.begin + shortening.grace - _now()
        seconds = min(seconds, max(termination.MINIMUM_GRACE, int(over + 0.999)))
    await _stop(services, container_id, seconds, shortening)


async def _pre_stop(
    services: Services,
    pod: Pod,
    container: Container,
    hook: Handler,
    container_id: str,
    address: str,
    grace: int,
    shortening: Shortening | None,
) -> float:
    """Run the hook for at most the grace period; how long it took. What is not done by then is left running.

    One that a shorter grace has cut off ends with its container, which is no failure of its own.
    """
    began, cut = _now(), False

    async def run() -> None:
        try:
            await run_hook(services.runtime, hook, pod, container, container_id, address)
        except HookFailed as error:
            log.info("preStop: %s", error)
            if cut:
                return
            services.recorder.pod(pod, "Warning", "FailedPreStopHook", "PreStopHook failed", container=container.name)

    task = asyncio.get_running_loop().create_task(run())
    _BACKGROUND.add(task)
    task.add_done_callback(_BACKGROUND.discard)
    await _first(task, grace, shortening)
    took = _now() - began
    cut = not task.done() and took < grace
    return took


_BACKGROUND: set[asyncio.Task[None]] = set()
"""Hooks that outlast their grace period end with their container; until then something has to hold them."""


async def _first(task: asyncio.Future[None], seconds: float, shortening: Shortening | None) -> None:
    """Wait for the task, the time, or a shorter grace."""
    shorter = asyncio.ensure_future(shortening.changed()) if shortening is not None else None
    waiting = {task} if shorter is None else {task, shorter}
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if shorter is not None:
            shorter.cancel()


async def _wait_turn(turn: Sequence[asyncio.Event], grace: int, shortening: Shortening | None) -> float:
    began = _now()

    async def all_ended() -> None:
        for ended in turn:
            await ended.wait()

    task = asyncio.ensure_future(all_ended())
    try:
        await _first(task, grace, shortening)
    finally:
        task.cancel()
    return _now() - began


async def _stop(services: Services, container_id: str, seconds: int, shortening: Shortening | None) -> None:
    """TERM, then KILL after `seconds`, or sooner when the grace is shortened."""
    try:
        stop = asyncio.ensure_future(services.runtime.stop_container(container_id, seconds))
        while shortening is not None and not stop.done():
            shorter = asyncio.ensure_future(shortening.changed())
            await asyncio.wait({stop, shorter}, return_when=asyncio.FIRST_COMPLETED)
            shorter.cancel()
            if not stop.done():
                await services.runtime.stop_container(container_id, max(shortening.grace, termination.MINIMUM_GRACE))
        await stop
    except NotFound:
        return


async def kill_all(
    services: Services,
    pod: Pod,
    running: Mapping[str, ContainerSeen],
    *,
    address: str,
    grace: int | None,
    shortening: Shortening | None = None,
) -> None:
    """End the pod's running containers (by name): side by side, sidecars after the regular ones and in reverse."""
    ends = {name: asyncio.Event() for name in running}
    order = termination.waits_for(pod, running)

    async def one(name: str, seen: ContainerSeen) -> None:
        container = pod.container(name)
        try:
            if container is None:
                await services.runtime.stop_container(seen.id, termination.MINIMUM_GRACE)
            else:
                await kill_container(
                    services,
                    pod,
                    container,
                    seen.id,
                    address=address,
                    grace=grace,
                    turn=[ends[other] for other in order[name]],
                    shortening=shortening,
                )
        finally:
            ends[name].set()

    await together(*(one(name, seen) for name, seen in running.items()))
