"""Waiting for several things at once, and not longer than the pod is to live."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Left(Exception):
    """The pod is to end: what was waited for is no longer."""


async def together(*works: Coroutine[Any, Any, T]) -> list[T]:
    """All of them side by side; when all have ended, their results, or what the first one raised.

    Unlike asyncio.gather it never returns while one is still at work, and unlike a TaskGroup it cancels none: a
    container that is half started or half stopped would be nobody's.
    """
    done = await asyncio.gather(*works, return_exceptions=True)
    made: list[T] = []
    for result in done:
        if isinstance(result, BaseException):
            raise result
        made.append(result)
    return made


async def unless_leaving(leaving: asyncio.Event, work: Coroutine[Any, Any, T], *, cancel: bool = True) -> T:
    """Its result. Raises Left when the pod is to end first; `cancel`: the work then ends too, else it goes on alone."""
    task = asyncio.ensure_future(work)
    left = asyncio.ensure_future(leaving.wait())
    try:
        await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if not cancel:
            _ALONE.add(task)
            task.add_done_callback(_forget)
        raise Left
    finally:
        left.cancel()
        if cancel:
            task.cancel()


_ALONE: set[asyncio.Future[Any]] = set()
"""Work that goes on though nobody waits: something has to hold it."""


def _forget(task: asyncio.Future[Any]) -> None:
    _ALONE.discard(task)
    if not task.cancelled():
        task.exception()  # seen: whoever ends the pod meets the same trouble and tells of it
