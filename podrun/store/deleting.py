"""Deleting an object as a DELETE request does: graceful where its kind is, held by finalizers, else at once."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from podrun.api.deletion import DeleteOptions, check_preconditions, decide
from podrun.api.disruption import Disruption, disrupted
from podrun.api.errors import not_found
from podrun.api.kinds import KINDS, Kind
from podrun.store.records import Object, Record
from podrun.store.store import Decision, Remove, Store


class Deleted(NamedTuple):
    """The object's last state, and whether it is gone (else it is ending, and somebody has to finish that)."""

    record: Record
    gone: bool


async def delete(store: Store, kind: Kind, namespace: str, name: str, options: DeleteOptions, now: float) -> Deleted:
    """Delete one object of a stored kind at `now` (seconds since the epoch). Raises NotFound, Conflict."""
    gone = False

    def mark(current: Object | None) -> Decision:
        nonlocal gone
        if current is None:
            raise not_found(kind.resource, name)
        deletion = decide(kind, current, options, now)
        gone = deletion.gone
        if deletion.gone:
            # Watches see the grace period run out before the object goes, as in Kubernetes.
            return Remove(deletion.state, announced=deletion.changed)
        return deletion.state if deletion.changed else None

    return Deleted(await store.write(kind.resource, namespace, name, mark), gone)


async def disrupt(store: Store, namespace: str, name: str, why: Disruption, options: DeleteOptions, now: float) -> None:
    """Delete a pod that first says why (DisruptionTarget). Raises NotFound, Conflict."""
    kind = KINDS["pods"]

    def mark(current: Object | None) -> Decision:
        if current is None:
            raise not_found(kind.resource, name)
        check_preconditions(kind, current, options)
        return disrupted(current, why, now)

    marked = await store.write(kind.resource, namespace, name, mark)
    if options.resource_version is not None:  # it was checked, and is another one by now
        options = replace(options, resource_version=marked.object["metadata"]["resourceVersion"])
    await delete(store, kind, namespace, name, options, now)
