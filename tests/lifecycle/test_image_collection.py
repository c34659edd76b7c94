"""Which images go when the disk is filling up."""

from __future__ import annotations

import pytest

from podrun.lifecycle.image_collection import Disk, Held, to_collect

NOW = 10_000.0
FULL = Disk(1000, 100)
OLD, OLDER, FRESH = Held("old", 60, 500, 0), Held("older", 60, 100, 0), Held("fresh", 60, 0, NOW - 60)


@pytest.mark.parametrize(
    ("disk", "in_use", "expected"),
    [
        pytest.param(Disk(1000, 200), set(), [], id="nothing goes while there is room"),
        pytest.param(FULL, set(), ["older", "old"], id="the longest unused goes first, the youngest stays"),
        pytest.param(Disk(1000, 145), set(), ["older"], id="no more go than are needed"),
        pytest.param(FULL, {"older"}, ["old"], id="none that is in use goes"),
    ],
)
def test_collection(disk: Disk, in_use: set[str], expected: list[str]) -> None:
    assert to_collect([FRESH, OLD, OLDER], in_use, disk, NOW) == expected
