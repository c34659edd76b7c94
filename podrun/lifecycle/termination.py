"""How containers are ended: with how much grace, in which order, under which words.

The rules of killContainer, setTerminationGracePeriod and terminationOrdering (pkg/kubelet/kuberuntime), and of
calculateEffectiveGracePeriod (pod_workers.go). Grace periods are whole seconds, as there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from podrun.api.pod import Container, Pod
from podrun.lifecycle import restart
from podrun.lifecycle.actions import KillReason

MINIMUM_GRACE = 2
"""Every container gets this long between TERM and KILL, even when preStop has used up the grace period."""

DEADLINE_REASON = "DeadlineExceeded"
DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"


def pod_grace(pod: Pod, before: int | None = None, override: int | None = None) -> int:
    """Seconds for ending the whole pod: it only ever shrinks, and is never less than one.

    `before` is the period that was in force until now; `override` what an eviction allows.
    """
    grace = before
    asked = False
    for wish in (pod.metadata.deletion_grace_period_seconds, override):
        if wish is not None and (grace is None or wish < grace):
            grace, asked = wish, True
    if grace is None or (grace == 0 and not asked):
        grace = pod.spec.termination_grace_period_seconds
    return max(grace, 1)


def container_grace(pod: Pod, container: Container, reason: KillReason) -> int:
    """Seconds for ending one container of a pod that goes on; a failed probe may bring its own."""
    if pod.metadata.deletion_grace_period_seconds is not None:
        return pod.metadata.deletion_grace_period_seconds
    probe = {
        KillReason.STARTUP_PROBE: container.startup_probe,
        KillReason.LIVENESS_PROBE: container.liveness_probe,
    }.get(reason)
    if probe is not None and probe.termination_grace_period_seconds is not None:
        return probe.termination_grace_period_seconds
    return pod.spec.termination_grace_period_seconds


@dataclass(frozen=True, slots=True)
class GraceLeft:
    """What is left of a grace period after preStop and after waiting for one's turn; counted in whole seconds."""

    seconds: int

    def spent(self, duration: float) -> GraceLeft:
        """After something that took `duration` seconds; fractions are forgiven."""
        return GraceLeft(self.seconds - int(duration))

    @property
    def for_stop(self) -> int:
        """Between TERM and KILL."""
        return max(self.seconds, MINIMUM_GRACE)


def waits_for(pod: Pod, running: Iterable[str]) -> Mapping[str, frozenset[str]]:
    """For each running container, the running ones that end first: sidecars after all regular ones, in reverse order.

    Empty for a pod without sidecars: all end at once. A sidecar that does not run is passed over (in the kubelet its
    neighbours then end together).
    """
    names = frozenset(running)
    side = [c.name for c in restart.sidecars(pod)]
    if not side:
        return {name: frozenset() for name in names}
    regular = frozenset(c.name for c in pod.spec.containers) & names
    order = {name: frozenset[str]() for name in names}
    later: str | None = None
    for name in reversed(side):
        if name in names:
            order[name] = regular | (frozenset({later}) if later is not None else frozenset())
            later = name
    return order


def stop_message(container: Container) -> str:
    """The message of the Killing event where nothing more is to be said."""
    return f"Stopping container {container.name}"


def deadline(pod: Pod, start_time: float | None) -> float | None:
    """When activeDeadlineSeconds runs out, counted from the pod's startTime."""
    if pod.spec.active_deadline_seconds is None or start_time is None:
        return None
    return start_time + pod.spec.active_deadline_seconds
