"""What every namespace has, and how one ends.

Each namespace gets the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt` at once, and gets them back when
they are deleted. A namespace that is being deleted loses its contents (pods with their grace, then the rest), then the
finalizer `kubernetes`, and is gone; until then its conditions say what is in the way. Work is done namespace by
namespace, in the order in which changes came; nothing is polled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from podrun.api import names
from podrun.api.deletion import DeleteOptions
from podrun.api.errors import ApiError
from podrun.api.kinds import KINDS, Kind
from podrun.controllers.namespace_conditions import conditions
from podrun.controllers.work_queue import WorkQueue
from podrun.store.deleting import delete
from podrun.store.records import WatchEvent
from podrun.store.store import Decision, Remove, Store

Object = dict[str, Any]

INITIAL = ("default", "kube-system", "kube-public", "kube-node-lease")
FINALIZER = "kubernetes"
ROOT_CA = "kube-root-ca.crt"
LINGER = 0.2
"""Seconds that the contents of a namespace which is to end stay as they are (namespaceDeletionGracePeriod, there 5 s so
that every API server has heard of it): clients may still let go of finalizers of their own."""
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)
_CONTENTS: tuple[Kind, ...] = tuple(
    kind for kind in KINDS.values() if kind.namespaced and kind.stored and not kind.alias_of
)

_PODS = KINDS["pods"]


class NamespaceController:
    """`ca` is the PEM text of the certificate authority that pods verify the API with."""

    def __init__(self, store: Store, ca: str, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._ca = ca
        self._clock = clock
        self._queue: WorkQueue[str] = WorkQueue("namespaces", self._settle)
        self._ends: list[Callable[[], None]] = []

    async def start(self) -> None:
        """Make the first namespaces; returns when they and what they hold are there."""
        self._ends.append(self._store.subscribe("namespaces", self._on_namespace))
        self._ends += [self._store.subscribe(kind.resource, self._on_content) for kind in _CONTENTS]
        for name in INITIAL:
            if self._store.get("namespaces", "", name) is None:
                await self._store.create("namespaces", namespace_object(name, self._clock()))
        for namespace in self._store.list("namespaces"):
            await self._settle(namespace["metadata"]["name"])
        self._queue.start()

    async def stop(self) -> None:
        """End; what was begun is taken up by the next start."""
        for end in self._ends:
            end()
        await self._queue.stop()

    def _on_namespace(self, event: WatchEvent) -> None:
        if event.type == "DELETED":
            return
        if event.object["metadata"].get("deletionTimestamp"):
            asyncio.get_running_loop().call_later(LINGER, self._queue.add, event.key.name)
        else:
            self._queue.add(event.key.name)

    def _on_content(self, event: WatchEvent) -> None:
        if event.type != "DELETED" and not _is_released(event):
            return
        kept = (event.key.resource, event.key.name) in (("serviceaccounts", "default"), ("configmaps", ROOT_CA))
        namespace = self._store.get("namespaces", "", event.key.namespace)
        if namespace is not None and (kept or "deletionTimestamp" in namespace["metadata"]):
            self._queue.add(event.key.namespace)

    async def _settle(self, name: str) -> None:
        namespace = self._store.get("namespaces", "", name)
        if namespace is None:
            return
        if "deletionTimestamp" in namespace["metadata"]:
            await self._end(name)
            return
        now = self._clock()
        for resource, obj in (
            ("serviceaccounts", _with_metadata({}, name, "default", now)),
            ("configmaps", self._root_ca(name, now)),
        ):
            if self._store.get(resource, name, obj["metadata"]["name"]) is None:
                await self._store.create(resource, obj)

    def _root_ca(self, namespace: str, now: float) -> Object:
        made = _with_metadata({"data": {"ca.crt": self._ca}}, namespace, ROOT_CA, now)
        made["metadata"]["annotations"] = {"kubernetes.io/description": _DESCRIPTION}
        return made

    async def _end(self, name: str) -> None:
        """Delete what there is, pods first and the rest once they are gone, as it is (KEP-5080): their ServiceAccount
        and what else they use is theirs until their end. What remains tells us when it goes.
        """
        await self._delete(_PODS, name)
        if not self._store.list(_PODS.resource, name):
            for kind in _CONTENTS:
                await self._delete(kind, name)
        remaining = [(kind, obj) for kind in _CONTENTS for obj in self._store.list(kind.resource, name)]
        now = names.rfc3339(self._clock())

        def ending(namespace: Object | None) -> Decision:
            if namespace is None:
                return None
            status = namespace.get("status") or {}
            told = conditions(status.get("conditions") or (), remaining, now)
            namespace = {**namespace, "status": {**status, "conditions": told}}
            return namespace if remaining else _without_finalizer(namespace)

        await self._store.write("namespaces", "", name, ending)

    async def _delete(self, kind: Kind, namespace: str) -> None:
        """Have everything of a kind go that is not going yet."""
        for obj in self._store.list(kind.resource, namespace):
            if "deletionTimestamp" in obj["metadata"]:
                continue
            try:
                await delete(self._store, kind, namespace, obj["metadata"]["name"], DeleteOptions(), self._clock())
            except ApiError as error:
                if error.reason != "NotFound":
                    raise


def namespace_object(name: str, now: float) -> Object:
    """A new namespace as the API server completes it."""
    return {
        "metadata": {
            "name": name,
            "uid": names.new_uid(),
            "creationTimestamp": names.rfc3339(now),
            "labels": {"kubernetes.io/metadata.name": name},
        },
        "spec": {"finalizers": [FINALIZER]},
        "status": {"phase": "Active"},
    }


def _is_released(event: WatchEvent) -> bool:
    """Whether a change gave or took finalizers: the conditions of a namespace that ends tell of them."""
    before = event.before.object["metadata"] if event.before else {}
    return event.type == "MODIFIED" and before.get("finalizers") != event.object["metadata"].get("finalizers")


def _with_metadata(obj: Object, namespace: str, name: str, now: float) -> Object:
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": names.new_uid(),
        "creationTimestamp": names.rfc3339(now),
    }
    return {"metadata": metadata, **obj}


def _without_finalizer(namespace: Object) -> Decision:
    """An empty namespace that ends lets go of ours; with no other left it is gone."""
    finalizers = [one for one in namespace["spec"].get("finalizers", []) if one != FINALIZER]
    spec = {key: value for key, value in namespace["spec"].items() if key != "finalizers"}
    changed = {**namespace, "spec": {**spec, "finalizers": finalizers} if finalizers else spec}
    if finalizers or namespace["metadata"].get("finalizers"):
        return changed
    return Remove(changed)
