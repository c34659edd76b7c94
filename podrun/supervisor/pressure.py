"""Keeping the machine usable: when memory or disk runs out, what is unused is removed, and then pods have to go.

The kubelet's eviction manager looks every ten seconds. Here a look shares the wake-up of the node's Lease, which comes
as often, and is only taken while pods run or the node is short of something: nothing tells of a disk that fills up. Of
memory the kernel does tell (a trigger on pressure stalls), and then a look is taken at once. The rules are in
`podrun.lifecycle.pressure` and `victims`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from podrun.api.disruption import Disruption
from podrun.api.pod import Pod
from podrun.kernel.stalls import Stalls
from podrun.lifecycle import fitting, pressure, victims
from podrun.lifecycle.admission import Rejection
from podrun.lifecycle.pressure import Known, Observation, Threshold
from podrun.lifecycle.qos import qos_class
from podrun.lifecycle.status import Ending
from podrun.lifecycle.victims import Candidate, ContainerUse, Use
from podrun.runtime.errors import NotFound, RuntimeFailure
from podrun.supervisor.eviction import EVICTED, container_disk
from podrun.supervisor.services import Services
from podrun.supervisor.worker import PodWorker, Stage

log = logging.getLogger(__name__)

LONGEST_SOFT_GRACE = 0
"""evictionMaxPodGracePeriod: seconds that a soft threshold leaves a pod at most, whatever it asked for."""
HARD_GRACE = 1

Look = Callable[[], Mapping[str, Observation]]


class PressureWatch:
    """Looks, tells the node, and evicts one pod at a time."""

    def __init__(
        self,
        services: Services,
        workers: Callable[[], Iterable[PodWorker]],
        limits: Sequence[Threshold],
        look: Look,
        collect: Callable[[], Awaitable[None]],
        changed: Callable[[frozenset[str]], Awaitable[None]],
        tell: Callable[[str, str, str], None],
    ) -> None:
        """`collect` removes unused images; `changed` gets the node's conditions; `tell` records Events of the node."""
        self._services, self._workers, self._limits = services, workers, limits
        self._look, self._collect, self._changed, self._tell = look, collect, changed, tell
        self._known = Known()
        self._victim: PodWorker | None = None
        self._task: asyncio.Task[None] | None = None
        self._stalls: Stalls | None = None

    def start(self) -> None:
        """Let the kernel tell of processes that wait for memory, where it can."""
        if not any(one.signal == "memory.available" for one in self._limits):
            return
        try:
            self._stalls = Stalls()
        except OSError as error:
            log.info("the kernel does not tell of memory stalls (%s): memory is looked at every ten seconds", error)
            return
        asyncio.get_running_loop().add_reader(self._stalls.fileno(), self._stalled)

    async def stop(self) -> None:
        """Look no more."""
        if self._stalls is not None:
            asyncio.get_running_loop().remove_reader(self._stalls.fileno())
            self._stalls.close()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def _stalled(self) -> None:
        if self._stalls is not None:
            self._stalls.drain()
        self.tick()

    def tick(self) -> None:
        """It is time to look, if there is anything that could be done or that may be over."""
        idle = self._task is None or self._task.done()
        if idle and self._limits and (self._known.conditions or any(self._active())):
            self._task = asyncio.get_running_loop().create_task(self._run())

    def ended(self) -> None:
        """A pod has ended: was that enough?"""
        if self._victim is not None and self._victim.has_ended.is_set():
            self._victim = None
            self.tick()

    def rejection(self, pod: Pod) -> Rejection | None:
        """Why a pod is not admitted now; None when it is."""
        taint = {"key": pressure.TAINTS[pressure.MEMORY], "effect": "NoSchedule"}
        no = pressure.rejects(
            self._known.conditions,
            critical=victims.is_critical(pod),
            best_effort=qos_class(pod) == "BestEffort",
            tolerates_memory=any(fitting.tolerates(t, taint) for t in pod.spec.tolerations),
        )
        return Rejection(EVICTED, pressure.node_had(self._known.conditions)) if no else None

    def _active(self) -> list[PodWorker]:
        return [w for w in self._workers() if w.stage is Stage.SYNCING and not w.leaving.is_set()]

    async def _run(self) -> None:
        try:
            await self._once()
        except OSError as error:
            log.warning("the machine's memory and disk could not be looked at: %s", error)

    async def _once(self) -> None:
        observed = self._look()
        before = self._known.conditions
        self._known, met = pressure.look(self._known, self._limits, observed, self._services.clock())
        if self._known.conditions != before:
            await self._changed(self._known.conditions)
        if not met or self._victim is not None:
            return  # what the last one held comes back when it has ended
        worst = met[0]
        resource = pressure.RESOURCES[worst.signal]
        self._tell("Warning", "EvictionThresholdMet", f"Attempting to reclaim {resource}")
        if pressure.CONDITIONS[worst.signal] == pressure.DISK:
            await self._collect()
            if pressure.reclaimed(self._limits, self._look()):
                log.info("enough %s was reclaimed without evicting pods", resource)
                return
        await self._evict(worst, met, observed)

    async def _evict(self, worst: Threshold, met: Sequence[Threshold], observed: Mapping[str, Observation]) -> None:
        """End the first who may be ended."""
        workers = {worker.pod.uid: worker for worker in self._active()}
        disk = pressure.CONDITIONS[worst.signal] == pressure.DISK
        candidates = [Candidate(w.pod, await self._use(w.pod, disk=disk)) for w in workers.values()]
        for one in victims.ranked(worst.signal, candidates):
            if victims.is_critical(one.pod):
                continue
            worker = workers[one.pod.uid]
            message, annotations = victims.message(worst.signal, one, met, observed)
            grace = (
                min(LONGEST_SOFT_GRACE, one.pod.spec.termination_grace_period_seconds) if worst.grace else HARD_GRACE
            )
            worker.tell("Warning", EVICTED, message, annotations=annotations)
            worker.evict(Ending(EVICTED, message, Disruption(victims.TERMINATED_BY_KUBELET, message)), grace)
            self._victim = worker
            return
        log.warning("%s runs out, and no pod can be evicted", pressure.RESOURCES[worst.signal])

    async def _use(self, pod: Pod, *, disk: bool) -> Use | None:
        """What the pod uses; the disk is only measured where it matters, since that takes time."""
        try:
            return await self._measured(pod, disk=disk)
        except (OSError, RuntimeFailure, NotFound) as error:
            log.warning("pod %s: what it uses cannot be told: %s", pod, error)
            return None

    async def _measured(self, pod: Pod, *, disk: bool) -> Use | None:
        runtime = self._services.runtime
        memory: dict[str, int] = {}
        for status in runtime.containers(pod.uid):
            if (own := runtime.container_statistics(status.id)) is not None:
                memory[status.config.name] = own.memory_working_set
        whole = [s for s in map(runtime.sandbox_statistics, self._sandboxes(pod)) if s is not None]
        on_disk = await container_disk(self._services, pod) if disk else {}
        volumes = await asyncio.to_thread(self._services.volumes.usage, pod) if disk else ()
        return Use(
            memory=sum(s.memory_working_set for s in whole) or sum(memory.values()),
            disk=sum(on_disk.values()) + sum(use.used for use in volumes if not use.memory),
            processes=sum(s.pids for s in whole),
            containers={name: ContainerUse(memory.get(name, 0), on_disk.get(name, 0)) for name in {*memory, *on_disk}},
        )

    def _sandboxes(self, pod: Pod) -> list[str]:
        return [s.id for s in self._services.runtime.sandboxes() if s.config.pod_uid == pod.uid and s.ready]
