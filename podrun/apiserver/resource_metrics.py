"""metrics.k8s.io/v1beta1: what `kubectl top` and every dashboard show. Answered as metrics-server answers.

PodMetrics and NodeMetrics are stored nowhere: they are the pods and Nodes of the store with what `usage` measures at
the moment of the request. The Nodes measured are those whose status says that they are this machine (its boot id); a
Node that somebody merely wrote down has no metrics, nor has a pod of which nothing runs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from podrun.api import names
from podrun.api.errors import not_found
from podrun.api.quantity import Quantity
from podrun.apiserver.answers import answer_object, answer_objects
from podrun.apiserver.call import Call
from podrun.apiserver.lists import matcher
from podrun.apiserver.streams.pods import PodAccess
from podrun.apiserver.usage import Reading, Usage, UsageMeter, boot_id, machine_reading
from podrun.runtime.model import State
from podrun.runtime.service import RuntimeService
from podrun.store.store import Store

Object = dict[str, Any]

GROUP = "metrics.k8s.io"


class ResourceMetrics:
    """Answers the group over one store; one meter for all requests, so that each is compared with the one before."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._meter = UsageMeter()

    async def answer(self, call: Call, pods: PodAccess | None) -> web.Response:
        """GET of one or of a list. Raises NotFound for what is not there or not measured."""
        found = await (self._nodes(call) if call.kind.plural == "nodes" else self._pods(call, pods))
        if not call.info.name:
            return await answer_objects(call, found, {})
        if not found:
            namespaced = f"{call.namespace}/{call.info.name}" if call.namespace else call.info.name
            raise not_found(f"{call.kind.kind.lower()}.{GROUP}", namespaced)
        return await answer_object(call, found[0])

    def _chosen(self, call: Call) -> list[Object]:
        """The stored objects that a call is about, in order; raises NotFound for a name that nothing has."""
        if call.info.name:
            one = self._store.get(call.kind.plural, call.namespace, call.info.name)
            if one is None:
                name = f"{call.namespace}/{call.info.name}" if call.namespace else call.info.name
                raise not_found(call.kind.plural, name)
            return [one]
        matches = matcher(call)
        found = self._store.list(call.kind.plural, call.namespace or None)
        return sorted((obj for obj in found if matches is None or matches(obj)), key=_path)

    async def _nodes(self, call: Call) -> list[Object]:
        here = boot_id()
        nodes = [one for one in self._chosen(call) if node_boot_id(one) == here]
        if not nodes:
            return []
        usage = (await self._meter.measure(lambda: {"": machine_reading()}))[""]
        return [{**_measured(call, node, [usage]), "usage": _resources(usage)} for node in nodes]

    async def _pods(self, call: Call, pods: PodAccess | None) -> list[Object]:
        chosen = self._chosen(call)
        if pods is None or not chosen:
            return []
        running = _running(pods.runtime, [pod["metadata"]["uid"] for pod in chosen])
        everything = [container for containers in running.values() for container in containers]
        usage = await self._meter.measure(lambda: _readings(pods.runtime, everything))
        found = []
        for pod in chosen:
            containers = running.get(pod["metadata"]["uid"], {})
            measured = {name: usage[one] for one, name in containers.items() if one in usage}
            if measured:
                listed = [{"name": name, "usage": _resources(one)} for name, one in sorted(measured.items())]
                found.append({**_measured(call, pod, measured.values()), "containers": listed})
        return found


def node_boot_id(node: Object) -> str:
    """The boot id of the machine that a Node says to be; "" where it says none."""
    return str(((node.get("status") or {}).get("nodeInfo") or {}).get("bootID", ""))


def _path(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _running(runtime: RuntimeService, uids: Iterable[str]) -> dict[str, dict[str, str]]:
    """Pod uid -> container id -> name, of what runs now."""
    wanted = set(uids)
    found: dict[str, dict[str, str]] = {}
    for status in runtime.containers():
        if status.pod_uid in wanted and status.state is State.RUNNING:
            found.setdefault(status.pod_uid, {})[status.id] = status.config.name
    return found


def _readings(runtime: RuntimeService, container_ids: Iterable[str]) -> Mapping[str, Reading]:
    """The counters of those that still run."""
    running = {status.id for status in runtime.containers() if status.state is State.RUNNING}
    found = {}
    for one in container_ids:
        statistics = runtime.container_statistics(one) if one in running else None
        if statistics is not None:
            found[one] = Reading(statistics.time, statistics.cpu_ns, statistics.memory_working_set)
    return found


def _measured(call: Call, obj: Object, usages: Iterable[Usage]) -> Object:
    """What metrics of a pod and of a Node have in common; the window is that of the last container measured."""
    last = max(usages, key=lambda usage: usage.time)
    metadata = {key: obj["metadata"][key] for key in ("name", "namespace", "labels") if obj["metadata"].get(key)}
    return {
        "kind": call.kind.kind,
        "apiVersion": call.kind.api_version,
        "metadata": {**metadata, "creationTimestamp": names.rfc3339(time.time())},
        "timestamp": names.rfc3339(last.time),
        "window": duration(last.window),
    }


def _resources(usage: Usage) -> Object:
    return {"cpu": str(Quantity(usage.cpu)), "memory": str(Quantity.from_int(usage.memory, "BinarySI"))}


def duration(seconds: float) -> str:
    """A length of time as Go writes it, to the millisecond: `512ms`, `15.02s`, `1m0s`."""
    milliseconds = math.floor(seconds * 1000 + 0.5)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{text}s" if minutes else f"{text}s"
