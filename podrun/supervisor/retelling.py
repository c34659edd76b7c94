"""Events that podrund did not live to write: it was killed between the start of a container and the telling of it.

A kubelet loses these for good. The runtime knows what was started and the store what was told of it: the next podrund
tells what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from podrun.api.names import parse_time
from podrun.api.pod import Pod
from podrun.runtime.model import ContainerStatus
from podrun.supervisor.recorder import LIFETIME, container_path

Object = Mapping[str, Any]
STEPS = (("Created", "Container created"), ("Started", "Container started"))


class Untold(NamedTuple):
    """An Event to be written."""

    container: str
    reason: str
    message: str


def untold(pod: Pod, attempts: Iterable[ContainerStatus], events: Iterable[Object], now: float) -> list[Untold]:
    """What was never told of the newest attempts of a pod's containers; `events` are those of the pod."""
    newest = {status.config.name: status for status in attempts}  # they come oldest first
    told: dict[tuple[str, str], float] = {}
    for event in events:
        key = (event["involvedObject"].get("fieldPath", ""), event["reason"])
        told[key] = max(told.get(key, 0.0), _last(event))
    missing = []
    for name, status in newest.items():
        if not status.started_at or now - status.started_at > LIFETIME:
            continue
        path = container_path(pod, name)
        for reason, message in STEPS:
            # Times of Events have whole seconds.
            if told.get((path, reason), 0.0) < int(status.created_at if reason == "Created" else status.started_at):
                missing.append(Untold(name, reason, message))
    return missing


def _last(event: Object) -> float:
    last = event.get("lastTimestamp")
    return parse_time(last) if last else 0.0
