"""Requests that are a little off, answered as a kube-apiserver 1.36 answered them when it was asked the same.

A row is a request and what its answer must hold: the code, and the message or a few paths of the body.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from tests.apiserver.conftest import Client, config_map, pod

Object = dict[str, Any]

NS = "/api/v1/namespaces/default"
MAPS, PODS = f"{NS}/configmaps", f"{NS}/pods"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1"
FUTURE = "999999999"
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
TABLE_OF_OLD = "application/json;as=Table;v=v1beta1;g=meta.k8s.io"
ONE = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
MANY = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


def dig(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value.get(part)
    return value


READS = (
    (f"{MAPS}?timeout=foo", 400, 'invalid timeout specified in the request URL - time: invalid duration "foo"'),
    (f"{MAPS}?timeout=5", 400, 'invalid timeout specified in the request URL - time: missing unit in duration "5"'),
    (f"{MAPS}?timeoutSeconds=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
    (
        f"{MAPS}/a?resourceVersion=abc",
        500,
        'resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax',
    ),
    (f"{NS}/namespaces/nope", 404, "the server could not find the requested resource"),
    ("/api/v2", 404, "the server could not find the requested resource"),
    ("/apis/coordination.k8s.io/v9/leases", 404, "the server could not find the requested resource"),
)


@pytest.mark.parametrize(("path", "code", "message"), READS)
async def test_reads_that_are_refused(client: Client, path: str, code: int, message: str) -> None:
    await client.make(MAPS, config_map("a"))
    answer = await client.call("GET", path)
    assert (answer[0], answer[1]["message"]) == (code, message)


@pytest.mark.parametrize(
    ("path", "accept", "message"),
    [
        (f"{MAPS}/a", MANY, "you requested PartialObjectMetadataList, but the requested object is not a list"),
        (MAPS, ONE, "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"),
        (MAPS, "application/*", "406: Not Acceptable\n\nAvailable representations: application/json"),
        (f"{MAPS}/a", "application/cbor", "406: Not Acceptable\n\nAvailable representations: application/json"),
    ],
)
async def test_forms_that_an_answer_does_not_have(client: Client, path: str, accept: str, message: str) -> None:
    await client.make(MAPS, config_map("a"))
    code, answer = await client.call("GET", path, Accept=accept)
    assert (code, answer["message"].startswith(message)) == (406, True), answer
    assert ("stream=watch" in answer["message"]) is (accept == "application/*")


async def test_a_table_and_its_rows_are_of_one_version(client: Client) -> None:
    await client.make(MAPS, config_map("a"))
    table = (await client.call("GET", MAPS, Accept=TABLE_OF_OLD))[1]
    assert (table["apiVersion"], table["rows"][0]["object"]["apiVersion"]) == ("meta.k8s.io/v1beta1",) * 2


async def test_what_is_at_hand_is_listed_whole(client: Client) -> None:
    for name in "abc":
        await client.make(MAPS, config_map(name, labels={"x": "1"}))
    at_hand = (await client.call("GET", f"{MAPS}?labelSelector=x&limit=1&resourceVersion=0"))[1]
    assert (len(at_hand["items"]), "continue" in at_hand["metadata"]) == (3, False)
    assert len((await client.call("GET", f"{MAPS}?labelSelector=x&limit=1"))[1]["items"]) == 1


@pytest.mark.parametrize("path", [f"{MAPS}?resourceVersion={FUTURE}", f"{MAPS}/nope?resourceVersion={FUTURE}"])
async def test_a_version_to_come_is_waited_for(client: Client, path: str) -> None:
    began = time.monotonic()
    code, headers, answer = await client.full("GET", f"{path}&timeout=200ms")
    assert (code, headers["Content-Type"]) == (504, "text/plain; charset=utf-8")
    assert "kind" not in answer
    assert answer["message"] == "Timeout: request did not complete within the allotted timeout"
    assert 0.2 <= time.monotonic() - began < 2


async def test_a_version_to_come_that_comes(client: Client) -> None:
    made = await client.make(MAPS, config_map("a"))
    wanted = int(made["metadata"]["resourceVersion"]) + 1
    waiting = asyncio.create_task(client.call("GET", f"{MAPS}?resourceVersion={wanted}"))
    await client.make(MAPS, config_map("b"))
    assert (await waiting)[0] == 200


@pytest.mark.parametrize(
    ("query", "retry"),
    [("configmaps?limit=1", True), ("configmaps?resourceVersionMatch=Exact", True), ("events?", False)],
)
async def test_versions_that_are_not_waited_for(client: Client, query: str, retry: bool) -> None:
    code, answer = await client.call("GET", f"{NS}/{query}&resourceVersion={FUTURE}")
    assert (code, answer["details"].get("retryAfterSeconds")) == (504, 1 if retry else None)


async def test_a_watch_from_a_version_to_come_is_silent(client: Client) -> None:
    code, answer = await client.call("GET", f"{MAPS}?watch=1&resourceVersion={FUTURE}&timeoutSeconds=1")
    assert (code, answer) == (200, None)


WRITES: tuple[tuple[str, str, Any, str, int, str, Any], ...] = (
    ("POST", MAPS, {"metadata": {"name": "v", "resourceVersion": "0"}}, "", 201, "metadata.name", "v"),
    ("POST", MAPS, {"metadata": {"name": "v", "resourceVersion": "abc"}}, "", 201, "metadata.name", "v"),
    ("PUT", f"{MAPS}/a", {"metadata": {"name": "a", "resourceVersion": "0"}}, "", 200, "metadata.name", "a"),
    (
        *("PUT", f"{MAPS}/a", {"metadata": {"name": "a", "resourceVersion": "abc"}}, ""),
        *(500, "message", 'strconv.ParseUint: parsing "abc": invalid syntax'),
    ),
    ("PATCH", f"{MAPS}/a", {"kind": "Other", "apiVersion": "x/v1"}, STRATEGIC, 200, "kind", "ConfigMap"),
    ("DELETE", f"{MAPS}/a?dryRun=All", None, "", 200, "details.kind", "configmaps"),
    ("DELETE", f"{PODS}/p?dryRun=All", None, "", 200, "kind", "Pod"),
    (
        *("DELETE", f"{MAPS}/a", "{", "application/json", 400, "message"),
        "couldn't get version/kind; json parse error: unexpected end of JSON input",
    ),
    (
        "POST",
        "/api/v1/nodes",
        {"metadata": {"name": "n"}},
        "",
        201,
        "spec.taints.0.key",
        "node.kubernetes.io/not-ready",
    ),
    (
        *("POST", f"{PODS}/p/binding", {"target": {"name": "n"}}, "", 400, "message"),
        "name in URL does not match name in Binding object",
    ),
    ("POST", f"{NS}/bindings", {"target": {"name": "n"}}, "", 400, "message", "Name parameter required."),
    (
        *("POST", f"{PODS}/p/eviction", {}, "", 400, "message"),
        "name in URL does not match name in Eviction object",
    ),
    (
        *("POST", f"{NS}/services", {"metadata": {}, "spec": {"clusterIP": "10.96.7.7", "ports": [{"port": 1}]}}, ""),
        *(422, "details.causes.0.field", "spec.clusterIPs"),
    ),
    (
        *("PUT", "/apis/coordination.k8s.io/v1/namespaces/default/leases/l", {"metadata": {"name": "l"}}, ""),
        *(422, "details.kind", "leases"),
    ),
    (
        *("DELETE", "/api/v1/namespaces/default2", {"preconditions": {"uid": "abc"}}, "", 409, "details.kind"),
        "namespaces",
    ),
)


@pytest.mark.parametrize(("method", "path", "body", "media_type", "code", "where", "found"), WRITES)
async def test_writes_that_are_a_little_off(
    client: Client, method: str, path: str, body: Any, media_type: str, code: int, where: str, found: Any
) -> None:
    await client.make(MAPS, config_map("a"))
    await client.make(PODS, pod("p"))
    await client.make("/api/v1/namespaces", {"metadata": {"name": "default2"}})
    lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}}
    await client.make("/apis/coordination.k8s.io/v1/namespaces/default/leases", lease)
    answer = await client.call(method, path, body, **({"Content_Type": media_type} if media_type else {}))
    assert (answer[0], dig(answer[1], where)) == (code, found), answer


async def test_a_name_whose_object_is_ending(client: Client) -> None:
    held = config_map("a")
    held["metadata"]["finalizers"] = ["x.io/held"]
    await client.make(MAPS, held)
    await client.call("DELETE", f"{MAPS}/a")
    code, answer = await client.call("POST", MAPS, config_map("a"))
    assert (code, answer["message"]) == (409, 'object is being deleted: configmaps "a" already exists')


async def test_a_binding_brings_labels_and_annotations(client: Client) -> None:
    await client.make(PODS, pod("p"))
    binding = {"metadata": {"name": "p", "labels": {"l": "1"}, "annotations": {"a": "2"}}, "target": {"name": "n"}}
    assert (await client.call("POST", f"{PODS}/p/binding", binding))[0] == 201
    bound = (await client.call("GET", f"{PODS}/p"))[1]
    assert (bound["spec"]["nodeName"], bound["metadata"]["labels"]["l"]) == ("n", "1")
    assert bound["metadata"]["annotations"]["a"] == "2"


PATH = {"path": "/x", "verb": "get"}
PODS_OF = {"verb": "get", "resource": "pods"}
QUESTIONS: tuple[tuple[str, Object, str], ...] = (
    (
        "selfsubjectaccessreviews",
        {"resourceAttributes": {}, "nonResourceAttributes": PATH},
        'spec.nonResourceAttributes: Invalid value: {"Path":"/x","Verb":"get"}: cannot be specified in combination '
        "with resourceAttributes",
    ),
    (
        "selfsubjectaccessreviews",
        {"resourceAttributes": {**PODS_OF, "labelSelector": {}}},
        "spec.resourceAttributes.labelSelector.requirements: Required value: when "
        "spec.resourceAttributes.labelSelector is specified, requirements or rawSelector is required",
    ),
    (
        "namespaces/default/localsubjectaccessreviews",
        {"user": "u", "resourceAttributes": PODS_OF},
        'spec.resourceAttributes.namespace: Invalid value: "": must match metadata.namespace',
    ),
    (
        "namespaces/default/localsubjectaccessreviews",
        {"user": "u", "nonResourceAttributes": PATH},
        'spec.nonResourceAttributes: Invalid value: {"Path":"/x","Verb":"get"}: disallowed on this kind of request',
    ),
)


@pytest.mark.parametrize(("review", "spec", "message"), QUESTIONS)
async def test_questions_that_are_none(client: Client, review: str, spec: Object, message: str) -> None:
    code, answer = await client.call("POST", f"{REVIEWS}/{review}", {"spec": spec})
    assert (code, answer["message"]) == (422, f'.authorization.k8s.io "" is invalid: {message}')


async def test_reviews_say_what_grants_and_what_is_missing(client: Client) -> None:
    async def ask(groups: list[str], **attributes: Object) -> Object:
        spec = {"user": "u", "groups": groups, **attributes}
        status: Object = (await client.make(f"{REVIEWS}/subjectaccessreviews", {"spec": spec}))["status"]
        return status

    version = {"path": "/version", "verb": "get"}
    role = 'ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery"'
    expected = {"allowed": True, "reason": f'RBAC: allowed by {role} to Group "system:authenticated"'}
    assert await ask(["system:authenticated"], nonResourceAttributes=version) == expected
    assert await ask([], resourceAttributes=PODS_OF) == {"allowed": False}
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "gone"},
        "subjects": [{"kind": "User", "name": "u"}],
    }
    await client.make(f"{RBAC}/clusterrolebindings", binding)
    why = 'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found'
    assert await ask([], resourceAttributes=PODS_OF) == {"allowed": False, "reason": why}


async def test_tokens_are_bound_to_what_can_be_and_named_as_their_account(client: Client) -> None:
    path = f"{NS}/serviceaccounts/default/token"
    wrong = {"spec": {"boundObjectRef": {"kind": "Foo", "apiVersion": "v1", "name": "x"}}}
    code, answer = await client.call("POST", path, wrong)
    assert (code, answer["message"]) == (400, "cannot bind token to object of type /v1, Kind=Foo")
    code, answer = await client.call("POST", path, {"metadata": {"name": "y"}, "spec": {}})
    assert (code, answer["details"]["causes"][0]["field"]) == (422, "metadata.name")
    assert (await client.make(path, {"spec": {}}))["metadata"]["uid"]


async def test_protobuf_for_who_accepts_nothing_else(client: Client) -> None:
    await client.make(PODS, pod("p"))
    url, protobuf = client.serving.url, "application/vnd.kubernetes.protobuf"
    for path, kind in ((f"{PODS}/p", b"Pod"), (PODS, b"PodList")):
        async with client.session.get(url + path, headers={"Accept": protobuf}) as response:
            assert (response.status, response.headers["Content-Type"]) == (200, protobuf)
            body = await response.read()
            assert body.startswith(b"k8s\0")
            assert kind in body[:20]
        async with client.session.get(url + path, headers={"Accept": f"{protobuf},application/json"}) as response:
            assert response.headers["Content-Type"] == "application/json"
    async with client.session.get(f"{url}{PODS}?watch=1", headers={"Accept": protobuf}) as response:
        assert response.status == 406


END = {"k8s.io/initial-events-end": "true"}


@pytest.mark.parametrize(
    ("query", "ended"),
    [
        ("allowWatchBookmarks=true", True),
        ("resourceVersion=0&allowWatchBookmarks=true", True),
        ("resourceVersionMatch=NotOlderThan&sendInitialEvents=true&allowWatchBookmarks=true", True),
        ("resourceVersionMatch=NotOlderThan&sendInitialEvents=false&allowWatchBookmarks=true", False),
        ("resourceVersion=1&allowWatchBookmarks=true", False),
    ],
)
async def test_who_names_no_version_is_told_when_all_that_exists_was_sent(
    client: Client, query: str, ended: bool
) -> None:
    url = f"{client.serving.url}{MAPS}?watch=1&timeoutSeconds=1&labelSelector=nothing&{query}"
    async with client.session.get(url) as response:
        lines = (await response.text()).splitlines()
    assert [json.loads(line)["object"]["metadata"].get("annotations") for line in lines] == ([END] if ended else [])


@pytest.mark.parametrize(
    ("query", "accept", "code", "message"),
    [
        (
            "continue=abc",
            "",
            422,
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is",
        ),
        (
            "includeObject=Foo",
            TABLE_OF_OLD,
            400,
            "Unable to convert to Table as requested: includeObject: Invalid value",
        ),
        ("", "application/yaml", 406, "only the following media types are accepted: application/json;stream=watch"),
    ],
)
async def test_watches_that_are_refused(client: Client, query: str, accept: str, code: int, message: str) -> None:
    answer = await client.call("GET", f"{MAPS}?watch=1&timeoutSeconds=1&{query}", Accept=accept)
    assert (answer[0], message in answer[1]["message"]) == (code, True), answer


async def test_a_watch_of_a_named_object_is_a_plain_get(client: Client) -> None:
    await client.make(MAPS, config_map("a"))
    assert (await client.call("GET", f"{MAPS}/a?watch=1"))[1]["metadata"]["name"] == "a"
