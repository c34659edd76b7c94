"""What the store holds and tells: a version of an object, and the change that made it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import orjson

Object = dict[str, Any]
ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]


class Key(NamedTuple):
    """Where an object is: resource (`pods`, `leases.coordination.k8s.io`), namespace ("" for cluster-scoped), name."""

    resource: str
    namespace: str
    name: str


class Record:
    """One version of an object: its JSON, made once, and the dict, which is shared and never to be mutated.

    The dict of a version that is no longer current is given up (`forget`) and parsed again in the rare case that a
    watch resumes from before it: the history of 10,000 changes then costs their JSON only.
    """

    __slots__ = ("_object", "encoded", "version")

    def __init__(self, version: int, encoded: bytes, obj: Object | None = None) -> None:
        self.version = version
        self.encoded = encoded
        self._object = obj

    @property
    def object(self) -> Object:
        if self._object is None:
            parsed: Object = orjson.loads(self.encoded)
            self._object = parsed
        return self._object

    def forget(self) -> None:
        """Let the dict go; the JSON stays."""
        self._object = None


@dataclass(frozen=True, slots=True, eq=False)
class WatchEvent:
    """A change: `record` is the object after it (for DELETED its last state, with the deletion's version).

    `before` is what the change replaced; None for ADDED, and for the first change of an object that is known after a
    restart of the daemon, whose earlier state was not kept.
    """

    type: ChangeType
    key: Key
    record: Record
    before: Record | None = None

    @property
    def object(self) -> Object:
        return self.record.object

    @property
    def previous(self) -> Object | None:
        return self.before.object if self.before else None

    @property
    def version(self) -> int:
        return self.record.version
