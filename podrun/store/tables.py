"""The objects of one resource, always in the order of their paths (`namespace/name`), as lists and pages want them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from podrun.store.records import Key, Record


def path_of(key: Key) -> str:
    """Where an object is in the order of its resource; cluster-scoped ones begin with the slash."""
    return f"{key.namespace}/{key.name}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Objects of a resource at one version, in order. To be read before anything else is written."""

    resource: str
    paths: Sequence[str]
    records: Mapping[str, Record]

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[tuple[Key, Record]]:
        for path in self.paths:
            namespace, _, name = path.partition("/")
            yield Key(self.resource, namespace, name), self.records[path]

    def beginning_at(self, path: str) -> Snapshot:
        """The part from `path` on."""
        return Snapshot(self.resource, self.paths[bisect_left(self.paths, path) :], self.records)


class Table:
    """See above. A change costs the logarithm of the size, a list what it shows."""

    def __init__(self, resource: str) -> None:
        self._resource = resource
        self._order: list[str] = []
        self._records: dict[str, Record] = {}

    def get(self, key: Key) -> Record | None:
        return self._records.get(path_of(key))

    def put(self, key: Key, record: Record) -> None:
        path = path_of(key)
        if path not in self._records:
            insort(self._order, path)
        self._records[path] = record

    def drop(self, key: Key) -> None:
        path = path_of(key)
        if self._records.pop(path, None) is not None:
            del self._order[bisect_left(self._order, path)]

    def snapshot(self, namespace: str | None, undone: Mapping[Key, Record | None]) -> Snapshot:
        """What there is (in one namespace), with some objects as they were before (None: they were not)."""
        order, records = self._order, self._records
        if undone:
            records = dict(records)
            for key, before in undone.items():
                if before is None:
                    records.pop(path_of(key), None)
                else:
                    records[path_of(key)] = before
            order = sorted(records)
        if namespace is None:
            return Snapshot(self._resource, order[:], records)
        # "0" is the character after "/": it ends the paths of a namespace.
        return Snapshot(
            self._resource, order[bisect_left(order, f"{namespace}/") : bisect_left(order, f"{namespace}0")], records
        )
