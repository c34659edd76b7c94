"""usage: scripts/torture [--minutes N] [--seed S] [--only ROW[,ROW...]] [--rounds N] [--list]

Does to podrun what must not harm it, again and again, and prints a table of what was tried and what held.
"""

from __future__ import annotations

import argparse
import secrets
import sys

from tests.torture.play import Tally, at_length, table
from tests.torture.rows import ROWS


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/torture", description=__doc__.splitlines()[2])
    parser.add_argument("--minutes", type=float, default=10.0, help="for all rows together (default: 10)")
    parser.add_argument("--seed", default="", help="the choices of an earlier run; a failed round says its own")
    parser.add_argument("--only", default="", metavar="ROW[,ROW...]", help="these rows")
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="so often, instead of a row's own count")
    parser.add_argument("--list", action="store_true", help="say which rows there are")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else [row.name for row in ROWS]
    rows = [row for row in ROWS if row.name in wanted]
    if unknown := set(wanted) - {row.name for row in rows}:
        parser.error(f"no such row: {', '.join(sorted(unknown))}; --list says which there are")
    if arguments.list:
        print("\n".join(f"{row.name:<18} {row.rounds:>6} times  {row.sentence}" for row in rows))
        return 0
    seed = arguments.seed or secrets.token_hex(4)
    print(f"seed {seed}", file=sys.stderr)
    tallies: list[Tally] = []
    left = arguments.minutes * 60
    for index, row in enumerate(rows):
        tally = at_length(row, seed, arguments.rounds or row.rounds, left / (len(rows) - index))
        left = max(left - tally.seconds, 0.0)
        tallies.append(tally)
        print(table([tally]), flush=True)
    print(f"\nseed {seed}\n{table(tallies)}")
    return 0 if all(tally.held == tally.tried and not tally.failed for tally in tallies) else 1


if __name__ == "__main__":
    sys.exit(main())
