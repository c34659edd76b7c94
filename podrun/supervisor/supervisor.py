"""The supervisor: keeps one worker for each pod of this node, and tells it what happens.

A worker lives for one uid. What happens comes from the store (the pod itself, ConfigMaps and Secrets it uses), from
the runtime (starts and exits), and from its own timers; nothing here polls.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from podrun.api.errors import ApiError
from podrun.api.names import new_uid
from podrun.api.pod import Pod
from podrun.lifecycle import admission, critical
from podrun.lifecycle import status as statuses
from podrun.lifecycle.admission import Rejection
from podrun.lifecycle.fitting import NodeView
from podrun.lifecycle.phase import TERMINAL
from podrun.lifecycle.victims import is_critical
from podrun.runtime.model import Event, State
from podrun.store.records import WatchEvent
from podrun.supervisor import observing, references, retelling
from podrun.supervisor.eviction import StorageWatch
from podrun.supervisor.manifests import Manifests
from podrun.supervisor.resizing import PENDING
from podrun.supervisor.services import Services
from podrun.supervisor.worker import PodWorker, Stage

log = logging.getLogger(__name__)

Object = Mapping[str, Any]


_LATER = 1.0
"""Seconds after a pod has come in which its object is kept beside the database too: nobody waits for that."""


class Supervisor:
    """One per daemon; all methods belong to the event loop."""

    def __init__(self, services: Services, pods_changed: Callable[[], None] = lambda: None) -> None:
        """`pods_changed` is called when a pod has begun or is gone."""
        self.services = services
        self._pods_changed = pods_changed
        self._manifests = Manifests(services.options.state / "manifests", services.store.identity)
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unsubscribe: list[Callable[[], None]] = []
        self._storage = StorageWatch(services, self._workers.values)
        self.short_of: Callable[[Pod], Rejection | None] = lambda _: None
        """Why the node is too short of something to admit a pod."""
        self.ended: Callable[[], None] = lambda: None
        """Called when a pod has given up its room."""
        self.gone: Callable[[Pod], None] = lambda _: None
        """Told of each pod of which nothing is left."""

    async def start(self) -> None:
        """Adopt what runs and begin: subscribes, starts the runtime, and takes up every pod of this node."""
        services = self.services
        self._unsubscribe.append(services.runtime.subscribe(self._on_runtime))
        await services.runtime.start()
        await self._drop_unstarted()
        services.recorder.start()
        await self._put_back_forgotten()
        for obj in services.store.list("pods"):
            self.meet(obj)
        for worker in list(self._workers.values()):
            if worker.resizing.behind and (found := self._object(worker)) is not None:
                worker.consider(found)
        self._tell_what_was_not_told()
        await self._bury_strangers()
        for resource, handler in (
            ("pods", self._on_pod),
            ("configmaps", self._on_source),
            ("secrets", self._on_source),
        ):
            self._unsubscribe.append(services.store.subscribe(resource, handler))

    def _tell_what_was_not_told(self) -> None:
        """Events that the last podrund did not live to write."""
        services = self.services
        events: dict[str, list[Object]] = defaultdict(list)
        for event in services.store.list("events"):
            events[event["involvedObject"].get("uid", "")].append(event)
        for uid, worker in self._workers.items():
            if attempts := services.runtime.containers(uid):
                for each in retelling.untold(worker.pod, attempts, events[uid], services.clock()):
                    worker.tell("Normal", each.reason, each.message, each.container)

    async def _put_back_forgotten(self) -> None:
        """Pods that run and that the database, another one than before, does not know."""
        services = self.services
        for obj in self._manifests.forgotten():
            metadata = obj["metadata"]
            if not services.runtime.sandboxes(metadata["uid"]):
                self._manifests.forget(metadata["uid"])
                continue
            log.warning("pod %(namespace)s/%(name)s runs and is not in the database: it is put back", metadata)
            namespace = {"metadata": {"name": metadata["namespace"], "uid": new_uid()}}
            namespace |= {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
            with suppress(ApiError):  # AlreadyExists
                await services.store.create("namespaces", namespace)
            with suppress(ApiError):  # its name has been given to another
                await services.store.create("pods", obj)

    async def _drop_unstarted(self) -> None:
        """Remove what podrund had created and not yet started when it died: its next start is its first."""
        runtime = self.services.runtime
        for status in runtime.containers():
            if status.state is State.CREATED:
                await runtime.remove_container(status.id)

    def clock_was_set(self, seconds: float) -> None:
        """By so many seconds: nothing that waits waits longer or shorter for it."""
        for worker in self._workers.values():
            worker.clock_was_set(seconds)

    async def stop(self) -> None:
        """Let go of every pod without touching it: the next supervisor adopts them."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe.clear()
        await self._storage.stop()
        for worker in self._workers.values():
            worker.let_go()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for worker in self._workers.values():
            await worker.publisher.settled()
        await self.services.recorder.stop()

    # What others ask

    def container_id(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> str | None:
        """The runtime's id of a container's newest attempt, or of the one before it; None where there is none."""
        worker = self.worker(namespace, pod)
        if worker is None:
            return None
        ids = [s.id for s in reversed(self.services.runtime.containers(worker.pod.uid)) if s.config.name == container]
        if not previous:
            return ids[0] if ids else None
        return ids[1] if len(ids) > 1 else None

    def worker(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of the pod that has this name now."""
        obj = self.services.store.get("pods", namespace, name)
        return self._workers.get(obj["metadata"]["uid"]) if obj is not None else None

    def pods_here(self) -> list[Pod]:
        """The pods that have room on this node, as allocated."""
        return [w.pod for w in self._workers.values() if w.stage in (Stage.SYNCING, Stage.TERMINATING)]

    # What happens

    def _on_pod(self, event: WatchEvent) -> None:
        uid = event.object["metadata"]["uid"]
        if event.type == "DELETED":
            if worker := self._workers.get(uid):
                worker.deleted()
            return
        self.meet(event.object)

    def meet(self, obj: Object) -> None:
        """A pod has come or changed; also called for one whose binding is still on its way to the disk."""
        uid = obj["metadata"]["uid"]
        if worker := self._workers.get(uid):
            worker.update(obj)
        elif obj["spec"].get("nodeName") == self.services.options.node_name:
            self._begin(uid, obj)

    def _begin(self, uid: str, obj: Object) -> None:
        adopted = bool(observing.sandboxes(self.services.runtime, uid))
        worker = PodWorker(
            self.services, obj, adopted=adopted, others=lambda: self._others(uid), ended=self._room_is_free
        )
        self._workers[uid] = worker
        asyncio.get_running_loop().call_later(_LATER, self._keep, uid)
        first: Sequence[PodWorker] = ()
        if not adopted and worker.phase not in TERMINAL and not worker.pod.metadata.deletion_timestamp:
            first = self._admit(worker)
        life = self._after(first, worker) if first else worker.run()
        task = asyncio.get_running_loop().create_task(life, name=f"pod {worker.pod}")
        self._tasks[uid] = task
        task.add_done_callback(lambda _: self._ended(uid))
        self._storage.consider()
        self._pods_changed()

    def _keep(self, uid: str) -> None:
        if (worker := self._workers.get(uid)) is not None and (obj := self._object(worker)) is not None:
            self._manifests.keep(obj)

    def _others(self, uid: str) -> Sequence[Pod]:
        return [pod for pod in self.pods_here() if pod.uid != uid]

    def workers(self) -> Iterable[PodWorker]:
        """Of every pod that is known."""
        return self._workers.values()

    def _admit(self, worker: PodWorker) -> Sequence[PodWorker]:
        """Reject what the node cannot take. Gives those that have to end before it can begin, of which each is told."""
        node = self.services.store.get("nodes", "", self.services.options.node_name)
        view = NodeView.of(node) if node is not None else self._bare_node()
        pod, others, app_armor = worker.pod, self._others(worker.pod.uid), self.services.options.app_armor
        no = self.short_of(pod) or admission.rejection(pod, view, others, app_armor=app_armor)
        if no is None:
            return ()
        if is_critical(pod) and (lacks := admission.lacks(pod, others, view)):
            no = admission.rejection(pod, view, others, app_armor=app_armor, room=False)
            if no is None:
                try:
                    return [self._preempt(victim) for victim in critical.to_preempt(pod, others, lacks)]
                except critical.NotEnough as error:
                    no = Rejection("UnexpectedAdmissionError", str(error))
        worker.tell("Warning", no.reason, no.message)
        worker.reject(statuses.rejected(pod, no.reason, no.message))
        return ()

    def _preempt(self, victim: Pod) -> PodWorker:
        """End a pod so that a critical one has its room."""
        worker = self._workers[victim.uid]
        worker.tell("Warning", critical.REASON, critical.MESSAGE)
        worker.evict(critical.ENDING, None)
        return worker

    async def _after(self, victims: Sequence[PodWorker], worker: PodWorker) -> None:
        """The life of a pod that begins when others have ended."""
        for victim in victims:
            await victim.has_ended.wait()
        await worker.run()

    def _bare_node(self) -> NodeView:
        options = self.services.options
        return NodeView(options.node_name, {"kubernetes.io/hostname": options.node_name}, options.allocatable)

    def _ended(self, uid: str) -> None:
        worker = self._workers.pop(uid, None)
        self._tasks.pop(uid, None)
        self._pods_changed()
        if worker is not None and worker.stage is Stage.GONE:
            self._manifests.forget(uid)
            self.gone(worker.pod)

    def _room_is_free(self) -> None:
        """A pod has ended: a resize that waited for its room may have it now."""
        self.ended()
        for worker in list(self._workers.values()):
            if PENDING in worker.remembered.resize and (obj := self._object(worker)) is not None:
                worker.consider(obj)

    def _object(self, worker: PodWorker) -> Object | None:
        obj = self.services.store.get("pods", *worker.pod.key)
        return obj if obj is not None and obj["metadata"]["uid"] == worker.pod.uid else None

    def _on_runtime(self, event: Event) -> None:
        if event.kind == "spawner-replaced":
            for each in self._workers.values():
                each.wake()
        elif worker := self._workers.get(event.pod_uid):
            worker.wake()

    def _on_source(self, event: WatchEvent) -> None:
        resource, namespace, name = event.key
        for worker in self._workers.values():
            if worker.pod.metadata.namespace == namespace and references.uses(worker.pod, resource, name):
                worker.refresh_volumes()

    async def _bury_strangers(self) -> None:
        """Take away what belongs to no pod any more: deleted while podrund was not there."""
        services = self.services
        for sandbox in services.runtime.sandboxes():
            config = sandbox.config
            if config.pod_uid not in self._workers:
                log.info("pod %s_%s(%s) is gone: its sandbox is removed", config.name, config.namespace, config.pod_uid)
                await services.runtime.remove_sandbox(sandbox.id)
        for uid in (*services.memory.known(), *services.volumes.pods()):
            if uid not in self._workers:
                await services.volumes.teardown(uid)
                services.memory.forget(uid)
                services.user_ranges.release(uid)
