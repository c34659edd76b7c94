"""OpenAPI v3 documents of what is served: `kubectl explain`, `apply` and `edit` read them.

A document covers one group version: the paths of its kinds with their verbs, and the schemas that they refer to. What
clients look for: `x-kubernetes-group-version-kind` on operations and schemas, the `fieldValidation` and `dryRun`
parameters, and the media types of PATCH (that is how kubectl learns that a strategic merge patch is understood).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from podrun.api.definitions import REF
from podrun.api.gvk import KindRef
from podrun.api.kinds import Kind, Subresource
from podrun.api.patches import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from podrun.api.schema import Schema, shared

Object = dict[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_MEDIA_TYPES = ("application/json", "application/vnd.kubernetes.protobuf", "application/yaml")
_WATCHED = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
_WITH_BODY = frozenset({"post", "put", "patch"})
_CONNECTED = frozenset({"attach", "exec", "portforward", "proxy"})

# parameter -> its JSON type
_LIST = {
    "allowWatchBookmarks": "boolean",
    "continue": "string",
    "fieldSelector": "string",
    "labelSelector": "string",
    "limit": "integer",
    "resourceVersion": "string",
    "resourceVersionMatch": "string",
    "sendInitialEvents": "boolean",
    "timeoutSeconds": "integer",
    "watch": "boolean",
}
_WRITE = {"dryRun": "string", "fieldManager": "string", "fieldValidation": "string"}
_DELETE = {
    "dryRun": "string",
    "gracePeriodSeconds": "integer",
    "orphanDependents": "boolean",
    "propagationPolicy": "string",
}
_MEANINGS = {
    "allowWatchBookmarks": "Whether a watch may be sent events of type BOOKMARK.",
    "continue": "Where an earlier, limited list ended.",
    "dryRun": "When present, nothing is stored. The only value is All: all stages of the request are gone through.",
    "fieldManager": "The name of whoever makes the change, at most 128 printable characters. Required to apply.",
    "fieldSelector": "Restricts the list by fields of the objects.",
    "fieldValidation": (
        "What happens to unknown and repeated fields: Ignore drops them silently, Warn drops them and says so in "
        "Warning headers, Strict refuses the request."
    ),
    "force": "Take over fields that others own. Only for apply.",
    "gracePeriodSeconds": "The seconds before the object is deleted; zero deletes at once.",
    "labelSelector": "Restricts the list by labels of the objects.",
    "limit": "The most objects that an answer holds; the rest is asked for with continue.",
    "name": "The name of the object.",
    "namespace": "The namespace of the object.",
    "orphanDependents": "Deprecated: use propagationPolicy.",
    "pretty": "If 'true', the output is printed with indentation.",
    "propagationPolicy": "What happens to objects that this one owns: Orphan, Background or Foreground.",
    "resourceVersion": "The version that the answer must be of, or no older than.",
    "resourceVersionMatch": "How resourceVersion is meant: Exact or NotOlderThan.",
    "sendInitialEvents": "Whether a watch begins with an event for every object that exists.",
    "timeoutSeconds": "The time after which a list or watch ends.",
    "watch": "Watch for changes instead of listing.",
}


def document(group_version: tuple[str, str], kinds: Iterable[Kind]) -> Object:
    """The document of a group version (`("", "v1")`) whose served kinds are given."""
    schema = shared()
    paths: Object = {}
    roots = {f"{_META}{name}" for name in ("Patch", "DeleteOptions", "Status", "WatchEvent")}
    for kind in kinds:
        for path, operations, used in _paths(schema, kind):
            paths[path] = operations
            roots |= used
    known = sorted(name for name in roots if name in schema.definitions)
    schemas = {name: _published(body) for name, body in schema.closure(known)}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.2"},
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def _paths(schema: Schema, kind: Kind) -> list[tuple[str, Object, set[str]]]:
    """The paths of a kind, each with its operations and the definitions that they name."""
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    collection = f"{root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"
    ref = KindRef(kind.group, kind.version, kind.kind)
    one = schema.name_of(ref)
    many = schema.name_of(KindRef(kind.group, kind.version, kind.list_kind))
    found = []

    def add(path: str, verbs: dict[str, str], target: KindRef, named: bool, namespaced: bool) -> None:
        """`verbs` maps HTTP methods to actions."""
        definition = schema.name_of(target)
        operations: Object = {
            method: _operation(method, action, target, definition, many, path) for method, action in verbs.items()
        }
        if not operations:
            return
        names = [*(["name"] if named else []), *(["namespace"] if namespaced else [])]
        operations["parameters"] = [
            *({**_parameter(name, "string"), "in": "path", "required": True} for name in names),
            _parameter("pretty", "string"),
        ]
        found.append((path, operations, {name for name in (definition, one, many) if name}))

    on_collection = {"get": "list", "post": "create", "delete": "deletecollection"}
    on_object = {"get": "get", "put": "update", "patch": "patch", "delete": "delete"}
    add(collection, _served(on_collection, kind.verbs), ref, named=False, namespaced=kind.namespaced)
    add(f"{collection}/{{name}}", _served(on_object, kind.verbs), ref, named=True, namespaced=kind.namespaced)
    if kind.namespaced and "list" in kind.verbs:
        add(f"{root}/{kind.plural}", {"get": "list"}, ref, named=False, namespaced=False)
    for name, sub in kind.subresources.items():
        target = _target(kind, sub)
        on_sub = {"get": "get", "post": "create", "put": "update", "patch": "patch"}
        verbs = {method: ("connect" if name in _CONNECTED else action) for method, action in on_sub.items()}
        served = {method: verbs[method] for method in _served(on_sub, sub.verbs)}
        add(f"{collection}/{{name}}/{name}", served, target, named=True, namespaced=kind.namespaced)
    return found


def _served(methods: dict[str, str], verbs: Iterable[str]) -> dict[str, str]:
    listed = set(verbs)
    return {method: verb for method, verb in methods.items() if verb in listed}


def _target(kind: Kind, sub: Subresource) -> KindRef:
    return KindRef(sub.group or kind.group, sub.version or kind.version, sub.kind)


def _operation(
    method: str, action: str, target: KindRef, definition: str | None, list_definition: str | None, path: str
) -> Object:
    answered = list_definition if action == "list" else definition
    if action in ("deletecollection", "connect"):
        answered = f"{_META}Status" if action == "deletecollection" else None
    parameters = _parameters(action)
    operation: Object = {
        "tags": [f"{(target.group.partition('.')[0] or 'core')}_{target.version}"],
        "description": f"{action} {target.kind}",
        "operationId": _operation_id(action, method, target, path),
    }
    if parameters:
        operation["parameters"] = [_parameter(name, kind) for name, kind in parameters.items()]
    if action == "patch":
        patch = _content(f"{_META}Patch", (APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH))
        operation["requestBody"] = {"content": patch, "required": True}
    elif method in _WITH_BODY and definition and action != "connect":
        operation["requestBody"] = {"content": _content(definition, ("*/*",)), "required": True}
    elif action == "delete":
        operation["requestBody"] = {"content": _content(f"{_META}DeleteOptions", ("*/*",))}
    types = (*_MEDIA_TYPES, *_WATCHED) if action == "list" else _MEDIA_TYPES
    body: Object = {"content": _content(answered, types)} if answered else {}
    operation["responses"] = {"200": {"description": "OK", **body}}
    if action in ("create", "update", "patch"):
        operation["responses"]["201"] = {"description": "Created", **body}
    if action in ("create", "delete"):
        operation["responses"]["202"] = {"description": "Accepted", **body}
    operation["responses"]["401"] = {"description": "Unauthorized"}
    operation["x-kubernetes-action"] = {"create": "post", "update": "put"}.get(action, action)
    operation["x-kubernetes-group-version-kind"] = target._asdict()
    return operation


def _operation_id(action: str, method: str, target: KindRef, path: str) -> str:
    """A name that is unique in the document, in Kubernetes' manner: `patchCoreV1NamespacedPodStatus`."""
    verb = {"get": "read", "update": "replace", "deletecollection": "deleteCollection"}.get(action, action)
    if action == "connect":
        verb += method.capitalize()
    group = (target.group.partition(".")[0] or "core").capitalize()
    scope = "Namespaced" if "{namespace}" in path else ""
    _, _, sub = path.partition("{name}/")
    everywhere = "ForAllNamespaces" if action == "list" and not scope and "{" not in path else ""
    return f"{verb}{group}{target.version.capitalize()}{scope}{target.kind}{sub.capitalize()}{everywhere}"


def _parameters(action: str) -> dict[str, str]:
    match action:
        case "list":
            return _LIST
        case "create" | "update":
            return _WRITE
        case "patch":
            return {**_WRITE, "force": "boolean"}
        case "delete":
            return _DELETE
        case "deletecollection":
            return {**_DELETE, **{name: kind for name, kind in _LIST.items() if name != "watch"}}
    return {}


def _parameter(name: str, kind: str) -> Object:
    return {"name": name, "in": "query", "description": _MEANINGS[name], "schema": {"type": kind, "uniqueItems": True}}


def _content(definition: str, media_types: Iterable[str]) -> Object:
    return {media_type: {"schema": {"$ref": f"{REF}{definition}"}} for media_type in media_types}


def _published(node: Any) -> Any:
    """A definition as OpenAPI 3.0 allows it: what stands beside a `$ref` needs an `allOf`."""
    if isinstance(node, list):
        return [_published(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _published(value) for key, value in node.items()}
    if isinstance(made.get("$ref"), str) and len(made) > 1:
        made["allOf"] = [{"$ref": made.pop("$ref")}]
    return made
