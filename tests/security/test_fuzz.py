"""Hostile input in its short form; `scripts/torture` has the long one."""

from __future__ import annotations

import pytest

from tests.torture import frames, fuzz, parsers
from tests.torture.play import once
from tests.torture.row import Row

ROUNDS = {"writes": 5, "frames": 4, "bodies": 4, "streams": 5, "packets": 5, "archives": 8}


@pytest.mark.parametrize("row", [*fuzz.ROWS, *frames.ROWS, *parsers.ROWS], ids=lambda row: row.name)
def test_is_refused_or_done(row: Row) -> None:
    once(row, "short", ROUNDS[row.name])
