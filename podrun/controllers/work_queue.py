"""Keys that a controller is to look at: each once, however often it is asked for, in the order of the first asking."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from podrun.api.errors import ApiError

log = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)
FIRST_RETRY, LONGEST_RETRY = 1.0, 300.0
"""Seconds until a key is looked at again whose look failed, doubled with each failure in a row."""


class WorkQueue(Generic[Key]):
    """`settle` is awaited for one key after another, until `stop`.

    What it raises never ends the queue. An ApiError is the ordinary race: something changed between its reading and its
    writing, and that change has asked for the key again. Anything else is logged and tried again later.
    """

    def __init__(self, name: str, settle: Callable[[Key], Awaitable[None]]) -> None:
        self._name, self._settle = name, settle
        self._wanted: dict[Key, None] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failures: dict[Key, int] = {}

    def add(self, key: Key) -> None:
        """Have it looked at, also if it is being looked at now."""
        self._wanted[key] = None
        self._wake.set()

    def start(self) -> None:
        """Begin with what has been added so far."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """End, in the middle of a key if need be."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._wanted:
                key = next(iter(self._wanted))
                del self._wanted[key]
                await self._try(key)

    async def _try(self, key: Key) -> None:
        try:
            await self._settle(key)
        except ApiError as error:
            log.debug("%s: %s: %s", self._name, key, error)
        except Exception:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            wait = min(FIRST_RETRY * 2.0 ** (failures - 1), LONGEST_RETRY)
            log.exception("%s: %s was not settled; it is tried again in %.0f s", self._name, key, wait)
            asyncio.get_running_loop().call_later(wait, self.add, key)
        else:
            self._failures.pop(key, None)
