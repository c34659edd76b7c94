"""Probes as a state machine: when to look, what a result means, when the verdict changes (prober/worker.go).

`ProbeState` is one probe of one attempt of a container; `record` takes a result and gives the next state. Nothing
here runs a probe or waits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from podrun.api.pod import Container, Pod, Probe
from podrun.lifecycle import restart
from podrun.lifecycle.observed import Verdict

MAX_TRIES = 3
"""How often one look is tried when the probe itself errs (prober.go, maxProbeRetries)."""


class Role(StrEnum):
    """What a probe is for, in the words of events."""

    STARTUP = "Startup"
    READINESS = "Readiness"
    LIVENESS = "Liveness"


INITIAL = {Role.STARTUP: Verdict.UNKNOWN, Role.READINESS: Verdict.FAILURE, Role.LIVENESS: Verdict.SUCCESS}
"""The verdict before the first look."""


@dataclass(frozen=True, slots=True)
class Result:
    """One look. `error`: the probe itself could not be done; the look does not count, but is told."""

    passed: bool
    output: str = ""
    error: str = ""
    warning: bool = False


@dataclass(frozen=True, slots=True)
class ProbeState:
    """Where a probe is with one attempt of its container."""

    role: Role
    container_id: str
    verdict: Verdict
    last: Verdict | None = None
    run: int = 0
    """How many times in a row the result has been `last`."""
    held: bool = False
    """No more looks at this attempt: it is to be killed, or has started."""


def first(role: Role, container_id: str) -> ProbeState:
    """The state for a new attempt of the container."""
    return ProbeState(role, container_id, INITIAL[role])


def record(state: ProbeState, probe: Probe, result: Result) -> ProbeState:
    """The state after one look; the verdict changes when a threshold is reached."""
    if result.error:
        return state
    seen = Verdict.SUCCESS if result.passed else Verdict.FAILURE
    run = state.run + 1 if state.last is seen else 1
    threshold = probe.success_threshold if result.passed else probe.failure_threshold
    if run < threshold:
        return replace(state, last=seen, run=run)
    held = state.role is Role.STARTUP or (state.role is Role.LIVENESS and seen is Verdict.FAILURE)
    return replace(state, last=seen, run=0 if held else run, verdict=seen, held=held)


def event(role: Role, result: Result) -> tuple[str, str] | None:
    """(reason, message) of the Warning event that a result makes; None for a plain success (prober.go)."""
    if result.error:
        return "Unhealthy", f"{role} probe errored and resulted in unknown state: {result.error}"
    if not result.passed:
        return "Unhealthy", f"{role} probe failed: {result.output}"
    if result.warning:
        return "ProbeWarning", f"{role} probe warning: {result.output}"
    return None


def of(container: Container, role: Role) -> Probe | None:
    """The container's probe in a role."""
    match role:
        case Role.STARTUP:
            return container.startup_probe
        case Role.READINESS:
            return container.readiness_probe
        case Role.LIVENESS:
            return container.liveness_probe


def probed(pod: Pod) -> tuple[Container, ...]:
    """The containers that may have probes: regular ones and sidecars."""
    return (*pod.spec.containers, *restart.sidecars(pod))


def due(role: Role, probe: Probe, *, started: bool, running_for: float) -> bool:
    """Whether a tick of the probe's clock is to look: after its delay, and the others once the container has started.

    The delay is compared in whole seconds, as there.
    """
    if int(running_for) < probe.initial_delay_seconds:
        return False
    return started != (role is Role.STARTUP)
