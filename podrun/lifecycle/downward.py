"""Fields and resources of a pod as text, for variables and for files (pkg/fieldpath, pkg/api/v1/resource)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from podrun.api.pod import Container, Pod, ResourceFieldRef
from podrun.api.quantity import Quantity

_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['(.*)'\]")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the pod's own specification does not say: addresses, and the node's allocatable resources (quantities)."""

    pod_addresses: tuple[str, ...] = ()
    host_addresses: tuple[str, ...] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict)


class FieldUnknown(ValueError):
    """A field path that the downward API does not serve."""


def field_value(pod: Pod, path: str, around: Surroundings) -> str:
    """The text of a fieldRef; raises FieldUnknown."""
    meta = pod.metadata
    if match := _SUBSCRIPT.fullmatch(path):
        side = meta.labels if match[1].endswith("labels") else meta.annotations
        return side.get(match[2], "")
    match path:
        case "metadata.name":
            return meta.name
        case "metadata.namespace":
            return meta.namespace
        case "metadata.uid":
            return meta.uid
        case "metadata.labels":
            return format_map(meta.labels)
        case "metadata.annotations":
            return format_map(meta.annotations)
        case "spec.nodeName":
            return pod.spec.node_name
        case "spec.serviceAccountName":
            return pod.spec.service_account_name
        case "status.podIP":
            return next(iter(around.pod_addresses), "")
        case "status.podIPs":
            return ",".join(around.pod_addresses)
        case "status.hostIP":
            return next(iter(around.host_addresses), "")
        case "status.hostIPs":
            return ",".join(around.host_addresses)
    raise FieldUnknown(f"unsupported fieldPath: {path}")


def format_map(entries: Mapping[str, str]) -> str:
    """`key="value"` lines, sorted by key, quoted as Go's %q does."""
    return "\n".join(f"{key}={_quoted(entries[key])}" for key in sorted(entries))


_ESCAPES = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"}


def _quoted(text: str) -> str:
    def one(char: str) -> str:
        if char in '"\\':
            return f"\\{char}"
        if char in _ESCAPES:
            return _ESCAPES[char]
        if char.isprintable():
            return char
        code = ord(char)
        return f"\\x{code:02x}" if code < 0x80 else (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")

    return '"' + "".join(map(one, text)) + '"'


def resource_value(pod: Pod, container: Container, ref: ResourceFieldRef, around: Surroundings) -> str:
    """The text of a resourceFieldRef: divided and rounded up; a missing limit is what the node has to give."""
    target = (pod.container(ref.container_name) if ref.container_name else container) or container
    side, _, name = ref.resource.partition(".")
    own = target.resources.limits if side == "limits" else target.resources.requests
    text = own.get(name)
    if text is None and side == "limits":
        whole = pod.spec.resources.limits if pod.spec.resources is not None else {}
        text = whole.get(name, around.allocatable.get(name))
    amount = Quantity.parse(text or "0")
    divisor = Quantity.parse(ref.divisor or "0")
    if not divisor:
        divisor = Quantity.parse("1")
    if name == "cpu":
        return str(-(-amount.milli_value() // divisor.milli_value()))
    return str(-(-amount.value() // divisor.value()))
