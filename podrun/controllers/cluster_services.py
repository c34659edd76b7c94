"""The two Services that every cluster has: `default/kubernetes` (the API) and `kube-system/kube-dns`.

Both are at addresses of the host itself, where podrund listens; they are made at the start, before a client can take
their addresses, and again when somebody deletes them. Labels and ports are those of a kubeadm cluster, so that what
looks for cluster DNS by them (`k8s-app: kube-dns`) finds it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from podrun.api import names
from podrun.api.errors import ApiError
from podrun.controllers.endpoint_rules import SKIP_MIRROR
from podrun.controllers.slices import SERVICE_NAME, SLICES
from podrun.store.records import WatchEvent
from podrun.store.store import Decision, Store

Object = dict[str, Any]

log = logging.getLogger(__name__)

API_LABELS = {"component": "apiserver", "provider": "kubernetes"}
DNS_LABELS = {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}


@dataclass(frozen=True, slots=True)
class ClusterService:
    """One of them: `ports` are (name, protocol, port, port that podrund listens at)."""

    namespace: str
    name: str
    address: str
    labels: dict[str, str]
    ports: tuple[tuple[str, str, int, int], ...]

    def objects(self, now: float) -> dict[str, Object]:
        """The Service, its Endpoints and its slice, by resource."""
        made = {
            "name": self.name,
            "namespace": self.namespace,
            "creationTimestamp": names.rfc3339(now),
        }
        ports = [
            {"name": name, "protocol": protocol, "port": port, "targetPort": target}
            for name, protocol, port, target in self.ports
        ]
        served = [
            {"name": name, "protocol": protocol, "port": target} for name, protocol, _, target in sorted(self.ports)
        ]
        spec = {
            "ports": ports,
            "clusterIP": self.address,
            "clusterIPs": [self.address],
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
        }
        where = {"addresses": [self.address], "conditions": {"ready": True}}
        by_hand = {SKIP_MIRROR: "true"}
        return {
            "services": {
                "metadata": {**made, "uid": names.new_uid(), "labels": self.labels},
                "spec": spec,
                "status": {"loadBalancer": {}},
            },
            "endpoints": {
                "metadata": {**made, "uid": names.new_uid(), "labels": by_hand},
                "subsets": [{"addresses": [{"ip": self.address}], "ports": served}],
            },
            SLICES: {
                "metadata": {**made, "uid": names.new_uid(), "generation": 1, "labels": {SERVICE_NAME: self.name}},
                "addressType": "IPv4",
                "endpoints": [where],
                "ports": served,
            },
        }


def api_service(address: str, port: int) -> ClusterService:
    """The API, for pods: at 443, which leads to `port`."""
    return ClusterService("default", "kubernetes", address, API_LABELS, (("https", "TCP", 443, port),))


def dns_service(address: str) -> ClusterService:
    """Cluster DNS."""
    ports = (("dns", "UDP", 53, 53), ("dns-tcp", "TCP", 53, 53))
    return ClusterService("kube-system", "kube-dns", address, DNS_LABELS, ports)


class ClusterServices:
    """Makes them and makes them again."""

    def __init__(
        self, store: Store, services: tuple[ClusterService, ...], clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._services = {(one.namespace, one.name): one for one in services}
        self._clock = clock
        self._ends: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Returns when they are there."""
        for service in self._services.values():
            await self._make(service)
        for resource in ("services", "endpoints", SLICES):
            self._ends.append(self._store.subscribe(resource, self._on_change))

    async def stop(self) -> None:
        """End."""
        for end in self._ends:
            end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_change(self, event: WatchEvent) -> None:
        service = self._services.get((event.key.namespace, event.key.name))
        if service is not None and event.type == "DELETED":
            task = asyncio.get_running_loop().create_task(self._make(service))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _make(self, service: ClusterService) -> None:
        """What is missing is made; what is there stays as it is, but for the address and the ports."""
        for resource, obj in service.objects(self._clock()).items():
            parts = [key for key in obj if key not in ("metadata", "status")]

            def written(current: Object | None, obj: Object = obj, parts: list[str] = parts) -> Decision:
                return obj if current is None else {**current, **{key: obj[key] for key in parts}}

            try:
                await self._store.write(resource, service.namespace, service.name, written)
            except ApiError as error:
                log.warning("%s/%s: %s", service.namespace, service.name, error)
