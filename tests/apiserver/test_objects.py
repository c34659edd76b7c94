"""Objects over HTTPS: the writing verbs, dry runs, subresources, what namespaces hold and how they end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.apiserver.conftest import Client, config_map, eventually, pod
from tests.apiserver.serving import Serving

Object = dict[str, Any]

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
MERGE = {"Content_Type": "application/merge-patch+json"}


async def test_a_pod_is_completed_when_it_is_made(client: Client) -> None:
    made = await client.make(PODS, pod("p"))
    metadata = made["metadata"]
    assert metadata["generation"] == 1
    assert metadata["uid"]
    assert metadata["creationTimestamp"]
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert made["spec"]["serviceAccountName"] == "default"
    assert await client.call("GET", f"{PODS}/p") == (200, made)


async def test_a_generated_name_is_new_each_time(client: Client) -> None:
    body = config_map("")
    body["metadata"] = {"generateName": "x-"}
    first, second = [(await client.make(MAPS, body))["metadata"]["name"] for _ in range(2)]
    assert first != second
    assert first.startswith("x-")


async def test_a_dry_run_answers_and_stores_nothing(client: Client, served: Serving) -> None:
    version = served.store.resource_version
    code, answer = await client.call("POST", f"{PODS}?dryRun=All", pod("p"))
    assert code == 201
    assert "resourceVersion" not in answer["metadata"]
    await client.make(MAPS, config_map("c", a="1"))
    code, answer = await client.call("PATCH", f"{MAPS}/c?dryRun=All", {"data": {"a": "2"}}, **MERGE)
    assert (code, answer["data"]) == (200, {"a": "2"})
    assert (await client.call("DELETE", f"{MAPS}/c?dryRun=All"))[0] == 200
    assert (await client.call("GET", f"{MAPS}/c"))[1]["data"] == {"a": "1"}
    assert served.store.resource_version == version + 1


async def test_a_stale_update_is_a_conflict(client: Client) -> None:
    made = await client.make(MAPS, config_map("c", a="1"))
    await client.call("PATCH", f"{MAPS}/c", {"data": {"a": "2"}}, **MERGE)
    code, answer = await client.call("PUT", f"{MAPS}/c", {**made, "data": {"a": "3"}})
    assert (code, answer["reason"]) == (409, "Conflict")
    del made["metadata"]["resourceVersion"]
    code, answer = await client.call("PUT", f"{MAPS}/c", {**made, "data": {"a": "3"}})
    assert (code, answer["data"]) == (200, {"a": "3"})


async def test_updates_at_once_all_count(client: Client) -> None:
    await client.make(MAPS, config_map("c"))
    patches = [client.call("PATCH", f"{MAPS}/c", {"data": {f"k{i}": "1"}}, **MERGE) for i in range(20)]
    assert {code for code, _ in await asyncio.gather(*patches)} == {200}
    assert len((await client.call("GET", f"{MAPS}/c"))[1]["data"]) == 20


async def test_nothing_changed_is_not_a_write(client: Client) -> None:
    made = await client.make(MAPS, config_map("c", a="1"))
    code, answer = await client.call("PATCH", f"{MAPS}/c", {"data": {"a": "1"}}, **MERGE)
    assert (code, answer["metadata"]["resourceVersion"]) == (200, made["metadata"]["resourceVersion"])


async def test_status_and_spec_have_ways_of_their_own(client: Client) -> None:
    await client.make(PODS, pod("p"))
    body = {"status": {"phase": "Running"}, "metadata": {"labels": {"a": "b"}}}
    answer = (await client.call("PATCH", f"{PODS}/p", body, **MERGE))[1]
    assert (answer["status"]["phase"], answer["metadata"]["labels"]) == ("Pending", {"a": "b"})
    body = {"status": {"phase": "Running"}, "spec": {"nodeName": "x"}}
    answer = (await client.call("PATCH", f"{PODS}/p/status", body, **MERGE))[1]
    assert answer["status"]["phase"] == "Running"
    assert "nodeName" not in answer["spec"]


async def test_a_binding_puts_a_pod_on_a_node_once(client: Client) -> None:
    await client.make(PODS, pod("p"))
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    code, answer = await client.call("POST", f"{PODS}/p/binding", body)
    assert (code, answer["status"]) == (201, "Success")
    bound = (await client.call("GET", f"{PODS}/p"))[1]
    assert bound["spec"]["nodeName"] == "n"
    assert [(one["type"], one["status"]) for one in bound["status"]["conditions"]] == [("PodScheduled", "True")]
    code, answer = await client.call("POST", f"{PODS}/p/binding", body)
    assert (code, answer["message"]) == (
        409,
        'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n"',
    )


async def test_an_eviction_deletes(client: Client) -> None:
    await client.make(PODS, pod("p"))
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    assert (await client.call("POST", f"{PODS}/p/eviction", body))[0] == 201
    assert (await client.call("GET", f"{PODS}/p"))[0] == 404


async def test_an_evicted_pod_that_stays_says_so(client: Client) -> None:
    await client.make(PODS, {**pod("p"), "metadata": {"name": "p", "finalizers": ["a.b/c"]}})
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    assert (await client.call("POST", f"{PODS}/p/eviction", body))[0] == 201
    conditions = (await client.call("GET", f"{PODS}/p"))[1]["status"]["conditions"]
    found = next({key: c.get(key) for key in ("status", "reason", "message", "observedGeneration")} for c in conditions)
    assert found == {
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
        "observedGeneration": None,
    }


async def test_one_priority_class_at_most_is_everybodys_default(client: Client) -> None:
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"

    def of(name: str, **more: Any) -> dict[str, Any]:
        return {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, **more}

    await client.make(classes, of("one", value=1, globalDefault=True))
    code, answer = await client.call("POST", classes, of("two", value=2, globalDefault=True))
    assert (code, answer["message"]) == (
        403,
        'priorityclasses.scheduling.k8s.io "two" is forbidden: '
        "PriorityClass one is already marked as default. Only one default can exist",
    )
    assert (await client.call("PATCH", f"{classes}/one", {"description": "x"}, **MERGE))[0] == 200


async def test_a_collection_is_deleted_by_its_labels(client: Client) -> None:
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "1"}), ("c", {"x": "2"})):
        await client.make(MAPS, config_map(name, labels=labels))
    code, answer = await client.call("DELETE", f"{MAPS}?labelSelector=x%3D1")
    assert code == 200
    assert [item["metadata"]["name"] for item in answer["items"]] == ["a", "b"]
    left = (await client.call("GET", MAPS))[1]["items"]
    assert [item["metadata"]["name"] for item in left] == ["c", "kube-root-ca.crt"]


async def test_the_last_finalizer_takes_the_object_with_it(client: Client) -> None:
    body = config_map("c")
    body["metadata"]["finalizers"] = ["a.b/c"]
    await client.make(MAPS, body)
    code, answer = await client.call("DELETE", f"{MAPS}/c")
    assert (code, "deletionTimestamp" in answer["metadata"]) == (200, True)
    assert (await client.call("GET", f"{MAPS}/c"))[0] == 200
    assert (await client.call("PATCH", f"{MAPS}/c", {"metadata": {"finalizers": None}}, **MERGE))[0] == 200
    assert (await client.call("GET", f"{MAPS}/c"))[0] == 404


async def test_server_side_apply_makes_and_changes(client: Client) -> None:
    apply = {"Content_Type": "application/apply-patch+yaml"}
    body = config_map("c", a="1")
    path = f"{MAPS}/c?fieldManager=me"
    assert (await client.call("PATCH", path, body, **apply))[0] == 201
    code, answer = await client.call("PATCH", path, config_map("c", b="2"), **apply)
    assert (code, answer["data"]) == (200, {"b": "2"})


async def there(served: Serving, resource: str, namespace: str, name: str, *, gone: bool = False) -> None:
    """Wait until an object is there, or is gone."""
    await eventually(served.store, resource, lambda: (served.store.get(resource, namespace, name) is None) is gone)


async def test_a_namespace_is_born_with_an_account_and_dies_with_its_contents(client: Client, served: Serving) -> None:
    await client.make("/api/v1/namespaces", {"metadata": {"name": "n"}})
    base = "/api/v1/namespaces/n"
    await there(served, "serviceaccounts", "n", "default")
    await there(served, "configmaps", "n", "kube-root-ca.crt")
    await client.make(f"{base}/pods", pod("p"))
    held = config_map("c")
    held["metadata"]["finalizers"] = ["a.b/c"]
    await client.make(f"{base}/configmaps", held)
    code, answer = await client.call("DELETE", base)
    assert (code, answer["status"]["phase"]) == (200, "Terminating")
    await there(served, "pods", "n", "p", gone=True)
    code, answer = await client.call("POST", f"{base}/configmaps", config_map("late"))
    assert (code, answer["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
    assert (await client.call("GET", base))[0] == 200
    await client.call("PATCH", f"{base}/configmaps/c", {"metadata": {"finalizers": None}}, **MERGE)
    await there(served, "namespaces", "", "n", gone=True)


async def test_a_namespace_says_what_is_in_its_way_and_ends_pods_first(client: Client, served: Serving) -> None:
    store, path = served.store, "/api/v1/namespaces/n"
    await client.make("/api/v1/namespaces", {"metadata": {"name": "n"}})
    for resource, name in (("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")):
        await there(served, resource, "n", name)
    await client.make(f"{path}/pods", pod("p", finalizers=["a/b"]))
    await client.make(f"{path}/configmaps", config_map("c"))

    def told() -> dict[str, tuple[str, str]]:
        namespace = store.get("namespaces", "", "n") or {"status": {}}
        return {one["type"]: (one["status"], one["message"]) for one in namespace["status"].get("conditions") or []}

    await client.call("DELETE", path)
    await eventually(store, "namespaces", lambda: bool(told()))
    assert told()["NamespaceContentRemaining"] == (
        "True",
        "Some resources are remaining: configmaps. has 2 resource instances, pods. has 1 resource instances, "
        "serviceaccounts. has 1 resource instances",
    )
    assert told()["NamespaceFinalizersRemaining"] == (
        "True",
        "Some content in the namespace has finalizers remaining: a/b in 1 resource instances",
    )
    patch = [{"op": "remove", "path": "/metadata/finalizers"}]
    code, _ = await client.call("PATCH", f"{path}/pods/p", patch, Content_Type="application/json-patch+json")
    assert code == 200
    await eventually(store, "namespaces", lambda: store.get("namespaces", "", "n") is None)
    assert store.list("configmaps", "n") == []


async def test_what_every_namespace_has_comes_back(client: Client, served: Serving) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default"
    uid = (await client.call("GET", path))[1]["metadata"]["uid"]
    await client.call("DELETE", path)
    await there(served, "serviceaccounts", "default", "default")
    assert (await client.call("GET", path))[1]["metadata"]["uid"] != uid


def owned(name: str, owner: Object, *, blocks: bool = False) -> Object:
    body = config_map(name)
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": blocks,
    }
    body["metadata"]["ownerReferences"] = [reference]
    return body


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
async def test_what_is_owned_goes_with_its_owner_unless_orphaned(client: Client, served: Serving, policy: str) -> None:
    owner = await client.make(MAPS, config_map("owner"))
    await client.make(MAPS, owned("child", owner, blocks=True))
    await client.call("DELETE", f"{MAPS}/owner?propagationPolicy={policy}")
    await there(served, "configmaps", "default", "owner", gone=True)
    if policy != "Orphan":
        await there(served, "configmaps", "default", "child", gone=True)
    else:
        assert "ownerReferences" not in (await client.call("GET", f"{MAPS}/child"))[1]["metadata"]


async def test_an_owner_in_the_foreground_waits_for_what_blocks_it(client: Client, served: Serving) -> None:
    owner = await client.make(MAPS, config_map("owner"))
    child = owned("child", owner, blocks=True)
    child["metadata"]["finalizers"] = ["a.b/c"]
    await client.make(MAPS, child)
    await client.call("DELETE", f"{MAPS}/owner?propagationPolicy=Foreground")
    store = served.store

    def is_ending() -> bool:
        found = store.get("configmaps", "default", "child")
        return found is not None and "deletionTimestamp" in found["metadata"]

    await eventually(store, "configmaps", is_ending)
    assert (await client.call("GET", f"{MAPS}/owner"))[0] == 200
    await client.call("PATCH", f"{MAPS}/child", {"metadata": {"finalizers": None}}, **MERGE)
    await there(served, "configmaps", "default", "owner", gone=True)


async def test_an_object_of_an_owner_that_never_was_goes(client: Client, served: Serving) -> None:
    await client.make(MAPS, owned("child", {"metadata": {"name": "ghost", "uid": "none"}}))
    await there(served, "configmaps", "default", "child", gone=True)


async def test_events_have_two_forms(client: Client) -> None:
    body = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "R",
        "message": "m",
        "type": "Normal",
    }
    await client.make("/api/v1/namespaces/default/events", body)
    shown = (await client.call("GET", "/apis/events.k8s.io/v1/namespaces/default/events/e"))[1]
    assert (shown["apiVersion"], shown["note"], shown["regarding"]["name"]) == ("events.k8s.io/v1", "m", "p")
    listed = (await client.call("GET", "/apis/events.k8s.io/v1/namespaces/default/events"))[1]
    assert (listed["kind"], listed["items"][0]["note"]) == ("EventList", "m")
    for form, selector in (("/apis/events.k8s.io/v1", "regarding.name"), ("/api/v1", "involvedObject.name")):
        for name, count in (("p", 1), ("q", 0)):
            path = f"{form}/namespaces/default/events?fieldSelector={selector}%3D{name}"
            assert len((await client.call("GET", path))[1]["items"]) == count
