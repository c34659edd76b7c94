"""The OpenAPI definitions of Kubernetes 1.36, read one at a time.

They come from the package `kubernetes-validate`, which carries them for every release as one JSON file of 1.6 MB. A
process that serves thirty kinds must not hold all of them, so they are kept as text: one line of JSON for each
definition, with an index in front, either in a cache file (read with `pread`, a few KiB in memory) or, where there is
none, in memory. Null types and `$ref` are rewritten to what OpenAPI v3 says.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from pathlib import Path
from typing import Any

import orjson

from podrun.api.definitions_added import ADDED

Object = dict[str, Any]

RELEASE = "v1.36."
_FORMAT = 1
_REF_SOURCE = "#/$defs/"
REF = "#/components/schemas/"


class Definitions:
    """Definitions by name (`io.k8s.api.core.v1.Pod`) and by group, version and kind."""

    def __init__(self, cache: Path | None = None) -> None:
        """Open the definitions; with `cache`, a file that is written when missing or made from another package."""
        source = f"{importlib.metadata.version('kubernetes-validate')} {RELEASE} {_FORMAT}"
        self._text = b""
        self._fd = -1
        self._source = ""
        self._start = 0
        self._spans: dict[str, list[int]] = {}
        self._kinds: dict[str, str] = {}
        if cache is not None and self._open(cache, source):
            return
        text = _extract(source)
        if cache is not None:
            cache.parent.mkdir(parents=True, exist_ok=True)
            fresh = cache.with_name(f"{cache.name}.{os.getpid()}")
            fresh.write_bytes(text)
            fresh.replace(cache)
            if self._open(cache, source):
                return
        self._text = text
        self._read_index(text[: text.index(b"\n") + 1])

    def _open(self, cache: Path, source: str) -> bool:
        try:
            self._fd = os.open(cache, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        header = os.pread(self._fd, 1 << 20, 0).partition(b"\n")[0] + b"\n"
        try:
            self._read_index(header)
        except (orjson.JSONDecodeError, KeyError):
            self._source = ""
        if self._source == source:
            return True
        os.close(self._fd)
        self._fd = -1
        return False

    def _read_index(self, header: bytes) -> None:
        index = orjson.loads(header)
        self._source = index["source"]
        self._start = len(header)
        self._spans = index["spans"]
        self._kinds = index["kinds"]

    def close(self) -> None:
        """Close the cache file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __contains__(self, name: str) -> bool:
        return name in self._spans

    def __iter__(self) -> Any:
        return iter(self._spans)

    def read(self, name: str) -> Object:
        """The definition with descriptions, freshly parsed; raises KeyError."""
        offset, length = self._spans[name]
        if self._fd >= 0:
            text = os.pread(self._fd, length, self._start + offset)
        else:
            text = self._text[self._start + offset : self._start + offset + length]
        definition: Object = orjson.loads(text)
        return definition

    def name_of(self, group: str, version: str, kind: str) -> str | None:
        """The definition's name of a kind, e.g. ("", "v1", "Pod") -> `io.k8s.api.core.v1.Pod`."""
        return self._kinds.get(f"{group}/{version}/{kind}")


def _extract(source: str) -> bytes:
    """The cache's text, out of the package: a header line, then a line for each definition."""
    definitions = {name: _openapi(body) for name, body in _packaged().items()}
    definitions.update(ADDED)
    spans: dict[str, list[int]] = {}
    kinds: dict[str, str] = {}
    lines = []
    offset = 0
    for name in sorted(definitions):
        body = definitions[name]
        for gvk in body.get("x-kubernetes-group-version-kind", ()):
            key = f"{gvk['group']}/{gvk['version']}/{gvk['kind']}"
            if name.endswith(f".{gvk['kind']}"):
                kinds.setdefault(key, name)
        line = orjson.dumps(body)
        spans[name] = [offset, len(line)]
        offset += len(line) + 1
        lines.append(line)
    header = orjson.dumps({"source": source, "spans": spans, "kinds": kinds})
    return b"\n".join([header, *lines, b""])


def _packaged() -> Object:
    spec = importlib.util.find_spec("kubernetes_validate")  # found, not imported: importing it takes 70 ms
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0], "kubernetes-json-schema")
    newest = max(folder.glob(f"{RELEASE}*-local"), key=lambda path: int(path.name.split(".")[2].split("-")[0]))
    definitions: Object = orjson.loads((newest / "_definitions.json").read_bytes())["$defs"]
    return definitions


def _openapi(node: Any) -> Any:
    """A node of the package's JSON Schema as OpenAPI v3 writes it."""
    if isinstance(node, list):
        return [_openapi(item) for item in node]
    if not isinstance(node, dict):
        return node
    out = {}
    for key, value in node.items():
        if key == "type" and isinstance(value, list):
            out[key] = next(one for one in value if one != "null")
        elif key == "$ref" and isinstance(value, str):
            out[key] = value.replace(_REF_SOURCE, REF)
        elif key == "properties":
            out[key] = {name: _openapi(field) for name, field in value.items()}
            for name in ("apiVersion", "kind"):  # the package lists what may stand there; Kubernetes does not
                out[key].get(name, {}).pop("enum", None)
        else:
            out[key] = _openapi(value)
    return out
