"""`podrun explain-status POD`: why the pod is in its state, in the sentences of the decision, and what comes next."""

from __future__ import annotations

import argparse

from podrun.cli.errors import OK
from podrun.cli.pods import add_pod, look

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import takes 3 ms
if TYPE_CHECKING:
    from typing import Any

EXAMPLES = """\
examples:
  podrun explain-status web              which rule, which observation, what comes next and when
  podrun explain-status web --replay     every decision since the start, also of a pod that is gone
  podrun explain-status web -o json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_pod(parser)
    parser.add_argument("--replay", action="store_true", help="every decision since the start")
    parser.add_argument("-o", "--output", choices=["json"], default="", help="as JSON")


def run(arguments: argparse.Namespace) -> int:
    explained = look(arguments, "explanation", **({"replay": "1"} if arguments.replay else {}))
    if arguments.output:
        import json

        print(json.dumps(explained, indent=2))
        return OK
    if arguments.replay:
        for decision in explained["decisions"]:
            print(_decision(decision))
    print("\n".join(_wrapped(sentence) for sentence in explained["sentences"]))
    return OK


def _decision(decision: dict[str, Any]) -> str:
    from datetime import datetime

    at = datetime.fromtimestamp(decision["at"]).strftime("%H:%M:%S.%f")[:-3]
    lines = [f"{at}  {decision['summary']}"]
    lines += [_wrapped(f"[{reason['rule']}] {reason['sentence']}", " " * 14) for reason in decision["reasons"]]
    return "\n".join(lines)


def _wrapped(sentence: str, indent: str = "") -> str:
    import shutil
    import textwrap

    width = max(min(shutil.get_terminal_size((100, 24)).columns, 120), 40)
    return textwrap.fill(sentence, width, initial_indent=indent, subsequent_indent=f"{indent}  ")
