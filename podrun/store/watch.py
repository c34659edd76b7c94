"""Watches: one reader's queue of changes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from podrun.api.errors import expired
from podrun.store.records import WatchEvent

LONGEST_QUEUE = 10_000
"""Changes that may wait for one reader. One that is further behind is cut off: it comes back with the version it has
and finds what it missed in the history, or is told that it is gone. The queue itself holds references only."""


class Watch:
    """An asynchronous iterator of changes, in order, each once. Close it, or leave it with `async with`."""

    def __init__(self, begin: Iterable[WatchEvent], ended: Callable[[Watch], object]) -> None:
        self._queue: deque[WatchEvent] = deque(begin)
        self._ended = ended
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False
        self._cut_off = False
        self.on_cut_off: Callable[[], None] | None = None
        """Called when the reader is cut off: it may be stuck in a write to somebody who does not read."""

    def offer(self, event: WatchEvent) -> None:
        """Queue a change (the store's side)."""
        if len(self._queue) >= LONGEST_QUEUE:
            self._cut_off = True
            self.close()
            if self.on_cut_off is not None:
                self.on_cut_off()
            return
        self._queue.append(event)
        self._wake()

    @property
    def caught_up(self) -> bool:
        """Whether nothing waits: what has been read is all there is."""
        return not self._queue

    def take(self) -> list[WatchEvent]:
        """Everything that waits, without waiting for more."""
        events = list(self._queue)
        self._queue.clear()
        return events

    async def batch(self) -> list[WatchEvent]:
        """Everything that waits, at least one; empty when the watch has been closed. Raises Expired once cut off."""
        while not self._queue and not self._closed:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._cut_off:
            raise expired("the watch is too far behind")
        return self.take()

    def close(self) -> None:
        """End it; a reader that waits gets an empty batch."""
        if not self._closed:
            self._closed = True
            self._queue.clear()
            self._ended(self)
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> WatchEvent:
        events = await self.batch()
        if not events:
            raise StopAsyncIteration
        first, *rest = events
        self._queue.extendleft(reversed(rest))
        return first

    async def __aenter__(self) -> Watch:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
