"""Somebody looks at a pod: its anatomy, read from the kernel for as long as they do, and no longer.

All who look at one pod share one reader. It reads at once when the API or the runtime says that something happened,
and every second besides (what a process does inside a container is told by nobody), always in a thread: /proc of a
busy machine takes milliseconds, which would be everybody's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from podrun.anatomy.read import open_pod
from podrun.runtime.model import Event
from podrun.runtime.service import RuntimeService
from podrun.store.records import WatchEvent
from podrun.store.store import Store

Object = dict[str, Any]
Reader = Callable[[Object], Object]

log = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two readings when nothing is heard."""
AT_ONCE = 0.05
"""Seconds between what is heard and its reading: a start is several events."""


def read_anatomy(pod: Object) -> Object:
    """What the page draws of a pod: `podrun anatomy -o json`."""
    return open_pod(pod).as_json()


class Looks:
    """Every pod that is looked at now. Methods belong to the event loop; `read` is called in a thread."""

    def __init__(self, store: Store, runtime: RuntimeService, read: Reader = read_anatomy) -> None:
        self._store = store
        self._runtime = runtime
        self._read = read
        self._looks: dict[tuple[str, str], _Look] = {}

    @contextlib.asynccontextmanager
    async def at(self, namespace: str, name: str) -> AsyncIterator[AsyncIterator[Object]]:
        """What is seen of a pod, the newest at each step: see `_Look.seen`. The last to leave ends the reading."""
        key = (namespace, name)
        look = self._looks.get(key)
        if look is None:
            look = self._looks[key] = _Look(self._store, self._runtime, self._read, key)
        look.viewers += 1
        try:
            yield look.seen()
        finally:
            look.viewers -= 1
            if look.viewers == 0:
                del self._looks[key]
                await look.end()

    def __len__(self) -> int:
        return len(self._looks)


class _Look:
    def __init__(self, store: Store, runtime: RuntimeService, read: Reader, key: tuple[str, str]) -> None:
        self.viewers = 0
        self._store = store
        self._runtime = runtime
        self._reader = read
        self._key = key
        self._heard = asyncio.Event()
        self._newest: Object | None = None
        self._count = 0
        self._fresh = asyncio.Condition()
        self._unsubscribe = (
            store.subscribe("pods", self._on_store),
            runtime.subscribe(self._on_runtime),
        )
        self._task = asyncio.create_task(self._read_on(), name=f"look at {'/'.join(key)}")

    async def seen(self) -> AsyncIterator[Object]:
        """`{"type": "anatomy", "at", "anatomy"}` whenever it has changed, `{"type": "gone"}` while there is no pod.

        A viewer who is slow misses what was in between.
        """
        count = 0
        while True:
            async with self._fresh:
                await self._fresh.wait_for(lambda count=count: self._count > count)  # type: ignore[misc]
                count, newest = self._count, self._newest
            assert newest is not None
            yield newest

    async def end(self) -> None:
        """Read no more."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def _on_store(self, event: WatchEvent) -> None:
        if event.key[1:] == self._key:
            self._heard.set()

    def _on_runtime(self, event: Event) -> None:
        pod = self._store.get("pods", *self._key)
        if pod is not None and pod["metadata"]["uid"] == event.pod_uid:
            self._heard.set()

    async def _read_on(self) -> None:
        said: Object | None = None
        while True:
            self._heard.clear()
            seen = await self._picture()
            if seen is not None and seen != said:
                said = seen
                async with self._fresh:
                    self._newest = {**seen, "at": time.time()}
                    self._count += 1
                    self._fresh.notify_all()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), EVERY)
                await asyncio.sleep(AT_ONCE)

    async def _picture(self) -> Object | None:
        """What is there now; None where it could not be read this time (it is changing under the reader's eyes)."""
        pod = self._store.get("pods", *self._key)
        if pod is None:
            return {"type": "gone"}
        try:
            return {"type": "anatomy", "anatomy": await asyncio.to_thread(self._reader, pod)}
        except (OSError, ValueError, LookupError):
            log.debug("pod %s/%s could not be read", *self._key, exc_info=True)
            return None
