"""The scheduler of a cluster of one node: binds pods that fit, and says of the others why not, word for word.

Only pods of `default-scheduler` are looked at; gated ones wait for their gates. A pod that did not fit is tried again
when a pod has ended or gone, or when the node or the pod itself has changed. One of higher priority ends others for
their room, and is nominated to the node until it has it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from podrun.api.deletion import DeleteOptions
from podrun.api.disruption import BY_PREEMPTION, by_preemption
from podrun.api.errors import ApiError
from podrun.api.names import parse_time, rfc3339
from podrun.api.pod import Pod
from podrun.controllers.filters import message, misfit
from podrun.controllers.preemption import Placed, Preemption, preempt, priority
from podrun.lifecycle.fitting import NodeView
from podrun.store.deleting import disrupt
from podrun.store.records import WatchEvent
from podrun.store.store import Decision, Store

log = logging.getLogger(__name__)

Object = Mapping[str, Any]
SCHEDULER = "default-scheduler"
NO_NODES = "no nodes available to schedule pods"
GATED = "Scheduling is blocked due to non-empty scheduling gates"
_TOPOLOGY = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")
_TERMINAL = ("Succeeded", "Failed")


class Recorder(Protocol):
    """As podrun.supervisor.recorder.Recorder."""

    def pod(
        self,
        pod: Pod,
        kind: str,
        reason: str,
        message: str,
        *,
        container: str = "",
        component: str = SCHEDULER,
        related: Pod | None = None,
    ) -> None: ...


class Scheduler:
    """Binds pods of the store to the node `name`.

    `bound` is told of each pod at once, while its binding is on its way to the disk: nothing has to wait for that.
    """

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        name: str,
        clock: Callable[[], float] = time.time,
        bound: Callable[[Object], None] = lambda _: None,
    ) -> None:
        self._store, self._recorder, self._name, self._clock = store, recorder, name, clock
        self._bound = bound
        self._assumed: dict[str, Pod] = {}
        self._placed: dict[str, Pod] = {}
        self._nominees: dict[str, Pod] = {}
        """Pods that wait for room that is being made for them."""
        self._victims: set[str] = set()
        """Pods that are being ended for others, also while that is on its way to the disk."""
        self._unsubscribe: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Look at every pod that waits, and from now on at each that comes."""
        for obj in self._store.list("pods"):
            self._place(obj)
        self._unsubscribe = [
            self._store.subscribe("pods", self._on_pod),
            self._store.subscribe("nodes", lambda _: self._all()),
        ]
        self._all()

    async def stop(self) -> None:
        """Bind no more."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_pod(self, event: WatchEvent) -> None:
        obj = event.object
        if event.type == "DELETED" or (_ended(obj) and not _ended(event.previous or {})):
            self._assumed.pop(obj["metadata"]["uid"], None)
            self._placed.pop(obj["metadata"]["uid"], None)
            self._nominees.pop(obj["metadata"]["uid"], None)
            self._victims.discard(obj["metadata"]["uid"])
            self._all()
        if event.type != "DELETED":
            self._place(obj)
            if _waits(obj) and not _only_status(event):
                self._look_at(obj)

    def _all(self) -> None:
        waiting = [obj for obj in self._store.list("pods") if _waits(obj)]
        for obj in sorted(waiting, key=lambda o: -(o["spec"].get("priority") or 0)):
            self._look_at(obj)

    def _look_at(self, obj: Object) -> None:
        pod = Pod.of(obj)
        if pod.uid in self._assumed:
            return
        if pod.spec.scheduling_gates:
            self._say_not(pod, "SchedulingGated", GATED, tell=False)
            return
        node = self._store.get("nodes", "", self._name)
        if node is None:
            self._say_not(pod, "Unschedulable", NO_NODES)
            return
        view = NodeView.of(node)
        others, nominated = self._others(pod), self._nominated(pod)
        found = misfit(pod, view, [*others, *nominated])
        if found is None and nominated:  # nor may it lean on what is not there yet
            found = misfit(pod, view, others)
        if found is None:
            self._assumed[pod.uid] = pod
            self._nominees.pop(pod.uid, None)
            labels = {key: view.labels[key] for key in _TOPOLOGY if key in view.labels}
            now = self._clock()
            self._begin(self._bind(pod, labels, now))
            text = f"Successfully assigned {pod.metadata.namespace}/{pod.metadata.name} to {self._name}"
            self._recorder.pod(pod, "Normal", "Scheduled", text, component=SCHEDULER)
            self._bound(bind(obj, self._name, labels, now))
            return
        mine = pod.uid in self._nominees
        placed = [self._placed_since(other) for other in [*others, *nominated]]
        made = preempt(pod, view, placed, found, nominated=mine)
        self._make_room(pod, made)
        self._say_not(pod, "Unschedulable", message(found, made.why), nominate=bool(made.victims))

    def _make_room(self, pod: Pod, made: Preemption) -> None:
        """End the victims, gracefully; those that are ending already are only waited for."""
        text = f"Preempted by pod {pod.uid} on node {self._name}"
        if made.victims:
            for other in [n for n in self._nominees.values() if priority(n) < priority(pod)]:
                del self._nominees[other.uid]
                self._begin(self._no_longer_nominated(other))
            self._nominees[pod.uid] = pod
        for victim in made.victims:
            current = self._store.get("pods", *victim.key)
            if current is None or current["metadata"].get("deletionTimestamp"):
                continue
            self._victims.add(victim.uid)
            self._begin(self._end(victim))
            self._recorder.pod(victim, "Normal", "Preempted", text, component=SCHEDULER, related=pod)

    async def _no_longer_nominated(self, pod: Pod) -> None:
        """The room that was being made for the pod is for one of higher priority now."""

        def changed(current: Object | None) -> Decision:
            if current is None or current["metadata"]["uid"] != pod.uid:
                return None
            status = {k: v for k, v in (current.get("status") or {}).items() if k != "nominatedNodeName"}
            return {**current, "status": status}

        try:
            await self._store.write("pods", *pod.key, changed)
        except ApiError as error:
            log.debug("pod %s: its nomination was not taken back: %s", pod, error)

    async def _end(self, victim: Pod) -> None:
        try:
            await disrupt(self._store, *victim.key, BY_PREEMPTION, DeleteOptions(uid=victim.uid), self._clock())
        except ApiError as error:
            log.debug("pod %s was not preempted: %s", victim, error)  # it has gone by itself

    def _placed_since(self, pod: Pod) -> Placed:
        current = self._store.get("pods", *pod.key) or {"metadata": {}}
        started = (current.get("status") or {}).get("startTime")
        ending = pod.uid in self._victims or by_preemption(current)
        return Placed(pod, parse_time(started) if started else self._clock(), ending)

    def _nominated(self, pod: Pod) -> list[Pod]:
        """Pods of no lower priority for which room is being made: theirs is not free."""
        return [n for uid, n in self._nominees.items() if uid != pod.uid and priority(n) >= priority(pod)]

    def _place(self, obj: Object) -> None:
        """Keep the pods that take room on the node."""
        meta = obj["metadata"]
        self._nominees.pop(meta["uid"], None)
        if _waits(obj) and (obj.get("status") or {}).get("nominatedNodeName") == self._name:
            self._nominees[meta["uid"]] = Pod.of(obj)
            return
        known = self._placed.get(meta["uid"])
        if known is not None and known.metadata.generation == meta.get("generation", 0):
            return
        if obj["spec"].get("nodeName") and not _ended(obj):
            self._placed[meta["uid"]] = Pod.of(obj)

    def _others(self, pod: Pod) -> list[Pod]:
        """The pods that take room, those included whose binding is on its way."""
        return [other for uid, other in {**self._placed, **self._assumed}.items() if uid != pod.uid]

    def _begin(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bind(self, pod: Pod, labels: Mapping[str, str], now: float) -> None:
        def bound(current: Object | None) -> Decision:
            if current is None or current["metadata"]["uid"] != pod.uid or current["spec"].get("nodeName"):
                return None
            return bind(current, self._name, labels, now)

        try:
            await self._store.write("pods", *pod.key, bound)
        except ApiError as error:
            if error.code != 404:
                log.error("pod %s was not bound: %s", pod, error)
        finally:
            self._assumed.pop(pod.uid, None)

    def _say_not(self, pod: Pod, reason: str, text: str, *, tell: bool = True, nominate: bool = False) -> None:
        """Set PodScheduled to False, and tell why, unless that was said before; `nominate`: room is being made."""
        current = self._store.get("pods", *pod.key) or {}
        if any(c.get("message") == text for c in (current.get("status") or {}).get("conditions", ())):
            return
        now = self._clock()

        def marked(obj: Object | None) -> Decision:
            if obj is None or obj["metadata"]["uid"] != pod.uid or obj["spec"].get("nodeName"):
                return None
            made = with_condition(obj, {"status": "False", "reason": reason, "message": text}, now)
            return {**made, "status": {**made["status"], "nominatedNodeName": self._name}} if nominate else made

        async def write() -> None:
            try:
                await self._store.write("pods", *pod.key, marked)
            except ApiError as error:
                if error.code != 404:
                    log.error("pod %s: its condition was not stored: %s", pod, error)

        self._begin(write())
        if tell:
            self._recorder.pod(pod, "Warning", "FailedScheduling", text, component=SCHEDULER)


def _waits(obj: Object) -> bool:
    spec = obj["spec"]
    return (
        not spec.get("nodeName")
        and spec.get("schedulerName", SCHEDULER) == SCHEDULER
        and not obj["metadata"].get("deletionTimestamp")
        and not _ended(obj)
    )


def _only_status(event: WatchEvent) -> bool:
    """Whether nothing has changed that could make the pod fit: its own specification and labels."""
    old, new = event.previous, event.object
    if old is None or event.type != "MODIFIED":
        return False
    return bool(old["spec"] == new["spec"] and old["metadata"].get("labels") == new["metadata"].get("labels"))


def _ended(obj: Object) -> bool:
    return (obj.get("status") or {}).get("phase") in _TERMINAL


def bind(obj: Object, node: str, labels: Mapping[str, str], now: float) -> dict[str, Any]:
    """A pod as bound to a node: its name, the node's topology labels (KEP-4742), PodScheduled true, no nomination."""
    bound = {**obj, "spec": {**obj["spec"], "nodeName": node}}
    if labels:
        meta = obj["metadata"]
        bound["metadata"] = {**meta, "labels": {**labels, **(meta.get("labels") or {})}}
    made = with_condition(bound, {"status": "True"}, now)
    return {**made, "status": {k: v for k, v in made["status"].items() if k != "nominatedNodeName"}}


def with_condition(obj: Object, scheduled: Mapping[str, str], now: float) -> dict[str, Any]:
    """The pod with PodScheduled as given; its time changes when its status does."""
    status = obj.get("status") or {}
    old: Object = next((c for c in status.get("conditions", ()) if c["type"] == "PodScheduled"), {})
    since = old["lastTransitionTime"] if old.get("status") == scheduled["status"] else rfc3339(now)
    made = {
        "type": "PodScheduled",
        "observedGeneration": obj["metadata"].get("generation", 0),
        "status": scheduled["status"],
        "lastProbeTime": None,
        "lastTransitionTime": since,
        **{key: scheduled[key] for key in ("reason", "message") if key in scheduled},
    }
    others = [c for c in status.get("conditions", ()) if c["type"] != "PodScheduled"]
    return {**obj, "status": {**status, "conditions": [*others, made]}}
