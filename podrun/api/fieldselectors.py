"""Field selectors of lists and watches: `path=value`, `path!=value`, for the few paths that a kind supports.

Sources: apimachinery/pkg/fields, and the label conversions and selectable fields of each kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from podrun.api.errors import ApiError, bad_request
from podrun.api.gotext import quote

Object = dict[str, Any]

_META = ("metadata.name", "metadata.namespace")
_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_POD_FIELDS = (
    *_META,
    *(f"spec.{name}" for name in ("nodeName", "restartPolicy", "schedulerName", "serviceAccountName", "hostNetwork")),
    *(f"status.{name}" for name in ("phase", "podIP", "podIPs", "nominatedNodeName")),
)
_EVENT_REST = ("reason", "reportingComponent", "source", "type", *_META)

# resource -> the paths that may be asked for, and what each is called inside
_SUPPORTED: dict[str, dict[str, str]] = {
    "pods": {**{path: path for path in _POD_FIELDS}, "spec.host": "spec.nodeName"},
    "nodes": {path: path for path in ("metadata.name", "spec.unschedulable")},
    "namespaces": {path: path for path in ("metadata.name", "status.phase")},
    "secrets": {path: path for path in (*_META, "type")},
    "services": {path: path for path in (*_META, "spec.clusterIP", "spec.type")},
    "events": {path: path for path in (*(f"involvedObject.{name}" for name in _INVOLVED), *_EVENT_REST)},
    "events.events.k8s.io": {
        **{f"regarding.{name}": f"involvedObject.{name}" for name in _INVOLVED},
        **{path: path for path in ("reason", "type", *_META)},
        "reportingController": "reportingComponent",
    },
}


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Terms `(path, equal, value)`; all must hold. `resource` says how paths are read from objects."""

    resource: str = ""
    terms: tuple[tuple[str, bool, str], ...] = ()

    def matches(self, obj: Object) -> bool:
        """Whether an object of the resource (in its stored form) is selected."""
        return all((self._value(obj, path) == value) is equal for path, equal, value in self.terms)

    def exact(self, path: str) -> str | None:
        """The value that `path` must have, when a term says so."""
        return next((value for name, equal, value in self.terms if name == path and equal), None)

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __str__(self) -> str:
        return ",".join(f"{path}{'=' if equal else '!='}{_escaped(value)}" for path, equal, value in self.terms)

    def _value(self, obj: Object, path: str) -> str:
        special = _SPECIAL.get((self.resource.partition(".")[0], path))
        found: Any = special(obj) if special is not None else _dig(obj, path)
        if isinstance(found, bool):
            return "true" if found else "false"
        return found or ""


def parse_fields(resource: str, text: str) -> FieldSelector:
    """The selector of a `fieldSelector` parameter for a resource (`pods`, `events.events.k8s.io`); raises ApiError."""
    terms = []
    for part in sorted(_split(text)):
        if not part:
            continue
        at = next((index for index, char in enumerate(part) if char == "=" or part[index:].startswith("!=")), None)
        if at is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        operator = next(one for one in ("!=", "==", "=") if part[at:].startswith(one))
        value = _unescaped(part[at + len(operator) :])
        terms.append((_supported(resource, part[:at]), operator != "!=", value))
    return FieldSelector(resource, tuple(terms))


def _supported(resource: str, path: str) -> str:
    known = _SUPPORTED.get(resource)
    if known is not None:
        if path not in known:
            raise bad_request(f"field label not supported: {path}")
        return known[path]
    if path not in _META:
        only = ", ".join(map(quote, _META))
        raise bad_request(f"{quote(path)} is not a known field selector: only {only}")
    return path


def _split(text: str) -> list[str]:
    """The terms between the commas that no backslash precedes."""
    terms, start, escaped = [], 0, False
    for at, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == ",":
            terms.append(text[start:at])
            start = at + 1
    return [*terms, text[start:]]


def _unescaped(text: str) -> str:
    out, escaped = [], False
    for char in text:
        if escaped:
            if char not in "\\,=":
                raise _escape_mistake(f"\\{char}")
            out.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in ",=":
            raise bad_request(f"invalid field selector: unescaped character in value: {ord(char)}")
        else:
            out.append(char)
    if escaped:
        raise _escape_mistake("\\")
    return "".join(out)


def _escape_mistake(sequence: str) -> ApiError:
    return bad_request(f"invalid field selector: invalid escape sequence: {sequence}")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def _dig(obj: Object, path: str) -> Any:
    place: Any = obj
    for name in path.split("."):
        place = place.get(name) if isinstance(place, dict) else None
    return place


def _event_source(obj: Object) -> str:
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    return source.get("component") or _reporting(obj)


def _reporting(obj: Object) -> str:
    return obj.get("reportingComponent") or obj.get("reportingController") or ""


def _unset_is_false(path: str) -> Callable[[Object], Any]:
    return lambda obj: bool(_dig(obj, path))


_SPECIAL: dict[tuple[str, str], Callable[[Object], Any]] = {
    ("pods", "spec.hostNetwork"): _unset_is_false("spec.hostNetwork"),
    ("pods", "status.podIPs"): lambda obj: "",  # may be asked for, and is never found
    ("nodes", "spec.unschedulable"): _unset_is_false("spec.unschedulable"),
    ("events", "source"): _event_source,
    ("events", "reportingComponent"): _reporting,
}
