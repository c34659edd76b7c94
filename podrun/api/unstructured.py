"""The other decoder of Kubernetes: from JSON values straight into Go structs (a strategic merge patch takes this way).

It differs from the JSON decoder in its sentences, ends at the first mistake, sorts what it has to say about unknown
fields, and is generous with numbers. Source: apimachinery/pkg/runtime/converter.go.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from podrun.api.decoder import UNSET, Decoder, DecodingError, base64_problem
from podrun.api.schema import Type

_KINDS = {"string": "string", "bool": "bool", "int32": "int32", "int64": "int64", "float64": "float64"}


class UnstructuredDecoder(Decoder):
    """Decodes like Kubernetes' FromUnstructured."""

    def _refuse(self, value: Any, kind: Type) -> Any:
        if value is None:
            return UNSET
        source = go_kind(value)
        match kind.shape:
            case "list" | "bytes":
                raise DecodingError(f"cannot restore slice from {source}")
            case "map":
                raise DecodingError(f"cannot restore map from {source}")
            case "struct":
                raise DecodingError(f"cannot restore struct from: {source}")
        if kind.shape == "string" and source == "int64":  # Go could make a character of it, and refuses to
            raise DecodingError(f"cannot convert {source} to {kind.go}")
        raise DecodingError(f"unrecognized type: {_KINDS.get(kind.shape, kind.shape)}")

    def _integer(self, value: Any, kind: Type) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return self._refuse(value, kind)
        if isinstance(value, float) and value != int(value):
            raise DecodingError(f"cannot convert float64 to {kind.go}")
        bits = 32 if kind.shape == "int32" else 64
        low = int(value) & ((1 << bits) - 1)  # as Go converts: what does not fit is cut off
        return low - (1 << bits) if low >> (bits - 1) else low

    def _bytes(self, value: Any, kind: Type) -> Any:
        if not isinstance(value, str):
            return self._refuse(value, kind)
        problem = base64_problem(value)
        if problem is not None:
            raise DecodingError(f"error decoding from json: illegal base64 data at input byte {problem}")
        return base64.b64encode(binascii.a2b_base64(value)).decode("ascii")

    def _sentence(self, what: str, go: str) -> str:
        return f"json: cannot unmarshal {what} into Go value of type {go}"


def go_kind(value: Any) -> str:
    """The kind of Go value that holds a JSON value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, dict):
        return "map"
    if isinstance(value, list):
        return "slice"
    return "int64" if isinstance(value, int) else "float64"
