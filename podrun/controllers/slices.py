"""EndpointSlices by the Service that they belong to, kept up to date: reading them costs what one Service has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from podrun.store.records import WatchEvent
from podrun.store.store import Store

Object = dict[str, Any]

SLICES = "endpointslices.discovery.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"


def service_of(one: Object | None) -> str:
    """The name of the Service that a slice belongs to; "" when it says none."""
    metadata = (one or {}).get("metadata") or {}
    return str((metadata.get("labels") or {}).get(SERVICE_NAME, ""))


class SliceIndex:
    """One per store, made before whoever reads it subscribes: it is then always ahead of them."""

    def __init__(self, store: Store) -> None:
        self._of_service: dict[tuple[str, str], dict[str, Object]] = {}
        for key, record in store.items(SLICES):
            self._add(key.namespace, key.name, record.object)
        store.subscribe(SLICES, self._on_change)

    def of(self, namespace: str, service: str) -> list[Object]:
        """The slices of a Service, by their names."""
        return [one for _, one in sorted(self._of_service.get((namespace, service), {}).items())]

    def __iter__(self) -> Iterator[tuple[str, str, Object]]:
        """Namespace, Service and slice, of all."""
        for (namespace, service), slices in self._of_service.items():
            for one in slices.values():
                yield namespace, service, one

    def _on_change(self, event: WatchEvent) -> None:
        namespace, name = event.key.namespace, event.key.name
        before = service_of(event.previous or event.object)
        known = self._of_service.get((namespace, before), {})
        known.pop(name, None)
        if not known:
            self._of_service.pop((namespace, before), None)
        if event.type != "DELETED":
            self._add(namespace, name, event.object)

    def _add(self, namespace: str, name: str, one: Object) -> None:
        service = service_of(one)
        if service:
            self._of_service.setdefault((namespace, service), {})[name] = one
