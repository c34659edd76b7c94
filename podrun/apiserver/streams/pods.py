"""How streams reach containers, and which container a request means; refusals in the API server's words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podrun.api.errors import bad_request, service_unavailable
from podrun.runtime.service import RuntimeService

Object = dict[str, Any]

_LISTS = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True, slots=True)
class PodAccess:
    """What is behind pods.

    `container_id(namespace, pod, container, previous)` is the runtime's id of a container's latest (or last but one)
    attempt, None while there is none. `logs` is where containers' logs are, in the kubelet's layout.
    """

    runtime: RuntimeService
    container_id: Callable[[str, str, str, bool], str | None]
    logs: Path


def container_name(pod: Object, wanted: str) -> str:
    """The container that a request is about; raises BadRequest when that is not clear."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    regular: list[str] = [one["name"] for one in spec.get("containers") or []]
    everything = [one["name"] for kind in _LISTS for one in spec.get(kind) or []]
    if wanted:
        if wanted not in everything:
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(regular) == 1:
        return regular[0]
    choice = " ".join(everything)
    raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{choice}]")


def reachable(pods: PodAccess | None) -> PodAccess:
    """Raises ServiceUnavailable while nothing runs pods (the daemon is starting)."""
    if pods is None:
        raise service_unavailable("podrun has not started its pods yet, try again in a moment")
    return pods
