"""`podrun experiment run NAME`: a claim about pods, tried out before one's eyes."""

from __future__ import annotations

import argparse
import os
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING

from podrun.cli.errors import FAILED, MACHINE_LACKS, NOT_ROOT, OK, CommandError
from podrun.layout import Layout, api_socket

if TYPE_CHECKING:
    from podrun.cli.experiments.files import Script
    from podrun.cli.experiments.narration import Narrator

EXAMPLES = """\
examples:
  podrun experiment list
  podrun experiment show kill-pause               the file: claim, steps, manifests
  podrun experiment run kill-pause                watch it; everything is removed at the end
  podrun experiment run kill-pause --step         wait for Enter before each step
  podrun experiment run kill-pause --keep         leave its pods, to look around
  podrun experiment run kill-pause --broken       with its claim broken on purpose: it must say so
  podrun experiment run ./mine.yaml               one of your own; the others show the form

The exit code is 0 where everything was as the experiment says, 1 where it was not. Where a claim that one reads
is not true, the experiment shows, and checks, what happens instead.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="list the experiments")
    showing = actions.add_parser("show", help="print an experiment's file")
    showing.add_argument("name", metavar="NAME")
    running = actions.add_parser("run", help="run experiments")
    running.add_argument("names", nargs="+", metavar="NAME", help="experiments' names, or files of your own")
    running.add_argument("--step", action="store_true", help="wait for Enter before each step")
    running.add_argument("--keep", action="store_true", help="leave everything as it is at the end")
    running.add_argument("--broken", action="store_true", help="break the claim on purpose: the run must notice")


def further_words() -> list[str]:
    """What a shell may complete: the experiments' names."""
    from podrun.cli.experiments import files

    return files.names()


def run(arguments: argparse.Namespace) -> int:
    from podrun.cli.experiments import files

    if arguments.action == "list":
        return _list()
    if arguments.action == "show":
        path = files.find(arguments.name)
        files.read(path)
        print(path.read_text(encoding="utf-8"), end="")
        return OK
    if os.geteuid() != 0:
        raise CommandError("experiments look into other processes and need root", "run it with sudo", NOT_ROOT)
    from podrun.cli.experiments.narration import Narrator

    narrator = Narrator()
    codes: list[int] = []
    for script in [files.read(files.find(name), broken=arguments.broken) for name in arguments.names]:
        if codes:
            print()
        codes.append(_run(script, arguments, narrator))
    return max(codes)


def _list() -> int:
    from podrun.cli.experiments import files

    names = files.names()
    width = max(map(len, names), default=0)
    for name in names:
        print(f"{name:<{width}}  {files.read(files.find(name)).experiment.title}")
    return OK


def _run(script: Script, arguments: argparse.Namespace, narrator: Narrator) -> int:
    from podrun.cli.client import Client
    from podrun.cli.experiments.player import Player, Refuted
    from podrun.cli.experiments.stage import stage

    client = Client(api_socket(arguments.root))
    client.get("/version")  # whether somebody answers at all
    _check_machine(script, arguments.root)
    narrator.opening(script)
    if arguments.broken:
        narrator.breaking(script)
    code = OK
    with stage(client, arguments.root, script, keep=arguments.keep) as where:
        try:
            Player(script, where, narrator, step_by_step=arguments.step and narrator.on_a_terminal).play()
            narrator.holds(script)
        except Refuted as refuted:
            narrator.refuted(script, str(refuted))
            code = FAILED
        finally:
            if arguments.keep:
                narrator.note(f"Everything is still there: podrun kubectl -n {where.namespace} get pods")
                narrator.note(f"To remove it: podrun kubectl delete namespace {where.namespace}")
    return code


def _check_machine(script: Script, root: str) -> None:
    """Raises CommandError where the machine's kernel is too old, or an image is not there."""
    experiment = script.experiment
    here = re.match(r"(\d+)\.(\d+)", platform.release())
    if here and tuple(map(int, here.groups())) < tuple(map(int, experiment.kernel.split("."))):
        raise CommandError(f"{script.name} needs Linux {experiment.kernel} or later", code=MACHINE_LACKS)
    from podrun.images.store import ImageStore

    store = ImageStore(Path(Layout(root).images))
    lacking = [name for name in experiment.images if store.get(name) is None]
    if lacking:
        hint = "podrun images build images, in a clone of podrun, makes them"
        raise CommandError(f"{script.name} needs what is not here: image {', '.join(lacking)}", hint, MACHINE_LACKS)
