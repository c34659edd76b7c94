"""The rows of scripts/torture in their short form: a few rounds of each, from a seed that is always the same."""

from __future__ import annotations

import pytest

from tests.torture import crowds, killed
from tests.torture.play import once
from tests.torture.row import Row

ROUNDS = {
    "podrund-killed": 2,
    "spawner-killed": 2,
    "both-killed": 1,
    "pause-killed": 3,
    "init-killed": 2,
    "random-pods": 2,
}
"""A hundred pods that restart (`restarts`) are for the long form only."""


@pytest.mark.parametrize(
    "row", [row for row in (*killed.ROWS, *crowds.ROWS) if row.name in ROUNDS], ids=lambda row: row.name
)
def test_holds(row: Row) -> None:
    once(row, "short", ROUNDS[row.name])
