"""`podrun doctor`: looks at the machine and says what is missing, with what to do."""

from __future__ import annotations

import argparse
import os

from podrun.cli.errors import MACHINE_LACKS, NOT_ROOT, OK, CommandError
from podrun.layout import Layout

EXAMPLES = """\
examples:
  sudo podrun doctor            every check, with what to do where something is missing
  sudo podrun doctor -q         only what is not as it could be

It ends with 5 when pods cannot run on this machine as it is.
"""

_SIGNS = {"ok": "ok     ", "note": "note   ", "missing": "MISSING"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="leave out what is well")


def run(arguments: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise CommandError("the checks try mounts and network links", "run it with sudo", NOT_ROOT)
    from podrun.cli.checks import Level, all_checks

    layout = Layout(arguments.root)
    missing = 0
    for check in all_checks():
        for finding in check(layout):
            missing += finding.level is Level.MISSING
            if arguments.quiet and finding.level is Level.OK:
                continue
            print(f"{_SIGNS[finding.level]}  {finding.what}", flush=True)
            if finding.to_do:
                print(f"{'':9}  to do: {finding.to_do}")
    if missing:
        print(f"\npods cannot run here yet: {missing} thing{'s' if missing > 1 else ''} missing")
        return MACHINE_LACKS
    return OK
