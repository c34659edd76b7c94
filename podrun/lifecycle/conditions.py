"""The conditions a kubelet publishes of a pod (pkg/kubelet/status/generate.go), without their transition times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from podrun.api.pod import Container, Pod
from podrun.lifecycle import restart
from podrun.lifecycle.observed import Observed
from podrun.lifecycle.phase import Phase, Statuses
from podrun.lifecycle.sandbox import sandbox_need

Condition = dict[str, Any]

OWNED = (
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "PodResizePending",
    "PodResizeInProgress",
    "AllContainersRestarting",
)
"""Types that only the kubelet writes; all others are kept as others wrote them."""


def condition(kind: str, status: bool, reason: str = "", message: str = "") -> Condition:
    """A condition as on the wire, without times."""
    made: Condition = {"type": kind, "status": "True" if status else "False"}
    if reason:
        made["reason"] = reason
    if message:
        made["message"] = message
    return made


def ready_to_start(pod: Pod, observed: Observed) -> Condition:
    """True while a usable sandbox is there (KEP-3085)."""
    return condition("PodReadyToStartContainers", not sandbox_need(pod, observed).missing)


def containers_ready(pod: Pod, statuses: Statuses, phase: Phase) -> Condition:
    """True when every regular container and sidecar is ready."""
    watched = (*restart.sidecars(pod), *pod.spec.containers)
    unknown, unready = _sorted_out(watched, statuses, lambda _, status: bool(status.get("ready")))
    if phase == "Succeeded" and not unknown:
        return condition("ContainersReady", False, "PodCompleted")
    if phase == "Failed":
        return condition("ContainersReady", False, "PodFailed")
    message = _message(unknown, ("unready", unready))
    return condition("ContainersReady", not message, "ContainersNotReady" if message else "", message)


def ready(pod: Pod, containers: Condition, others: Sequence[Mapping[str, Any]]) -> Condition:
    """ContainersReady and every readiness gate; `others` are the conditions that gates name."""
    if containers["status"] != "True":
        return {**containers, "type": "Ready"}
    problems = []
    for gate in pod.spec.readiness_gates:
        found = next((c for c in others if c["type"] == gate.condition_type), None)
        if found is None:
            problems.append(f'corresponding condition of pod readiness gate "{gate.condition_type}" does not exist.')
        elif found["status"] != "True":
            problems.append(
                f'the status of pod readiness gate "{gate.condition_type}" is not "True", but {found["status"]}'
            )
    return condition("Ready", not problems, "ReadinessGatesNotReady" if problems else "", ", ".join(problems))


def initialized(pod: Pod, statuses: Statuses, phase: Phase, previous: Sequence[Mapping[str, Any]]) -> Condition:
    """True once every init container has done its part; then it stays so, restarts of sidecars notwithstanding."""
    unknown, incomplete = _sorted_out(pod.spec.init_containers, statuses, _init_done)
    if phase == "Succeeded" and not unknown:
        return condition("Initialized", True, "PodCompleted")
    began = any(
        "running" in state or "terminated" in state
        for state in (statuses.get(c.name, {}).get("state", {}) for c in pod.spec.containers)
    )
    before = any(c["type"] == "Initialized" and c["status"] == "True" for c in previous)
    message = _message(unknown, ("incomplete", incomplete))
    if began or before or not message:
        return condition("Initialized", True)
    return condition("Initialized", False, "ContainersNotInitialized", message)


def all_restarting(
    pod: Pod, observed: Observed, statuses: Statuses, phase: Phase, previous: Sequence[Mapping[str, Any]]
) -> Condition:
    """True from a container's exit that restarts the whole pod in place until everything old is gone (KEP-5532)."""
    kind = "AllContainersRestarting"
    if phase in ("Succeeded", "Failed"):
        return condition(kind, False, "PodCompleted" if phase == "Succeeded" else "PodFailed")
    gone = all(observed.latest(c.name) is None for c in (*pod.spec.init_containers, *pod.spec.containers))
    if gone or not restarting_all(pod, observed, statuses, previous):
        return condition(kind, False)
    return condition(kind, True, "RestartAllContainersStarted", "container exited with restart policy rule")


def restarting_all(pod: Pod, observed: Observed, statuses: Statuses, previous: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a restart of the whole pod has begun, or some container's exit asks for one.

    `statuses` are those published before (container/helpers.go, ShouldAllContainersRestart).
    """
    if any(c["type"] == "AllContainersRestarting" and c["status"] == "True" for c in previous):
        return True
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        seen = observed.latest(container.name)
        if seen is None or seen.state != "exited":
            continue
        if restart.asks_restart_all(container, seen.exit_code):
            return True
        ended = statuses.get(container.name, {}).get("state", {}).get("terminated")
        if ended is not None and restart.asks_restart_all(container, ended["exitCode"]):
            return True
    return False


def _init_done(container: Container, status: Mapping[str, Any]) -> bool:
    return bool(status.get("started") if restart.is_sidecar(container) else status.get("ready"))


def _sorted_out(containers: Iterable[Container], statuses: Statuses, fine: Any) -> tuple[list[str], list[str]]:
    """(names without a status, names whose status is not fine)"""
    unknown, bad = [], []
    for container in containers:
        status = statuses.get(container.name)
        if status is None:
            unknown.append(container.name)
        elif not fine(container, status):
            bad.append(container.name)
    return unknown, bad


def _message(unknown: list[str], *others: tuple[str, list[str]]) -> str:
    named = (("unknown", unknown), *others)
    return ", ".join(f"containers with {word} status: [{' '.join(names)}]" for word, names in named if names)
