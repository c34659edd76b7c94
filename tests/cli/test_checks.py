"""What doctor reads from the kernel's tables."""

from __future__ import annotations

import pytest

from podrun.cli import checks
from podrun.lifecycle.pressure import HARD_DEFAULTS, Observation, thresholds

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


@pytest.mark.parametrize(
    ("why", "line", "taken"),
    [
        ("port 53 of every address", "  1: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000", True),
        ("port 53 of one address", "  1: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000", False),
        ("another port of every address", "  1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000", False),
    ],
)
def test_a_name_server_that_leaves_no_room_is_seen(why: str, line: str, taken: bool) -> None:
    assert checks._takes_every_address(HEAD + line + "\n") is taken, why
    assert checks._takes_every_address(HEAD) is False


def test_a_machine_that_is_short_of_something_is_told_of() -> None:
    seen = {"nodefs.available": Observation(7, 100), "memory.available": Observation(4 << 30, 8 << 30)}
    found = list(checks.short_of(thresholds(HARD_DEFAULTS), seen))
    assert [(one.level, one.what, one.to_do) for one in found] == [
        (
            checks.Level.NOTE,
            "pods are not started and some are evicted: nodefs.available is 7.0% (10.0% is the least)",
            "make room, or set another evictionHard in config.yaml",
        )
    ]
