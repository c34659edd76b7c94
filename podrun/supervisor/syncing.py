"""One sync of a running pod: volumes, the decision, and its execution (the nine steps of kuberuntime's SyncPod)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from podrun.api.pod import Container, Pod
from podrun.lifecycle import status as statuses
from podrun.lifecycle.actions import Actions, Kill, Start
from podrun.lifecycle.decide import decide
from podrun.lifecycle.naming import TooLong, left_out
from podrun.lifecycle.observed import ContainerState, Observed, StartFailure
from podrun.lifecycle.restart import is_sidecar
from podrun.runtime.errors import NotFound, RuntimeFailure
from podrun.runtime.model import SandboxStatus
from podrun.supervisor import configs, observing, references
from podrun.supervisor.killing import kill_all, kill_container
from podrun.supervisor.needs import NotStarted
from podrun.supervisor.starting import Place, create_ahead, remove_log, start_container
from podrun.supervisor.waiting import Left, together, unless_leaving
from podrun.timeline import marks
from podrun.volumes.model import PreparedVolume, VolumeError

if TYPE_CHECKING:
    from podrun.supervisor.worker import PodWorker

log = logging.getLogger(__name__)

RETRY = 10.0
"""Seconds until a start that failed is tried again (the kubelet's backOffPeriod), at the usual time scale."""
LONGEST_WAIT = 60.0
"""A pod in back-off is looked at this often, so that its status shows it (the kubelet's resync interval)."""
FIRST_MOUNT_RETRY, LONGEST_MOUNT_RETRY = 0.5, 122.0
LINGER = 0.1
"""Seconds that the end of a container which now waits in back-off stays untold."""


class _NotMounted(Exception):
    """The pod's volumes cannot be had; `until` is when to try again (seconds since the epoch)."""

    def __init__(self, until: float) -> None:
        super().__init__(until)
        self.until = until


class Sync:
    """The syncs of one pod; what has to be known from one to the next is here."""

    def __init__(self, worker: PodWorker) -> None:
        self._worker = worker
        self._services = worker.services
        self._volumes: Mapping[str, PreparedVolume] | None = None
        self._missing_images: dict[str, NotStarted] = {}
        self._mount_retry = FIRST_MOUNT_RETRY
        self._changed = False
        self._errors = False
        self._begun: set[str] = set()
        self._decided: tuple[Any, ...] = ()
        self._ahead: dict[str, str] = {}
        """Container -> the attempt of it that was created while its sandbox was being made."""

    @property
    def volumes_ready(self) -> bool:
        """Whether the pod's volumes have been prepared."""
        return self._volumes is not None

    async def once(self, observed: Observed) -> float | None:
        """Do what is to be done now; when to look again though nothing happens (None: never)."""
        worker = self._worker
        self._changed = self._errors = False
        actions = self._decide(observed)
        if (decided := (actions, actions.whys)) != self._decided:
            self._decided = decided
            marks.note(worker.pod.uid, "decided", actions)
        worker.remembered.backoffs.update(actions.backoffs)
        try:
            if (self._volumes is None and not self._meanwhile(actions)) or self._missing_images:
                await self._prepare(worker.pod)
            self._tell_of_secrets(worker.pod)
            worker.probes.begin(worker.pod)
            await self._execute(actions, observed)
        except Left:
            return worker.services.clock()
        except _NotMounted as error:
            return error.until
        await self.clean_up()
        now = self._services.clock()
        if self._changed:
            return now
        times = [now + RETRY * self._services.options.time_scale] if self._errors else []
        if actions.wake_at is not None:
            times.append(min(actions.wake_at, now + LONGEST_WAIT))
        return min(times, default=None)

    def as_begun(self, observed: Observed) -> Observed | None:
        """The pod as it was when its containers had just been started, if one of them has ended since.

        A kubelet looks right after a start, when the shortest process is still running for it: clients see Running
        before the end. None where the present tells as much; asked once after each start.
        """
        begun, self._begun = self._begun, set()
        gone = [seen for seen in observed.containers if seen.id in begun and seen.state is ContainerState.EXITED]
        if not gone:
            return None
        shown = tuple(
            replace(seen, state=ContainerState.RUNNING) if seen in gone else seen for seen in observed.containers
        )
        return replace(observed, containers=shown)

    def lingers(self, observed: Observed) -> float:
        """Seconds until the end of a container is told that now waits in back-off; 0 where there is more to do.

        A kubelet hears of an end up to a second later. A moment of that is kept where nothing has to be done about
        it, so that a client who waited for the restart before finds it running when it looks.
        """
        running = {
            s.get("containerID"): s["name"]
            for s in statuses.by_name(self._worker.status).values()
            if "running" in s["state"]
        }
        news = [s for s in observed.containers if s.state is ContainerState.EXITED and s.status_id in running]
        if not news or self._begun:
            return 0.0
        actions = self._decide(observed)
        if not actions.idle or not {s.name for s in news} <= {h.name for h in actions.held}:
            return 0.0
        return min(max(s.ended for s in news) + LINGER - observed.now, LINGER)

    def _decide(self, observed: Observed) -> Actions:
        worker = self._worker
        policy = self._services.options.crash_loop
        return decide(worker.pod, observed, restarting_all=worker.restarting_all, policy=policy)

    # Volumes

    def _meanwhile(self, actions: Actions) -> bool:
        """Whether the volumes can be made while the sandbox is: a first one, and nothing they need is missing.

        A volume that cannot be had keeps a kubelet from making a sandbox, and clients see that it is not there.
        """
        store = self._services.store
        return actions.create_sandbox and not actions.sandbox_id and references.are_there(self._worker.pod, store.get)

    async def _prepare(self, pod: Pod) -> None:
        """Have the pod's volumes. Raises _NotMounted when they cannot be had, Left."""
        worker, services = self._worker, self._services
        self._missing_images = {}
        for volume in pod.spec.volumes:
            if volume.image is not None:
                try:
                    pull = services.pulls.ensure(pod, volume.image.reference, volume.image.pull_policy)
                    await unless_leaving(worker.leaving, pull)
                except NotStarted as error:
                    self._missing_images[volume.name] = error
        there = tuple(v for v in pod.spec.volumes if v.name not in self._missing_images)
        if len(there) < len(pod.spec.volumes):
            pod = pod.model_copy(update={"spec": pod.spec.model_copy(update={"volumes": there})})
        began = time.time_ns()
        try:
            self._volumes = await services.volumes.prepare(pod, services.lookup)
        except VolumeError as error:
            for one in (error, *error.others):
                worker.tell("Warning", one.reason, one.message)
            retry, self._mount_retry = self._mount_retry, min(self._mount_retry * 2, LONGEST_MOUNT_RETRY)
            raise _NotMounted(services.clock() + retry * services.options.time_scale) from error
        self._mount_retry = FIRST_MOUNT_RETRY
        marks.note(pod.uid, "volumes", (began, tuple(v.name for v in pod.spec.volumes)))
        worker.volumes_are_ready()

    def _tell_of_secrets(self, pod: Pod) -> None:
        """Warn of pull secrets that are not there; the pull is tried without them (getPullSecretsForPod)."""
        names = [ref.name for ref in pod.spec.image_pull_secrets if ref.name]
        missing = [name for name in names if self._services.store.get("secrets", pod.metadata.namespace, name) is None]
        if missing:
            message = (
                f"Unable to retrieve some image pull secrets ({', '.join(missing)}); "
                "attempting to pull the image may not succeed."
            )
            self._worker.tell("Warning", "FailedToRetrieveImagePullSecret", message)

    # Execution

    async def _execute(self, actions: Actions, observed: Observed) -> None:
        worker = self._worker
        for held in actions.held:
            worker.failures[held.name] = StartFailure("CrashLoopBackOff", held.message)
            message = f"Back-off restarting failed container {held.name} in pod {worker.pod}"
            worker.tell("Warning", "BackOff", message, held.name)
        sandbox_id = actions.sandbox_id
        if actions.create_sandbox and sandbox_id:
            worker.tell("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        if actions.kill_pod:
            await self._kill_pod(observed)
        else:
            await self._kill(actions.kills)
            await self._reset(actions)
        try:
            if actions.create_sandbox:
                made = await self._sandbox_and_beside(actions)
                if made is None:
                    return
                sandbox_id = made
            if worker.leaving.is_set():
                raise Left
            await worker.resizing.apply(actions.resizes, observed)
            await self._start_all(actions.starts, sandbox_id)
        finally:
            for container_id in self._ahead.values():
                await self._services.runtime.remove_container(container_id)
            self._ahead.clear()

    async def _sandbox_and_beside(self, actions: Actions) -> str | None:
        """Make the sandbox; while the spawner is at it, the volumes and the containers that are to be started first."""
        begun: asyncio.Future[SandboxStatus] = asyncio.get_running_loop().create_future()
        making = asyncio.ensure_future(self._make_sandbox(actions.attempt, begun.set_result))
        await asyncio.wait((making, begun), return_when=asyncio.FIRST_COMPLETED)
        try:
            if begun.done():
                if self._volumes is None:
                    await self._prepare(self._worker.pod)
                await self._create_ahead(actions.starts, begun.result())
        finally:  # whatever comes of it, the sandbox is not left half made
            sandbox_id = await making
        return sandbox_id

    async def _create_ahead(self, starts: Sequence[Start], sandbox: SandboxStatus) -> None:
        """Create what is to be started as soon as the sandbox is there: all regular containers, or one init container.

        In a user namespace nothing can be created before it is there.
        """
        pod = self._worker.pod
        if not starts or pod.spec.host_users is False or self._worker.leaving.is_set():
            return
        place, sort = self._place(sandbox), starts[0].sort
        if sort == "ephemeral container":
            return
        first = starts[:1] if sort == "init container" else [start for start in starts if start.sort == sort]
        for start in first:
            container = pod.container(start.name)
            if container is not None:
                made = await create_ahead(self._services, pod, container, start.sort, place)
                if made is not None:
                    self._ahead[start.name] = made

    async def _kill_pod(self, observed: Observed) -> None:
        worker = self._worker
        running = {s.name: s for s in reversed(observed.containers) if s.state is ContainerState.RUNNING}
        ready = [s for s in observed.sandboxes if s.ready]
        if not running and not ready:
            return
        self._changed = True
        await kill_all(self._services, worker.pod, running, address=worker.address, grace=None)
        await worker.stop_sandboxes(observed)

    async def _kill(self, kills: Sequence[Kill]) -> None:
        """End single containers; what is to start again does so afterwards."""
        worker = self._worker

        async def one(kill: Kill) -> None:
            container = worker.pod.container(kill.name)
            if container is None:
                return
            await kill_container(
                self._services,
                worker.pod,
                container,
                kill.container_id,
                address=worker.address,
                message=kill.message,
                reason=kill.reason,
            )

        if kills:
            self._changed = True
            work = together(*(one(kill) for kill in kills))
            await unless_leaving(worker.leaving, work, cancel=False)

    async def _reset(self, actions: Actions) -> None:
        """Remove every attempt in place, without preStop; logs stay (KEP-5532)."""
        worker, runtime = self._worker, self._services.runtime
        for reset in actions.resets:
            self._changed = True
            container = worker.pod.container(reset.name)
            if reset.kill and container is not None:
                await kill_container(
                    self._services,
                    worker.pod,
                    container,
                    reset.container_id,
                    address=worker.address,
                    message="killing",
                    grace=0,
                )
            await runtime.remove_container(reset.container_id)

    async def _make_sandbox(self, attempt: int, begun: Callable[[SandboxStatus], None]) -> str | None:
        """A new sandbox's id; None (told, and to be tried again) when it cannot be made."""
        worker, runtime, options = self._worker, self._services.runtime, self._services.options
        try:
            config = configs.sandbox_config(worker.pod, attempt, options, self._services.user_ranges)
            for text in left_out(worker.pod, options.resolver, options.cluster_dns):
                worker.tell("Warning", "DNSConfigForming", text)
            sandbox = await runtime.run_sandbox(config, begun)
        except (RuntimeFailure, TooLong, configs.Unsupported) as error:
            worker.tell("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            self._errors = True
            return None
        self._changed = True
        worker.resizing.begun()
        worker.republish(statuses.sandbox_ready(worker.pod, worker.status))
        for old in observing.sandboxes(runtime, worker.pod.uid):
            if old.id != sandbox.id:
                await runtime.remove_sandbox(old.id)
        return sandbox.id

    async def _start_all(self, starts: Sequence[Start], sandbox_id: str) -> None:
        """Ephemeral containers, then init ones one by one, then regular ones side by side.

        A container with a postStart hook keeps those after it waiting until the hook is done, as in the kubelet,
        which starts one after the other: people order containers by it.
        """
        if not starts:
            return
        place = self._place(self._services.runtime.sandbox_status(sandbox_id))
        by_sort = {sort: list(group) for sort, group in groupby(starts, key=lambda s: s.sort)}
        await together(*(self._start(s, place) for s in by_sort.get("ephemeral container", ())))
        for start in by_sort.get("init container", ()):
            container = self._worker.pod.container(start.name)
            if not await self._start(start, place) and container is not None and not is_sidecar(container):
                return
        batch: list[Start] = []
        for start in by_sort.get("container", ()):
            batch.append(start)
            container = self._worker.pod.container(start.name)
            if container is not None and container.lifecycle is not None and container.lifecycle.post_start is not None:
                await together(*(self._start(s, place) for s in batch))
                batch = []
        await together(*(self._start(s, place) for s in batch))

    def _place(self, sandbox: SandboxStatus) -> Place:
        worker = self._worker
        addresses = self._services.options.node_addresses if worker.pod.spec.host_network else sandbox.addresses
        return Place(sandbox.id, addresses, self._volumes or {}, self._missing_images, worker.leaving)

    async def _start(self, start: Start, place: Place) -> bool:
        """Whether it has been started; if not, its status will say why."""
        worker = self._worker
        container: Container | None = worker.pod.container(start.name)
        if container is None or worker.leaving.is_set():
            raise Left
        try:
            created = self._ahead.pop(start.name, None)
            started = await start_container(self._services, worker.pod, container, start.sort, place, created=created)
        except NotStarted as error:
            worker.failures[start.name] = StartFailure(error.reason, error.message)
            self._errors = True
            # What was created and ended at once has changed the pod; its end is an event of its own.
            self._changed |= error.reason in ("RunContainerError", "PostStartHookError")
            return False
        worker.failures.pop(start.name, None)
        worker.remembered.resources[started.container_id] = started.resources
        self._begun.add(started.container_id)
        self._changed = True
        return True

    async def clean_up(self) -> None:
        """Of each container's ended attempts only the newest is kept, with its log (pod_container_deletor.go)."""
        worker, runtime = self._worker, self._services.runtime
        ended: set[str] = set()
        known = runtime.containers(worker.pod.uid)
        for status in reversed(known):
            if status.state != "exited":
                continue
            if status.config.name in ended:
                try:
                    await runtime.remove_container(status.id)
                except NotFound:
                    continue
                remove_log(status.config.log_path)
                worker.remembered.resources.pop(status.id, None)
            ended.add(status.config.name)
        worker.messages.keep_only({status.id for status in known})
