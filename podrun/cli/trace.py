"""`podrun trace POD`: the system calls of a container, by the host's strace."""

from __future__ import annotations

import argparse
import os
import shutil

from podrun.cli.enter import process_of
from podrun.cli.errors import MACHINE_LACKS, NOT_ROOT, USAGE, CommandError
from podrun.cli.pods import add_container, add_pod, pod_object

EXAMPLES = """\
examples:
  podrun trace web -c app                           every process of the container, and those they make; Ctrl-C ends it
  podrun trace web -c app -- -e trace=network       strace's own options
  podrun trace web -c app -- -c                     a count of the calls, when it ends

The container needs no privilege for it, and goes on afterwards. strace is the host's: apt-get install strace.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_pod(parser)
    add_container(parser, "the container (default: the pod's only one)")
    parser.usage = "podrun trace [-h] [-n NAMESPACE] [-c C] POD [-- OPTIONS OF STRACE ...]"


def run(arguments: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise CommandError("tracing other processes needs root", "run it with sudo", NOT_ROOT)
    if shutil.which("strace") is None:
        raise CommandError(
            "strace is not installed",
            "apt-get install strace, or see examples/demonstrations/strace-from-a-debug-container",
            MACHINE_LACKS,
        )
    arguments.container = arguments.container or _only_container(arguments)
    container = process_of(arguments)
    argv = ["strace", "-f", *arguments.after_dashes]
    for process in container.processes:
        if process.state != "Z":
            argv += ["-p", str(process.pid)]
    os.execvp("strace", argv)


def _only_container(arguments: argparse.Namespace) -> str:
    names = [each["name"] for each in pod_object(arguments)["spec"]["containers"]]
    if len(names) > 1:
        raise CommandError("say which container", f"-c {' or '.join(names)}", USAGE)
    return str(names[0])
