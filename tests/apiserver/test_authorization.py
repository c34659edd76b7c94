"""Roles and bindings to permissions, and the words of a refusal."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.errors import ApiError
from podrun.apiserver.authorization import Authorizer
from podrun.apiserver.requestinfo import parse
from podrun.apiserver.users import ANONYMOUS, MASTERS, User, authenticated

Object = dict[str, Any]

ADMIN = authenticated("root", (MASTERS,))
ALICE = authenticated("alice", ("readers",))
BOT = authenticated("system:serviceaccount:a:bot", ("system:serviceaccounts", "system:serviceaccounts:a"))


def role(name: str, *rules: Object) -> Object:
    return {"metadata": {"name": name}, "rules": list(rules)}


def binding(kind: str, name: str, *subjects: Object) -> Object:
    return {"metadata": {"name": f"to-{name}"}, "roleRef": {"kind": kind, "name": name}, "subjects": list(subjects)}


READ_PODS = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]}
ONE_SECRET = {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["mine"]}
METRICS = {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/debug/*"]}

OBJECTS: dict[tuple[str, str | None], list[Object]] = {
    ("clusterroles.rbac.authorization.k8s.io", None): [role("reader", READ_PODS), role("metrics", METRICS)],
    ("roles.rbac.authorization.k8s.io", "a"): [role("secret", ONE_SECRET)],
    ("clusterrolebindings.rbac.authorization.k8s.io", None): [
        binding("ClusterRole", "metrics", {"kind": "Group", "name": "readers"})
    ],
    ("rolebindings.rbac.authorization.k8s.io", "a"): [
        binding("ClusterRole", "reader", {"kind": "User", "name": "alice"}),
        binding("Role", "secret", {"kind": "ServiceAccount", "name": "bot"}),
    ],
}

AUTHORIZER = Authorizer(lambda resource, namespace: OBJECTS.get((resource, namespace), []))

ROWS = [
    ("an administrator may do all", ADMIN, "DELETE", "/api/v1/namespaces/a/pods/p", True),
    ("a bound user reads in that namespace", ALICE, "GET", "/api/v1/namespaces/a/pods", True),
    ("and its subresource that is named", ALICE, "GET", "/api/v1/namespaces/a/pods/p/log", True),
    ("but no other subresource", ALICE, "GET", "/api/v1/namespaces/a/pods/p/exec", False),
    ("nor another verb", ALICE, "DELETE", "/api/v1/namespaces/a/pods/p", False),
    ("nor another namespace", ALICE, "GET", "/api/v1/namespaces/b/pods", False),
    ("nor all namespaces", ALICE, "GET", "/api/v1/pods", False),
    ("a service account by its name", BOT, "GET", "/api/v1/namespaces/a/secrets/mine", True),
    ("only the object that is named", BOT, "GET", "/api/v1/namespaces/a/secrets/other", False),
    ("a group's paths", ALICE, "GET", "/metrics", True),
    ("paths by their beginning", ALICE, "GET", "/debug/pprof", True),
    ("everybody sees the version", ANONYMOUS, "GET", "/version", True),
    ("and whether it is well", ANONYMOUS, "GET", "/livez", True),
    ("but not what is served", ANONYMOUS, "GET", "/api", False),
    ("which who is known may", BOT, "GET", "/apis/policy/v1", True),
    ("and ask what they may", BOT, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", True),
]


@pytest.mark.parametrize(("user", "method", "path", "allowed"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_rules(user: User, method: str, path: str, allowed: bool) -> None:
    assert AUTHORIZER.allows(user, parse(method, path)) is allowed


def test_a_refusal_says_who_what_and_where() -> None:
    with pytest.raises(ApiError) as refused:
        AUTHORIZER.check(ALICE, parse("DELETE", "/api/v1/namespaces/a/pods/p"))
    assert refused.value.message == (
        'pods "p" is forbidden: User "alice" cannot delete resource "pods" in API group "" in the namespace "a"'
    )
    with pytest.raises(ApiError) as refused:
        AUTHORIZER.check(ANONYMOUS, parse("GET", "/apis"))
    assert refused.value.message == 'forbidden: User "system:anonymous" cannot get path "/apis"'
