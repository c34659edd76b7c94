"""The status of a pod as a kubelet publishes it: generateAPIPodStatus, and what the status manager does to it before it
is written (status_manager.go). Statuses are dictionaries as on the wire and are never changed once made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from podrun.api import disruption
from podrun.api.disruption import Disruption
from podrun.api.names import rfc3339
from podrun.api.pod import Pod
from podrun.lifecycle import conditions, container_status, readiness, resources, restart
from podrun.lifecycle.observed import Observed
from podrun.lifecycle.phase import TERMINAL, Phase, Statuses, phase
from podrun.lifecycle.qos import qos_class

Status = dict[str, Any]
PREFIXES = ("init", "", "ephemeral")
_LONGEST_MESSAGES = 12 * 1024
"""Bytes of termination messages in one pod's status, shared evenly by its containers."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a pod is ended that did not end by itself: its phase is then Failed, with this reason and message."""

    reason: str
    message: str
    disruption: Disruption | None = None
    """What the DisruptionTarget condition says where the machine's need ends it, or another pod's."""


def list_key(prefix: str) -> str:
    """`initContainerStatuses`, `containerStatuses` or `ephemeralContainerStatuses`."""
    return f"{prefix}ContainerStatuses" if prefix else "containerStatuses"


def by_name(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Every container status of a pod's status, by container name."""
    return {s["name"]: s for prefix in PREFIXES for s in status.get(list_key(prefix), ())}


def generate(
    pod: Pod,
    observed: Observed,
    before: Mapping[str, Any],
    *,
    terminal: bool = False,
    ending: Ending | None = None,
    resize_conditions: Sequence[Mapping[str, Any]] = (),
) -> Status:
    """The status now. `before` is the last one made (or the API's); `terminal` that all containers have been ended.

    `resize_conditions` are the PodResizePending and PodResizeInProgress that hold.
    """
    old = by_name(before)
    old_conditions = before.get("conditions", ())
    restarting = conditions.restarting_all(pod, observed, old, old_conditions)
    lists = {
        prefix: container_status.container_statuses(
            pod, group, observed, old, init=prefix == "init", restarting_all=restarting
        )
        for prefix, group in (
            ("init", pod.spec.init_containers),
            ("", pod.spec.containers),
            ("ephemeral", pod.spec.ephemeral_containers),
        )
    }
    statuses: Statuses = {s["name"]: s for prefix in ("init", "") for s in lists[prefix]}
    regular = {c.name for c in pod.spec.containers}
    started = any(seen.name in regular for seen in observed.active)
    now_phase = _never_back(phase(pod, statuses, terminal=terminal, started=started), before)
    status: Status = {"phase": now_phase}
    if now_phase == before.get("phase"):
        status.update({key: before[key] for key in ("reason", "message") if before.get(key)})
    if ending is not None:
        now_phase = "Failed"
        status.update(phase=now_phase, reason=ending.reason, message=ending.message)
    readiness.add_readiness(pod, lists[""], lists["init"], observed)
    status["conditions"] = _conditions(pod, observed, statuses, now_phase, before, resize_conditions)
    if ending is not None and ending.disruption is not None:
        target = disruption.condition(ending.disruption, pod.metadata.generation)
        status["conditions"] = [target, *(c for c in status["conditions"] if c["type"] != disruption.TYPE)]
    _addresses(status, pod, observed, before)
    status["qosClass"] = qos_class(pod)
    status.update({list_key(prefix): made for prefix, made in lists.items() if made})
    status["resources"] = _pod_resources(pod)
    if requests := resources.pod_requests(pod):
        status["allocatedResources"] = resources.texts(requests)
    return status


def _never_back(now_phase: Phase, before: Mapping[str, Any]) -> Phase:
    """A terminal phase stays."""
    was: Phase | None = before.get("phase")
    return was if was in TERMINAL else now_phase


def _conditions(
    pod: Pod,
    observed: Observed,
    statuses: Statuses,
    now_phase: Phase,
    before: Mapping[str, Any],
    resize: Sequence[Mapping[str, Any]],
) -> list[Mapping[str, Any]]:
    previous: Sequence[Mapping[str, Any]] = before.get("conditions", ())
    kept: list[Mapping[str, Any]] = [c for c in previous if c["type"] not in conditions.OWNED]
    containers = conditions.containers_ready(pod, statuses, now_phase)
    made = [
        conditions.ready_to_start(pod, observed),
        conditions.initialized(pod, statuses, now_phase, previous),
        conditions.ready(pod, containers, kept),
        containers,
        conditions.condition("PodScheduled", True),
    ]
    stamped = [{**c, "observedGeneration": pod.metadata.generation} for c in made]
    if restart.may_restart_all(pod):
        # The only kubelet condition without a generation (status/generate.go).
        stamped.append(conditions.all_restarting(pod, observed, by_name(before), now_phase, previous))
    return [*kept, *resize, *stamped]


def _addresses(status: Status, pod: Pod, observed: Observed, before: Mapping[str, Any]) -> None:
    """The node's addresses, and the sandbox's; those stay published when the sandbox has gone."""
    if observed.node.addresses:
        status["hostIP"] = observed.node.addresses[0]
        status["hostIPs"] = [{"ip": address} for address in observed.node.addresses]
    own = observed.node.addresses if pod.spec.host_network else ()
    if not own and observed.sandboxes and observed.sandboxes[0].ready:
        own = observed.sandboxes[0].addresses
    if not own:
        own = tuple(entry["ip"] for entry in before.get("podIPs", ()))
    if own:
        status["podIP"] = own[0]
        status["podIPs"] = [{"ip": address} for address in own]


def _pod_resources(pod: Pod) -> Status:
    sides = {"limits": resources.pod_limits(pod), "requests": resources.pod_requests(pod)}
    return {name: resources.texts(side) for name, side in sides.items() if side}


def sandbox_ready(pod: Pod, before: Mapping[str, Any]) -> Status:
    """The last status with PodReadyToStartContainers true and nothing else changed (OnPodSandboxReady).

    The kubelet publishes it before any image is pulled; the pod's address follows with the next sync.
    """
    true = {**conditions.condition("PodReadyToStartContainers", True), "observedGeneration": pod.metadata.generation}
    return {
        **before,
        "conditions": [true if c["type"] == true["type"] else c for c in before.get("conditions", ())],
    }


def rejected(pod: Pod, reason: str, message: str) -> Status:
    """The status of a pod that the node does not admit: no conditions, no containers (kubelet.go, rejectPod)."""
    return {
        "phase": "Failed",
        "reason": reason,
        "message": f"Pod was rejected: {message}",
        "qosClass": qos_class(pod),
    }


def written(pod: Pod, new: Mapping[str, Any], old: Mapping[str, Any], *, now: float, may_run: bool) -> Status:
    """`new` as it is written over `old`, the API's: times of conditions, start time, others' conditions kept.

    While containers may still run (`may_run`) a terminal phase is held back, with its reason and message, so that
    nobody believes resources free that are not (mergePodStatus); the conditions already tell.
    """
    status: Status = {**new, "observedGeneration": max(pod.metadata.generation, old.get("observedGeneration", 0))}
    status["startTime"] = old.get("startTime") or rfc3339(now)
    if may_run and new["phase"] in TERMINAL and old.get("phase") not in TERMINAL:
        status["phase"] = old.get("phase", "Pending")
        for key in ("reason", "message"):
            status.pop(key, None)
            if old.get(key):
                status[key] = old[key]
    status["conditions"] = _timed(_shut(status.get("conditions", ()), status["phase"]), old.get("conditions", ()), now)
    foreign = [c for c in old.get("conditions", ()) if c["type"] not in conditions.OWNED]
    # Why it is disrupted is told with the end itself, not while its containers still stop.
    told = {disruption.TYPE} if not may_run and new["phase"] in TERMINAL and old.get("phase") not in TERMINAL else set()
    own = [c for c in status["conditions"] if c["type"] in conditions.OWNED or c["type"] in told]
    names = {c["type"] for c in own}
    status["conditions"] = [*(c for c in foreign if c["type"] not in names), *own]
    if not status["conditions"]:
        del status["conditions"]
    for key in ("resourceClaimStatuses", "extendedResourceClaimStatus", "nominatedNodeName"):
        if key in old:
            status[key] = old[key]
    return _bounded(pod, status)


def _shut(made: Sequence[Mapping[str, Any]], now_phase: str) -> list[Mapping[str, Any]]:
    """Nothing is ready in a terminal phase."""
    if now_phase not in TERMINAL:
        return list(made)
    reason = "PodFailed" if now_phase == "Failed" else "PodCompleted"
    return [
        {k: v for k, v in c.items() if k != "message"} | {"status": "False", "reason": reason}
        if c["type"] in ("Ready", "ContainersReady") and c["status"] == "True"
        else c
        for c in made
    ]


def _timed(made: Sequence[Mapping[str, Any]], old: Sequence[Mapping[str, Any]], now: float) -> list[Status]:
    """Each condition with the time when its status last changed; null is what Go prints for no time."""
    times = {c["type"]: (c["status"], c.get("lastTransitionTime")) for c in old}
    timed = []
    for condition in made:
        was, since = times.get(condition["type"], (None, None))
        changed = rfc3339(now) if was != condition["status"] or since is None else since
        timed.append({"lastProbeTime": None, **condition, "lastTransitionTime": changed})
    return timed


def _bounded(pod: Pod, status: Status) -> Status:
    """Termination messages cut to their share of 12 KiB (normalizeStatus)."""
    spec = pod.spec
    count = len(spec.containers) + len(spec.init_containers) + len(spec.ephemeral_containers)
    limit = _LONGEST_MESSAGES // max(count, 1)
    for prefix in PREFIXES:
        for made in status.get(list_key(prefix), ()):
            for key in ("state", "lastState"):
                ended = made.get(key, {}).get("terminated")
                if ended is not None and len(ended.get("message", "").encode()) > limit:
                    cut = ended["message"].encode()[:limit].decode(errors="ignore")
                    made[key] = {"terminated": {**ended, "message": cut}}
    return status


def finished(pod: Pod, status: Mapping[str, Any]) -> Status:
    """The last status of a pod: what has no end is said to have been lost, and the phase is terminal.

    Whether a lost container did its work is not known, so it counts as failed; one of a pod that was never
    initialised simply never ran (status_manager.go, TerminatePod).
    """
    made: Status = {**status}
    lists = {"init": _begun(status.get("initContainerStatuses", ())), "": len(pod.spec.containers)}
    if not _was_initialized(pod, status):
        lists[""] = 0
    for prefix, count in lists.items():
        key = list_key(prefix)
        if key in status:
            made[key] = [_lost(s) if index < count else s for index, s in enumerate(status[key])]
    if made.get("phase") not in TERMINAL:
        made["phase"] = "Failed"
    return made


def _lost(status: Mapping[str, Any]) -> Mapping[str, Any]:
    if "terminated" in status.get("state", {}):
        return status
    message = "The container could not be located when the pod was terminated"
    ended = {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": message}
    return {**status, "state": {"terminated": {**ended, "startedAt": None, "finishedAt": None}}}


def _begun(init: Sequence[Mapping[str, Any]]) -> int:
    """How many init containers, from the first, have been begun; at least the first has been tried."""
    for index in range(len(init) - 1, -1, -1):
        if "waiting" not in init[index].get("state", {}) or "terminated" in init[index].get("lastState", {}):
            return index + 1
    return min(len(init), 1)


def _was_initialized(pod: Pod, status: Mapping[str, Any]) -> bool:
    if not pod.spec.init_containers:
        return True
    for made in status.get("containerStatuses", ()):
        if "terminated" in made.get("lastState", {}) or "waiting" not in made.get("state", {}):
            return True
    init = status.get("initContainerStatuses", ())
    if not init:
        return False
    last = init[-1]
    if restart.is_sidecar(pod.spec.init_containers[-1]):
        return "running" in last.get("state", {}) and bool(last.get("started"))
    ends = (last.get(key, {}).get("terminated") for key in ("state", "lastState"))
    return any(end is not None and end["exitCode"] == 0 for end in ends)
