"""All rows, in the order of the summary."""

from __future__ import annotations

from tests.torture import crowds, frames, fuzz, killed, parsers
from tests.torture.row import Row

ROWS: tuple[Row, ...] = (*killed.ROWS, *crowds.ROWS, *fuzz.ROWS, *frames.ROWS, *parsers.ROWS)
