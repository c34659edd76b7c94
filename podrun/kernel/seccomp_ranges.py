"""A seccomp filter made small: ranges of system calls in a search tree instead of one comparison per call.

libseccomp writes a chain of a thousand instructions for RuntimeDefault and its three architectures; the kernel checks
and compiles them for each container that starts: 1.5 ms. What a filter does before it looks at arguments depends on two
numbers only, the architecture and the call. `shrink` walks all of the filter once with sets of numbers and writes the
same function anew:

    load architecture ──> a known one ──> load call ──> binary search ──> answer, or the part that looks at arguments
                     └──> any other ────> the same for it

That part is copied as it is. A filter with an instruction that is not expected stays what it was.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

_LOAD, _JUMP, _EQUAL, _GREATER, _AT_LEAST, _ANY_BIT, _ANSWER, _AND = 0x20, 0x05, 0x15, 0x25, 0x35, 0x45, 0x06, 0x54
_CALL, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Offsets in struct seccomp_data."""
_LAST: Final = 0xFFFFFFFF
_FARTHEST: Final = 255
"""Instructions that a comparison can jump over."""

Range = tuple[int, int]
"""First and last number."""


class Instruction(NamedTuple):
    """struct sock_filter"""

    code: int
    if_true: int
    if_false: int
    value: int


class _Unexpected(Exception):
    """The filter does something that is not understood here."""


def shrink(program: bytes) -> bytes:
    """The same filter in fewer instructions; the program itself where that cannot be had."""
    filter_ = [Instruction(*entry) for entry in struct.iter_unpack("=HBBI", program)]
    try:
        small = _assemble(_rewritten(filter_, _walk(filter_)))
    except (_Unexpected, IndexError):
        return program
    return b"".join(struct.pack("=HBBI", *entry) for entry in small) if len(small) < len(filter_) else program


# What the filter does


@dataclass(frozen=True, slots=True)
class _Leaf:
    """Where the walk ended: an answer, or (`answers` is False) the index of the instruction that looks at arguments."""

    answers: bool
    value: int


@dataclass(slots=True)
class _Found:
    """Of one architecture (None: all that are not known): first number of a range -> (its last, leaf)."""

    ranges: dict[int | None, dict[int, tuple[int, _Leaf]]] = field(default_factory=dict)

    def add(self, architecture: int | None, ranges: Iterable[Range], leaf: _Leaf) -> None:
        self.ranges.setdefault(architecture, {}).update({first: (last, leaf) for first, last in ranges})

    def starts(self, architecture: int | None) -> list[tuple[int, _Leaf]]:
        """(first number, leaf) of ranges that follow each other and differ. Raises _Unexpected where one is missing."""
        made: list[tuple[int, _Leaf]] = []
        following = 0
        for first, (last, leaf) in sorted(self.ranges[architecture].items()):
            if first != following:
                raise _Unexpected
            if not made or made[-1][1] != leaf:
                made.append((first, leaf))
            following = last + 1
        if following != _LAST + 1:
            raise _Unexpected
        return made


@dataclass(slots=True)
class _State:
    """A place in the filter and who comes there: an architecture (None: any but `others`), and calls."""

    at: int
    architecture: int | None
    others: frozenset[int]
    calls: list[Range]
    holds: int | None = None
    """The offset of what has been loaded."""


def _walk(filter_: list[Instruction]) -> _Found:
    found = _Found()
    rest: set[frozenset[int]] = set()
    waiting = [_State(0, None, frozenset(), [(0, _LAST)])]
    while waiting:
        state = waiting.pop()
        leaf = _follow(filter_, state, waiting)
        if leaf is not None:
            found.add(state.architecture, state.calls, leaf)
            if state.architecture is None:
                rest.add(state.others)
    if rest != {frozenset(found.ranges) - {None}}:
        raise _Unexpected  # something is decided for architectures before it is clear which
    return found


def _follow(filter_: list[Instruction], state: _State, waiting: list[_State]) -> _Leaf | None:
    """Go on with the state until its end (None when nobody is left in it); who branches off is put into `waiting`."""
    while state.calls:
        code, if_true, if_false, value = filter_[state.at]
        if code == _LOAD and value >= _ARGUMENTS:
            return _Leaf(False, state.at)
        if code == _ANSWER:
            return _Leaf(True, value)
        if code == _LOAD and value in (_CALL, _ARCHITECTURE):
            state.holds = value
            state.at += 1
        elif code == _JUMP:
            state.at += 1 + value
        elif code == _EQUAL and state.holds == _ARCHITECTURE:
            if state.architecture is None and value not in state.others:
                waiting.append(_State(state.at + 1 + if_true, value, frozenset(), list(state.calls), state.holds))
                state.others |= {value}
            state.at += 1 + (if_true if state.architecture == value else if_false)
        elif code in (_EQUAL, _GREATER, _AT_LEAST) and state.holds == _CALL:
            first = value + (code == _GREATER)
            taken = _take(state.calls, first, value if code == _EQUAL else _LAST)
            waiting.append(_State(state.at + 1 + if_true, state.architecture, state.others, taken, state.holds))
            state.at += 1 + if_false
        else:
            raise _Unexpected
    return None


def _take(ranges: list[Range], first: int, last: int) -> list[Range]:
    """Take the numbers from first to last out of the (sorted) ranges."""
    begin = max(bisect_right(ranges, (first, _LAST + 1)) - 1, 0)
    taken: list[Range] = []
    left: list[Range] = []
    end = begin
    while end < len(ranges) and ranges[end][0] <= last:
        low, high = ranges[end]
        if high < first:
            left.append((low, high))
        else:
            taken.append((max(low, first), min(high, last)))
            if low < first:
                left.append((low, first - 1))
            if high > last:
                left.append((last + 1, high))
        end += 1
    ranges[begin:end] = left
    return taken


# The same, written anew: instructions whose jumps name labels

Label = tuple[object, ...]
Line = tuple[int, int, Label | None, Label | None]
"""Code, value, and where it goes if true and if false (None: to the next line)."""
Text = list[Line | Label]
_NAMED: Final = object()
"""A label in the text is a tuple that begins with this."""


def _rewritten(filter_: list[Instruction], found: _Found) -> Text:
    text: Text = [(_LOAD, _ARCHITECTURE, None, None)]
    known = [architecture for architecture in found.ranges if architecture is not None]
    for number in known:
        past = (_NAMED, "not", number)
        text += [(_EQUAL, number, None, past), (_JUMP, 0, (_NAMED, "of", number), None), past]
    parts: dict[int, None] = {}
    for architecture in (None, *known):
        starts = found.starts(architecture)
        text += [(_NAMED, "of", architecture), (_LOAD, _CALL, None, None)]
        ends: dict[_Leaf, Label] = {leaf: (_NAMED, architecture, leaf) for _, leaf in starts}
        if len(starts) == 1:
            text.append((_JUMP, 0, ends[starts[0][1]], None))
        _search(text, starts, ends, architecture)
        for leaf, label in ends.items():
            text.append(label)
            if leaf.answers:
                text.append((_ANSWER, leaf.value, None, None))
            else:
                parts[leaf.value] = None
                text.append((_JUMP, 0, (_NAMED, "part", leaf.value), None))
    for begin in parts:
        text += _part(filter_, begin)
    return text


def _search(text: Text, starts: list[tuple[int, _Leaf]], ends: dict[_Leaf, Label], name: object) -> Label | None:
    """Write the search among these ranges; the label of a single one's end, which needs none."""
    if len(starts) == 1:
        return ends[starts[0][1]]
    middle = len(starts) // 2
    lower, upper = starts[:middle], starts[middle:]
    above: Label = ends[upper[0][1]] if len(upper) == 1 else (_NAMED, name, "from", upper[0][0], len(upper))
    below: Label | None = ends[lower[0][1]] if len(lower) == 1 else None
    text.append((_AT_LEAST, upper[0][0], above, below))
    _search(text, lower, ends, name)
    if len(upper) > 1:
        text.append(above)
        _search(text, upper, ends, name)
    return None


def _part(filter_: list[Instruction], begin: int) -> Text:
    """All instructions that can be reached from one, in their order (jumps only lead forward)."""
    reached = {begin}
    for at in range(begin, len(filter_)):
        if at in reached:
            reached |= set(_next(filter_[at], at))
    text: Text = [(_NAMED, "part", begin)]
    for at in sorted(reached):
        code, _, _, value = filter_[at]
        targets: list[Label] = [(_NAMED, begin, "at", to) for to in _next(filter_[at], at)]
        text.append((_NAMED, begin, "at", at))
        if code == _JUMP:
            text.append((code, 0, targets[0], None))
        elif len(targets) == 2:
            text.append((code, value, targets[0], targets[1]))
        else:
            text.append((code, value, None, None))
    return text


def _next(instruction: Instruction, at: int) -> tuple[int, ...]:
    code, if_true, if_false, value = instruction
    if code == _ANSWER:
        return ()
    if code == _JUMP:
        return (at + 1 + value,)
    if code in (_EQUAL, _GREATER, _AT_LEAST, _ANY_BIT):
        return (at + 1 + if_true, at + 1 + if_false)
    if code in (_LOAD, _AND):
        return (at + 1,)
    raise _Unexpected


def _assemble(text: Text) -> list[Instruction]:
    places: dict[Label, int] = {}
    lines: list[Line] = []
    for entry in text:
        if entry[0] is _NAMED:
            places[entry] = len(lines)
        else:
            lines.append(entry)  # type: ignore[arg-type]
    made = []
    for at, (code, value, if_true, if_false) in enumerate(lines):
        distances = [places[label] - at - 1 if label is not None else 0 for label in (if_true, if_false)]
        if code == _JUMP:
            made.append(Instruction(code, 0, 0, distances[0]))
            continue
        if max(distances) > _FARTHEST:
            raise _Unexpected
        made.append(Instruction(code, distances[0], distances[1], value))
    return made
