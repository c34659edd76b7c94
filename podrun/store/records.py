"""What the store holds and tells: a version of an object, and the change that made it."""

from __future__ import annotations

from collections import deque
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


PARSED_AT_MOST = 2000
"""Objects that are held as dicts as well as JSON. A dict takes some ten times the room of its text."""

_parsed: deque[Record] = deque()
"""The records that hold a dict, in the order in which they got it."""


class Record:
    """One version of an object: its JSON, made once, and the dict, which is shared and never to be mutated.

    The dict is parsed when it is asked for and given up when many others have been asked for since, or at once when
    the version is no longer the current one (`forget`): ten thousand objects and the history of ten thousand changes
    cost little more than their JSON.
    """

    __slots__ = ("_object", "encoded", "version")

    def __init__(self, version: int, encoded: bytes, obj: Object | None = None) -> None:
        self.version = version
        self.encoded = encoded
        self._object = obj
        if obj is not None:
            self._note()

    @property
    def object(self) -> Object:
        found = self._object
        if found is None:
            found = self._object = orjson.loads(self.encoded)
            self._note()
        return found

    def _note(self) -> None:
        _parsed.append(self)
        while len(_parsed) > PARSED_AT_MOST:
            _parsed.popleft().forget()

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
