"""Keeps Endpoints and EndpointSlices as the Services and pods want them.

    Service, pod, Endpoints or slice changed ──> its Services are noted ──> all noted ones are written at once

What they should be is decided in `endpoint_rules.py`; here it is compared with what is stored, and the difference is
written in one go, so that it is on disk with one flush: a pod's readiness reaches its Services in milliseconds.
Nothing is polled, and a pod's change that does not concern its Services costs a comparison.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from podrun.api import names
from podrun.api.errors import ApiError
from podrun.controllers import endpoint_rules as rules
from podrun.controllers.slices import SERVICE_NAME, SLICES, SliceIndex, service_of
from podrun.store.records import WatchEvent
from podrun.store.store import Decision, Remove, Store

Object = dict[str, Any]

log = logging.getLogger(__name__)


class Wanted(NamedTuple):
    """Slices as they should be: their contents, and what the metadata of each says."""

    contents: list[Object]
    labels: dict[str, str]
    annotations: dict[str, str]
    owner: Object


class EndpointsController:
    """One per daemon."""

    def __init__(self, store: Store, slices: SliceIndex, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._slices = slices
        self._clock = clock
        self._wanted: dict[tuple[str, str], bool] = {}
        """Namespace and name of the Services to look at; True: what is left of a Service that is gone goes too."""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ends: list[Callable[[], None]] = []

    async def start(self) -> None:
        """Look after everything there is, and what changes from now on."""
        for resource, handler in (
            ("services", self._on_service),
            ("endpoints", self._on_endpoints),
            (SLICES, self._on_slice),
            ("pods", self._on_pod),
        ):
            self._ends.append(self._store.subscribe(resource, handler))
        for resource in ("services", "endpoints"):
            for key, _ in self._store.items(resource):
                self._note(key.namespace, key.name, leftovers=True)
        self._task = asyncio.create_task(self._run(), name="endpoints")

    async def stop(self) -> None:
        """End; the next start takes up what is left."""
        for end in self._ends:
            end()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _on_service(self, event: WatchEvent) -> None:
        self._note(event.key.namespace, event.key.name, leftovers=event.type == "DELETED")

    def _on_endpoints(self, event: WatchEvent) -> None:
        self._note(event.key.namespace, event.key.name)

    def _on_slice(self, event: WatchEvent) -> None:
        for service in {service_of(event.object), service_of(event.previous)} - {""}:
            self._note(event.key.namespace, service)

    def _on_pod(self, event: WatchEvent) -> None:
        pod, before = event.object, event.previous
        if event.type == "MODIFIED" and before is not None and rules.concern(pod) == rules.concern(before):
            return
        for service in self._store.list("services", event.key.namespace):
            if any(rules.is_selected(service, (one or {}).get("metadata", {}).get("labels")) for one in (pod, before)):
                self._note(event.key.namespace, service["metadata"]["name"])

    def _note(self, namespace: str, service: str, *, leftovers: bool = False) -> None:
        self._wanted[(namespace, service)] = leftovers or self._wanted.get((namespace, service), False)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            noted, self._wanted = self._wanted, {}
            writes = [write for where, leftovers in noted.items() for write in self._writes(*where, leftovers)]
            for result in await asyncio.gather(*writes, return_exceptions=True):
                if isinstance(result, ApiError):
                    # Something else has changed it: that change has noted the Service again.
                    log.debug("endpoints: %s", result)
                elif isinstance(result, BaseException):
                    log.error("endpoints could not be written", exc_info=result)

    def _writes(self, namespace: str, name: str, leftovers: bool) -> list[Coroutine[Any, Any, Any]]:
        """What is to be written so that one Service's endpoints are as they should be."""
        service = self._store.get("services", namespace, name)
        endpoints = self._store.get("endpoints", namespace, name)
        slices = self._slices.of(namespace, name)
        own = _managed(slices, rules.SLICE_CONTROLLER)
        copies = _managed(slices, rules.MIRROR_CONTROLLER)
        if service is None or "deletionTimestamp" in service["metadata"]:
            gone = [*own, *copies] if service is None else []
            writes = [self._remove(SLICES, one) for one in gone]
            if service is None and leftovers and endpoints is not None and not _is_leaders(endpoints):
                writes.append(self._remove("endpoints", endpoints))
            return writes
        if not self._takes_objects(namespace):
            return []
        if rules.is_managed(service):
            pods = self._store.list("pods", namespace)
            wanted = Wanted(
                rules.slices_of(service, pods),
                rules.slice_labels(service),
                {},
                rules.owner_reference("Service", service),
            )
            return [
                *self._endpoints_writes(service, endpoints, rules.endpoints_of(service, pods)),
                *self._slice_writes(service, own, wanted, stamped=True),
                *(self._remove(SLICES, one) for one in copies),
            ]
        if endpoints is None or not rules.is_mirrored(endpoints) or service["spec"].get("selector") is not None:
            return [self._remove(SLICES, one) for one in copies]
        wanted = Wanted(
            rules.mirrored(endpoints),
            rules.mirror_labels(endpoints),
            rules.mirror_annotations(endpoints),
            rules.owner_reference("Endpoints", endpoints),
        )
        return self._slice_writes(service, copies, wanted, stamped=False)

    def _takes_objects(self, namespace: str) -> bool:
        found = self._store.get("namespaces", "", namespace)
        return found is not None and "deletionTimestamp" not in found["metadata"]

    def _endpoints_writes(
        self, service: Object, current: Object | None, subsets: list[Object]
    ) -> list[Coroutine[Any, Any, Any]]:
        labels = rules.endpoints_labels(service)
        if (
            current is not None
            and (current.get("subsets") or []) == subsets
            and current["metadata"].get("labels") == labels
        ):
            return []
        metadata = service["metadata"]
        stamp = {rules.LAST_CHANGE: names.rfc3339(self._clock())}

        def written(stored: Object | None) -> Decision:
            base = stored["metadata"] if stored is not None else self._metadata(metadata["namespace"], metadata["name"])
            annotations = {**(base.get("annotations") or {}), **stamp}
            made: Object = {"metadata": {**base, "labels": labels, "annotations": annotations}}
            return {**made, "subsets": subsets} if subsets else made

        return [self._store.write("endpoints", metadata["namespace"], metadata["name"], written)]

    def _slice_writes(
        self, service: Object, stored: Sequence[Object], wanted: Wanted, *, stamped: bool
    ) -> list[Coroutine[Any, Any, Any]]:
        """Slices that are right stay, others are rewritten (those with the same ports first), made or removed."""
        missing = list(wanted.contents)
        left = []
        for one in stored:
            right = next((content for content in missing if _is(one, content, wanted)), None)
            if right is None:
                left.append(one)
            else:
                missing.remove(right)
        writes: list[Coroutine[Any, Any, Any]] = []
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        annotations = dict(wanted.annotations)
        if stamped:
            annotations[rules.LAST_CHANGE] = names.rfc3339(self._clock())
        for content in missing:
            old = next((one for one in left if _suits(one, content)), None)
            if old is not None:
                left.remove(old)
            own = old["metadata"]["name"] if old is not None else names.generate_name(f"{name}-")
            writes.append(self._write_slice(namespace, own, content, wanted, annotations))
        return writes + [self._remove(SLICES, one) for one in left]

    def _write_slice(
        self, namespace: str, name: str, content: Object, wanted: Wanted, annotations: dict[str, str]
    ) -> Coroutine[Any, Any, Any]:
        def written(stored: Object | None) -> Decision:
            if stored is None:
                base = {**self._metadata(namespace, name), "generateName": f"{wanted.labels[SERVICE_NAME]}-"}
            else:
                base = stored["metadata"]
            metadata = {
                **base,
                "generation": base.get("generation", 0) + 1,
                "labels": wanted.labels,
                "ownerReferences": [wanted.owner],
            }
            if annotations:
                metadata["annotations"] = annotations
            return {"metadata": metadata, **content}

        return self._store.write(SLICES, namespace, name, written)

    def _metadata(self, namespace: str, name: str) -> Object:
        return {
            "name": name,
            "namespace": namespace,
            "uid": names.new_uid(),
            "creationTimestamp": names.rfc3339(self._clock()),
        }

    def _remove(self, resource: str, obj: Object) -> Coroutine[Any, Any, Any]:
        def gone(current: Object | None) -> Decision:
            return Remove(current) if current is not None else None

        return self._store.write(resource, obj["metadata"]["namespace"], obj["metadata"]["name"], gone)


def _managed(slices: Sequence[Object], controller: str) -> list[Object]:
    return [one for one in slices if one["metadata"]["labels"].get(rules.SLICE_MANAGED_BY) == controller]


def _is_leaders(endpoints: Object) -> bool:
    """Endpoints that old clients keep their leader in belong to no Service."""
    return rules.LEADER in (endpoints["metadata"].get("annotations") or {})


def _is(stored: Object, content: Object, wanted: Wanted) -> bool:
    metadata = stored["metadata"]
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != rules.LAST_CHANGE}
    return (
        all(stored.get(key) == content[key] for key in ("addressType", "endpoints", "ports"))
        and metadata.get("labels") == wanted.labels
        and annotations == wanted.annotations
        and metadata.get("ownerReferences") == [wanted.owner]
    )


def _suits(stored: Object, content: Object) -> bool:
    """The family of a slice's addresses never changes; its ports may, but rather those of another."""
    return bool(stored["addressType"] == content["addressType"])
