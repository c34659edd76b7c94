"""Roles and bindings of roles."""

from __future__ import annotations

from podrun.api.validation.field import Causes, Path, each_invalid, invalid, not_supported, required
from podrun.api.validation.internal import internal
from podrun.api.validation.metadata import label_selector, metadata_update, object_metadata
from podrun.api.validation.names import dns_subdomain, path_segment
from podrun.api.validation.read import Object, items, mapping, optional_mapping, strings, text

GROUP = "rbac.authorization.k8s.io"
ROLE_KINDS = {"RoleBinding": ("Role", "ClusterRole"), "ClusterRoleBinding": ("ClusterRole",)}
SUBJECT_KINDS = ("ServiceAccount", "User", "Group")
ROLE = Path("roleRef")
SELECTORS = Path("aggregationRule.clusterRoleSelectors")


def role_metadata(obj: Object, *, namespaced: bool) -> Causes:
    return object_metadata(obj, path_segment, namespaced=namespaced, prefix=path_segment)


def role(obj: Object) -> Causes:
    yield from role_metadata(obj, namespaced=True)
    for position, rule in enumerate(items(obj, "rules")):
        yield from policy_rule(rule, Path("rules").at(position), namespaced=True)


def role_update(new: Object, old: Object) -> Causes:
    yield from role(new)
    yield from metadata_update(new, old)


def cluster_role(obj: Object) -> Causes:
    yield from role_metadata(obj, namespaced=False)
    for position, rule in enumerate(items(obj, "rules")):
        yield from policy_rule(rule, Path("rules").at(position), namespaced=False)
    aggregation = optional_mapping(obj, "aggregationRule")
    if aggregation is None:
        return
    selectors = items(aggregation, "clusterRoleSelectors")
    if not selectors:
        yield required(SELECTORS, "at least one clusterRoleSelector required if aggregationRule is non-nil")
    for position, selector in enumerate(selectors):
        mistakes = list(label_selector(selector, SELECTORS.at(position)))
        if mistakes:
            yield invalid(SELECTORS.at(position), None, "invalid label selector.")
        yield from mistakes


def cluster_role_update(new: Object, old: Object) -> Causes:
    yield from cluster_role(new)
    yield from metadata_update(new, old)


def policy_rule(rule: Object, path: Path, *, namespaced: bool) -> Causes:
    """A rule about resources, or (for the whole cluster only) about URLs."""
    if not strings(rule, "verbs"):
        yield required(path.child("verbs"), "verbs must contain at least one value")
    urls = strings(rule, "nonResourceURLs")
    if urls:
        here = path.child("nonResourceURLs")
        if namespaced:
            yield invalid(here, urls, "namespaced rules cannot apply to non-resource URLs")
        if any(strings(rule, name) for name in ("apiGroups", "resources", "resourceNames")):
            yield invalid(here, urls, "rules cannot apply to both regular resources and non-resource URLs")
        return
    if not strings(rule, "apiGroups"):
        yield required(path.child("apiGroups"), "resource rules must supply at least one api group")
    if not strings(rule, "resources"):
        yield required(path.child("resources"), "resource rules must supply at least one resource")


def role_binding(obj: Object) -> Causes:
    return binding(obj, "RoleBinding")


def role_binding_update(new: Object, old: Object) -> Causes:
    return binding_update(new, old, "RoleBinding")


def cluster_role_binding(obj: Object) -> Causes:
    return binding(obj, "ClusterRoleBinding")


def cluster_role_binding_update(new: Object, old: Object) -> Causes:
    return binding_update(new, old, "ClusterRoleBinding")


def binding(obj: Object, kind: str) -> Causes:
    namespaced = kind == "RoleBinding"
    yield from role_metadata(obj, namespaced=namespaced)
    reference = mapping(obj, "roleRef")
    name = text(reference, "name")
    if text(reference, "apiGroup") != GROUP:
        yield not_supported(ROLE.child("apiGroup"), text(reference, "apiGroup"), (GROUP,))
    if text(reference, "kind") not in ROLE_KINDS[kind]:
        yield not_supported(ROLE.child("kind"), text(reference, "kind"), ROLE_KINDS[kind])
    if name:
        yield from each_invalid(ROLE.child("name"), name, path_segment(name))
    else:
        yield required(ROLE.child("name"))
    for position, subject in enumerate(items(obj, "subjects")):
        yield from binding_subject(subject, Path("subjects").at(position), namespaced=namespaced)


def binding_subject(subject: Object, path: Path, *, namespaced: bool) -> Causes:
    """Who gets the role. A ServiceAccount without a namespace is one of the binding's own namespace."""
    kind, name, group = text(subject, "kind"), text(subject, "name"), text(subject, "apiGroup")
    if not name:
        yield required(path.child("name"))
    if kind == "ServiceAccount":
        if name:
            yield from each_invalid(path.child("name"), name, dns_subdomain(name))
        if group:
            yield not_supported(path.child("apiGroup"), group, ("",))
        if not namespaced and not text(subject, "namespace"):
            yield required(path.child("namespace"))
    elif kind in ("User", "Group"):
        if group != GROUP:
            yield not_supported(path.child("apiGroup"), group, (GROUP,))
    else:
        yield not_supported(path.child("kind"), kind, SUBJECT_KINDS)


def binding_update(new: Object, old: Object, kind: str) -> Causes:
    yield from binding(new, kind)
    yield from metadata_update(new, old)
    reference = internal("RoleRef", mapping(new, "roleRef"))
    if reference != internal("RoleRef", mapping(old, "roleRef")):
        yield invalid(ROLE, reference, "cannot change roleRef")
