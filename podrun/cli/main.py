"""`podrun`: finds the command, imports it, and turns errors into a sentence and an exit code.

Only the module of the command that was called is imported, and a command imports what is heavy when it needs it: a
listing must be there in 30 ms, of which the interpreter's own start takes ten.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from podrun import __version__
from podrun.cli.errors import EXIT_CODES, FAILED, OK, CommandError

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import takes 3 ms

COMMANDS = {
    "play": "apply a manifest and wait until its pods are Ready or done",
    "ps": "list the pods that run here",
    "anatomy": "show who shares what in a pod: namespaces, processes, mounts, cgroup",
    "timeline": "show every step of a pod's life, with its time",
    "explain-status": "say why a pod is in its state, and what comes next",
    "freeze": "stop every process of a pod or container where it is",
    "thaw": "let what was frozen go on",
    "retry": "end what a pod waits for: the back-off of a crash loop or of an image",
    "restart": "restart a container",
    "netem": "delay, lose and slow down what a pod sends",
    "break": "break a part of a pod on purpose, to see what follows",
    "enter": "run a shell or program of the host's in a pod's namespaces",
    "trace": "show the system calls of a container (by strace)",
    "shell-script": "print a pod as a shell script that builds it by hand, without podrun",
    "experiment": "try out a claim about pods, step by step",
    "ui": "open the pods of this machine in a browser",
    "images": "list, load, pull, build and remove images",
    "doctor": "check the machine: each thing that is missing, with what to do",
    "kubeconfig": "print the kubeconfig, or merge it into yours",
    "kubectl": "run the bundled kubectl against podrun",
    "daemon": "run podrun itself",
    "reset": "remove every trace of podrun from the machine",
    "completion": "print a completion script for bash, zsh or fish",
}

PASSED_ON = ("kubectl",)
"""Commands whose words are all another program's, -h too."""

OF_A_POD = (
    *("anatomy", "timeline", "explain-status", "shell-script", "enter", "trace"),
    *("freeze", "thaw", "retry", "restart", "netem", "break"),
)
"""Commands whose first word is a pod's name."""

KNOBS = ("freeze", "thaw", "retry", "restart", "netem", "break")
"""Commands that are small and alike: all in podrun.cli.knobs."""

WITH_A_PROGRAM = ("enter", "trace")
"""Commands whose words after `--` are another program's (`after_dashes` of their arguments)."""

DESCRIPTION = "Kubernetes pods as real Linux processes on this machine."
EXAMPLES = """\
examples:
  podrun play examples/bookstore/raw-manifests/02-catalog-pod-sidecar.yaml
  podrun ps
  podrun anatomy catalog
  podrun COMMAND -h           what a command takes, with examples of its own
"""


if TYPE_CHECKING:
    from typing import Any, Protocol

    class Command(Protocol):
        """What each module of a command offers."""

        EXAMPLES: str

        def configure(self, parser: argparse.ArgumentParser) -> None: ...

        def run(self, arguments: argparse.Namespace) -> int: ...


def main(argv: list[str] | None = None) -> int:
    """Run a command line (default: this process's own) and return its exit code."""
    words = sys.argv[1:] if argv is None else argv
    try:
        return _run(words)
    except CommandError as error:
        print(f"podrun: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"        {error.hint}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return OK


def _run(words: list[str]) -> int:
    arguments = top_parser().parse_args(words)
    if arguments.command is None:
        top_parser().print_help()
        return FAILED if words else OK
    command = load(arguments.command)
    if arguments.command in PASSED_ON:
        parsed = argparse.Namespace(root=None, words=arguments.rest)
    else:
        own, after = arguments.rest, []
        if arguments.command in WITH_A_PROGRAM and "--" in own:
            place = own.index("--")
            own, after = own[:place], own[place + 1 :]
        parsed = command_parser(arguments.command).parse_args(own)
        parsed.after_dashes = after
    parsed.root = parsed.root or arguments.root or os.environ.get("PODRUN_ROOT") or "/"
    return command.run(parsed)


def load(name: str) -> Command:
    """The module of a command."""
    if name in KNOBS:
        command: Any = import_module("podrun.cli.knobs").KNOBS[name]
    else:
        command = import_module(f"podrun.cli.{name.replace('-', '_')}")
    return command  # type: ignore[no-any-return]


class _Help(argparse.RawDescriptionHelpFormatter):
    """Asks for the terminal's width itself: argparse imports shutil for it, which takes 2 ms whether or not there is
    help to be printed."""

    def __init__(self, prog: str) -> None:
        try:
            columns = int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size(1).columns
        except (OSError, ValueError):
            columns = 80
        super().__init__(prog, width=columns - 2)


def top_parser() -> argparse.ArgumentParser:
    """What is read before the command's own arguments."""
    listed = "\n".join(f"  {name:<16}{text}" for name, text in COMMANDS.items())
    codes = "\n".join(f"  {code}  {text}" for code, text in EXIT_CODES)
    parser = argparse.ArgumentParser(
        prog="podrun",
        usage="podrun [--root DIR] COMMAND ...",
        description=f"{DESCRIPTION}\n\ncommands:\n{listed}",
        epilog=f"{EXAMPLES}\nexit codes:\n{codes}",
        formatter_class=_Help,
    )
    parser.add_argument("--root", default=None, metavar="DIR", help="a podrun that lives below DIR (PODRUN_ROOT)")
    parser.add_argument("--version", action="version", version=f"podrun {__version__}")
    parser.add_argument("command", nargs="?", choices=[*COMMANDS], metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def command_parser(name: str) -> argparse.ArgumentParser:
    """The whole parser of one command."""
    command = load(name)
    parser = argparse.ArgumentParser(
        prog=f"podrun {name}",
        description=COMMANDS[name][0].upper() + COMMANDS[name][1:] + ".",
        epilog=command.EXAMPLES,
        formatter_class=_Help,
    )
    parser.add_argument("--root", default=None, metavar="DIR", help="a podrun that lives below DIR (PODRUN_ROOT)")
    command.configure(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
