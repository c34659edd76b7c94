"""A row of the torture: something that is done again and again, at other instants each time, and must hold."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

Round = Callable[[random.Random], None]
"""Does the thing once; every choice comes from the numbers it is given. Raises where something did not hold."""

Open = Callable[[], AbstractContextManager[Round]]
"""Starts what the rounds need (usually a podrun of their own) and looks in the end whether anything is left of it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the summary."""

    name: str
    """For --only."""
    group: str
    """The heading it stands under."""
    sentence: str
    """What must hold."""
    rounds: int
    """How often the long form does it."""
    open: Open
