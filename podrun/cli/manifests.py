"""Manifests as files hold them, and where the API takes each object.

Written without dataclasses and pathlib, whose imports take 10 ms of the 45 that `podrun play` has.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator

from podrun.cli.client import Client, Refused, path_of
from podrun.cli.errors import USAGE, CommandError

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import takes 3 ms
if TYPE_CHECKING:
    from typing import Any

    Object = dict[str, Any]


class Place:
    """Where an object lives in the API."""

    __slots__ = ("kind", "name", "path")

    def __init__(self, kind: str, name: str, path: str) -> None:
        self.kind = kind
        self.name = name
        self.path = path

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


def read(files: Iterable[str]) -> list[Object]:
    """Every object of the files in order, Lists opened; `-` is standard input. Raises CommandError."""
    return [item for file in files for item in _objects(file)]


def _objects(file: str) -> Iterator[Object]:
    try:
        text = sys.stdin.read() if file == "-" else _text(file)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CommandError(f"{file} cannot be read: {why}", code=USAGE) from None
    for number, document in enumerate(_documents(file, text), 1):
        if document is None:
            continue
        if not isinstance(document, dict):
            raise CommandError(f"{file}: document {number} is no Kubernetes object", code=USAGE)
        if document.get("kind") == "List":
            yield from document.get("items") or []
        else:
            yield document


def _text(file: str) -> str:
    with open(file, encoding="utf-8") as opened:
        return opened.read()


def _documents(file: str, text: str) -> list[Any]:
    if text.lstrip().startswith("{"):
        try:
            return [json.loads(text)]
        except ValueError as error:
            raise CommandError(f"{file} is not JSON: {error}", code=USAGE) from None
    import yaml

    try:
        return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        raise CommandError(f"{file} is not YAML: {error}", code=USAGE) from None


class Places:
    """Finds objects' paths by asking the API's discovery, once per group."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._known: dict[str, dict[str, Any]] = {}

    def of(self, obj: Object) -> Place:
        """Raises CommandError where the object does not say what it is, or podrun does not serve its kind."""
        version, kind = str(obj.get("apiVersion") or ""), str(obj.get("kind") or "")
        metadata = obj.get("metadata")
        name = str(metadata.get("name") or "") if isinstance(metadata, dict) else ""
        if not version or not kind or not name:
            lacking = "apiVersion" if not version else "kind" if not kind else "metadata.name"
            raise CommandError(f"an object ({kind or 'of no kind'} {name or 'without a name'}) has no {lacking}")
        resource = self._resources(version).get(kind)
        if resource is None:
            raise CommandError(
                f"podrun does not serve {kind} of {version}",
                "it runs pods and what they need; `podrun kubectl api-resources` lists all kinds",
            )
        start = ("api", version) if "/" not in version else ("apis", *version.split("/"))
        space: tuple[str, ...] = ()
        if resource["namespaced"]:
            space = ("namespaces", str(obj["metadata"].get("namespace") or self._namespace))
        return Place(kind, name, path_of(*start, *space, resource["name"], name))

    def _resources(self, version: str) -> dict[str, Any]:
        if version not in self._known:
            path = path_of(*(("api", version) if "/" not in version else ("apis", *version.split("/"))))
            try:
                listed = self._client.get(path)["resources"]
            except Refused as error:
                if error.http_code != 404:
                    raise
                listed = []
            self._known[version] = {each["kind"]: each for each in listed if "/" not in each["name"]}
        return self._known[version]
