"""`podrun enter POD`: a program of the host's, by default a shell, in some of a pod's namespaces."""

from __future__ import annotations

import argparse
import os

from podrun.cli.errors import FAILED, MACHINE_LACKS, NOT_ROOT, USAGE, CommandError
from podrun.cli.pods import add_container, add_pod, pod_object

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import takes 3 ms
if TYPE_CHECKING:
    from podrun.anatomy.model import Anatomy, Container

EXAMPLES = """\
examples:
  podrun enter web                            the host's shell, with the pod's network, IPC and hostname
  podrun enter web --ns net -- ss -tlnp       one program of the host's, which the image need not have
  podrun enter web -c app --ns net,pid        the container's processes too; /proc is still the host's
  podrun enter web -c app --ns net,pid,mnt    its root as well: then it is the image's program that runs
  podrun enter web --ns mnt -- ls /proc/self/ns

It joins nothing else: no cgroup, user, capability or seccomp of the pod's. For those there is kubectl exec. With mnt
it is the image's own program that runs as the machine's root: not for images that you do not trust.
"""

KINDS = ("net", "ipc", "uts", "pid", "mnt", "cgroup", "user")
_DEFAULT = "net,ipc,uts"
_OPTIONS = {"net": "--net", "ipc": "--ipc", "uts": "--uts", "pid": "--pid", "mnt": "--mount", "cgroup": "--cgroup"}


def configure(parser: argparse.ArgumentParser) -> None:
    add_pod(parser)
    add_container(parser, "whose namespaces (default: those that the pod's containers share)")
    parser.add_argument("--ns", default=_DEFAULT, metavar="KINDS", help=f"of {','.join(KINDS)} (default: {_DEFAULT})")
    parser.usage = "podrun enter [-h] [-n NAMESPACE] [-c C] [--ns KINDS] POD [-- CMD ...]"


def run(arguments: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise CommandError("entering namespaces needs root", "run it with sudo", NOT_ROOT)
    kinds = [kind.strip() for kind in arguments.ns.split(",") if kind.strip()]
    if wrong := [kind for kind in kinds if kind not in KINDS]:
        raise CommandError(f"{wrong[0]} is no kind of namespace; there are {', '.join(KINDS)}", code=USAGE)
    pid = process_of(arguments).processes[0].pid
    argv = enter_command(pid, kinds, arguments.after_dashes or [os.environ.get("SHELL", "/bin/sh")])
    try:
        os.execvp(argv[0], argv)
    except FileNotFoundError:
        raise CommandError("nsenter is not installed", "apt-get install util-linux", MACHINE_LACKS) from None


def enter_command(pid: int, kinds: list[str], command: list[str]) -> list[str]:
    """nsenter's words. The working directory is the new root's where that changes."""
    options = ["--user", "--preserve-credentials"] if "user" in kinds else []
    options += [_OPTIONS[kind] for kind in kinds if kind in _OPTIONS]
    options += ["--root", "--wd=/"] if "mnt" in kinds else []
    return ["nsenter", f"--target={pid}", *options, "--", *command]


def process_of(arguments: argparse.Namespace) -> Container:
    """The container meant, or pause where none is named. Raises CommandError where it does not run."""
    from podrun.anatomy.read import open_pod

    anatomy: Anatomy = open_pod(pod_object(arguments))
    running = {container.name: container for container in anatomy.containers}
    if not running:
        raise CommandError(f"nothing of pod {arguments.pod} runs", code=FAILED)
    if not arguments.container:
        return anatomy.containers[0]
    if arguments.container not in running:
        why = dict(anatomy.absent).get(arguments.container, "")
        said = f"container {arguments.container} does not run ({why})" if why else f"no container {arguments.container}"
        raise CommandError(f"pod {arguments.pod}: {said}", f"it has {', '.join(running)}")
    return running[arguments.container]
