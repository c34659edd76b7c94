"""What a request asks for, read from its method, path and query alone.

The grammar is Kubernetes' (apiserver/pkg/endpoints/request/requestinfo.go):

    /api/v1[/watch][/namespaces/NAMESPACE]/RESOURCE[/NAME[/SUBRESOURCE[/PATH...]]]
    /apis/GROUP/VERSION[/watch]...

Authorization, dispatch and the texts of refusals all read the same value.
"""

from __future__ import annotations

from dataclasses import dataclass

VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A parsed request. For a path that names no resource only `path` and `verb` (the method in lower case) count."""

    path: str
    verb: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    rest: tuple[str, ...] = ()
    """What follows the subresource."""
    depth: int = 0
    """How many path segments follow the group version; 0 asks for its discovery document."""

    @property
    def qualified(self) -> str:
        """The resource with its group: `leases.coordination.k8s.io`."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


def parse(method: str, path: str, *, watch: bool = False) -> RequestInfo:
    """`path` is percent-decoded and without the query; `watch` says whether the query asks for a watch,
    which counts for a collection only: of an object that is named it is a plain GET.
    """
    parts = path.strip("/").split("/")
    plain = RequestInfo(path, method.lower())
    if parts[0] == "api" and len(parts) >= 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return plain
    if not rest:
        return RequestInfo(path, method.lower(), group=group, version=version)
    verb = VERBS.get(method, method.lower())
    if rest[0] == "watch" and len(rest) > 1:
        verb, rest = "watch", rest[1:]
    depth = len(rest)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        # A namespace itself, or one of its subresources: the resource is `namespaces`.
        if len(rest) > 2 and rest[2] not in NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    resource, name, subresource = [*rest, "", "", ""][:3]
    if not name:
        if verb == "get":
            verb = "watch" if watch else "list"
        elif verb == "delete":
            verb = "deletecollection"
    return RequestInfo(path, verb, True, group, version, resource, subresource, namespace, name, tuple(rest[3:]), depth)
