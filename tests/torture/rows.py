"""All rows, in the order of the summary."""

from __future__ import annotations

from tests.torture import crowds, killed
from tests.torture.row import Row

ROWS: tuple[Row, ...] = (*killed.ROWS, *crowds.ROWS)
