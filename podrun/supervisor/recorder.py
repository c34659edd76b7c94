"""Events: written as Kubernetes' components write them, counted when they repeat, gone an hour after the last time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from podrun.api.errors import ApiError
from podrun.api.names import new_uid, parse_time, rfc3339, rfc3339_micro
from podrun.api.pod import Pod
from podrun.store.store import Store
from podrun.supervisor.event_rules import Correlator, Told, Written
from podrun.timeline import marks

log = logging.getLogger(__name__)

LIFETIME = 3600.0
KUBELET, SCHEDULER = "kubelet", "default-scheduler"
Object = Mapping[str, Any]


def container_path(pod: Pod, name: str) -> str:
    """`spec.containers{a}`: the fieldPath of an Event about one container."""
    for key, group in (
        ("containers", pod.spec.containers),
        ("initContainers", pod.spec.init_containers),
        ("ephemeralContainers", pod.spec.ephemeral_containers),
    ):
        if any(c.name == name for c in group):
            return f"spec.{key}{{{name}}}"
    return ""


class Recorder:
    """Writes Events to the store, in the order in which they are told; never waits and never fails its caller."""

    def __init__(
        self, store: Store, host: str, *, time_scale: float = 1.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._store, self._host, self._clock = store, host, clock
        self._lifetime = LIFETIME * time_scale
        self._correlator = Correlator(self._lifetime)
        self._names = itertools.count(int(clock() * 1e9))
        self._tasks: set[asyncio.Task[None]] = set()
        self._expiries: list[tuple[float, str, str]] = []
        self._due: dict[tuple[str, str], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Let the Events that are in the store already expire too."""
        for event in self._store.list("events"):
            last = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
            with suppress(ValueError, TypeError):
                self._expires(event["metadata"]["namespace"], event["metadata"]["name"], parse_time(last))
        self._arm()

    async def stop(self) -> None:
        """Write what has been told, and expire no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def pod(
        self,
        pod: Pod,
        kind: str,
        reason: str,
        message: str,
        *,
        container: str = "",
        component: str = KUBELET,
        related: Pod | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Tell of a pod, or of one of its containers; `kind` is Normal or Warning, `related` whom it happened for."""
        marks.note(pod.uid, "event", (kind, reason, message, container))
        path = container_path(pod, container) if container else ""
        about = ("Pod", pod.metadata.namespace, pod.metadata.name, pod.uid, path)
        other = ("Pod", related.metadata.namespace, related.metadata.name, related.uid, "") if related else None
        self.tell(Told(about, component, kind, reason, message, other, annotations))

    def tell(self, told: Told) -> None:
        """Write the Event, or raise the count of the one that said so before."""
        now = self._clock()
        decided = self._correlator.correlate(told, now, f"{told.about[2]}.{next(self._names):x}")
        if decided is None:
            return
        told, written = decided
        task = asyncio.get_running_loop().create_task(self._write(told, written, now))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self, told: Told, written: Written, now: float) -> None:
        namespace = told.about[1] or "default"
        event = self._event(told, written, now)
        try:
            if written.count > 1:
                with suppress(ApiError):  # it has expired or was deleted: told anew
                    await self._store.modify(
                        "events", namespace, written.name, lambda old: _counted(old, event), patient=True
                    )
                    self._expires(namespace, written.name, now)
                    return
            await self._store.create("events", event, patient=True)
        except ApiError as error:
            log.warning("the event %s of %s was not written: %s", told.reason, "/".join(told.about[1:3]), error)
            return
        self._expires(namespace, written.name, now)
        self._arm()

    def _event(self, told: Told, written: Written, now: float) -> dict[str, Any]:
        namespace = told.about[1]
        event: dict[str, Any] = {
            "metadata": {
                "name": written.name,
                "namespace": namespace or "default",
                "uid": new_uid(),
                "creationTimestamp": rfc3339(written.first),
            },
            "involvedObject": _reference(told.about),
            "reason": told.reason,
            "message": told.message,
            "type": told.type,
            "reportingComponent": told.component,
        }
        if told.annotations:
            event["metadata"]["annotations"] = dict(told.annotations)
        if told.component == SCHEDULER:
            # The scheduler speaks the newer API: no source, no count, a time of microseconds.
            event |= {"source": {}, "firstTimestamp": None, "lastTimestamp": None, "eventTime": rfc3339_micro(now)}
            event |= {"action": _ACTIONS.get(told.reason, "Scheduling")}
            if told.related is not None:
                event |= {"related": _reference(told.related)}
            event["reportingInstance"] = f"{SCHEDULER}-{self._host}"
            return event
        event |= {"source": {"component": told.component, "host": self._host}, "eventTime": None}
        event |= {"firstTimestamp": rfc3339(written.first), "lastTimestamp": rfc3339(now), "count": written.count}
        event["reportingInstance"] = self._host
        return event

    def _expires(self, namespace: str, name: str, last: float) -> None:
        due = last + self._lifetime
        self._due[namespace, name] = due
        heapq.heappush(self._expiries, (due, namespace, name))

    def _arm(self) -> None:
        """One timer, for the Event that expires first."""
        if self._timer is not None or not self._expiries:
            return
        wait = max(self._expiries[0][0] - self._clock(), 0.0)
        self._timer = asyncio.get_running_loop().call_later(wait, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._clock()
        while self._expiries and self._expiries[0][0] <= now:
            due, namespace, name = heapq.heappop(self._expiries)
            if self._due.get((namespace, name)) == due:
                del self._due[namespace, name]
                task = asyncio.get_running_loop().create_task(self._remove(namespace, name))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        self._arm()

    async def _remove(self, namespace: str, name: str) -> None:
        with suppress(ApiError):
            await self._store.remove("events", namespace, name)


_ACTIONS = {"Scheduled": "Binding", "Preempted": "Preempting"}


def _reference(about: tuple[str, str, str, str, str]) -> dict[str, str]:
    kind, namespace, name, uid, path = about
    made = {"kind": kind, "namespace": namespace, "name": name, "uid": uid, "apiVersion": "v1", "fieldPath": path}
    return {key: value for key, value in made.items() if value}


def _counted(old: Object, new: Object) -> dict[str, Any]:
    """An Event told once more: what says when and how often, and the message of a combined one."""
    if new["reportingComponent"] == SCHEDULER:
        count = old.get("series", {}).get("count", 1) + 1
        return {**old, "series": {"count": count, "lastObservedTime": new["eventTime"]}}
    return {**old, **{key: new[key] for key in ("count", "lastTimestamp", "message")}}
