"""Listings as people read them: aligned columns, three spaces apart."""

from __future__ import annotations

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import takes 3 ms
if TYPE_CHECKING:
    from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A line a row, without spaces at the ends; the first row, of titles, says how many columns there are."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "   ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
