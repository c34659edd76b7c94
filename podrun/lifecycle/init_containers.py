"""Init containers and native sidecars: which is next, which restarts, and whether the pod has been initialised.

The rules of computeInitContainerActions (kuberuntime_container.go): looked at from the last to the first, since
ended init containers may be gone, so that the last one with a trace tells how far the pod is.
"""

from __future__ import annotations

from dataclasses import dataclass

from podrun.api.pod import Container, Pod
from podrun.lifecycle import resize, restart
from podrun.lifecycle.actions import Kill, KillReason
from podrun.lifecycle.observed import ContainerSeen, ContainerState, Observed, Verdict
from podrun.lifecycle.why import Does, Fact, Rule, Why


@dataclass(frozen=True, slots=True)
class InitPlan:
    """What init containers need. `failed`: one has failed for good, and with it the pod."""

    initialized: bool
    starts: tuple[Container, ...] = ()
    kills: tuple[Kill, ...] = ()
    resizes: tuple[str, ...] = ()
    failed: bool = False
    whys: tuple[Why, ...] = ()
    """Of those that are not started."""


def any_created(pod: Pod, observed: Observed) -> bool:
    """Whether a regular container was ever created: then every init container has done its part."""
    return any(
        seen is not None and seen.state is not ContainerState.UNKNOWN
        for seen in (observed.latest(c.name) for c in pod.spec.containers)
    )


def plan(pod: Pod, observed: Observed) -> InitPlan:
    """The init containers to start (in the pod's order), to kill and to resize."""
    containers = pod.spec.init_containers
    if not containers:
        return InitPlan(initialized=True)
    state = _Walk(pod, observed)
    for index in range(len(containers) - 1, -1, -1):
        if not state.look_at(index):
            return InitPlan(initialized=False, kills=tuple(state.kills), failed=True, whys=state.reasons)
    if not state.past_seen:
        state.starts.append(0)
    starts = tuple(containers[index] for index in reversed(state.starts))
    return InitPlan(state.initialized, starts, tuple(state.kills), tuple(state.resizes), whys=state.reasons)


class _Walk:
    """The walk from the last init container to the first; `past_seen` once a later one has left a trace."""

    def __init__(self, pod: Pod, observed: Observed) -> None:
        self.pod, self.observed = pod, observed
        # An exited regular container does not count: it may be from before the sandbox was made anew.
        self.initialized = any(
            seen is not None and seen.state in (ContainerState.CREATED, ContainerState.RUNNING)
            for seen in (observed.latest(c.name) for c in pod.spec.containers)
        )
        self.past_seen = self.initialized
        self.starts: list[int] = []
        self.kills: list[Kill] = []
        self.resizes: list[str] = []
        self._whys: list[Why] = []

    @property
    def reasons(self) -> tuple[Why, ...]:
        """In the pod's order."""
        return tuple(reversed(self._whys))

    def _because(self, rule: Rule, does: Does, name: str, **facts: Fact) -> None:
        self._whys.append(Why(rule, does, name, facts))

    def look_at(self, index: int) -> bool:
        """Decide about one container; False when the pod has failed by it."""
        container = self.pod.spec.init_containers[index]
        sidecar = restart.is_sidecar(container)
        seen = self.observed.latest(container.name)
        if seen is None:
            if self.past_seen and sidecar:
                self.starts.append(index)
            return True
        if self.past_seen and not sidecar:
            return True
        fine = self._by_state(index, container, seen, sidecar)
        self.past_seen = True
        return fine

    def _by_state(self, index: int, container: Container, seen: ContainerSeen, sidecar: bool) -> bool:
        match seen.state:
            case ContainerState.CREATED:
                self.starts.append(index)
            case ContainerState.RUNNING if sidecar:
                self._running_sidecar(index, container, seen)
            case ContainerState.RUNNING if seen.id in self.observed.asked:
                self._again(index, container, seen, "was asked to restart", KillReason.UNKNOWN, Rule.ASKED_FOR)
            case ContainerState.RUNNING:
                if resize.step(container, self.pod, seen) is resize.Step.IN_PLACE:
                    self.resizes.append(container.name)
                self._because(Rule.MUST_END, Does.KEEP, container.name, since=seen.started_at)
            case ContainerState.EXITED if sidecar:
                self.starts.append(index)
            case ContainerState.EXITED if seen.exit_code == 0 and seen.reason != "OOMKilled":
                self._because(Rule.DONE, Does.KEEP, container.name, exit_code=0)
                self._done(index)
            case ContainerState.EXITED:
                if not restart.should_run(container, self.pod, self.observed):
                    self._failed(container, seen)
                    return False
                self.starts.append(index)
            case ContainerState.UNKNOWN:
                if not sidecar and not restart.restarts_when_killed(container, self.pod):
                    self._failed(container, seen)
                    return False
                self._because(Rule.LOST, Does.RESTART, container.name)
                message = 'Init container is in "unknown" state, try killing it before restart'
                self.kills.append(Kill(seen.id, container.name, message))
                self.starts.append(index)
        return True

    def _failed(self, container: Container, seen: ContainerSeen) -> None:
        policy = container.restart_policy or self.pod.spec.restart_policy
        facts: dict[str, Fact] = {"exit_code": seen.exit_code, "reason": seen.reason, "policy": policy}
        self._because(Rule.FAILED_FOR_GOOD, Does.END, container.name, **facts)

    def _done(self, index: int) -> None:
        """This one is initialised: so is the pod if it was the last, else the next one's turn has come."""
        if index == len(self.pod.spec.init_containers) - 1:
            self.initialized = True
        elif not self.past_seen:
            self.starts.append(index + 1)

    def _running_sidecar(self, index: int, container: Container, seen: ContainerSeen) -> None:
        verdicts = self.observed.verdicts
        if container.startup_probe is not None:
            startup = verdicts.startup.get(seen.id)
            if startup is Verdict.FAILURE:
                reason = KillReason.STARTUP_PROBE
                self._again(index, container, seen, "failed startup probe", reason, Rule.STARTUP_FAILED)
            elif startup is not Verdict.SUCCESS:
                self._because(Rule.STARTUP_UNDECIDED, Does.WAIT, container.name, since=seen.started_at)
            if startup is not Verdict.SUCCESS:
                return
        self._done(index)
        if seen.spec_image != container.image:
            self._again(index, container, seen, "definition changed", KillReason.UNKNOWN, Rule.IMAGE_CHANGED)
        elif seen.id in self.observed.asked:
            self._again(index, container, seen, "was asked to restart", KillReason.UNKNOWN, Rule.ASKED_FOR)
        elif container.liveness_probe is not None and verdicts.liveness.get(seen.id) is Verdict.FAILURE:
            reason = KillReason.LIVENESS_PROBE
            self._again(index, container, seen, "failed liveness probe", reason, Rule.LIVENESS_FAILED)
        else:
            match resize.step(container, self.pod, seen):
                case resize.Step.RESTART:
                    message = f"Init container {container.name} resize requires restart"
                    self.kills.append(Kill(seen.id, container.name, message))
                    self.starts.append(index)
                    self._because(Rule.RESIZE_RESTARTS, Does.RESTART, container.name)
                    return
                case resize.Step.IN_PLACE:
                    self.resizes.append(container.name)
            self._because(Rule.RUNS, Does.KEEP, container.name, since=seen.started_at)

    def _again(
        self, index: int, container: Container, seen: ContainerSeen, why: str, reason: KillReason, rule: Rule
    ) -> None:
        self._because(rule, Does.RESTART, container.name)
        self.kills.append(Kill(seen.id, container.name, f"Init container {container.name} {why}", reason))
        self.starts.append(index)
