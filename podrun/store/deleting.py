"""Deleting an object as a DELETE request does: graceful where its kind is, held by finalizers, else at once."""

from __future__ import annotations

from typing import NamedTuple

from podrun.api.deletion import DeleteOptions, decide
from podrun.api.errors import ApiError, not_found
from podrun.api.kinds import Kind
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
        if deletion.gone and not deletion.changed:
            return Remove(current)
        return deletion.state if deletion.changed else None

    record = await store.write(kind.resource, namespace, name, mark)
    if gone and record.object["metadata"].get("deletionTimestamp"):
        # Watches see the grace period run out before the object goes, as in Kubernetes. Who removes it then (its
        # supervisor may be faster) makes no difference to the client: it is gone, as was wished.
        uid = record.object["metadata"]["uid"]

        def take_away(current: Object | None) -> Decision:
            if current is None or current["metadata"]["uid"] != uid:
                raise not_found(kind.resource, name)
            return Remove(current)

        try:
            record = await store.write(kind.resource, namespace, name, take_away)
        except ApiError as error:
            if error.reason != "NotFound":
                raise
    return Deleted(record, gone)
