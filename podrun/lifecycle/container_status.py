"""The statuses of a pod's containers, from what runs, what was published before, and why a start failed.

The rules of convertToAPIContainerStatuses (kubelet_pods.go). Statuses are dictionaries as on the wire; `started` and
`ready` are added by `readiness`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from podrun.api.names import rfc3339
from podrun.api.pod import Container, Pod, VolumeMount
from podrun.api.quantity import Quantity
from podrun.lifecycle import init_containers, restart
from podrun.lifecycle.observed import ContainerSeen, ContainerState, Node, Observed
from podrun.lifecycle.resources import MIN_SHARES

Status = dict[str, Any]

_NOT_FOUND = "The container could not be located when the pod was deleted.  The container used to be Running"
_REMOVED = "The container is removed because RestartAllContainers in place"
_LOST_INIT = (
    "Unable to get init container status from container runtime and pod has been initialized, "
    "treat it as exited normally"
)
_LOWEST_CPU_LIMIT = 10
"""Millicores below which the kernel's limit no longer tells the difference (MinMilliCPULimit)."""


def container_statuses(
    pod: Pod,
    containers: Sequence[Container],
    observed: Observed,
    before: Mapping[str, Mapping[str, Any]],
    *,
    init: bool = False,
    restarting_all: bool = False,
) -> list[Status]:
    """One status for each of `containers`, in the order in which the kubelet lists them.

    `before` is what was published last, by name.
    """
    waiting = "PodInitializing" if pod.spec.init_containers else "ContainerCreating"
    statuses = {c.name: _default(c, waiting, before.get(c.name), observed.node) for c in containers}
    for container in containers:
        old = before.get(container.name)
        if old is not None and observed.latest(container.name) is None:
            _missing(statuses[container.name], old, waiting, restarting_all, deleted=_deleted(pod))
    _from_runtime(pod, containers, statuses, observed, before)
    for container in containers:
        _waiting_again(pod, container, statuses[container.name], observed, init)
    if init:
        return [statuses[c.name] for c in containers]
    return [statuses[name] for name in sorted(statuses)]


def _deleted(pod: Pod) -> bool:
    return bool(pod.metadata.deletion_timestamp)


def _default(container: Container, waiting: str, old: Mapping[str, Any] | None, node: Node) -> Status:
    """The status of a container the runtime does not know: waiting, or as it ended when that was published."""
    if old is not None and "terminated" in old.get("state", {}):
        return dict(old)
    status: Status = {
        "name": container.name,
        "state": {"waiting": {"reason": waiting}},
        "lastState": dict(old.get("lastState", {})) if old is not None else {},
        "ready": False,
        "restartCount": old.get("restartCount", 0) if old is not None else 0,
        "image": container.image,
        "imageID": "",
    }
    if container.volume_mounts:
        status["volumeMounts"] = [_mount_status(mount, node) for mount in container.volume_mounts]
    return status


def _mount_status(mount: VolumeMount, node: Node) -> Status:
    status: Status = {"name": mount.name, "mountPath": mount.mount_path}
    if mount.read_only:
        status["readOnly"] = True
        wanted = mount.recursive_read_only == "Enabled" or (
            mount.recursive_read_only == "IfPossible" and node.recursive_read_only
        )
        status["recursiveReadOnly"] = "Enabled" if wanted else "Disabled"
    return status


def _missing(status: Status, old: Mapping[str, Any], waiting: str, restarting_all: bool, *, deleted: bool) -> None:
    """A container that was published before but that the runtime no longer has."""
    state = old.get("state", {})
    if restarting_all and "waiting" not in state:
        status["state"] = {"waiting": {"reason": restart.RESTARTING_ALL, "message": _REMOVED}}
        status["lastState"] = {"terminated": _ended(restart.RESTARTING_ALL, _REMOVED)}
        status["restartCount"] = old.get("restartCount", 0) + 1
        return
    if "running" not in state or "terminated" in status["lastState"]:
        return
    if status["state"].get("waiting", {}).get("reason") != waiting:
        return
    # It ran, and its end was not seen: without this the pod would look Pending again.
    status["lastState"] = {"terminated": _ended("ContainerStatusUnknown", _NOT_FOUND)}
    if not deleted:
        status["restartCount"] += 1


def _ended(reason: str, message: str) -> Status:
    return {"exitCode": 137, "reason": reason, "message": message, "startedAt": None, "finishedAt": None}


def _from_runtime(
    pod: Pod,
    containers: Sequence[Container],
    statuses: dict[str, Status],
    observed: Observed,
    before: Mapping[str, Mapping[str, Any]],
) -> None:
    """The newest attempt gives the state, the one before it the last state."""
    by_name = {c.name: c for c in containers}
    seen_count: dict[str, int] = {}
    for seen in observed.containers:
        container = by_name.get(seen.name)
        count = seen_count.get(seen.name, 0)
        if container is None or count >= 2:
            continue
        old = before.get(seen.name)
        if count == 0:
            statuses[seen.name] = _converted(seen, container, old, statuses[seen.name])
            if seen.user is not None and pod.spec.security_context.supplemental_groups_policy is not None:
                statuses[seen.name]["user"] = _user(*seen.user)
        else:
            statuses[seen.name]["lastState"] = _state(seen)
        seen_count[seen.name] = count + 1


def _user(uid: int, gid: int, groups: Sequence[int]) -> Status:
    """Who the process began as, said of pods that choose a supplementalGroupsPolicy.

    A kubelet says it of every container if the runtime told it; that of the recordings' cluster did not.
    """
    return {"linux": {"uid": uid, "gid": gid, "supplementalGroups": list(groups)}}


def _converted(seen: ContainerSeen, container: Container, old: Mapping[str, Any] | None, default: Status) -> Status:
    status: Status = {
        "name": seen.name,
        "state": _state(seen),
        "lastState": {},
        "ready": False,
        "restartCount": seen.restart_count,
        "image": seen.image,
        "imageID": seen.image_id,
        "containerID": seen.status_id,
    }
    mounts = (old or default).get("volumeMounts")
    if mounts:
        status["volumeMounts"] = mounts
    if old is not None:
        _carry_over(status, seen, old)
    resources = _resources(container, seen)
    status["resources"] = resources
    if container.resources.requests:
        status["allocatedResources"] = _canonical(container.resources.requests)
    return status


def _carry_over(status: Status, seen: ContainerSeen, old: Mapping[str, Any]) -> None:
    """What only the published status still knows: counts and ends of attempts that the runtime has lost."""
    status["restartCount"] = max(seen.restart_count, old.get("restartCount", 0))
    ended = old.get("state", {}).get("terminated")
    if ended is not None and old.get("containerID") != seen.status_id:
        status["lastState"] = {"terminated": ended}
    elif "terminated" in old.get("lastState", {}):
        status["lastState"] = dict(old["lastState"])
    if seen.state is ContainerState.RUNNING:
        if ended is not None and old.get("restartCount", 0) >= seen.restart_count:
            status["restartCount"] = old["restartCount"] + 1
        if "started" in old:
            status["started"] = old["started"]


def _state(seen: ContainerSeen) -> Status:
    match seen.state:
        case ContainerState.RUNNING:
            return {"running": {"startedAt": rfc3339(seen.started_at)}}
        case ContainerState.EXITED:
            ended: Status = {"exitCode": seen.exit_code, "reason": seen.reason}
            if seen.message:
                ended["message"] = seen.message
            ended["startedAt"] = rfc3339(seen.started_at)
            ended["finishedAt"] = rfc3339(seen.finished_at)
            ended["containerID"] = seen.status_id
            return {"terminated": ended}
    return {"waiting": {}}


def _canonical(side: Mapping[str, str]) -> dict[str, str]:
    return {name: str(Quantity.parse(text)) for name, text in side.items()}


def _resources(container: Container, seen: ContainerSeen) -> Status:
    """The specification's, with what is really in force for a running container's CPU and memory."""
    sides = {"requests": _canonical(container.resources.requests), "limits": _canonical(container.resources.limits)}
    actual = seen.resources
    if actual is not None and seen.state is ContainerState.RUNNING:
        _override(sides["limits"], "cpu", actual.cpu_limit, _LOWEST_CPU_LIMIT)
        _override(sides["limits"], "memory", actual.memory_limit)
        _override(sides["requests"], "cpu", actual.cpu_request, MIN_SHARES)
        _override(sides["requests"], "memory", actual.memory_request)
    return {name: side for name, side in sides.items() if side}


def _override(side: dict[str, str], name: str, actual: int | None, lowest: int = -1) -> None:
    """`actual` in millicores or bytes; the text of the specification stays where it means the same."""
    if actual is None or not side:
        return
    stated = Quantity.parse(side[name]) if name in side else None
    unit = 1000 if name == "cpu" else 1
    if stated is not None and (stated.milli_value() if name == "cpu" else stated.value()) == actual:
        return
    if actual <= lowest and (stated is None or stated.milli_value() <= lowest):
        return
    side[name] = str(Quantity.parse(f"{actual}m")) if unit == 1000 else str(Quantity.parse(str(actual)))


def _waiting_again(pod: Pod, container: Container, status: Status, observed: Observed, init: bool) -> None:
    """A container that is to run but could not be started last time waits, with the reason of that failure."""
    seen = observed.latest(container.name)
    if init:
        if seen is not None and seen.state is ContainerState.EXITED and seen.exit_code == 0:
            return
        lost = seen is None and not restart.is_sidecar(container) and "waiting" in status["state"]
        if lost and init_containers.any_created(pod, observed):
            status["state"] = {"terminated": {**_ended("Completed", _LOST_INIT), "exitCode": 0}}
            return
    failure = observed.failures.get(container.name)
    if failure is None or not restart.should_run(container, pod, observed):
        return
    if "terminated" in status["state"]:
        status["lastState"] = status["state"]
    waiting = {"reason": failure.reason}
    if failure.message:
        waiting["message"] = failure.message
    status["state"] = {"waiting": waiting}
