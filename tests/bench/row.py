"""A row of the table: one thing measured of podrun, of a peer in the same run, and the mark podrun has to reach."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One measured thing.

    `mark` is the most that is allowed (the least, where `more_is_better`), in the row's own unit; None where there is
    none. `peer` names whom `peer_value` was measured of; None where nobody else has the thing.
    """

    what: str
    unit: str
    value: float
    mark: float | None = None
    peer: str | None = None
    peer_value: float | None = None
    more_is_better: bool = False
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the mark is reached; None without one."""
        if self.mark is None:
            return None
        return self.value >= self.mark if self.more_is_better else self.value <= self.mark

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer (above 1 is better); None without a peer."""
        if not self.peer_value or not self.value:
            return None
        return self.value / self.peer_value if self.more_is_better else self.peer_value / self.value


def median(seconds: Iterable[float]) -> float:
    """The median in milliseconds of durations in seconds."""
    return statistics.median(seconds) * 1000


def table(rows: Sequence[Row]) -> str:
    """The rows as text, in columns."""
    lines = [("what", "podrun", "mark", "", "peer", "times better", "")]
    for row in rows:
        mark = "" if row.mark is None else f"{'>=' if row.more_is_better else '<='} {_number(row.mark)}"
        said = {True: "reached", False: "missed", None: ""}[row.reached]
        peer = "" if row.peer is None or row.peer_value is None else f"{row.peer} {_number(row.peer_value)}"
        ratio = "" if row.ratio is None else f"{row.ratio:.1f}"
        lines.append((row.what, f"{_number(row.value)} {row.unit}", mark, said, peer, ratio, row.note))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
