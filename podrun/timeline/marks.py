"""Marks of what happens to pods: (nanoseconds since the epoch, name, detail), kept in memory by pod.

    marks.note(uid, "signal", ("app", "SIGTERM"))

A mark costs one call of the clock and an append, so every room leaves them, always. What a mark's detail is depends on
its name (podrun.openbox.steps knows them all) and is made into words when somebody asks, not before: a detail is a
value that nobody changes any more, or a tuple of such.

Like the loggers of `logging` this belongs to the process: the rooms have no other thing in common that knows of a pod.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from time import time_ns
from typing import Any

Mark = tuple[int, str, Any]
"""When (nanoseconds since the epoch), what, detail."""

FIRST, LAST = 256, 256
"""Marks kept of a pod's beginning, and of its latest past; between them the oldest go."""
MOST_PODS = 1024
MOST_ENDED = 32
"""Pods that are gone whose marks stay in memory."""


class Marks:
    """The marks of one pod."""

    __slots__ = ("ended", "first", "last", "lost")

    def __init__(self) -> None:
        self.first: list[Mark] = []
        self.last: deque[Mark] = deque(maxlen=LAST)
        self.lost = 0
        """How many fell out between the first and the last ones."""
        self.ended = False
        """Whether nothing of the pod is left."""

    def add(self, mark: Mark) -> None:
        if len(self.first) < FIRST:
            self.first.append(mark)
            return
        self.lost += len(self.last) == LAST
        self.last.append(mark)

    def copy(self) -> Marks:
        """As they are now, for a thread to read while more are added here."""
        made = Marks()
        made.first, made.last, made.lost, made.ended = [*self.first], self.last.copy(), self.lost, self.ended
        return made

    def __iter__(self) -> Iterator[Mark]:
        yield from self.first
        yield from self.last


_pods: dict[str, Marks] = {}
_names: dict[tuple[str, ...], tuple[str, ...]] = {}
_MOST_NAMES = 512

Packed = tuple[tuple[str, ...], "array[int]"]
"""Timings: the names of the steps, which most starts have in common, and their durations."""


def packed(timings: Sequence[tuple[str, int]]) -> Packed:
    """(what, microseconds) of a start's steps in little room: starts of the same steps share the names."""
    names = tuple(name for name, _ in timings)
    if len(_names) >= _MOST_NAMES:
        _names.clear()
    return _names.setdefault(names, names), array("q", [duration for _, duration in timings])


def unpacked(timings: Packed) -> list[tuple[str, int]]:
    """The same as it was."""
    return list(zip(*timings, strict=True))


def note(uid: str, name: str, detail: Any = None) -> None:
    """This has just happened to the pod."""
    try:
        marks = _pods[uid]
    except KeyError:
        marks = _begin(uid)
    marks.add((time_ns(), name, detail))


def _begin(uid: str) -> Marks:
    if len(_pods) >= MOST_PODS:
        del _pods[next(iter(_pods))]
    marks = _pods[uid] = Marks()
    return marks


def end(uid: str) -> Marks | None:
    """Nothing of the pod is left: its marks, which stay for a while. What is told late is still added."""
    marks = _pods.get(uid)
    if marks is not None and not marks.ended:
        marks.ended = True
        ended = [key for key, each in _pods.items() if each.ended]
        for key in ended[:-MOST_ENDED]:
            del _pods[key]
    return marks


def of(uid: str) -> Marks | None:
    """The pod's marks; None where there are none (any more)."""
    return _pods.get(uid)


def pods() -> list[str]:
    """The uids of the pods that have marks, oldest first."""
    return list(_pods)
