"""Owner references: what is owned goes with its owner.

    Background  the owner goes at once, then its dependents
    Foreground  the owner waits (finalizer foregroundDeletion) for the dependents that block it
    Orphan      the dependents lose the reference (finalizer orphan), then the owner goes

An object with several owners goes with the last of them, and one whose owner never was (or is another object of the
same name) goes too. Owners of kinds that are not served are believed to exist. Kubernetes:
pkg/controller/garbagecollector.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from podrun.api.deletion import FOREGROUND, ORPHAN, DeleteOptions, is_finished
from podrun.api.kinds import KINDS, kind_of
from podrun.controllers.work_queue import WorkQueue
from podrun.store.deleting import delete
from podrun.store.records import Key, WatchEvent
from podrun.store.store import Decision, Remove, Store

Object = dict[str, Any]

_RESOURCES = tuple(kind.resource for kind in KINDS.values() if kind.stored and not kind.alias_of)


class GarbageCollector:
    """Keeps an index of who owns whom and acts on what changes; memory costs a uid per object."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._living: set[str] = set()
        self._dependents: dict[str, set[Key]] = {}
        self._queue: WorkQueue[Key] = WorkQueue("garbage-collector", self._settle)
        self._ends: list[Callable[[], None]] = []

    async def start(self) -> None:
        """Read what there is, and look after it from now on."""
        for resource in _RESOURCES:
            for key, record in self._store.items(resource):
                self._note(key, record.object)
            self._ends.append(self._store.subscribe(resource, self._on_change))
        self._queue.start()

    async def stop(self) -> None:
        """End."""
        for end in self._ends:
            end()
        await self._queue.stop()

    def _on_change(self, event: WatchEvent) -> None:
        if event.type != "DELETED":
            self._note(event.key, event.object)
            return
        metadata = event.object["metadata"]
        uid = metadata.get("uid", "")
        self._living.discard(uid)
        for owner in _owners(event.object):
            known = self._dependents.get(owner["uid"], set())
            known.discard(event.key)
            if not known:
                self._dependents.pop(owner["uid"], None)
            # An owner that waits for its dependents may be able to go now.
            found = self._find_owner(owner, event.key.namespace)
            if found is not None and FOREGROUND in (found["metadata"].get("finalizers") or []):
                self._queue.add(_key(found))
        for dependent in self._dependents.get(uid, ()):
            self._queue.add(dependent)

    def _note(self, key: Key, obj: Object) -> None:
        metadata = obj["metadata"]
        self._living.add(metadata.get("uid", ""))
        for owner in _owners(obj):
            self._dependents.setdefault(owner["uid"], set()).add(key)
        waits = {FOREGROUND, ORPHAN} & set(metadata.get("finalizers") or ()) and "deletionTimestamp" in metadata
        if waits or metadata.get("ownerReferences"):
            self._queue.add(key)

    async def _settle(self, key: Key) -> None:
        obj = self._store.get(*key)
        if obj is None:
            return
        metadata = obj["metadata"]
        finalizers = metadata.get("finalizers") or []
        if "deletionTimestamp" in metadata:
            if ORPHAN in finalizers:
                await self._orphan(obj)
                await self._release(key, ORPHAN)
            elif FOREGROUND in finalizers and not await self._blocked(obj):
                await self._release(key, FOREGROUND)
            return
        owners = list(_owners(obj))
        if not owners:
            return
        absent = [owner for owner in owners if not self._exists(owner, key.namespace)]
        waiting = [owner for owner in owners if owner not in absent and self._ends_in_foreground(owner, key.namespace)]
        if len(absent) + len(waiting) == len(owners):
            policy = "Foreground" if waiting and self._dependents.get(metadata["uid"]) else "Background"
            options = DeleteOptions(uid=metadata["uid"], policy=policy)
            await delete(self._store, KINDS[key.resource], key.namespace, key.name, options, self._clock())
        elif absent:
            gone = {owner["uid"] for owner in absent}
            await self._store.modify(*key, lambda current: _without_owners(current, gone))

    async def _orphan(self, owner: Object) -> None:
        uid = owner["metadata"]["uid"]
        for key in list(self._dependents.get(uid, ())):
            if self._store.get(*key) is not None:
                await self._store.modify(*key, lambda current: _without_owners(current, {uid}))
        self._dependents.pop(uid, None)

    async def _blocked(self, owner: Object) -> bool:
        """Delete the dependents of an owner that goes last; whether one that blocks it is still there."""
        uid = owner["metadata"]["uid"]
        blocked = False
        for key in list(self._dependents.get(uid, ())):
            dependent = self._store.get(*key)
            if dependent is None:
                continue
            if "deletionTimestamp" not in dependent["metadata"]:
                await self._settle(key)
                dependent = self._store.get(*key)
            blocked = blocked or (dependent is not None and _blocks(dependent, uid))
        return blocked

    async def _release(self, key: Key, finalizer: str) -> None:
        kind = KINDS[key.resource]

        def released(current: Object | None) -> Decision:
            if current is None:
                return None
            metadata = dict(current["metadata"])
            finalizers = [one for one in metadata.pop("finalizers", []) if one != finalizer]
            if finalizers:
                metadata["finalizers"] = finalizers
            changed = {**current, "metadata": metadata}
            return Remove(changed) if is_finished(kind, changed) else changed

        await self._store.write(*key, released)

    def _exists(self, owner: Object, namespace: str) -> bool:
        """Whether the owner is there; one of a kind that is not served is believed to be."""
        if owner["uid"] in self._living:
            return True
        return kind_of(owner) is None

    def _ends_in_foreground(self, owner: Object, namespace: str) -> bool:
        found = self._find_owner(owner, namespace)
        if found is None or "deletionTimestamp" not in found["metadata"]:
            return False
        return FOREGROUND in (found["metadata"].get("finalizers") or [])

    def _find_owner(self, owner: Object, namespace: str) -> Object | None:
        kind = kind_of(owner)
        if kind is None:
            return None
        found = self._store.get(kind.resource, namespace if kind.namespaced else "", owner.get("name", ""))
        return found if found is not None and found["metadata"].get("uid") == owner["uid"] else None


def _owners(obj: Object) -> Iterator[Object]:
    return (owner for owner in obj["metadata"].get("ownerReferences") or () if owner.get("uid"))


def _key(obj: Object) -> Key:
    kind = kind_of(obj)
    assert kind is not None
    metadata = obj["metadata"]
    return Key(kind.alias_of or kind.resource, metadata.get("namespace", ""), metadata["name"])


def _blocks(dependent: Object, uid: str) -> bool:
    return any(owner["uid"] == uid and owner.get("blockOwnerDeletion") for owner in _owners(dependent))


def _without_owners(obj: Object, uids: set[str]) -> Object:
    kept = [owner for owner in obj["metadata"].get("ownerReferences") or () if owner.get("uid") not in uids]
    metadata = {key: value for key, value in obj["metadata"].items() if key != "ownerReferences"}
    if kept:
        metadata["ownerReferences"] = kept
    return {**obj, "metadata": metadata}
