"""Who may do what: Kubernetes' role-based rules, and its words for a refusal.

system:masters is never asked. What every cluster grants by its own cluster roles (system:discovery, system:basic-user,
system:public-info-viewer) is granted here without objects that say so. Everything else comes from the roles and
bindings in the store, evaluated as in plugin/pkg/auth/authorizer/rbac.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
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
_EVERYBODY: Object = {"verbs": ["get"], "nonResourceURLs": list(_PUBLIC_PATHS)}
_ACCESS_REVIEWS = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
_AUTHENTICATED: tuple[tuple[str, Object], ...] = (
    ("system:discovery", {"verbs": ["get"], "nonResourceURLs": list(_DISCOVERY_PATHS)}),
    ("system:basic-user", {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": _ACCESS_REVIEWS}),
    (
        "system:basic-user",
        {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
    ),
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

    def verdict(self, user: User, info: RequestInfo) -> tuple[bool, str]:
        """Whether `user` may, and what says so: the binding that allows it, or those whose role is not there."""
        if user.is_master:
            return True, ""
        for source, rule in self._sourced(user, info.namespace):
            if _rule_allows(rule, info):
                return True, f"RBAC: allowed by {source}"
        missing = list(dict.fromkeys(self._missing(user, info.namespace)))
        if not missing:
            return False, ""
        return False, f"RBAC: {missing[0]}" if len(missing) == 1 else f"RBAC: [{', '.join(missing)}]"

    def check(self, user: User, info: RequestInfo) -> None:
        """Raises Forbidden, in Kubernetes' words."""
        allowed, why = self.verdict(user, info)
        if not allowed:
            raise refusal(user, info, why)

    def rules(self, user: User, namespace: str) -> Iterator[Object]:
        """The rules that hold for `user` cluster-wide and in `namespace`, as PolicyRule objects."""
        if user.is_master:
            yield from (_ALL, _ALL_PATHS)
            return
        for _, rule in self._sourced(user, namespace):
            yield rule

    def _sourced(self, user: User, namespace: str) -> Iterator[tuple[_Source, Object]]:
        """The rules for `user`, each with what it comes from."""
        if AUTHENTICATED in user.groups:
            for role, rule in _AUTHENTICATED:
                yield _Source.everywhere(role, AUTHENTICATED), rule
        for group in (AUTHENTICATED, UNAUTHENTICATED):
            if group in user.groups:
                yield _Source.everywhere("system:public-info-viewer", group), _EVERYBODY
        for source in self._sources(user, namespace):
            for rule in self.bound_rules(source.binding, source.namespace):
                yield source, rule

    def _sources(self, user: User, namespace: str) -> Iterator[_Source]:
        """The bindings of `user`, in the cluster and in `namespace`."""
        for where in ("", namespace) if namespace else ("",):
            for binding in self._list(_BINDINGS, where) if where else self._list(_CLUSTER_BINDINGS, None):
                subject = next((one for one in binding.get("subjects") or () if _is_subject(one, user, where)), None)
                if subject is not None:
                    yield _Source(binding, subject, where)

    def _missing(self, user: User, namespace: str) -> Iterator[str]:
        """What is wrong with bindings of `user` whose role is not there."""
        for source in self._sources(user, namespace):
            if self._role(source.binding, source.namespace) is None:
                reference = source.binding.get("roleRef") or {}
                yield f'{str(reference.get("kind", "")).lower()}.{RBAC} "{reference.get("name", "")}" not found'

    def bound_rules(self, binding: Object, namespace: str) -> Iterable[Object]:
        """The rules of the role that a binding in `namespace` ("" for a cluster) names; none where there is none."""
        return (self._role(binding, namespace) or {}).get("rules") or ()

    def _role(self, binding: Object, namespace: str) -> Object | None:
        reference = binding.get("roleRef") or {}
        if reference.get("kind") == "ClusterRole":
            roles = self._list(_CLUSTER_ROLES, None)
        else:
            roles = self._list(_ROLES, namespace)
        return next((role for role in roles if role["metadata"]["name"] == reference.get("name")), None)


@dataclass(frozen=True, slots=True)
class _Source:
    """A binding (in `namespace`, "" in the cluster) that holds for somebody as `subject`; its text is Kubernetes'."""

    binding: Object
    subject: Object
    namespace: str = ""

    @classmethod
    def everywhere(cls, role: str, group: str) -> _Source:
        """What every cluster has."""
        binding = {"metadata": {"name": role}, "roleRef": {"kind": "ClusterRole", "name": role}}
        return cls(binding, {"kind": "Group", "name": group})

    def __str__(self) -> str:
        where = f"/{self.namespace}" if self.namespace else ""
        kind, reference, subject = f"{'' if where else 'Cluster'}RoleBinding", self.binding["roleRef"], self.subject
        whom = str(subject.get("name", ""))
        if subject.get("kind") == "ServiceAccount":
            whom += f"/{subject.get('namespace') or self.namespace}"
        name = f"{self.binding['metadata']['name']}{where}"
        return f'{kind} "{name}" of {reference["kind"]} "{reference["name"]}" to {subject.get("kind")} "{whom}"'


def refusal(user: User, info: RequestInfo, reason: str = "") -> ApiError:
    """The 403 for a request that nothing allows; `reason` is what a verdict says of that."""
    end = f": {reason}" if reason else ""
    if not info.is_resource:
        return forbidden("", "", f'User "{user.name}" cannot {info.verb} path "{_sanitised(info.path)}"{end}')
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    where = f'in the namespace "{info.namespace}"' if info.namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {info.verb} resource "{resource}" in API group "{info.group}" {where}{end}'
    return forbidden(info.qualified, info.name, _sanitised(why))


def _sanitised(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


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
