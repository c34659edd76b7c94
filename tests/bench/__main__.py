"""usage: scripts/bench [TOPIC...]   measures podrun and its peers on this machine and prints a table."""

from __future__ import annotations

import sys

from tests.bench.row import Row, table
from tests.bench.topics import TOPICS
from tests.conftest import shipped_images
from tests.harness import Podrun


def main() -> int:
    wanted = sys.argv[1:] or list(TOPICS)
    if unknown := [name for name in wanted if name not in TOPICS]:
        print(f"no such topic: {', '.join(unknown)}; there are: {', '.join(TOPICS)}", file=sys.stderr)
        return 2
    rows: list[Row] = []
    with Podrun.start(images=shipped_images(), run_in_memory=True) as podrun:
        for name in wanted:
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            rows += TOPICS[name](podrun)
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
