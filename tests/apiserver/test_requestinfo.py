"""Paths to what they ask for."""

from __future__ import annotations

import pytest

from podrun.apiserver.requestinfo import RequestInfo, parse

ROWS = [
    ("a collection in a namespace", "GET", "/api/v1/namespaces/a/pods", ("list", "", "v1", "pods", "", "a", "")),
    ("a collection everywhere", "GET", "/api/v1/pods", ("list", "", "v1", "pods", "", "", "")),
    ("an object", "GET", "/api/v1/namespaces/a/pods/p", ("get", "", "v1", "pods", "", "a", "p")),
    ("a subresource", "PATCH", "/api/v1/namespaces/a/pods/p/status", ("patch", "", "v1", "pods", "status", "a", "p")),
    ("all namespaces", "GET", "/api/v1/namespaces", ("list", "", "v1", "namespaces", "", "", "")),
    ("a namespace is in itself", "DELETE", "/api/v1/namespaces/a", ("delete", "", "v1", "namespaces", "", "a", "a")),
    (
        "a namespace's own subresource",
        "PUT",
        "/api/v1/namespaces/a/finalize",
        ("update", "", "v1", "namespaces", "finalize", "a", "a"),
    ),
    (
        "a group",
        "POST",
        "/apis/coordination.k8s.io/v1/namespaces/a/leases",
        ("create", "coordination.k8s.io", "v1", "leases", "", "a", ""),
    ),
    ("the old way to watch", "GET", "/api/v1/watch/namespaces/a/pods", ("watch", "", "v1", "pods", "", "a", "")),
    ("deleting a collection", "DELETE", "/api/v1/nodes", ("deletecollection", "", "v1", "nodes", "", "", "")),
]


@pytest.mark.parametrize(("method", "path", "wanted"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_resources(method: str, path: str, wanted: tuple[str, ...]) -> None:
    info = parse(method, path)
    assert info.is_resource
    assert (
        info.verb,
        info.group,
        info.version,
        info.resource,
        info.subresource,
        info.namespace,
        info.name,
    ) == wanted


def test_a_watch_is_asked_for_in_the_query() -> None:
    assert parse("GET", "/api/v1/pods", watch=True).verb == "watch"
    assert parse("GET", "/api/v1/namespaces/a/pods/p", watch=True).verb == "get"
    assert parse("GET", "/api/v1/namespaces/a/pods/p/log", watch=True).verb == "get"


@pytest.mark.parametrize("path", ["/", "/api", "/apis", "/version", "/apis/apps", "/healthz", "/openapi/v3/api/v1"])
def test_other_paths_are_no_resources(path: str) -> None:
    assert parse("GET", path) == RequestInfo(path, "get")


def test_a_discovery_document_names_its_group_version() -> None:
    assert parse("GET", "/apis/policy/v1") == RequestInfo("/apis/policy/v1", "get", group="policy", version="v1")
