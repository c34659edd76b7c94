"""The phase of a pod from the states of its containers (kubelet_pods.go, getPhase)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from podrun.api.pod import Container, Pod
from podrun.lifecycle import restart

Phase = Literal["Pending", "Running", "Succeeded", "Failed"]
Statuses = Mapping[str, Mapping[str, Any]]
"""Container statuses as published, by name."""

TERMINAL = ("Succeeded", "Failed")


def phase(pod: Pod, statuses: Statuses, *, terminal: bool, started: bool) -> Phase:
    """The phase.

    `terminal`: the pod has been ended, nothing will restart whatever the policy. `started`: a regular container of
    the present sandbox has been started, so that sidecars which restart do not make the pod Pending again.
    """
    init_pending, init_failed = _init_containers(pod, statuses)
    if init_failed:
        return "Failed"
    count = _Counts()
    for container in restart.sidecars(pod):
        count.sidecar(statuses.get(container.name))
    for container in pod.spec.containers:
        count.regular(container, pod, statuses.get(container.name))
    if init_pending or (count.sidecars_pending and not started) or count.waiting:
        return "Pending"
    if count.unknown:
        return "Pending"
    if count.running:
        return "Running"
    if not count.stopped:
        return "Pending"
    if not terminal and count.stopped != count.stopped_for_good:
        return "Running"
    return "Succeeded" if count.stopped == count.succeeded else "Failed"


def _init_containers(pod: Pod, statuses: Statuses) -> tuple[bool, bool]:
    """(one has not ended yet, one has failed for good)"""
    pending = failed = False
    for container in pod.spec.init_containers:
        if restart.is_sidecar(container):
            continue
        status = statuses.get(container.name)
        ended = None if status is None else _ended(status)
        if ended is None:
            pending = True
        elif ended["exitCode"] != 0 and not _comes_back(container, pod, ended):
            failed = True
    return pending, failed


def _ended(status: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How the container ended: now, or last time where it waits to run again; None while it runs or never did."""
    state = status.get("state", {})
    if "running" in state:
        return None
    ended: Mapping[str, Any] | None = state.get("terminated")
    if ended is None and "waiting" in state:
        ended = status.get("lastState", {}).get("terminated")
    return ended


def _comes_back(container: Container, pod: Pod, ended: Mapping[str, Any]) -> bool:
    return restart.restarts_after(container, pod, ended["exitCode"]) or ended.get("reason") == restart.RESTARTING_ALL


class _Counts:
    """How many containers are in which state."""

    def __init__(self) -> None:
        self.running = self.waiting = self.unknown = self.sidecars_pending = 0
        self.stopped = self.stopped_for_good = self.succeeded = 0

    def sidecar(self, status: Mapping[str, Any] | None) -> None:
        """Sidecars that have ended count for nothing."""
        if status is None:
            self.unknown += 1
            return
        state = status.get("state", {})
        if "running" in state:
            self.running += 1
            self.sidecars_pending += not status.get("started")
        elif "waiting" in state and "terminated" not in status.get("lastState", {}):
            self.sidecars_pending += 1
            self.waiting += 1
        elif "waiting" not in state and "terminated" not in state:
            self.sidecars_pending += 1
            self.unknown += 1

    def regular(self, container: Container, pod: Pod, status: Mapping[str, Any] | None) -> None:
        """A container that waits to run again counts as stopped, but never as succeeded."""
        if status is None:
            self.unknown += 1
            return
        state = status.get("state", {})
        ended = _ended(status)
        if "running" in state:
            self.running += 1
        elif ended is not None:
            self.stopped += 1
            self.stopped_for_good += not _comes_back(container, pod, ended)
            self.succeeded += "terminated" in state and ended["exitCode"] == 0
        elif "waiting" in state:
            self.waiting += 1
        else:
            self.unknown += 1
