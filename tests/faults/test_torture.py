"""The rows of scripts/torture in their short form: a few rounds of each, from a seed that is always the same.

A hundred pods that restart (`restarts`) are for the long form only.
"""

from __future__ import annotations

from tests.torture.play import once
from tests.torture.rows import ROWS

BY_NAME = {row.name: row for row in ROWS}


def test_podrund_killed() -> None:
    once(BY_NAME["podrund-killed"], "short", 2)


def test_the_spawner_killed() -> None:
    once(BY_NAME["spawner-killed"], "short", 2)


def test_both_killed() -> None:
    once(BY_NAME["both-killed"], "short", 1)


def test_pause_killed() -> None:
    once(BY_NAME["pause-killed"], "short", 3)


def test_a_first_process_killed() -> None:
    once(BY_NAME["init-killed"], "short", 2)


def test_random_pods() -> None:
    once(BY_NAME["random-pods"], "short", 2)
