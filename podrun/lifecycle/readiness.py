"""`started` and `ready` of container statuses, from the verdicts of the probes (prober_manager.go, UpdatePodStatus)."""

from __future__ import annotations

from typing import Any

from podrun.api.pod import Container, Pod
from podrun.lifecycle import restart
from podrun.lifecycle.observed import Observed, Verdict

Status = dict[str, Any]


def add_readiness(pod: Pod, regular: list[Status], init: list[Status], observed: Observed) -> None:
    """Set `started` and `ready` in statuses just made; ephemeral containers have neither."""
    by_name = {c.name: c for c in (*pod.spec.containers, *pod.spec.init_containers)}
    for status in regular:
        _set(status, by_name[status["name"]], observed)
    for status in init:
        container = by_name[status["name"]]
        if restart.is_sidecar(container):
            _set(status, container, observed)
            continue
        status["started"] = "running" in status["state"]
        ended = status["state"].get("terminated")
        # An init container that is gone keeps the readiness it was published with (RestartAllContainers shows it).
        status["ready"] = bool(status.get("ready")) or (ended is not None and ended["exitCode"] == 0)


def _set(status: Status, container: Container, observed: Observed) -> None:
    status["started"] = _started(status, container, observed)
    status["ready"] = status["started"] and _ready(status, container, observed)


def _id(status: Status) -> str:
    return str(status.get("containerID", "")).rpartition("/")[2]


def _started(status: Status, container: Container, observed: Observed) -> bool:
    """Running, and past its startup probe. What had started before podrund restarted has started."""
    if "running" not in status["state"]:
        return False
    verdict = observed.verdicts.startup.get(_id(status))
    if verdict is not None:
        return verdict is Verdict.SUCCESS
    return bool(status.get("started")) or container.startup_probe is None


def _ready(status: Status, container: Container, observed: Observed) -> bool:
    if "running" not in status["state"]:
        return False
    if container.readiness_probe is None:
        return True
    return observed.verdicts.readiness.get(_id(status)) is Verdict.SUCCESS
