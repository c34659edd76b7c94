"""The scheduler of a cluster of one node: binds pods that fit, and says of the others why not, word for word.

Only pods of `default-scheduler` are looked at; gated ones wait for their gates. A pod that did not fit is tried again
when a pod has ended or gone, or when the node or the pod itself has changed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from podrun.api.errors import ApiError
from podrun.api.names import rfc3339
from podrun.api.pod import Pod
from podrun.lifecycle import fitting
from podrun.lifecycle.fitting import NodeView
from podrun.store.records import WatchEvent
from podrun.store.store import Decision, Store

log = logging.getLogger(__name__)

Object = Mapping[str, Any]
SCHEDULER = "default-scheduler"
GATED = "Scheduling is blocked due to non-empty scheduling gates"
_TOPOLOGY = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")
_TERMINAL = ("Succeeded", "Failed")


class Recorder(Protocol):
    """As podrun.supervisor.recorder.Recorder."""

    def pod(
        self, pod: Pod, kind: str, reason: str, message: str, *, container: str = "", component: str = SCHEDULER
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why the node is not for a pod; `helpless`: not even making room would help."""

    reasons: tuple[str, ...]
    helpless: bool


def misfit(pod: Pod, node: NodeView, others: list[Pod]) -> Misfit | None:
    """The reasons of the first check that fails, as the scheduler's filters run; None when the pod fits."""
    if node.unschedulable and not any(fitting.tolerates(t, fitting.UNSCHEDULABLE_TAINT) for t in pod.spec.tolerations):
        return Misfit(("node(s) were unschedulable",), True)
    if fitting.untolerated(pod, node.taints, ("NoSchedule", "NoExecute")) is not None:
        return Misfit(("node(s) had untolerated taint(s)",), True)
    if not fitting.matches_node(pod, node):
        return Misfit((fitting.AFFINITY_REASON,), True)
    if fitting.ports_clash(pod, others):
        return Misfit((fitting.PORTS_REASON,), False)
    if lacking := fitting.lacks(pod, others, node.allocatable):
        reasons = tuple(
            "Too many pods" if lack.resource == "pods" else f"Insufficient {lack.resource}" for lack in lacking
        )
        return Misfit(reasons, any(lack.requested > lack.capacity for lack in lacking))
    for spread in pod.spec.topology_spread_constraints:
        if spread.when_unsatisfiable == "DoNotSchedule" and spread.topology_key not in node.labels:
            return Misfit(("node(s) didn't match pod topology spread constraints (missing required label)",), True)
    if (problem := fitting.affinity_problem(pod, others, node)) is not None:
        return Misfit((problem,), problem.endswith("didn't match pod affinity rules"))
    return None


def message(found: Misfit | None) -> str:
    """The text of FailedScheduling and of the condition; None of a node means that there is none."""
    if found is None:
        return "no nodes available to schedule pods"
    reasons = ", ".join(sorted(f"1 {reason}" for reason in found.reasons))
    why = (
        "Preemption is not helpful for scheduling" if found.helpless else "No preemption victims found for incoming pod"
    )
    return (
        f"0/1 nodes are available: {reasons}. no new claims to deallocate, "
        f"preemption: 0/1 nodes are available: 1 {why}."
    )


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
            self._all()
        if event.type != "DELETED":
            self._place(obj)
            if _waits(obj):
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
            self._say_not(pod, "Unschedulable", message(None))
            return
        view = NodeView.of(node)
        found = misfit(pod, view, self._others(pod))
        if found is None:
            self._assumed[pod.uid] = pod
            labels = {key: view.labels[key] for key in _TOPOLOGY if key in view.labels}
            now = self._clock()
            self._begin(self._bind(pod, labels, now))
            text = f"Successfully assigned {pod.metadata.namespace}/{pod.metadata.name} to {self._name}"
            self._recorder.pod(pod, "Normal", "Scheduled", text, component=SCHEDULER)
            self._bound(bind(obj, self._name, labels, now))
        else:
            self._say_not(pod, "Unschedulable", message(found))

    def _place(self, obj: Object) -> None:
        """Keep the pods that take room on the node."""
        meta = obj["metadata"]
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

    def _say_not(self, pod: Pod, reason: str, text: str, *, tell: bool = True) -> None:
        """Set PodScheduled to False, and tell why, unless that was said before."""
        current = self._store.get("pods", *pod.key) or {}
        if any(c.get("message") == text for c in (current.get("status") or {}).get("conditions", ())):
            return
        now = self._clock()

        def marked(obj: Object | None) -> Decision:
            if obj is None or obj["metadata"]["uid"] != pod.uid or obj["spec"].get("nodeName"):
                return None
            return with_condition(obj, {"status": "False", "reason": reason, "message": text}, now)

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


def _ended(obj: Object) -> bool:
    return (obj.get("status") or {}).get("phase") in _TERMINAL


def bind(obj: Object, node: str, labels: Mapping[str, str], now: float) -> dict[str, Any]:
    """A pod as bound to a node: its name, the node's topology labels (KEP-4742), PodScheduled true."""
    bound = {**obj, "spec": {**obj["spec"], "nodeName": node}}
    if labels:
        meta = obj["metadata"]
        bound["metadata"] = {**meta, "labels": {**labels, **(meta.get("labels") or {})}}
    return with_condition(bound, {"status": "True"}, now)


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
