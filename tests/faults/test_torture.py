"""The rows of scripts/torture in their short form: a few rounds of each, from a seed that is always the same."""

from __future__ import annotations

import pytest

from tests.torture import crowds, killed
from tests.torture.play import once
from tests.torture.row import Row

ROUNDS = {
    "podrund-killed": 3,
    "spawner-killed": 3,
    "both-killed": 2,
    "pause-killed": 4,
    "init-killed": 3,
    "random-pods": 3,
    "restarts": 1,
}


@pytest.mark.parametrize("row", [*killed.ROWS, *crowds.ROWS], ids=lambda row: row.name)
def test_holds(row: Row) -> None:
    once(row, "short", ROUNDS[row.name])
