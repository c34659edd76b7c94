"""Which form an answer takes: read from `Accept`, as the API server reads it.

A clause is a media type with parameters; `as`, `g` and `v` ask for the object to be shown as another kind (a Table, or
its metadata only). The first clause that can be served wins: clients order them by preference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from podrun.api.errors import ApiError, not_acceptable

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
"""Given only to clients that take neither of the others: JSON is made already."""
_TYPES = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
_STREAMS = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
_AVAILABLE = f"{_TYPES}, {_STREAMS}"

Shape = Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"]
_META_SHAPES = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
_JSON_TYPES = ("application/json", "*/*", "")


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of an Accept header."""

    media_type: str
    parameters: tuple[tuple[str, str], ...] = ()
    quality: float = 1.0

    def parameter(self, name: str) -> str:
        return dict(self.parameters).get(name, "")


@dataclass(frozen=True, slots=True)
class Form:
    """How an answer is written: JSON or YAML, the object itself or as a `shape` of meta.k8s.io/`version`."""

    media_type: str = JSON
    shape: Shape = ""
    version: str = "v1"
    pretty: bool = False


@lru_cache(maxsize=256)
def clauses(accept: str) -> tuple[Clause, ...]:
    """The clauses of an Accept header, the preferred ones first."""
    found = []
    for text in accept.split(","):
        media_type, *rest = (part.strip() for part in text.split(";"))
        parameters, quality = [], 1.0
        for part in rest:
            name, _, value = part.partition("=")
            if name == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
            else:
                parameters.append((name, value))
        found.append(Clause(media_type.lower(), tuple(parameters), quality))
    return tuple(sorted(found, key=lambda clause: -clause.quality))


@lru_cache(maxsize=256)
def negotiate(accept: str, *, shapes: bool = True, verb: str = "") -> Form:
    """The form of an answer; `shapes` says whether tables and metadata can be made of it. Raises NotAcceptable."""
    known = False
    protobuf = yaml = False
    for clause in clauses(accept):
        if clause.media_type in _JSON_TYPES:
            media_type = JSON
        elif clause.media_type == YAML:
            if verb == "watch":
                yaml = True
                continue
            media_type = YAML
        else:
            protobuf = protobuf or (clause.media_type == PROTOBUF and not clause.parameter("as"))
            continue
        known = True
        wanted = clause.parameter("as")
        if not wanted:
            return Form(media_type, pretty=clause.parameter("pretty") in ("1", "true"))
        if shapes and clause.parameter("g") == "meta.k8s.io" and clause.parameter("v") in ("v1", "v1beta1"):
            for shape in _META_SHAPES:
                if wanted == shape:
                    return Form(media_type, shape, clause.parameter("v"))  # type: ignore[arg-type]
    if protobuf and verb != "watch":
        return Form(PROTOBUF)
    if yaml and not known:
        raise not_acceptable(f"only the following media types are accepted: {_STREAMS}")
    if known:
        # The media type can be made, but not as the kind that is asked for.
        raise not_acceptable(f"only the following media types are accepted: {_TYPES}")
    available = _AVAILABLE if verb in ("list", "watch") else _TYPES
    raise not_acceptable(f"406: Not Acceptable\n\nAvailable representations: {available}", {})


def no_such_shape(form: Form, group: str, kind: str) -> ApiError:
    """A list cannot be shown as one object, nor one object as a list; `kind` is the answer's own, of `group`."""
    package = "core" if group in ("", "events.k8s.io") else group.partition(".")[0]
    what = "is a list" if form.shape == "PartialObjectMetadata" else "is not a list"
    return not_acceptable(f"you requested {form.shape}, but the requested object {what} (*{package}.{kind})")
