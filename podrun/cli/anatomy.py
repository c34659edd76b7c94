"""`podrun anatomy POD`: the pod, opened; two of them compared; or looked at while it moves."""

from __future__ import annotations

import argparse
import os
import sys

from podrun.cli.errors import NOT_ROOT, OK, USAGE, CommandError
from podrun.cli.pods import pod_object

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import takes 3 ms
if TYPE_CHECKING:
    from podrun.anatomy.model import Anatomy

EXAMPLES = """\
examples:
  podrun anatomy catalog             a drawing: who shares what, with processes, mounts, cgroup and address
  podrun anatomy -n dev web
  podrun anatomy catalog --watch     read again once a second, until Ctrl-C
  podrun anatomy --diff catalog/catalog catalog/log-sidecar     what two containers share, and what not
  podrun anatomy --diff catalog web                             what two pods share
  podrun anatomy catalog -o json     namespaces: [{type, inode, members}], and all the rest
  podrun anatomy catalog -o svg > catalog.svg
"""

_EVERY = 1.0
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_OTHER_SCREEN, _FIRST_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pod", metavar="POD", nargs="?", default="")
    parser.add_argument("-n", "--namespace", default="default", help="the pod's namespace (default: default)")
    parser.add_argument("-o", "--output", choices=["json", "svg"], default="", help="as data, or as a picture")
    parser.add_argument("-w", "--watch", action="store_true", help="read again once a second")
    parser.add_argument("--diff", nargs=2, metavar=("A", "B"), help="compare two: each a POD or POD/CONTAINER")


def run(arguments: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise CommandError("looking into other processes needs root", "run it with sudo", NOT_ROOT)
    if bool(arguments.diff) == bool(arguments.pod):
        raise CommandError("say either which POD is to be opened, or --diff A B", "podrun anatomy -h", USAGE)
    if arguments.watch:
        if arguments.output:
            raise CommandError("--watch draws: it goes with no --output", code=USAGE)
        return _watch(arguments)
    print(_shown(arguments))
    return OK


def _shown(arguments: argparse.Namespace) -> str:
    if arguments.diff:
        return _compared(arguments)
    anatomy = _opened(arguments, arguments.pod)
    if arguments.output == "json":
        import json

        return json.dumps(anatomy.as_json(), indent=2)
    if arguments.output == "svg":
        from podrun.anatomy.svg import draw_svg

        return draw_svg(anatomy)
    from podrun.anatomy import draw

    return draw.draw(anatomy, _columns())


def _opened(arguments: argparse.Namespace, name: str) -> Anatomy:
    arguments.pod = name
    pod = pod_object(arguments)
    from podrun.anatomy.read import open_pod

    return open_pod(pod)


def _compared(arguments: argparse.Namespace) -> str:
    a, b = arguments.diff
    from podrun.anatomy import differences

    sides = []
    for each in (a, b):
        pod, _, container = each.partition("/")
        try:
            sides.append(differences.side(_opened(arguments, pod), container))
        except LookupError as error:
            raise CommandError(str(error.args[0])) from None
    if arguments.output == "json":
        import json
        from dataclasses import asdict

        lines = differences.compare(sides[0], sides[1])
        return json.dumps({"a": a, "b": b, "lines": [asdict(line) for line in lines]}, indent=2)
    if arguments.output:
        raise CommandError("a comparison is text or JSON", code=USAGE)
    return differences.draw(sides[0], sides[1], _columns())


def _watch(arguments: argparse.Namespace) -> int:
    """In place on a terminal's other screen; elsewhere one picture after the other. Ends with Ctrl-C."""
    import time

    pod, terminal = arguments.pod, sys.stdout.isatty()
    if terminal:
        sys.stdout.write(_OTHER_SCREEN)
    try:
        while True:
            arguments.pod = pod
            text = _shown(arguments)
            if terminal:
                rows = os.get_terminal_size().lines - 1
                kept = "\n".join(f"{line}{_CLEAR_LINE}" for line in text.splitlines()[:rows])
                text = f"{_HOME}{kept}{_CLEAR_BELOW}"
            sys.stdout.write(text if terminal else f"{text}\n\n")
            sys.stdout.flush()
            time.sleep(_EVERY)
    except KeyboardInterrupt:
        return OK
    finally:
        if terminal:
            sys.stdout.write(_FIRST_SCREEN)
            sys.stdout.flush()


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size((100, 24)).columns
