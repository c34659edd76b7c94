"""Playing a row: rounds from a seed, counted; in a test the first failure ends it, in the long form it goes on.

The seed of round N of a row is `SEED.N`: what a failed round chose is chosen again by
`--only ROW --seed SEED.N --rounds 1`.
"""

from __future__ import annotations

import random
import sys
import time
import traceback
from dataclasses import dataclass, field

from tests.torture.row import Row


@dataclass(slots=True)
class Tally:
    """How a row went."""

    row: Row
    tried: int = 0
    held: int = 0
    seconds: float = 0.0
    failed: list[str] = field(default_factory=list)
    """The seeds that reproduce the failures; "the end" for what did not hold when all was over."""


def seed_of(seed: str, number: int, rounds: int) -> str:
    """A single round is played with the very seed that was given."""
    return seed if rounds == 1 else f"{seed}.{number}"


def once(row: Row, seed: str, rounds: int) -> None:
    """The short form: `rounds` rounds; raises what the first failure raises, with its seed in a note."""
    with row.open() as play:
        for number in range(rounds):
            chosen = seed_of(seed, number, rounds)
            try:
                play(random.Random(f"{row.name} {chosen}"))
            except BaseException as error:
                error.add_note(f"scripts/torture --only {row.name} --seed {chosen} --rounds 1")
                raise


def at_length(row: Row, seed: str, rounds: int, seconds: float) -> Tally:
    """The long form: as many rounds as fit, at most `rounds`; after a failure with a fresh start."""
    tally = Tally(row)
    began = time.monotonic()

    def over() -> bool:
        return tally.tried >= rounds or time.monotonic() - began > seconds

    while not over():
        chosen = "the start"
        try:
            with row.open() as play:
                while not over():
                    chosen = seed_of(seed, tally.tried, rounds)
                    tally.tried += 1
                    play(random.Random(f"{row.name} {chosen}"))
                    tally.held += 1
                    _progress(tally, time.monotonic() - began)
                    chosen = "the end"
        except Exception:
            tally.failed.append(chosen)
            print(f"\n{row.name}: {chosen} did not hold", file=sys.stderr)
            traceback.print_exc()
            if chosen == "the start":
                break
    tally.seconds = time.monotonic() - began
    print(file=sys.stderr)
    return tally


def _progress(tally: Tally, seconds: float) -> None:
    if sys.stderr.isatty():
        print(f"\r{tally.row.name}: {tally.held} of {tally.tried} held, {seconds:.0f} s ", end="", file=sys.stderr)


def table(tallies: list[Tally]) -> str:
    """The summary."""
    lines = [f"{'row':<18} {'tried':>6} {'held':>6} {'seconds':>8}  what must hold"]
    group = ""
    for tally in tallies:
        if tally.row.group != group:
            group = tally.row.group
            lines.append(f"-- {group}")
        row = tally.row
        lines.append(f"{row.name:<18} {tally.tried:>6} {tally.held:>6} {tally.seconds:>8.0f}  {row.sentence}")
        lines += [f"{'':<18} failed: --only {row.name} --seed {seed} --rounds 1" for seed in tally.failed]
    return "\n".join(lines)
