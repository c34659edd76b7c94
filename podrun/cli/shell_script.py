"""`podrun shell-script POD`: the pod as a script that builds it by hand, to be read, or run on other machines."""

from __future__ import annotations

import argparse

from podrun.cli.errors import OK
from podrun.cli.pods import add_pod, read

EXAMPLES = """\
examples:
  podrun shell-script catalog > catalog.sh                what podrun does, as commands of any machine
  podrun images export busybox:1.36 images/busybox_1.36   the root file systems that it needs (it says which)
  sudo IMAGES=images sh catalog.sh                        on a machine without podrun; Ctrl-C ends the pod

The pod must have been started here: the script is made of its plan. Secrets and tokens are left out of it.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_pod(parser)


def run(arguments: argparse.Namespace) -> int:
    print(read(arguments, "script"), end="")
    return OK
