"""One pod's worker: it looks, publishes, decides, acts, and waits for something to happen.

    syncing ──(deleted, evicted, past its deadline, or done)──> terminating ──(all ended)──> terminated ──> gone

One way only. A sync publishes first what is known and acts then, so what a start found is published by the sync that
follows, at once where something was started or made, else when the pod is looked at again: the kubelet's SyncPod,
SyncTerminatingPod and SyncTerminatedPod (kubelet.go), in which clients see every step.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from podrun.api.names import parse_time
from podrun.api.pod import Pod
from podrun.lifecycle import status as statuses
from podrun.lifecycle import termination
from podrun.lifecycle.observed import Backoff, ContainerSeen, ContainerState, Node, Observed, StartFailure
from podrun.lifecycle.phase import TERMINAL
from podrun.lifecycle.probes import Role
from podrun.lifecycle.restart import RESTARTING_ALL
from podrun.lifecycle.status import Ending
from podrun.runtime.errors import NotFound, RuntimeFailure
from podrun.runtime.model import State
from podrun.supervisor import configs, observing, starting
from podrun.supervisor.killing import Shortening, kill_all
from podrun.supervisor.probing import PodProbes, Target
from podrun.supervisor.publishing import Publisher
from podrun.supervisor.resizing import Resizing
from podrun.supervisor.services import Services
from podrun.supervisor.syncing import Sync
from podrun.supervisor.trouble import REASON, Trouble
from podrun.timeline import marks
from podrun.volumes.model import VolumeError

log = logging.getLogger(__name__)

Object = Mapping[str, Any]


class Stage(Enum):
    """How far a worker is."""

    SYNCING = "syncing"
    TERMINATING = "terminating"
    TERMINATED = "terminated"
    GONE = "gone"


class PodWorker:
    """The life of one pod, from when it is known until nothing of it is left."""

    def __init__(
        self,
        services: Services,
        obj: Object,
        *,
        adopted: bool,
        others: Callable[[], Sequence[Pod]],
        ended: Callable[[], None],
    ) -> None:
        """`others` are the pods that have room on the node; `ended` is told when this one gives up its own."""
        self.services = services
        self._others, self._tell_ended = others, ended
        self.pod = Pod.of(obj)
        self._asked = _asked(obj)
        self.stage = Stage.SYNCING
        self.status: Mapping[str, Any] = obj.get("status") or {}
        self.failures = _told_failures(self.status) if adopted else {}
        self.remembered = services.memory.load(self.pod.uid)
        self.publisher = Publisher(services.store, self.pod.uid, *self.pod.key, services.clock, self.wake)
        self.probes = PodProbes(services, self.remembered, self.wake, adopted=adopted)
        self.messages = observing.Messages(services.termination_message)
        self.resizing = Resizing(self)
        self.pod = self.resizing.restored(self.pod)
        self._sync = Sync(self)
        self._refresh_timer: asyncio.TimerHandle | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._to_refresh = False
        self._known = True
        self._wanted_again: frozenset[str] = frozenset()
        self._ending: Ending | None = self.remembered.ending
        self._grace: int | None = None
        self._override: int | None = self.remembered.ending_grace
        self._shortening: Shortening | None = None
        self._awake = asyncio.Event()
        self.leaving = asyncio.Event()
        """Set when the pod is to end: what a sync waits for is then let go."""
        self.has_ended = asyncio.Event()
        """Set when nothing of the pod runs any more."""
        started = self.status.get("startTime")
        self.start_time = parse_time(started) if started else services.clock()
        self._trouble = Trouble(services.options.state / "troubles", self.pod)
        self._shifts: dict[str, tuple[float, State]] = {}
        self._adopted = adopted
        if self.pod.metadata.deletion_timestamp or self._ending is not None:
            self._leave()

    # What happens to it: called from outside, on the loop, never waiting.

    def wake(self) -> None:
        """Something may have changed: look again."""
        self._awake.set()

    def update(self, obj: Object) -> None:
        """The object was changed by somebody: its specification, its metadata, or a status not written here."""
        asked = _asked(obj)
        if asked == self._asked:
            if self._gates_changed(obj) or self._ended_by_others(obj):
                self.wake()
            return
        self._asked = asked
        self.consider(obj)

    def consider(self, obj: Object) -> None:
        """Take up what the object asks for, as far as there is room for it."""
        self.pod = self.resizing.allocated(Pod.of(obj), self._others())
        if self.pod.metadata.deletion_timestamp:
            self._leave()
        self.refresh_volumes()  # downward API files hold labels, annotations and resources
        self.wake()

    def clock_was_set(self, seconds: float) -> None:
        """Shift what was timed before: nothing ends earlier or later for it."""
        self.start_time += seconds
        backoffs = self.remembered.backoffs
        backoffs.update({key: Backoff(b.delay, b.updated + seconds) for key, b in backoffs.items()})
        known = self.services.runtime.containers(self.pod.uid)
        # One that ends later does so by the new clock: its end is then not shifted (see `observe`).
        self._shifts = {s.id: (self._shifts.get(s.id, (0.0, s.state))[0] + seconds, s.state) for s in known}
        self.wake()

    def _shifted(self) -> Mapping[str, float]:
        """By container id, of attempts that are as they were when the clock was set."""
        known = {s.id: s.state for s in self.services.runtime.containers(self.pod.uid)} if self._shifts else {}
        self._shifts = {key: one for key, one in self._shifts.items() if known.get(key) is one[1]}
        return {key: seconds for key, (seconds, _) in self._shifts.items()}

    def _ended_by_others(self, obj: Object) -> bool:
        """Whether somebody wrote a terminal phase: then the pod is ended, as a kubelet does it (UpdatePod)."""
        theirs = obj.get("status") or {}
        if theirs.get("phase") not in TERMINAL or self.phase in TERMINAL or self.stage is not Stage.SYNCING:
            return False
        told = {key: theirs[key] for key in ("phase", "reason", "message") if key in theirs}
        self.status = {**self.status, **told}
        return True

    def _gates_changed(self, obj: Object) -> bool:
        """Whether somebody wrote a condition that a readiness gate looks at."""
        gates = {gate.condition_type for gate in self.pod.spec.readiness_gates}
        theirs = [c for c in (obj.get("status") or {}).get("conditions", ()) if c["type"] in gates]
        if theirs != [c for c in self.status.get("conditions", ()) if c["type"] in gates]:
            kept = [c for c in self.status.get("conditions", ()) if c["type"] not in gates]
            self.status = {**self.status, "conditions": [*theirs, *kept]}
            return True
        return False

    def deleted(self) -> None:
        """The object is gone: end what runs, publish no more."""
        self._known = False
        self._leave()
        self.wake()

    def evict(self, ending: Ending, grace: int | None) -> None:
        """End the pod for the node's sake; its phase becomes Failed. `grace` in seconds, None for the pod's own.

        It is remembered: a podrund that is restarted meanwhile goes on with it.
        """
        if self._ending is None and self.stage is Stage.SYNCING:
            self._ending, self._override = ending, grace
            self.remembered.ending, self.remembered.ending_grace = ending, grace
            self.services.memory.save(self.pod.uid, self.remembered)
            self._leave()
            self.wake()

    def again(self, names: Iterable[str]) -> None:
        """An administrator wants new attempts of these containers now, and no wait for anything else either."""
        newest = {seen.name: seen.id for seen in reversed(self.observe().containers)}
        self._wanted_again = frozenset(newest[name] for name in names if name in newest)
        self.wake()

    def reject(self, status: Mapping[str, Any]) -> None:
        """The node does not take the pod: it has failed before it began."""
        self.status = status
        self.stage = Stage.TERMINATED
        self.publisher.publish(self.pod, status, may_run=False)

    def let_go(self) -> None:
        """podrund ends: leave the pod as it is."""
        self.probes.stop()
        if self._refresh_timer is not None:
            self._refresh_timer.cancel()
        self.services.memory.save(self.pod.uid, self.remembered)

    def _leave(self) -> None:
        self.leaving.set()
        grace = termination.pod_grace(self.pod, self._grace, self._override)
        if self._adopted and self.pod.metadata.deletion_timestamp:
            # It was being ended when podrund was restarted: what is left counts, until the deletion timestamp, which
            # has lost its fraction of a second; no grace is cut for it.
            left = parse_time(self.pod.metadata.deletion_timestamp) + 1 - self.services.clock()
            grace = max(min(grace, math.ceil(left)), 1)
        if self._shortening is not None and self._grace is not None and grace < self._grace:
            self._shortening.shorten(grace)
        self._grace = grace if self._grace is None else min(grace, self._grace)

    # Volumes that follow the objects they are made from

    def volumes_are_ready(self) -> None:
        """The pod's volumes have been prepared: from now on they are kept up to date."""
        self._plan_refresh()

    def refresh_volumes(self) -> None:
        """An object changed from which the pod's volumes or variables are made."""
        if self.failures or not self._sync.volumes_ready:
            self.wake()
        if self._sync.volumes_ready and self.stage is Stage.SYNCING:
            self._to_refresh = True
            if self._refreshing is None:
                self._refreshing = asyncio.get_running_loop().create_task(self._refresh())

    async def _refresh(self) -> None:
        """Once for all that has changed so far; again for what changes meanwhile."""
        try:
            while self._to_refresh:
                self._to_refresh = False
                await self.services.volumes.refresh(self.pod, self.services.lookup)
        except VolumeError as error:
            for one in (error, *error.others):
                self.tell("Warning", one.reason, one.message)
        except Exception:
            log.exception("pod %s: its volumes were not refreshed", self.pod)
        finally:
            self._refreshing = None
        self._plan_refresh()

    def _plan_refresh(self) -> None:
        """One timer, for the token that has to be renewed first."""
        if self._refresh_timer is not None:
            self._refresh_timer.cancel()
            self._refresh_timer = None
        due = self.services.volumes.next_refresh(self.pod.uid)
        if due is not None and self.stage is Stage.SYNCING:
            wait = max(due - self.services.clock(), 1.0)
            self._refresh_timer = asyncio.get_running_loop().call_later(wait, self.refresh_volumes)

    # What it knows

    def observe(self) -> Observed:
        """Everything a decision looks at."""
        services, uid = self.services, self.pod.uid
        options = services.options
        return Observed(
            now=services.clock(),
            sandboxes=observing.sandboxes(services.runtime, uid),
            containers=observing.containers(
                services.runtime, self.pod, self.messages, self.remembered.resources, self._shifted()
            ),
            verdicts=self.probes.verdicts,
            failures=self.failures,
            backoffs=self.remembered.backoffs,
            node=Node(options.node_name, options.node_addresses, options.recursive_read_only),
            asked=self._wanted_again,
        )

    @property
    def address(self) -> str:
        """The pod's address, "" while it has none."""
        return str(self.status.get("podIP", ""))

    @property
    def phase(self) -> str:
        """As decided last."""
        return str(self.status.get("phase", "Pending"))

    # What it does

    async def run(self) -> None:
        """Live until nothing of the pod is left. Whatever goes wrong is logged, and tried again later."""
        marks.note(self.pod.uid, "begun", (self._adopted, *self.pod.key))
        while self.stage is not Stage.GONE:
            self._awake.clear()
            try:
                wait = await self._step()
                self.services.memory.save(self.pod.uid, self.remembered)
                self._trouble.over()
            except Exception as error:
                wait, message = self._trouble.met(error)
                self.tell("Warning", REASON, message)
            await self._sleep(wait)
        self.services.memory.forget(self.pod.uid)

    async def _sleep(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._awake.wait()
        except TimeoutError:
            pass

    async def _step(self) -> float | None:
        """One step; seconds until the next though nothing happens, None for never."""
        match self.stage:
            case Stage.SYNCING if self.leaving.is_set():
                self.stage = Stage.TERMINATING
                return 0.0
            case Stage.SYNCING:
                return await self._synced()
            case Stage.TERMINATING:
                await self._terminate()
                return 0.0
            case Stage.TERMINATED:
                return await self._bury()
            case Stage.GONE:
                return 0.0

    async def _synced(self) -> float | None:
        observed = self.observe()
        if (linger := self._sync.lingers(observed)) > 0:
            return linger
        if (begun := self._sync.as_begun(observed)) is not None:
            self.publish(begun)
        self.resizing.settle(observed)
        deadline = termination.deadline(self.pod, self.start_time)
        if deadline is not None and observed.now >= deadline and self.phase not in TERMINAL:
            self._ending = Ending(termination.DEADLINE_REASON, termination.DEADLINE_MESSAGE)
            self.tell("Normal", termination.DEADLINE_REASON, termination.DEADLINE_MESSAGE)
        self.publish(observed)
        if self.phase in TERMINAL:
            self.stage = Stage.TERMINATING
            return 0.0
        wake_at = await self._sync.once(observed)
        times = [t for t in (wake_at, deadline) if t is not None]
        return max(min(times) - self.services.clock(), 0.0) if times else None

    def publish(self, observed: Observed, *, terminal: bool = False) -> None:
        """Make the status and write it (the phase held back while containers may run)."""
        self.status = statuses.generate(
            self.pod,
            observed,
            self.status,
            terminal=terminal,
            ending=self._ending,
            resize_conditions=self.resizing.conditions,
        )
        self._aim(observed)
        if self._known:
            may_run = self.stage in (Stage.SYNCING, Stage.TERMINATING)
            self.publisher.publish(self.pod, self.status, may_run=may_run)

    def republish(self, status: Mapping[str, Any]) -> None:
        """Write a status that differs from the last one in a detail."""
        self.status = status
        if self._known:
            self.publisher.publish(self.pod, status, may_run=self.stage is not Stage.TERMINATED)

    def _aim(self, observed: Observed) -> None:
        """Tell the probes what runs now."""
        started = {s["name"]: bool(s.get("started")) for s in statuses.by_name(self.status).values()}
        targets = {}
        for seen in reversed(observed.containers):
            targets[seen.name] = Target(seen, started.get(seen.name, False), self.address)
        self.probes.aim(targets)

    def tell(
        self,
        kind: str,
        reason: str,
        message: str,
        container: str = "",
        *,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Record an Event about the pod."""
        self.services.recorder.pod(self.pod, kind, reason, message, container=container, annotations=annotations)

    @property
    def restarting_all(self) -> bool:
        """Whether the whole pod is being restarted in place."""
        return any(
            c["type"] == "AllContainersRestarting" and c["status"] == "True" for c in self.status.get("conditions", ())
        )

    async def _terminate(self) -> None:
        """End everything that runs, within the grace period; the phase follows when all has ended."""
        self.leaving.set()
        if self._grace is None:
            self._grace = termination.pod_grace(self.pod, None, self._override)
        marks.note(self.pod.uid, "terminating", self._grace)
        observed = self.observe()
        self.publish(observed)
        self.probes.stop(Role.LIVENESS, Role.STARTUP)
        running: dict[str, ContainerSeen] = {
            seen.name: seen for seen in reversed(observed.containers) if seen.state is ContainerState.RUNNING
        }
        self._shortening = Shortening(self._grace)
        await kill_all(
            self.services,
            self.pod,
            running,
            address=self.address,
            grace=self._grace,
            shortening=self._shortening,
        )
        await self.stop_sandboxes(observed)
        await self._sync.clean_up()
        self.probes.stop()
        self.stage = Stage.TERMINATED
        self.publish(self.observe(), terminal=True)
        self.has_ended.set()
        self._tell_ended()

    async def stop_sandboxes(self, observed: Observed) -> None:
        """Stop every sandbox of the pod that is ready."""
        for sandbox in observed.sandboxes:
            if sandbox.ready:
                try:
                    await self.services.runtime.stop_sandbox(sandbox.id)
                except NotFound:
                    continue
                except RuntimeFailure as error:
                    self.tell("Warning", "FailedKillPod", f"error killing pod: {error.message}")
                    raise

    async def _bury(self) -> float | None:
        """Publish the end; once the object is to go, remove all that is left of the pod."""
        if self._refresh_timer is not None:
            self._refresh_timer.cancel()
        await self.services.volumes.teardown(self.pod.uid)
        self.services.user_ranges.release(self.pod.uid)  # before clients see that the pod is gone (SyncTerminatedPod)
        self.status = statuses.finished(self.pod, self.status)
        if self._known:
            self.publisher.publish(self.pod, self.status, may_run=False)
        if self._known and not self.pod.metadata.deletion_timestamp:
            return None
        if self._known:
            self.publisher.remove()
            await self.publisher.settled()
            if self.publisher.failed:
                return None  # tried again when the publisher says so
            if self._known and self.pod.metadata.finalizers:
                return None
        await self._remove_all()
        self.stage = Stage.GONE
        return 0.0

    async def _remove_all(self) -> None:
        services = self.services
        for sandbox in observing.sandboxes(services.runtime, self.pod.uid):
            await services.runtime.remove_sandbox(sandbox.id)
        await asyncio.to_thread(starting.remove_logs, configs.log_directory(self.pod, services.options))
        services.pulls.forget(self.pod)


def _told_failures(status: Mapping[str, Any]) -> dict[str, StartFailure]:
    """Why containers could not be started, as the podrund before this one has published it."""
    found = {}
    for name, made in statuses.by_name(status).items():
        waiting = made.get("state", {}).get("waiting", {})
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing", RESTARTING_ALL):
            found[name] = StartFailure(waiting["reason"], waiting.get("message", ""))
    return found


def _asked(obj: Object) -> tuple[Object, Object]:
    """What of a pod's object is not written here: most changes are of the status, and need no second look."""
    ours = ("resourceVersion", "managedFields")
    return obj["spec"], {key: value for key, value in obj["metadata"].items() if key not in ours}
