"""The probes of one pod: a clock for each, looks when they are due, verdicts for the worker (prober/worker.go).

As in the kubelet a probe's clock starts with the pod, not with the container, and runs on across restarts; a container
that is running but not ready is also looked at when its status has been made, so that Ready does not wait a period.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from podrun.api.pod import Container, Pod, Probe
from podrun.lifecycle import probes
from podrun.lifecycle.observed import ContainerSeen, ContainerState, Verdict, Verdicts
from podrun.lifecycle.probes import ProbeState, Role
from podrun.runtime.model import State
from podrun.supervisor.memory import Remembered
from podrun.supervisor.probe_run import look
from podrun.supervisor.services import Services
from podrun.timeline import marks

log = logging.getLogger(__name__)

FIRST_LOOK = 0.1
"""Seconds that a container has before its readiness is first looked at: time enough to open a port, as the kubelet,
which learns of a start from its runtime later than podrun does, gives without meaning to."""

_SAID = 300
"""Characters of a look's output that a mark keeps."""


@dataclass(frozen=True, slots=True)
class Target:
    """The attempt of a container that a probe looks at."""

    seen: ContainerSeen
    started: bool
    address: str


class PodProbes:
    """The probes of one pod. `changed` is called when a verdict changes."""

    def __init__(
        self, services: Services, remembered: Remembered, changed: Callable[[], None], *, adopted: bool = False
    ) -> None:
        self._services, self._remembered, self._changed = services, remembered, changed
        self._adopted = adopted
        self._pod: Pod | None = None
        self._targets: dict[str, Target] = {}
        self._states: dict[tuple[str, Role], ProbeState] = {}
        self._tasks: dict[tuple[str, Role], asyncio.Task[None]] = {}
        self._triggers: dict[tuple[str, Role], asyncio.Event] = {}
        self._hurried: set[str] = set()

    @property
    def verdicts(self) -> Verdicts:
        """The verdicts now."""
        kept = self._remembered.verdicts
        return Verdicts(kept[Role.LIVENESS], kept[Role.READINESS], kept[Role.STARTUP])

    def begin(self, pod: Pod) -> None:
        """Let the clocks run that do not yet."""
        self._pod = pod
        for container in probes.probed(pod):
            for role in Role:
                probe = probes.of(container, role)
                key = (container.name, role)
                if probe is not None and key not in self._tasks:
                    self._triggers[key] = asyncio.Event()
                    self._tasks[key] = asyncio.get_running_loop().create_task(self._run(container, role, probe))

    def aim(self, targets: dict[str, Target]) -> None:
        """What runs now, by container name. What is running and not ready is looked at soon, once for each attempt."""
        self._targets = targets
        living = {t.seen.id for t in targets.values()}
        for entries in self._remembered.verdicts.values():
            for gone in entries.keys() - living:
                del entries[gone]
        self._hurried &= living
        for name, target in targets.items():
            trigger = self._triggers.get((name, Role.READINESS))
            if trigger is None or not target.started or target.seen.id in self._hurried:
                continue
            self._hurried.add(target.seen.id)
            delay = target.seen.began + FIRST_LOOK - self._services.clock()
            asyncio.get_running_loop().call_later(max(delay, 0.0), trigger.set)

    def stop(self, *roles: Role) -> None:
        """End the clocks of these roles, or of all. Liveness counts as passed from then on."""
        for (name, role), task in list(self._tasks.items()):
            if not roles or role in roles:
                task.cancel()
                del self._tasks[name, role]

    async def _run(self, container: Container, role: Role, probe: Probe) -> None:
        """One clock: a tick each period, or earlier when triggered; a tick that is missed is not made up for."""
        loop = asyncio.get_running_loop()
        trigger = self._triggers[container.name, role]
        if self._adopted:
            await asyncio.sleep(random.random() * probe.period_seconds)
        tick = loop.time()
        while True:
            try:
                await self._look(container, role, probe)
            except Exception:
                log.exception("the %s probe of %s in pod %s failed unexpectedly", role, container.name, self._pod)
            tick = max(tick + probe.period_seconds, loop.time())
            try:
                async with asyncio.timeout_at(tick):
                    await trigger.wait()
                tick = loop.time()
            except TimeoutError:
                pass
            trigger.clear()

    async def _look(self, container: Container, role: Role, probe: Probe) -> None:
        pod, target = self._pod, self._targets.get(container.name)
        if pod is None or target is None:
            return
        state = self._state(container, role, target)
        if state.held:
            return
        if target.seen.state is not ContainerState.RUNNING:
            self._settle(container, role, ProbeState(role, target.seen.id, Verdict.FAILURE))
            return
        running_for = self._services.clock() - target.seen.began
        if not probes.due(role, probe, started=target.started, running_for=running_for):
            return
        began = time.time_ns()
        result = await look(self._services.runtime, probe, container, target.seen.id, target.address)
        verdict = "erred" if result.error else "passed" if result.passed else "failed"
        said = (result.error or result.output).strip()[:_SAID]
        marks.note(pod.uid, "probe", (began, role, container.name, verdict, said))
        state = self._states[container.name, role]
        if state.container_id != target.seen.id:
            return  # another attempt runs by now
        if result.error and not self._runs(pod, target.seen.id):
            return  # it ended while it was looked at, which says nothing of the probe
        if told := probes.event(role, result):
            self._services.recorder.pod(self._pod or pod, "Warning", *told, container=container.name)
        self._settle(container, role, probes.record(state, probe, result))

    def _runs(self, pod: Pod, container_id: str) -> bool:
        """Whether an attempt still runs, by what the runtime knows now."""
        return any(
            s.id == container_id and s.state is State.RUNNING for s in self._services.runtime.containers(pod.uid)
        )

    def _state(self, container: Container, role: Role, target: Target) -> ProbeState:
        """Where the probe is with this attempt; it meets a new one at its first tick only, as in the kubelet.

        Until then a restarted container shows the `started` of the attempt before (prober_manager.go).
        """
        state = self._states.get((container.name, role))
        if state is not None and state.container_id == target.seen.id:
            return state
        before = self._remembered.verdicts[role].get(target.seen.id)
        if before is None:
            state = probes.first(role, target.seen.id)
        else:  # from before podrund was restarted: a startup probe that has decided is not asked again
            held = role is Role.STARTUP and before is not Verdict.UNKNOWN
            state = ProbeState(role, target.seen.id, before, held=held)
        self._settle(container, role, state)
        return state

    def _settle(self, container: Container, role: Role, state: ProbeState) -> None:
        self._states[container.name, role] = state
        entries = self._remembered.verdicts[role]
        if entries.get(state.container_id) is not state.verdict:
            entries[state.container_id] = state.verdict
            self._changed()
