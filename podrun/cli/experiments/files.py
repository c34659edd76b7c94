"""Experiments as files hold them: found by name, split into documents, checked, and, if wanted, broken on purpose."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

import podrun
from podrun.cli.errors import USAGE, CommandError
from podrun.cli.experiments.model import Experiment

_PACKAGE = Path(podrun.__file__).parent
_BROKEN = re.compile(r"^broken:.*\n(?:[ #].*\n|\n)*", re.MULTILINE)
_NEW_DOCUMENT = re.compile(r"^---[ \t]*(?:#.*)?\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A Kubernetes object of an experiment, and its text with its comments."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Script:
    """An experiment ready to be played."""

    name: str
    """The file's, without its suffix."""
    experiment: Experiment
    manifests: dict[str, Manifest]


def folder() -> Path:
    """Where the experiments lie: within the installed package, or beside it in a clone. Raises CommandError."""
    for place in (_PACKAGE / "examples/experiments", _PACKAGE.parent / "examples/experiments"):
        if place.is_dir():
            return place
    raise CommandError(f"there are no experiments beside {_PACKAGE}", "install podrun again, from a clone or a wheel")


def names() -> list[str]:
    """Every experiment's name, in the alphabet's order."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def find(name: str) -> Path:
    """The file of an experiment, given by its name or as a path. Raises CommandError."""
    if "/" in name or name.endswith((".yaml", ".yml")):
        return Path(name)
    path = folder() / f"{name}.yaml"
    if not path.exists():
        raise CommandError(f"there is no experiment {name}", "podrun experiment list names them all", USAGE)
    return path


def read(path: Path, *, broken: bool = False) -> Script:
    """Read and check a file; `broken` makes its own change to it first. Raises CommandError, which names the place."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CommandError(f"{path} cannot be read: {why}", code=USAGE) from None
    script = _parse(path, text)
    return _parse(path, _break(path, text, script.experiment)) if broken else script


def _break(path: Path, text: str, experiment: Experiment) -> str:
    """The text with the change that `broken` describes, made everywhere but there."""
    own = _BROKEN.search(text)
    before, kept, after = (text[: own.start()], own.group(), text[own.end() :]) if own else (text, "", "")
    change = experiment.broken
    changed = [replaced(piece, change.replace, change.by) for piece in (before, after)]
    if changed == [before, after]:
        raise CommandError(f"{path}: broken.replace: {change.replace!r} is nowhere else in the file", code=USAGE)
    return changed[0] + kept + changed[1]


def replaced(text: str, old: str, new: str) -> str:
    """A text with another in the place of a part of it. Parts of whole lines are found at any indentation, and what
    replaces them gets the same."""
    if "\n" not in old:
        return text.replace(old, new)
    lines = "\n".join(rf"\1{re.escape(line)}" if number else re.escape(line) for number, line in enumerate(_lines(old)))
    pattern = re.compile(rf"^( *){lines}\n", re.MULTILINE)
    return pattern.sub(lambda match: "".join(f"{match[1]}{line}\n" for line in _lines(new)), text)


def _lines(text: str) -> list[str]:
    return text.rstrip("\n").splitlines()


def _parse(path: Path, text: str) -> Script:
    first, *others = (piece for piece in _NEW_DOCUMENT.split(text) if _holds_something(piece))
    loaded = _load(path, first)
    try:
        experiment = Experiment.model_validate(loaded)
    except ValidationError as error:
        raise CommandError(f"{path}: {_first_of(error)}", code=USAGE) from None
    manifests = {}
    for piece in others:
        manifest = _manifest(path, piece)
        if manifest.name in manifests:
            raise CommandError(f"{path}: two manifests are called {manifest.name}", code=USAGE)
        manifests[manifest.name] = manifest
    for number, step in enumerate(experiment.steps):
        for name in step.apply:
            if name not in manifests:
                there = ", ".join(manifests) or "none"
                raise CommandError(f"{path}: steps.{number}.apply: no manifest {name} in it ({there})", code=USAGE)
    return Script(path.stem, experiment, manifests)


def _holds_something(piece: str) -> bool:
    return any(line.strip() and not line.startswith("#") for line in piece.splitlines())


def _load(path: Path, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CommandError(f"{path} is not YAML: {error}", code=USAGE) from None


def _manifest(path: Path, text: str) -> Manifest:
    loaded = _load(path, text)
    metadata = loaded.get("metadata") if isinstance(loaded, dict) else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise CommandError(f"{path}: a manifest has no metadata.name", code=USAGE)
    if "namespace" in metadata:
        why = "an experiment has a namespace of its own, which is removed after it"
        raise CommandError(f"{path}: {metadata['name']}: metadata.namespace is not for manifests: {why}", code=USAGE)
    return Manifest(metadata["name"], text.strip("\n") + "\n")


def _first_of(error: ValidationError) -> str:
    """`steps.2.exepct: ...`: the first fault and its place."""
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    what = (
        "there is no such field" if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix("Value error, ")
    )
    return f"{where}: {what}" if where else what
