"""Nobody grants what they do not have: who writes roles and bindings must hold every permission in them.

The verbs `escalate` (on roles) and `bind` (on what is bound) lift this, as in pkg/registry/rbac.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any, NamedTuple

from podrun.api.errors import forbidden
from podrun.api.gotext import quote
from podrun.api.kinds import Kind
from podrun.apiserver.authorization import RBAC, Authorizer
from podrun.apiserver.requestinfo import RequestInfo
from podrun.apiserver.users import User

Object = dict[str, Any]

_ROLES = ("Role", "ClusterRole")
_BINDINGS = ("RoleBinding", "ClusterRoleBinding")


class _Permission(NamedTuple):
    """One thing that a rule allows: `path` for what is no resource."""

    verb: str
    group: str = ""
    resource: str = ""
    name: str = ""
    path: str = ""


def check(authorizer: Authorizer, user: User, kind: Kind, obj: Object) -> None:
    """Raises Forbidden when a role or binding gives what `user` does not have."""
    if kind.group != RBAC or user.is_master:
        return
    metadata = obj["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata.get("name", "")
    if kind.kind in _ROLES:
        rules: Iterable[Object] = obj.get("rules") or ()
        lifted = RequestInfo("", "escalate", True, RBAC, "v1", kind.plural, "", namespace, name)
    else:
        rules = authorizer.bound_rules(obj, namespace)
        bound = obj.get("roleRef") or {}
        plural = "clusterroles" if bound.get("kind") == "ClusterRole" else "roles"
        lifted = RequestInfo("", "bind", True, RBAC, "v1", plural, "", namespace, bound.get("name", ""))
    if authorizer.allows(user, lifted):
        return
    held = list(authorizer.rules(user, namespace))
    missing = [one for rule in rules for one in _permissions(rule) if not any(_covers(rule, one) for rule in held)]
    if missing:
        groups = " ".join(quote(group) for group in user.groups)
        why = (
            f"user {quote(user.name)} (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n"
            + "\n".join(sorted(_described(missing)))
        )
        raise forbidden(kind.resource, name, why)


def _permissions(rule: Object) -> Iterator[_Permission]:
    verbs = rule.get("verbs") or ()
    names = rule.get("resourceNames") or ("",)
    for verb, group, resource, name in product(verbs, rule.get("apiGroups") or (), rule.get("resources") or (), names):
        yield _Permission(verb, group, resource, name)
    for verb, path in product(verbs, rule.get("nonResourceURLs") or ()):
        yield _Permission(verb, path=path)


def _covers(rule: Object, wanted: _Permission) -> bool:
    """Whether a rule allows all that a permission does; `*` is only covered by `*`."""
    if not _has(rule, "verbs", wanted.verb):
        return False
    if wanted.path:
        paths = rule.get("nonResourceURLs") or ()
        return any(one in ("*", wanted.path) or _begins(one, wanted.path) for one in paths)
    if not _has(rule, "apiGroups", wanted.group):
        return False
    subresource = wanted.resource.partition("/")[2]
    resources = rule.get("resources") or ()
    if not any(one in ("*", wanted.resource) or (subresource and one == f"*/{subresource}") for one in resources):
        return False
    names = rule.get("resourceNames") or ()
    return not names or wanted.name in names


def _has(rule: Object, field: str, wanted: str) -> bool:
    return any(one in ("*", wanted) for one in rule.get(field) or ())


def _begins(pattern: str, path: str) -> bool:
    return pattern.endswith("*") and path.startswith(pattern[:-1])


def _described(missing: list[_Permission]) -> Iterator[str]:
    """The permissions as Kubernetes lists them, the verbs of one resource together."""
    together: dict[_Permission, list[str]] = {}
    for one in dict.fromkeys(missing):
        together.setdefault(one._replace(verb=""), []).append(one.verb)
    for what, verbs in together.items():
        parts = []
        if what.path:
            parts.append(f"NonResourceURLs:{_listed([what.path])}")
        else:
            parts += [f"APIGroups:{_listed([what.group])}", f"Resources:{_listed([what.resource])}"]
            if what.name:
                parts.append(f"ResourceNames:{_listed([what.name])}")
        yield f"{{{', '.join([*parts, f'Verbs:{_listed(verbs)}'])}}}"


def _listed(words: list[str]) -> str:
    return f"[{' '.join(quote(word) for word in words)}]"
