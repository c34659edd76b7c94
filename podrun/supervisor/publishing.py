"""Writing a pod's status: every one that was decided, in order, without anybody waiting for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from podrun.api.errors import ApiError
from podrun.api.pod import Pod
from podrun.lifecycle import status as statuses
from podrun.store.store import Decision, Remove, Store
from podrun.supervisor.needs import Clock
from podrun.timeline import marks

log = logging.getLogger(__name__)

Object = dict[str, Any]
RETRY = 5.0
"""Seconds until a status that could not be stored is tried again."""


class Publisher:
    """The status of one pod on its way to the store. Writes begin in the order of the calls and share commits."""

    def __init__(
        self, store: Store, uid: str, namespace: str, name: str, clock: Clock, failed: Callable[[], None]
    ) -> None:
        """`failed` is called some seconds after a write that did not succeed: publish again."""
        self._store, self._uid, self._clock, self._tell_failed = store, uid, clock, failed
        self._key = ("pods", namespace, name)
        self._last: tuple[Mapping[str, Any], int, bool] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.failed = False
        """Whether a write failed since; the next status is then written though it be the same."""

    def publish(self, pod: Pod, status: Mapping[str, Any], *, may_run: bool) -> None:
        """Write a status, unless it is what was written last. `may_run`: containers may be running still."""
        now = (status, pod.metadata.generation, may_run)
        if self._last == now and not self.failed:
            return
        self._last, self.failed = now, False
        true = " ".join(c["type"] for c in status.get("conditions", ()) if c["status"] == "True")
        marks.note(self._uid, "status", (status["phase"], true))
        at = self._clock()

        def change(current: Object) -> Object:
            old = current.get("status") or {}
            return {**current, "status": statuses.written(pod, status, old, now=at, may_run=may_run)}

        # What a pod says before it runs is soon followed by more; the rest somebody waits for.
        self._begin(self._write(change, patient=status.get("phase") == "Pending"))

    def remove(self) -> None:
        """Take the pod away: grace 0 first, as the API server does it, then, without finalizers, the object."""

        def at_once(current: Object) -> Object:
            return {**current, "metadata": {**current["metadata"], "deletionGracePeriodSeconds": 0}}

        self._begin(self._write(at_once))
        self._begin(self._remove())

    async def settled(self) -> None:
        """Return when everything published so far is written."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def _begin(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self, change: Any, *, patient: bool = False) -> None:
        def ours(current: Object | None) -> Decision:
            if current is None or current["metadata"]["uid"] != self._uid:
                return None
            changed: Object = change(current)
            return changed

        await self._attempt(ours, patient=patient)

    async def _remove(self) -> None:
        def ours(current: Object | None) -> Decision:
            if current is None or current["metadata"]["uid"] != self._uid or current["metadata"].get("finalizers"):
                return None
            return Remove(current)

        await self._attempt(ours)

    async def _attempt(self, decide: Any, *, patient: bool = False) -> None:
        try:
            await self._store.write(*self._key, decide, patient=patient)
        except ApiError as error:
            if error.code != 404:
                if not self.failed:
                    asyncio.get_running_loop().call_later(RETRY, self._tell_failed)
                self.failed = True
                log.error("the status of pod %s was not stored: %s", "/".join(self._key[1:]), error)
