"""The store: every object, in memory for reading and on disk before a write is acknowledged.

All methods belong to the event loop's thread. A write is decided at once, against the latest accepted state (which may
still be on its way to the disk), and becomes visible and is told to watches and subscribers when it is durable: no
reader ever sees what a power cut could take back, and two writers of one object never overwrite each other.

The objects handed out are shared: copy what you change. Errors are `podrun.api.errors.ApiError` with Kubernetes'
reasons: NotFound, AlreadyExists, Conflict, Expired.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from podrun.api.errors import MODIFIED, ApiError, already_exists, conflict, expired, internal_error, not_found
from podrun.api.kinds import KINDS
from podrun.store.journal import Journal, Write
from podrun.store.records import Key, Object, Record, WatchEvent
from podrun.store.tables import Snapshot, Table
from podrun.store.watch import Watch

HISTORY = 10_000
"""Changes that a watch can resume from, or a paged list read on in."""


class Remove(NamedTuple):
    """A decision that the object goes; `last` is the state that watches see in DELETED.

    An `announced` removal is seen as a change to that state before, in the same transaction.
    """

    last: Object
    announced: bool = False


Decision = Object | Remove | None
Decide = Callable[[Object | None], Decision]
Handler = Callable[[WatchEvent], None]
# Named here since `list` is a method below.
Objects = list[Object]
Records = list[Record]
Items = list[tuple[Key, Record]]
Writes = list[Write]
Events = list[WatchEvent]


class Store:
    """One per daemon. `Store(path)` reads what was kept; raises UnreadableDatabase."""

    def __init__(self, path: Path, *, history: int = HISTORY) -> None:
        self._journal = Journal(path, history, self._on_settled)
        self._tables: dict[str, Table] = {}
        self._pending: dict[Key, Write] = {}
        self._generation = 0
        self._watches: dict[str, dict[Watch, str | None]] = {}
        self._handlers: dict[str, list[Handler]] = {}
        self.identity = self._journal.identity
        """Of the database: another one where it began anew."""
        self.resource_version = 1
        """The version of the last visible change; a fresh store begins at 1, since 0 has a meaning of its own."""
        for key, record in self._journal.objects():
            self._show(key, record)
            self.resource_version = max(self.resource_version, record.version)
        self._log: deque[WatchEvent] = deque(self._journal.changes(), maxlen=history)
        if self._log:
            self.resource_version = max(self.resource_version, self._log[-1].version)
        self._accepted = self.resource_version

    async def close(self) -> None:
        """Commit what waits, end all watches, close the file."""
        self._journal.hurry()
        await asyncio.get_running_loop().run_in_executor(None, self._journal.close)
        for watches in self._watches.values():
            for watch in list(watches):
                watch.close()

    # Reading

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        """The object, or None; namespace "" for cluster-scoped resources."""
        record = self.record(resource, namespace, name)
        return record.object if record else None

    def list(self, resource: str, namespace: str | None = None) -> Objects:
        """All objects of a resource (in one namespace), in the order of their keys."""
        return [record.object for record in self.records(resource, namespace)]

    def record(self, resource: str, namespace: str, name: str) -> Record | None:
        """As `get`, with the object's JSON."""
        return self._table(resource).get(Key(resource, namespace, name))

    def records(self, resource: str, namespace: str | None = None) -> Records:
        """As `list`, with the objects' JSON."""
        found = self.snapshot(resource, namespace)
        return [found.records[path] for path in found.paths]

    def items(self, resource: str, namespace: str | None = None, version: int | None = None) -> Items:
        """Keys and records in the order of the keys, now or as they were at an earlier `version`."""
        return list(self.snapshot(resource, namespace, version))

    def snapshot(self, resource: str, namespace: str | None = None, version: int | None = None) -> Snapshot:
        """As `items`, without making what is not looked at; to be read before anything else happens.

        An earlier state is the present one with the changes since then undone. Raises Expired when the history does
        not reach back to it.
        """
        undone: dict[Key, Record | None] = {}
        if version is not None and version < self.resource_version:
            for event in reversed(list(self._since(version))):
                if _concerns(event, resource, namespace):
                    if event.type != "ADDED" and event.before is None:
                        raise self._too_old(version)
                    undone[event.key] = event.before
        return self._table(resource).snapshot(namespace, undone)

    def accepted(self, resource: str) -> Objects:
        """As `list`, with the writes that are still on their way to the disk: for who gives out what must be unique."""
        found = {key: record.object for key, record in self.snapshot(resource)}
        for key, write in self._pending.items():
            if key.resource == resource:
                found.pop(key, None)
                if write.event.type != "DELETED":
                    found[key] = write.event.object
        return list(found.values())

    # Writing

    async def create(self, resource: str, obj: Object, *, patient: bool = False) -> Object:
        """Store a new object under its metadata's namespace and name; what comes back has its resourceVersion.

        `patient` as for `write`. Raises AlreadyExists.
        """
        key = _key_of(resource, obj)

        def decide(current: Object | None) -> Decision:
            if current is not None:
                raise already_exists(resource, key.name)
            return obj

        return (await self.write(*key, decide, patient=patient)).object

    async def update(self, resource: str, obj: Object, *, expected_version: str | None = None) -> Object:
        """Replace an object. Raises NotFound, and Conflict when it is no longer at `expected_version`."""
        key = _key_of(resource, obj)

        def decide(current: Object | None) -> Decision:
            if current is None:
                raise not_found(resource, key.name)
            if expected_version not in (None, current["metadata"]["resourceVersion"]):
                raise conflict(resource, key.name, MODIFIED)
            return obj

        return (await self.write(*key, decide)).object

    async def modify(
        self, resource: str, namespace: str, name: str, change: Callable[[Object], Object], *, patient: bool = False
    ) -> Object:
        """Replace an object by what `change` makes of its latest state; an equal result is not written.

        `change` must not mutate what it is given; `patient`: see `write`. Raises NotFound, and what `change` raises.
        """

        def decide(current: Object | None) -> Decision:
            if current is None:
                raise not_found(resource, name)
            return change(current)

        return (await self.write(resource, namespace, name, decide, patient=patient)).object

    async def remove(self, resource: str, namespace: str, name: str) -> Object:
        """Take the object away, finalizers or not; its last state. Raises NotFound."""

        def decide(current: Object | None) -> Decision:
            if current is None:
                raise not_found(resource, name)
            return Remove(current)

        return (await self.write(resource, namespace, name, decide)).object

    async def write(self, resource: str, namespace: str, name: str, decide: Decide, *, patient: bool = False) -> Record:
        """The one way to write: `decide` gets the latest state (None: there is none) and says what becomes of it.

        It returns the new state, Remove, or None to leave it; it is called at once, and what it raises is raised here,
        though only after the state that it judged has become visible, so that a client that reads again sees why.
        `decide` must return None or raise where there is no object and none is to be made. A `patient` write may be
        held back for some milliseconds, to share the commit of another one.
        """
        key = Key(resource, namespace, name)
        pending = self._pending.get(key)
        current = self._latest(key)
        try:
            events = self._events(key, current, decide(current.object if current else None))
        except ApiError:
            if pending:
                self._journal.hurry()
                with suppress(ApiError):
                    await pending.durable()
            raise
        if not events:
            if current is None:
                raise not_found(resource, name)
            if pending is None:
                return current
            if not patient:
                self._journal.hurry()
            return await pending.durable()
        for event in events:
            write = Write(event, self._generation)
            self._accepted = event.version
            self._pending[key] = write
            self._journal.append(write, patient=patient)
        return await write.durable()

    def _latest(self, key: Key) -> Record | None:
        pending = self._pending.get(key)
        if pending is None:
            return self.record(*key)
        return None if pending.event.type == "DELETED" else pending.event.record

    def _events(self, key: Key, current: Record | None, decision: Decision) -> Events:
        """The changes that a decision means: one, none, or two for an announced removal."""
        version = self._accepted + 1
        if decision is None or (isinstance(decision, Remove) and current is None):
            return []
        if isinstance(decision, Remove):
            assert current is not None
            last = _stamped(key, decision.last, version)
            if not decision.announced:
                return [WatchEvent("DELETED", key, last, current)]
            gone = _stamped(key, decision.last, version + 1)
            return [WatchEvent("MODIFIED", key, last, current), WatchEvent("DELETED", key, gone, last)]
        if current is None:
            return [WatchEvent("ADDED", key, _stamped(key, decision, version))]
        if decision is current.object or _versioned(decision, current.version) == current.object:
            return []
        return [WatchEvent("MODIFIED", key, _stamped(key, decision, version), current)]

    # Changes

    def watch(self, resource: str, namespace: str | None = None, since: int | None = None) -> Watch:
        """The changes after version `since`; without it, first every object there is as ADDED, then what changes.

        Raises Expired when the history does not reach back to `since`.
        """
        begin: Iterable[WatchEvent]
        if since is None:
            begin = [WatchEvent("ADDED", key, record) for key, record in self.items(resource, namespace)]
        else:
            begin = [event for event in self._since(since) if _concerns(event, resource, namespace)]
        watches = self._watches.setdefault(resource, {})
        watch = Watch(begin, watches.pop)
        watches[watch] = namespace
        return watch

    def subscribe(self, resource: str, handler: Handler) -> Callable[[], None]:
        """Call `handler` for each change of the resource, in order, right after it became visible.

        It is called from within the store and must not wait; the function returned ends the subscription.
        """
        handlers = self._handlers.setdefault(resource, [])
        handlers.append(handler)
        return lambda: handlers.remove(handler) if handler in handlers else None

    async def until(self, resource: str, condition: Callable[[WatchEvent], bool], seconds: float) -> bool:
        """Whether a change of the resource that satisfies the condition becomes visible within this time, from now on.

        `condition` is called as a handler is (see `subscribe`).
        """
        arrived = asyncio.Event()
        end = self.subscribe(resource, lambda event: arrived.set() if condition(event) else None)
        try:
            async with asyncio.timeout(seconds):
                await arrived.wait()
        except TimeoutError:
            return False
        finally:
            end()
        return True

    def _since(self, version: int) -> Iterable[WatchEvent]:
        """The changes after `version`; raises Expired."""
        if version >= self.resource_version:
            return ()
        oldest = self._log[0].version if self._log else self.resource_version + 1
        if version < oldest - 1:
            raise self._too_old(version)
        # Versions are consecutive: each change takes the next one.
        return islice(self._log, version + 1 - oldest, None)

    def _too_old(self, version: int) -> ApiError:
        oldest = self._log[0].version if self._log else self.resource_version
        return expired(f"too old resource version: {version} ({oldest})")

    def _on_settled(self, writes: Writes, error: Exception | None) -> None:
        """The journal's answer, on the loop: the writes are durable, or none of them will ever be."""
        for write in writes:
            key = write.event.key
            if self._pending.get(key) is write:
                del self._pending[key]
            if error is None:
                self._publish(write)
            else:
                write.fail(internal_error(f"the change could not be stored: {error}"))
        if error is not None and writes[-1].generation == self._generation:
            # What is queued behind stands on the states that failed: the journal refuses it by its generation.
            self._generation += 1
            self._pending.clear()
            self._accepted = self.resource_version

    def _publish(self, write: Write) -> None:
        event = write.event
        self.resource_version = event.version
        self._show(event.key, None if event.type == "DELETED" else event.record)
        self._log.append(event)
        write.succeed()
        for handler in list(self._handlers.get(event.key.resource, ())):
            handler(event)
        for watch, namespace in list(self._watches.get(event.key.resource, {}).items()):
            if namespace is None or namespace == event.key.namespace:
                watch.offer(event)
        if event.before is not None:
            event.before.forget()

    def _show(self, key: Key, record: Record | None) -> None:
        table = self._table(key.resource)
        if record is not None:
            table.put(key, record)
        else:
            table.drop(key)

    def _table(self, resource: str) -> Table:
        table = self._tables.get(resource)
        if table is None:
            table = self._tables[resource] = Table(resource)
        return table


def _concerns(event: WatchEvent, resource: str, namespace: str | None) -> bool:
    return event.key.resource == resource and namespace in (None, event.key.namespace)


def _key_of(resource: str, obj: Object) -> Key:
    metadata: dict[str, Any] = obj["metadata"]
    return Key(resource, metadata.get("namespace", ""), metadata["name"])


def _versioned(obj: Object, version: int) -> Object:
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(version)}}


def _stamped(key: Key, obj: Object, version: int) -> Record:
    """A record of `obj` at `version`, beginning with kind and apiVersion (which lists leave out of their items)."""
    kind = KINDS[key.resource]
    ordered: Object = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": None}
    ordered |= obj
    metadata = obj["metadata"]
    ordered["metadata"] = {
        "name": key.name,
        **({"namespace": key.namespace} if key.namespace else {}),
        **metadata,
        "resourceVersion": str(version),
    }
    # orjson's own bytes keep the room they grew into (8 KiB for a text of one): what stays is an exact copy.
    return Record(version, memoryview(orjson.dumps(ordered)).tobytes(), ordered)
