"""A pod's row in a table: the READY, STATUS and RESTARTS that `kubectl get pods` shows, for a pod in any state.

Source of the rules: pkg/printers/internalversion (printPod). The status is the first of: what deletion makes of it, an
init container that is not done, the container that has most to tell (the first in the list wins), the phase.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
Since = Callable[[str | None], str]
"""Turns a time of the API into the time since then, for people."""

SCHEDULING_GATED = "SchedulingGated"
NODE_LOST = "NodeLost"
NONE = "<none>"


@dataclass(slots=True)
class _Restarts:
    count: int = 0
    latest: str = ""

    def add(self, status: Object) -> None:
        self.count += status.get("restartCount", 0)
        ended = ((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
        self.latest = max(self.latest, ended)

    def shown(self, since: Since) -> str:
        return f"{self.count} ({since(self.latest)} ago)" if self.count and self.latest else str(self.count)


def pod_cells(pod: Object, since: Since) -> list[Any]:
    """The cells of a pod's row: Name, Ready, Status, Restarts, Age, IP, Node, Nominated Node, Readiness Gates."""
    spec, status, meta = pod.get("spec") or {}, pod.get("status") or {}, pod["metadata"]
    sidecars = {one["name"] for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"}
    total = len(spec.get("containers") or ()) + len(sidecars)
    reason = status.get("reason") or status.get("phase") or ""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == SCHEDULING_GATED:
            reason = SCHEDULING_GATED
    waiting_for, ready, restarts, of_sidecars = _initialising(spec, status, sidecars)
    if not waiting_for or _is_true(status, "Initialized"):
        restarts = of_sidecars
        reason, running = _running(status, waiting_for or reason, restarts)
        ready += running
    else:
        reason = waiting_for
    if meta.get("deletionTimestamp"):
        if status.get("reason") == NODE_LOST:
            reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"
    addresses = status.get("podIPs") or [{}]
    return [
        meta.get("name", ""),
        f"{ready}/{total}",
        reason,
        restarts.shown(since),
        since(meta.get("creationTimestamp")),
        addresses[0].get("ip") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _readiness_gates(spec, status),
    ]


def pod_row_conditions(pod: Object) -> list[Object]:
    """What a table says of a row that will not change any more."""
    phase = (pod.get("status") or {}).get("phase")
    messages = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}
    if phase not in messages:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": messages[phase]}]


def _initialising(spec: Object, status: Object, sidecars: set[str]) -> tuple[str, int, _Restarts, _Restarts]:
    """What the pod's initialisation waits for, ready sidecars, restarts of init containers and of sidecars alone."""
    ready, restarts, of_sidecars = 0, _Restarts(), _Restarts()
    total = len(spec.get("initContainers") or ())
    for index, one in enumerate(status.get("initContainerStatuses") or ()):
        is_sidecar = one.get("name") in sidecars
        restarts.add(one)
        if is_sidecar:
            of_sidecars.add(one)
        state = one.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if is_sidecar and one.get("started"):
            ready += bool(one.get("ready"))
            continue
        if terminated is not None:
            return f"Init:{_ended(terminated)}", ready, restarts, of_sidecars
        if waiting is not None and waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}", ready, restarts, of_sidecars
        return f"Init:{index}/{total}", ready, restarts, of_sidecars
    return "", ready, restarts, of_sidecars


def _running(status: Object, reason: str, restarts: _Restarts) -> tuple[str, int]:
    """The status that the containers give, and how many of them are ready; their restarts are added."""
    ready, failed = 0, ""
    for one in reversed(status.get("containerStatuses") or ()):
        restarts.add(one)
        state = one.get("state") or {}
        waiting, terminated = state.get("waiting"), state.get("terminated")
        if waiting is not None and waiting.get("reason"):
            reason = waiting["reason"]
        elif terminated is not None:
            reason = _ended(terminated)
            if terminated.get("exitCode"):
                failed = reason
        elif one.get("ready") and state.get("running") is not None:
            ready += 1
    if reason == "Completed":
        if ready and _is_true(status, "Ready"):
            reason = "Running"
        elif failed:
            reason = failed
        elif ready:
            reason = "NotReady"
    return reason, ready


def _ended(terminated: Object) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _is_true(status: Object, kind: str) -> bool:
    return any(one.get("type") == kind and one.get("status") == "True" for one in status.get("conditions") or ())


def _readiness_gates(spec: Object, status: Object) -> str:
    gates = spec.get("readinessGates") or ()
    if not gates:
        return NONE
    states: dict[str, str] = {}
    for one in status.get("conditions") or ():
        states.setdefault(one.get("type", ""), one.get("status", ""))
    return f"{sum(states.get(gate.get('conditionType')) == 'True' for gate in gates)}/{len(gates)}"
