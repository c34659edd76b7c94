"""Make the image that a recipe describes: compose each layer, write it as a reproducible archive, unpack that."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from podrun.images import debian, golang, reference
from podrun.images.disk import remove_tree
from podrun.images.layers import Layers, Piece
from podrun.images.manifests import architecture
from podrun.images.model import OnProgress, Progress
from podrun.images.recipe import Applets, LayerRecipe, Recipe, RecipeError
from podrun.images.tree import EPOCH, Node, Tree

_FORM = "3"
"""Goes into every key: to be raised when the same recipe would come out differently."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe, and the key of what it gives."""

    recipe: Recipe
    directory: Path
    """What the recipe's own paths are relative to."""
    key: str
    """Of recipe, sources, architecture and installed packages: an image with this key need not be built again. Asks
    neither network nor package lists, so that a machine without them can go on with what it has."""


async def plan(path: Path, recipe: Recipe) -> Plan:
    """Digest what the image depends on; raises RecipeError."""
    digest = hashlib.sha256(f"{_FORM}\0{architecture()}\0".encode() + path.read_bytes())
    for layer in recipe.layers:
        for package in layer.package_files.values():
            digest.update(f"{package}\0{await debian.installed(package)}\0".encode())
        if layer.go is not None:
            digest.update(golang.key_of(path.parent / layer.go.source).encode())
    return Plan(recipe, path.parent, digest.hexdigest())


class Builder:
    """Builds into the layers of one store."""

    def __init__(self, layers: Layers, cache: Path, scratch: Path) -> None:
        self._layers = layers
        self._cache = cache
        self._apt = debian.Apt(cache / "debian")
        self._scratch = scratch

    async def build(self, what: Plan, on_progress: OnProgress) -> dict[str, Any]:
        """Make the layers; gives the image's configuration. Raises RecipeError or LayerRefused."""
        title = reference.parse(what.recipe.names[0]).familiar
        diff_ids = []
        for layer in what.recipe.layers:
            scratch = Path(tempfile.mkdtemp(prefix="build-", dir=self._scratch))
            try:
                tree = await self._compose(layer, what.directory, scratch, title, on_progress)
                on_progress(Progress(title, "packing"))
                diff_ids.append(await self._add(tree, scratch / "layer.tar"))
            finally:
                await asyncio.to_thread(remove_tree, scratch)
        return _configuration(what.recipe, diff_ids)

    async def _compose(
        self,
        layer: LayerRecipe,
        directory: Path,
        scratch: Path,
        title: str,
        on_progress: OnProgress,
    ) -> Tree:
        tree = Tree()
        for path in layer.directories:
            tree.put(path, Node(layer.mode(path)))
        for path, target in layer.links.items():
            tree.put(path, Node(0o777, target=target))
        if layer.packages:
            on_progress(Progress(title, "fetching"))
            files = await self._apt.obtain(layer.packages, layer.without)
            on_progress(Progress(title, "unpacking"))
            await debian.add_packages(tree, files, scratch)
        for path, package in layer.package_files.items():
            tree.put(path, await self._apt.file_of(package, path, scratch))
        if layer.go is not None:
            on_progress(Progress(title, "compiling"))
            program = await golang.compile_program(directory / layer.go.source, self._cache)
            tree.put(layer.go.to, Node(0o755, program))
        for path, text in layer.files.items():
            tree.put(path, Node(0o644, text.encode()))
        for path, text in layer.programs.items():
            tree.put(path, Node(0o755, text.encode()))
        if layer.applets is not None:
            _rename_applets(tree, layer.applets, scratch)
            for name in await _applets(tree, layer.applets.busybox):
                path = f"{layer.applets.directory}/{name}"
                if path not in tree:
                    tree.put(path, Node(0o755, same_as=layer.applets.busybox))
        return tree

    async def _add(self, tree: Tree, archive: Path) -> str:
        def write() -> str:
            with archive.open("w+b") as file:
                tree.write(file)
                file.seek(0)
                return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"

        diff_id = await asyncio.to_thread(write)
        with archive.open("rb") as file:
            await self._layers.add(Piece.whole(file.fileno()), diff_id, lambda _: None)
        return diff_id


def _rename_applets(tree: Tree, applets: Applets, scratch: Path) -> None:
    """In a copy: the tree's own content may be the program that is installed on this machine."""
    program = _program(tree, applets.busybox)
    node = tree.get(applets.busybox)
    if not applets.renamed or node is None:
        return
    copy = scratch / "renamed"
    copy.write_bytes(renamed_applets(program.read_bytes(), applets.renamed))
    copy.chmod(0o700)  # it is asked for its applets before it is packed
    tree.put(applets.busybox, replace(node, content=copy))


def renamed_applets(program: bytes, names: Mapping[str, str]) -> bytes:
    """A busybox with other names in its table of applets, which is sorted and whose entries end with a NUL.

    Raises RecipeError where a name is not in the table once, or its new name does not fit there.
    """
    for old, new in names.items():
        entry = b"\0" + old.encode() + b"\0"
        at = program.find(entry) + 1
        if not at or program.find(entry, at) >= 0:
            raise RecipeError(f"applets: {old} is not the name of one applet")
        before = program[program.rfind(b"\0", 0, at - 1) + 1 : at - 1]
        end = at + len(old) + 1
        after = program[end : program.find(b"\0", end)]
        if len(new) != len(old) or not before < new.encode() < after:
            raise RecipeError(f"applets: {new} does not fit in the place of {old}")
        program = program[:at] + new.encode() + program[end - 1 :]
    return program


def _program(tree: Tree, path: str) -> Path:
    node = tree.get(path)
    if node is None or not isinstance(node.content, Path):
        raise RecipeError(f"applets: the layer has no program {path}")
    return node.content


async def _applets(tree: Tree, busybox: str) -> list[str]:
    """The names that a busybox answers to, as it says itself."""
    process = await asyncio.create_subprocess_exec(
        "busybox",  # it goes by the name it is called with
        "--list",
        executable=_program(tree, busybox),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    if process.returncode:
        raise RecipeError(f"applets: {busybox} --list ended with {process.returncode}")
    return [name for name in printed.decode().split() if name != "busybox"]


def _configuration(recipe: Recipe, diff_ids: list[str]) -> dict[str, Any]:
    config = recipe.config
    created = datetime.fromtimestamp(EPOCH, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "created": created,
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "User": config.user,
            "Env": [f"{name}={value}" for name, value in config.env.items()],
            "Entrypoint": list(config.entrypoint) or None,
            "Cmd": list(config.cmd) or None,
            "WorkingDir": config.working_dir,
            "StopSignal": config.stop_signal,
            "ExposedPorts": {port: {} for port in config.exposed_ports},
            "Labels": dict(config.labels),
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": created, "created_by": "podrun images build"} for _ in diff_ids],
    }


def image_id(configuration: dict[str, Any]) -> str:
    """The digest of a configuration that podrun wrote itself."""
    data = json.dumps(configuration, sort_keys=True, separators=(",", ":")).encode()
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
