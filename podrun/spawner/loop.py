"""One thread, one epoll, callbacks and timers: what the spawner and its log process run on."""

from __future__ import annotations

import heapq
import itertools
import select
import time
import traceback
from collections.abc import Callable
from functools import partial

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
GONE = select.EPOLLERR | select.EPOLLHUP

Callback = Callable[[int], None]
"""Takes the epoll events."""


class Timer:
    """Something that is to happen later; `cancel` and it does not."""

    __slots__ = ("action", "at")

    def __init__(self, at: float, action: Callable[[], None]) -> None:
        self.at = at
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        self.action = None


class Loop:
    """Waits for descriptors and times; without either nothing wakes up."""

    def __init__(self) -> None:
        self._epoll = select.epoll(select.EPOLL_CLOEXEC)
        self._callbacks: dict[int, Callback] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._running = False

    def watch(self, descriptor: int, callback: Callback, events: int = READ) -> None:
        """Call back when one of the events is there, as long as it is (level-triggered); again to change the events."""
        if descriptor in self._callbacks:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._callbacks[descriptor] = callback

    def forget(self, descriptor: int) -> None:
        """To be called before the descriptor is closed; one that is not watched is fine."""
        if self._callbacks.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Call `action` once, after that time."""
        timer = Timer(time.monotonic() + seconds, action)
        heapq.heappush(self._timers, (timer.at, next(self._order), timer))
        return timer

    def run(self) -> None:
        """Until `stop`."""
        self._running = True
        while self._running:
            for descriptor, events in self._epoll.poll(self._patience()):
                callback = self._callbacks.get(descriptor)
                if callback is not None:
                    _guarded(partial(callback, events))
            self._ring()

    def stop(self) -> None:
        """`run` returns after the callback that called this."""
        self._running = False

    def close(self) -> None:
        self._epoll.close()

    def _patience(self) -> float | None:
        while self._timers and self._timers[0][2].action is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _ring(self) -> None:
        while self._timers and (self._timers[0][2].action is None or self._timers[0][0] <= time.monotonic()):
            action = heapq.heappop(self._timers)[2].action
            if action is not None:
                _guarded(action)


def _guarded(action: Callable[[], None]) -> None:
    """Nothing that goes wrong with one process or request may end the parent of all the others: it is written to
    stderr (a file in the spawner's directory) and the loop goes on."""
    try:
        action()
    except Exception:
        traceback.print_exc()
