"""Taints of the node: some tell that it is cordoned or short of something, and those that are NoExecute end pods that
do not bear them.

Of the node lifecycle controller and the taint eviction controller (pkg/controller/tainteviction) what one node needs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from podrun.api.deletion import DeleteOptions
from podrun.api.disruption import BY_TAINT
from podrun.api.errors import ApiError
from podrun.api.names import rfc3339
from podrun.api.pod import Pod
from podrun.controllers.scheduling import Recorder
from podrun.lifecycle import fitting, pressure
from podrun.store.deleting import disrupt
from podrun.store.records import WatchEvent
from podrun.store.store import Decision, Store

log = logging.getLogger(__name__)

Object = Mapping[str, Any]
COMPONENT = "taint-eviction-controller"


def seconds_left(pod: Pod, taints: Sequence[Object]) -> float | None:
    """How long the pod may stay beside NoExecute taints; None: for ever."""
    shortest: float | None = None
    for taint in taints:
        toleration = next((t for t in pod.spec.tolerations if fitting.tolerates(t, taint)), None)
        if toleration is None:
            return 0
        if toleration.toleration_seconds is not None:
            seconds = max(0, toleration.toleration_seconds)
            shortest = seconds if shortest is None else min(shortest, seconds)
    return shortest


def with_own_taints(node: Object, now: float) -> Object:
    """The node with the taints that its `spec.unschedulable` and its conditions call for; the same object when it has
    them already."""
    spec = node.get("spec") or {}
    taints = spec.get("taints") or []
    conditions = (node.get("status") or {}).get("conditions") or ()
    wanted = [*pressure.taints(conditions), *([_CORDON] if spec.get("unschedulable") else [])]
    kept = [t for t in taints if not _is_own(t) or t["key"] in wanted]
    there = {t["key"] for t in kept if _is_own(t)}
    new = [{"key": key, "effect": "NoSchedule", "timeAdded": rfc3339(now)} for key in wanted if key not in there]
    if not new and len(kept) == len(taints):
        return node
    made = {key: value for key, value in spec.items() if key != "taints"}
    return {**node, "spec": {**made, "taints": [*kept, *new]} if kept or new else made}


_CORDON = fitting.UNSCHEDULABLE_TAINT["key"]


def _is_own(taint: Object) -> bool:
    return taint.get("effect") == "NoSchedule" and taint.get("key") in (_CORDON, *pressure.TAINTS.values())


class TaintController:
    """Watches the node `name` and its pods."""

    def __init__(self, store: Store, recorder: Recorder, name: str, clock: Callable[[], float] = time.time) -> None:
        self._store, self._recorder, self._name, self._clock = store, recorder, name, clock
        self._taints: Sequence[Object] = ()
        self._planned: dict[str, asyncio.TimerHandle] = {}
        self._ended: set[str] = set()
        self._ends: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Look at the node as it is, and from now on at each change."""
        self._ends = [self._store.subscribe("nodes", self._on_node), self._store.subscribe("pods", self._on_pod)]
        node = self._store.get("nodes", "", self._name)
        if node is not None:
            self._look_at(node)

    async def stop(self) -> None:
        """End no more pods."""
        for end in self._ends:
            end()
        for timer in self._planned.values():
            timer.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_node(self, event: WatchEvent) -> None:
        if event.key.name == self._name and event.type != "DELETED":
            self._look_at(event.object)

    def _on_pod(self, event: WatchEvent) -> None:
        if event.type == "DELETED":
            self._cancel(Pod.of(event.object))
            self._ended.discard(event.object["metadata"]["uid"])
        elif self._taints and _place(event.object) != _place(event.previous or {}):
            self._consider(event.object)

    def _look_at(self, node: Object) -> None:
        if with_own_taints(node, 0) is not node:
            self._begin(self._mark())
        taints = [t for t in (node.get("spec") or {}).get("taints") or () if t.get("effect") == "NoExecute"]
        if taints == self._taints:
            return
        self._taints = taints
        for obj in self._store.list("pods"):
            self._consider(obj)

    def _consider(self, obj: Object) -> None:
        if obj["spec"].get("nodeName") != self._name or obj["metadata"]["uid"] in self._ended:
            return
        pod = Pod.of(obj)
        left = seconds_left(pod, self._taints)
        if left is None:
            self._cancel(pod)
        elif not left:
            self._cancel(pod)
            self._end(pod)
        elif pod.uid not in self._planned:  # what is planned stays so, though a taint be added or tolerated shorter
            self._planned[pod.uid] = asyncio.get_running_loop().call_later(left, self._end, pod)

    def _cancel(self, pod: Pod) -> None:
        planned = self._planned.pop(pod.uid, None)
        if planned is not None:
            planned.cancel()
            self._tell(pod, "Cancelling deletion of Pod")

    def _end(self, pod: Pod) -> None:
        self._planned.pop(pod.uid, None)
        self._ended.add(pod.uid)
        self._tell(pod, "Marking for deletion Pod")
        self._begin(self._delete(pod))

    def _tell(self, pod: Pod, text: str) -> None:
        text = f"{text} {pod.metadata.namespace}/{pod.metadata.name}"
        self._recorder.pod(pod, "Normal", "TaintManagerEviction", text, component=COMPONENT)

    async def _delete(self, pod: Pod) -> None:
        await disrupt(self._store, *pod.key, BY_TAINT, DeleteOptions(uid=pod.uid), self._clock())

    async def _mark(self) -> None:
        def marked(current: Object | None) -> Decision:
            if current is None:
                return None
            made = with_own_taints(current, self._clock())
            return None if made is current else dict(made)

        await self._store.write("nodes", "", self._name, marked)

    def _begin(self, work: Any) -> None:
        async def tried() -> None:
            try:
                await work
            except ApiError as error:
                log.debug("a taint could not be followed: %s", error)  # the object has gone or changed, and tells so

        task = asyncio.get_running_loop().create_task(tried())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _place(obj: Object) -> Any:
    spec = obj.get("spec") or {}
    return spec.get("nodeName"), spec.get("tolerations")
