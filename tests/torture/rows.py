"""All rows, in the order of the summary."""

from __future__ import annotations

from tests.torture import killed
from tests.torture.row import Row

ROWS: tuple[Row, ...] = (*killed.ROWS,)
