"""`podrun images`: what there is to run, and every way in and out.

The store is safe to use beside the daemon, so these commands open it directly and work whether or not a daemon runs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from podrun.api.humansize import human_size
from podrun.cli.columns import aligned
from podrun.cli.errors import FAILED, NOT_ROOT, OK, USAGE, CommandError
from podrun.layout import Layout

if TYPE_CHECKING:
    from podrun.images.model import Image, Progress
    from podrun.images.store import ImageStore

EXAMPLES = """\
examples:
  podrun images ls
  podrun images load app.tar            a file of `docker save`, an OCI archive or directory
  podrun images pull busybox:1.36       from its registry, or a mirror named in config.yaml
  podrun images build images            every recipe in a folder; unchanged ones cost nothing
  podrun images export app:dev rootfs   its root file system, for a chroot or the script of podrun shell-script
  podrun images rm app:dev
"""


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("ls", help="list the images")
    listing.add_argument("-o", "--output", choices=["json"], default="", help="as JSON")
    loading = actions.add_parser("load", help="take in `docker save` files, OCI archives and directories")
    loading.add_argument("paths", nargs="+", metavar="PATH")
    pulling = actions.add_parser("pull", help="get images from their registries")
    pulling.add_argument("references", nargs="+", metavar="IMAGE")
    building = actions.add_parser("build", help="build what recipes say")
    building.add_argument("recipes", nargs="+", metavar="RECIPE", help="recipe files, or folders of them")
    exporting = actions.add_parser("export", help="write an image's root file system to a directory")
    exporting.add_argument("image", metavar="IMAGE")
    exporting.add_argument("directory", metavar="DIR", help="empty, or not there yet")
    removing = actions.add_parser("rm", help="forget images")
    removing.add_argument("references", nargs="+", metavar="IMAGE", help="names, or ids to forget all their names")


def run(arguments: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise CommandError("images belong to root", "run it with sudo", NOT_ROOT)
    from podrun import settings
    from podrun.images.archive import ArchiveError
    from podrun.images.layers import LayerRefused
    from podrun.images.model import ImageError
    from podrun.images.recipe import RecipeError
    from podrun.images.store import ImageStore

    layout = Layout(arguments.root)
    try:
        mirrors = settings.load(layout.config, {}).registry_mirrors
    except settings.SettingsError as error:
        raise CommandError(str(error), code=USAGE) from None
    store = ImageStore(layout.images, mirrors=mirrors, docker_config=Path("~/.docker/config.json").expanduser())
    try:
        return _ACTIONS[arguments.action](store, arguments)
    except ImageError as error:
        raise CommandError(f"{error.reference}: {error.message}", code=FAILED) from None
    except (ArchiveError, LayerRefused, RecipeError) as error:
        raise CommandError(str(error), code=FAILED) from None


def _ls(store: ImageStore, arguments: argparse.Namespace) -> int:
    images = store.list()
    if arguments.output == "json":
        import json

        print(json.dumps([_described(image) for image in images], indent=2))
        return OK
    rows = [("IMAGE", "ID", "SIZE", "FROM"), *(row for image in images for row in _rows(image))]
    print(aligned(rows))
    return OK


def _rows(image: Image) -> list[tuple[str, str, str, str]]:
    origin = f"{image.source} (a stand-in; a pull replaces it)" if image.stand_in else str(image.source)
    names = image.references or ("<none>",)
    return [(familiar(name), image.id.removeprefix("sha256:")[:12], human_size(image.size), origin) for name in names]


def _load(store: ImageStore, arguments: argparse.Namespace) -> int:
    return _each(arguments.paths, lambda path, show: store.load(Path(path).absolute(), show))


def _pull(store: ImageStore, arguments: argparse.Namespace) -> int:
    async def pull(reference: str, show: Callable[[Progress], None]) -> tuple[Image, ...]:
        return (await store.pull(reference, on_progress=show),)

    return _each(arguments.references, pull)


def _build(store: ImageStore, arguments: argparse.Namespace) -> int:
    recipes: list[str] = []
    for given in arguments.recipes:
        path = Path(given).absolute()
        found = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        if not found:
            raise CommandError(f"{given} holds no recipe (NAME.yaml)", code=USAGE)
        recipes += [str(each) for each in found]

    async def build(recipe: str, show: Callable[[Progress], None]) -> tuple[Image, ...]:
        return (await store.build(Path(recipe), show),)

    return _each(recipes, build)


def _rm(store: ImageStore, arguments: argparse.Namespace) -> int:
    async def remove() -> int:
        code = OK
        for reference in arguments.references:
            if await store.remove(reference):
                print(f"removed {reference}")
            else:
                print(f"podrun: there is no image {reference}", file=sys.stderr)
                code = FAILED
        return code

    return asyncio.run(remove())


def _export(store: ImageStore, arguments: argparse.Namespace) -> int:
    from podrun.images.export import ExportFailed, export

    image = store.get(arguments.image)
    if image is None:
        raise CommandError(f"there is no image {arguments.image}", "podrun images ls lists all")
    try:
        export(image, Path(arguments.directory))
    except (ExportFailed, OSError) as error:
        raise CommandError(f"{arguments.image} is not exported: {error}") from None
    print(f"{arguments.directory} is the root file system of {arguments.image}: {len(image.layers)} layers")
    return OK


_ACTIONS: dict[str, Callable[[ImageStore, argparse.Namespace], int]] = {
    "ls": _ls,
    "load": _load,
    "pull": _pull,
    "build": _build,
    "export": _export,
    "rm": _rm,
}


def _each(things: list[str], work: Callable[[str, Callable[[Progress], None]], Awaitable[tuple[Image, ...]]]) -> int:
    """Do one after the other, with progress on a terminal, and name what came of it."""

    async def all_of_them() -> None:
        for thing in things:
            with _ProgressLine() as line:
                images = await work(thing, line.show)
            for image in images:
                for name in image.references or (image.id,):
                    print(
                        f"{familiar(name)} {image.id.removeprefix('sha256:')[:12]} {human_size(image.size)}", flush=True
                    )

    asyncio.run(all_of_them())
    return OK


class _ProgressLine:
    """One line that is written over while work goes on; nothing where nobody looks."""

    def __init__(self) -> None:
        self._seen = sys.stderr.isatty()

    def __enter__(self) -> _ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        self._write("")

    def show(self, progress: Progress) -> None:
        part = f" {human_size(progress.done)}" if progress.done else ""
        whole = f" of {human_size(progress.total)}" if progress.total else ""
        self._write(f"{progress.what}: {progress.step}{part}{whole}"[:100])

    def _write(self, text: str) -> None:
        if self._seen:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()


def familiar(reference: str) -> str:
    """A name as people write it: docker.io/library/busybox:1.36 is busybox:1.36."""
    return reference.removeprefix("docker.io/").removeprefix("library/")


def _described(image: Image) -> dict[str, object]:
    return {
        "id": image.id,
        "references": list(image.references),
        "digests": list(image.digests),
        "size": image.size,
        "source": str(image.source),
        "standIn": image.stand_in,
        "created": image.created,
    }
