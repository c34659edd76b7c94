"""The one thing that clients still read in OpenAPI v2: whether the server itself checks fields.

kubectl looks in v3 for a kind and, when it is not there (a List, a kind that is not served), asks the v2 document, in
protobuf only, whether the server knows `fieldValidation` and `dryRun`. Without an answer it refuses the manifest with
an error that says nothing; with this document it goes on and names the kind that is not served, or applies the List's
items. Definitions are not in it: what needs them reads v3.

The messages are those of google/gnostic's OpenAPIv2.proto; the numbers below are its field numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import yaml

from podrun.api.kinds import KINDS, Kind

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation")


@cache
def document() -> bytes:
    """The document, encoded."""
    paths = [
        _text(1, _path(kind)) + _message(2, _message(8, _patch(kind)))
        for kind in KINDS.values()
        if "patch" in kind.verbs
    ]
    info = _text(1, "Kubernetes") + _text(2, "v1.36.2")
    return _text(1, "2.0") + _message(2, info) + _message(8, _repeated(2, paths))


def _path(kind: Kind) -> str:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    return f"{root}{'/namespaces/{namespace}' if kind.namespaced else ''}/{kind.plural}/{{name}}"


def _patch(kind: Kind) -> bytes:
    """An Operation: its query parameters, and the kind that it is about."""
    parameters = [
        # ParametersItem.parameter, Parameter.non_body_parameter, NonBodyParameter.query_parameter_sub_schema
        _message(1, _message(2, _message(3, _text(2, "query") + _text(4, name) + _text(6, "string"))))
        for name in _PARAMETERS
    ]
    about = yaml.safe_dump({"group": kind.group, "kind": kind.kind, "version": kind.version})
    extension = _text(1, "x-kubernetes-group-version-kind") + _message(2, _text(2, about))
    return _repeated(8, parameters) + _message(13, extension)


def _repeated(number: int, bodies: Iterable[bytes]) -> bytes:
    return b"".join(_message(number, body) for body in bodies)


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode())


def _message(number: int, body: bytes) -> bytes:
    """A length-delimited field (wire type 2)."""
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
