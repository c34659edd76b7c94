"""`podrun timeline POD`: every step of the pod's life with its time, as bars, as JSON, or as a trace for Perfetto."""

from __future__ import annotations

import argparse
import sys

from podrun.cli.columns import aligned
from podrun.cli.errors import OK
from podrun.cli.pods import add_pod, look, look_at_all

EXAMPLES = """\
examples:
  podrun timeline catalog                 from the request to execve, to Ready, and on; bars show when and how long
  podrun timeline catalog --all           each mount by itself
  podrun timeline catalog -o perfetto > catalog.json      open it at https://ui.perfetto.dev (nothing is uploaded)
  podrun timeline catalog -o json         {steps: [{at, took, lane, kind, name, detail}], milestones}, in microseconds

  podrun timeline                         the pods whose timeline there is

It is always recorded. Of pods that are gone the last hundred are kept.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_pod(parser, optional=True)
    parser.add_argument("-o", "--output", choices=["json", "perfetto"], default="", help="as data")
    parser.add_argument("--all", action="store_true", help="do not fold steps that belong together")
    parser.add_argument("--uid", default="", help="of an earlier pod of that name")


def run(arguments: argparse.Namespace) -> int:
    if not arguments.pod:
        return _list(arguments)
    timeline = look(arguments, "timeline", **({"uid": arguments.uid} if arguments.uid else {}))
    if arguments.output:
        import json

        if arguments.output == "perfetto":
            from podrun.openbox.perfetto import trace

            timeline = trace(timeline)
        print(json.dumps(timeline, indent=None if arguments.output == "perfetto" else 2))
        return OK
    import shutil

    from podrun.openbox.bars import draw

    width = shutil.get_terminal_size((120, 24)).columns
    print(draw(timeline, width, color=sys.stdout.isatty(), folded=not arguments.all))
    return OK


def _list(arguments: argparse.Namespace) -> int:
    rows = [("NAMESPACE", "NAME", "UID", "")]
    pods = look_at_all(arguments, "timelines")["pods"]
    rows += [(pod["namespace"], pod["name"], pod["uid"], "gone" if pod["ended"] else "") for pod in pods]
    print(aligned(rows))
    return OK
