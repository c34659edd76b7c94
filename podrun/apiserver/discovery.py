"""What is served, said twice: in the legacy lists and in the aggregated documents. Read from the one table."""

from __future__ import annotations

from typing import Any

from podrun.api.kinds import KINDS, Kind, Subresource

Object = dict[str, Any]

AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

_GROUP_ORDER = (
    "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch",
    "certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io",
    "admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io", "coordination.k8s.io", "node.k8s.io",
    "discovery.k8s.io",
)  # fmt: skip
"""Kubernetes' order of priority: where a short name means several kinds, clients take the first group's."""


def groups() -> dict[str, list[str]]:
    """The served API groups but the core one, with their versions, in Kubernetes' order."""
    found: dict[str, list[str]] = {}
    for kind in KINDS.values():
        versions = found.setdefault(kind.group, [])
        if kind.version not in versions:
            versions.append(kind.version)
    found.pop("", None)
    rank = {group: number for number, group in enumerate(_GROUP_ORDER)}
    return dict(sorted(found.items(), key=lambda item: rank.get(item[0], len(rank))))


def kinds_of(group: str, version: str) -> list[Kind]:
    """The kinds of a group version, by name."""
    return sorted(
        (kind for kind in KINDS.values() if (kind.group, kind.version) == (group, version)),
        key=lambda kind: kind.plural,
    )


def api_versions(address: str) -> Object:
    """GET /api; `address` is where the server is reached (host:port)."""
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


def group_list() -> Object:
    """GET /apis."""
    listed = [_group(group, versions) for group, versions in groups().items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def group(name: str) -> Object | None:
    """GET /apis/GROUP; None where it is not served."""
    versions = groups().get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)} if versions else None


def resource_list(group: str, version: str) -> Object | None:
    """GET /api/v1 or /apis/GROUP/VERSION; None where it is not served."""
    kinds = kinds_of(group, version)
    if not kinds:
        return None
    resources: list[Object] = []
    for kind in kinds:
        resources.append(_resource(kind))
        resources += [_subresource(kind, name, sub) for name, sub in sorted(kind.subresources.items())]
    group_version = f"{group}/{version}" if group else version
    head: Object = {"kind": "APIResourceList"}
    if group:
        head["apiVersion"] = "v1"
    return {**head, "groupVersion": group_version, "resources": resources}


def aggregated(core: bool) -> Object:
    """GET /api (core) or /apis with the aggregated media type."""
    wanted = {"": ["v1"]} if core else groups()
    items = []
    for name, versions in wanted.items():
        metadata: Object = {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None}
        items.append(
            {
                "metadata": metadata,
                "versions": [
                    {
                        "version": version,
                        "resources": [_discovered(kind) for kind in kinds_of(name, version)],
                        "freshness": "Current",
                    }
                    for version in versions
                ],
            }
        )
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _group(name: str, versions: list[str]) -> Object:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _resource(kind: Kind) -> Object:
    entry: Object = {
        "name": kind.plural,
        "singularName": kind.singular_name,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if kind.stored:
        entry["storageVersionHash"] = kind.storage_version_hash
    return entry


def _subresource(kind: Kind, name: str, sub: Subresource) -> Object:
    entry: Object = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced}
    if sub.group:
        entry |= {"group": sub.group, "version": sub.version}
    return {**entry, "kind": sub.kind, "verbs": list(sub.verbs)}


def _discovered(kind: Kind) -> Object:
    # Group and version are only said where they are not those of the list.
    entry: Object = {
        "resource": kind.plural,
        "responseKind": {"group": "", "version": "", "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular_name,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if kind.subresources:
        entry["subresources"] = [
            {
                "subresource": name,
                "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
                "verbs": list(sub.verbs),
            }
            for name, sub in sorted(kind.subresources.items())
        ]
    return entry
