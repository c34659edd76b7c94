"""Who may do what: Kubernetes' role-based rules, and its words for a refusal.

system:masters is never asked. What every cluster grants by its own cluster roles (system:discovery, system:basic-user,
system:public-info-viewer) is granted here without objects that say so. Everything else comes from the roles and
bindings in the store, evaluated as in plugin/pkg/auth/authorizer/rbac.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from podrun.api.errors import ApiError, forbidden
from podrun.apiserver.requestinfo import RequestInfo
from podrun.apiserver.users import AUTHENTICATED, UNAUTHENTICATED, User

Object = dict[str, Any]
Lister = Callable[[str, str | None], list[Object]]
"""The store's `list`: resource and namespace to objects."""

RBAC = "rbac.authorization.k8s.io"
_ROLES = f"roles.{RBAC}"
_CLUSTER_ROLES = f"clusterroles.{RBAC}"
_BINDINGS = f"rolebindings.{RBAC}"
_CLUSTER_BINDINGS = f"clusterrolebindings.{RBAC}"

_PUBLIC_PATHS = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY_PATHS = (
    "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version",
    "/version/", "/.well-known/openid-configuration", "/openid/v1/jwks",
)  # fmt: skip
_EVERYBODY: tuple[Object, ...] = ({"verbs": ["get"], "nonResourceURLs": list(_PUBLIC_PATHS)},)
_AUTHENTICATED: tuple[Object, ...] = (
    {"verbs": ["get"], "nonResourceURLs": list(_DISCOVERY_PATHS)},
    {
        "verbs": ["create"],
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    },
    {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
)
_ALL: Object = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
_ALL_PATHS: Object = {"verbs": ["*"], "nonResourceURLs": ["*"]}


class Authorizer:
    """Answers from the roles and bindings of the store, read at each question: a change has its effect at once."""

    def __init__(self, list_objects: Lister) -> None:
        self._list = list_objects

    def allows(self, user: User, info: RequestInfo) -> bool:
        """Whether `user` may make this request."""
        return user.is_master or any(_rule_allows(rule, info) for rule in self.rules(user, info.namespace))

    def check(self, user: User, info: RequestInfo) -> None:
        """Raises Forbidden, in Kubernetes' words."""
        if not self.allows(user, info):
            raise refusal(user, info)

    def rules(self, user: User, namespace: str) -> Iterator[Object]:
        """The rules that hold for `user` cluster-wide and in `namespace`, as PolicyRule objects."""
        if user.is_master:
            yield from (_ALL, _ALL_PATHS)
            return
        if AUTHENTICATED in user.groups:
            yield from _AUTHENTICATED
        if AUTHENTICATED in user.groups or UNAUTHENTICATED in user.groups:
            yield from _EVERYBODY
        for binding in self._list(_CLUSTER_BINDINGS, None):
            if _binds(binding, user, ""):
                yield from self.bound_rules(binding, "")
        if namespace:
            for binding in self._list(_BINDINGS, namespace):
                if _binds(binding, user, namespace):
                    yield from self.bound_rules(binding, namespace)

    def bound_rules(self, binding: Object, namespace: str) -> Iterable[Object]:
        """The rules of the role that a binding in `namespace` ("" for a cluster) names; none where there is none."""
        reference = binding.get("roleRef") or {}
        if reference.get("kind") == "ClusterRole":
            roles = self._list(_CLUSTER_ROLES, None)
        else:
            roles = self._list(_ROLES, namespace)
        for role in roles:
            if role["metadata"]["name"] == reference.get("name"):
                return role.get("rules") or ()
        return ()


def refusal(user: User, info: RequestInfo) -> ApiError:
    """The 403 for a request that nothing allows."""
    if not info.is_resource:
        return forbidden("", "", f'User "{user.name}" cannot {info.verb} path "{_sanitised(info.path)}"')
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    where = f'in the namespace "{info.namespace}"' if info.namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {info.verb} resource "{resource}" in API group "{info.group}" {where}'
    return forbidden(info.qualified, info.name, _sanitised(why))


def _sanitised(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _binds(binding: Object, user: User, namespace: str) -> bool:
    return any(_is_subject(subject, user, namespace) for subject in binding.get("subjects") or ())


def _is_subject(subject: Object, user: User, namespace: str) -> bool:
    kind, name = subject.get("kind"), str(subject.get("name", ""))
    if kind == "User":
        return name == user.name
    if kind == "Group":
        return name in user.groups
    if kind == "ServiceAccount":
        return user.name == f"system:serviceaccount:{subject.get('namespace') or namespace}:{name}"
    return False


def _rule_allows(rule: Object, info: RequestInfo) -> bool:
    if not _matches(rule.get("verbs"), info.verb):
        return False
    if not info.is_resource:
        return any(_path_matches(path, info.path) for path in rule.get("nonResourceURLs") or ())
    if not _matches(rule.get("apiGroups"), info.group):
        return False
    names = rule.get("resourceNames") or ()
    return _resource_matches(rule.get("resources") or (), info) and (not names or info.name in names)


def _matches(allowed: Iterable[str] | None, wanted: str) -> bool:
    return any(one in ("*", wanted) for one in allowed or ())


def _resource_matches(resources: Iterable[str], info: RequestInfo) -> bool:
    wanted = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    anything = f"*/{info.subresource}" if info.subresource else "*"
    return any(one in ("*", wanted, anything) for one in resources)


def _path_matches(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))
