"""The Node object of this machine, and its Lease: what tells clients that the node is there and what it has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from podrun.api.errors import ApiError
from podrun.api.names import new_uid, rfc3339, rfc3339_micro
from podrun.images.model import Image
from podrun.store.store import Store
from podrun.supervisor.event_rules import Told
from podrun.supervisor.machine import Machine
from podrun.supervisor.needs import Clock
from podrun.supervisor.recorder import KUBELET, Recorder

log = logging.getLogger(__name__)

Object = dict[str, Any]
LEASES, LEASE_NAMESPACE = "leases.coordination.k8s.io", "kube-node-lease"
LEASE_SECONDS, RENEW_EVERY = 40, 10.0
KUBERNETES = "v1.36.2"
_MAX_IMAGES = 50

DECLARED_FEATURES = (
    "ExtendWebSocketsToKubelet",
    "InPlacePodLevelResourcesVerticalScaling",
    "InPlacePodVerticalScalingInitContainers",
    "RestartAllContainersOnContainerExits",
)
_PRESSURES = {
    "MemoryPressure": (
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    ),
    "DiskPressure": (
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    ),
    "PIDPressure": (
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
    ),
}
"""Reason and message of each condition, while it does not hold and while it does."""


def node_object(
    name: str,
    machine: Machine,
    images: Sequence[Image],
    version: str,
    now: float,
    before: Mapping[str, Any] | None,
    pressures: Collection[str] = (),
) -> Object:
    """The Node as it is to be; what others wrote (labels, taints, annotations) is kept from `before`.

    `pressures` are the conditions of being short of something that hold.
    """
    meta: Object = dict(before["metadata"]) if before is not None else {"name": name, "uid": new_uid()}
    meta.setdefault("creationTimestamp", rfc3339(now))
    meta["labels"] = {
        **meta.get("labels", {}),
        "beta.kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
    }
    old = (before or {}).get("status") or {}
    return {
        "metadata": meta,
        "spec": dict(before.get("spec") or {}) if before is not None else {},
        "status": {
            **old,
            "capacity": dict(machine.capacity),
            "allocatable": dict(machine.allocatable),
            "conditions": _conditions(old.get("conditions", ()), now, pressures),
            "addresses": [
                *({"type": "InternalIP", "address": address} for address in machine.addresses),
                {"type": "Hostname", "address": name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": {
                "machineID": machine.machine_id,
                "systemUUID": machine.machine_id,
                "bootID": machine.boot_id,
                "kernelVersion": machine.kernel,
                "osImage": machine.os_image,
                "containerRuntimeVersion": f"podrun://{version}",
                "kubeletVersion": KUBERNETES,
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": machine.architecture,
            },
            "images": _images(images),
            "runtimeHandlers": [
                {
                    "name": "",
                    "features": {"recursiveReadOnlyMounts": True, "userNamespaces": machine.user_namespaces},
                }
            ],
            "features": {"supplementalGroupsPolicy": True},
            "declaredFeatures": list(DECLARED_FEATURES),
        },
    }


def _conditions(before: Sequence[Mapping[str, Any]], now: float, pressures: Collection[str]) -> list[Object]:
    times = {c["type"]: (c["status"], c.get("lastTransitionTime")) for c in before}
    wanted = [
        (kind, "True" if kind in pressures else "False", *texts[kind in pressures])
        for kind, texts in _PRESSURES.items()
    ]
    wanted.append(("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
    made = []
    for kind, status, reason, message in wanted:
        was, since = times.get(kind, (None, None))
        made.append(
            {
                "type": kind,
                "status": status,
                "lastHeartbeatTime": rfc3339(now),
                "lastTransitionTime": since if was == status and since else rfc3339(now),
                "reason": reason,
                "message": message,
            }
        )
    return made


def _images(images: Sequence[Image]) -> list[Object]:
    """The largest images, as a kubelet lists them."""
    largest = sorted(images, key=lambda image: -image.size)[:_MAX_IMAGES]
    return [{"names": [*image.digests, *image.references], "sizeBytes": image.size} for image in largest]


class NodeStatus:
    """Keeps the Node and its Lease; `changed` when images have come or gone."""

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        name: str,
        machine: Machine,
        images: Callable[[], Sequence[Image]],
        version: str,
        clock: Clock,
    ) -> None:
        self._store, self._recorder, self._name, self._machine = store, recorder, name, machine
        self._images, self._version, self._clock = images, version, clock
        self._renewal: asyncio.Task[None] | None = None
        self._pressures: frozenset[str] = frozenset()
        self.on_tick: Callable[[], None] = lambda: None
        """Called with each renewal of the Lease: what has to look now and then needs no wake-up of its own."""

    async def start(self) -> None:
        """Publish the Node, then renew the Lease until `stop`."""
        await self.changed()
        self.tell("Normal", "Starting", "Starting kubelet.")
        self._renewal = asyncio.get_running_loop().create_task(self._renew())

    async def stop(self) -> None:
        """Renew no more; the Node stays."""
        if self._renewal is not None:
            self._renewal.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewal

    def tell(self, kind: str, reason: str, message: str) -> None:
        """Record an Event about the node."""
        node = self._store.get("nodes", "", self._name)
        about = ("Node", "", self._name, node["metadata"]["uid"] if node is not None else self._name, "")
        self._recorder.tell(Told(about, KUBELET, kind, reason, message))

    async def short_of(self, pressures: frozenset[str]) -> None:
        """The conditions of being short of something are these from now on."""
        for kind in sorted(pressures ^ self._pressures):
            reason = _PRESSURES[kind][kind in pressures][0].replace("Kubelet", "Node", 1)
            self.tell("Normal", reason, f"Node {self._name} status is now: {reason}")
        self._pressures = pressures
        await self.changed()

    async def changed(self) -> None:
        """Write the Node as it is now."""
        images, now, pressures = self._images(), self._clock(), self._pressures
        await self._store.write(
            "nodes",
            "",
            self._name,
            lambda before: node_object(self._name, self._machine, images, self._version, now, before, pressures),
        )

    async def _renew(self) -> None:
        while True:
            try:
                await self._store.write(LEASES, LEASE_NAMESPACE, self._name, self._lease)
            except ApiError as error:
                log.warning("the lease of node %s was not renewed: %s", self._name, error)
            self.on_tick()
            await asyncio.sleep(RENEW_EVERY)

    def _lease(self, before: Mapping[str, Any] | None) -> Object:
        now = self._clock()
        if before is not None:
            return {**before, "spec": {**before["spec"], "renewTime": rfc3339_micro(now)}}
        node = self._store.get("nodes", "", self._name)
        owner = {"apiVersion": "v1", "kind": "Node", "name": self._name, "uid": node["metadata"]["uid"] if node else ""}
        return {
            "metadata": {
                "name": self._name,
                "namespace": LEASE_NAMESPACE,
                "uid": new_uid(),
                "creationTimestamp": rfc3339(now),
                "ownerReferences": [owner],
            },
            "spec": {
                "holderIdentity": self._name,
                "leaseDurationSeconds": LEASE_SECONDS,
                "renewTime": rfc3339_micro(now),
            },
        }
