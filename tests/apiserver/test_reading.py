"""Lists, watches and documents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from podrun.store.store import Store
from tests.apiserver.conftest import Client, config_map, pod

Object = dict[str, Any]

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
MERGE = {"Content_Type": "application/merge-patch+json"}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def names(answer: Object) -> list[str]:
    return [item["metadata"]["name"] for item in answer["items"]]


class Lines:
    """The lines of an open watch."""

    def __init__(self, response: Any) -> None:
        self._response = response

    async def next(self) -> Object:
        async with asyncio.timeout(5):
            line = await self._response.content.readline()
        event: Object = json.loads(line)
        return event

    async def seen(self, count: int) -> list[tuple[str, str]]:
        """Types and names of the next events."""
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


@asynccontextmanager
async def watching(client: Client, path: str, **headers: str) -> AsyncIterator[Lines]:
    async with client.session.get(client.serving.url + path, headers=headers) as response:
        assert response.status == 200
        yield Lines(response)


async def test_pages_are_of_one_version(client: Client) -> None:
    for name in "abcde":
        await client.make(MAPS, config_map(name, labels={"x": "1"}))
    first = (await client.call("GET", f"{MAPS}?limit=2&labelSelector=x"))[1]
    assert names(first) == ["a", "b"]
    await client.call("DELETE", f"{MAPS}/d")
    await client.make(MAPS, config_map("c2", labels={"x": "1"}))
    token = first["metadata"]["continue"]
    second = (await client.call("GET", f"{MAPS}?limit=2&labelSelector=x&continue={token}"))[1]
    assert names(second) == ["c", "d"]
    token = second["metadata"]["continue"]
    third = (await client.call("GET", f"{MAPS}?limit=2&labelSelector=x&continue={token}"))[1]
    assert names(third) == ["e"]
    assert "continue" not in third["metadata"]
    assert {page["metadata"]["resourceVersion"] for page in (first, second, third)} == {
        first["metadata"]["resourceVersion"]
    }


async def test_how_many_remain_is_told_without_selectors(client: Client) -> None:
    for name in "abc":
        await client.make(MAPS, config_map(name))
    assert (await client.call("GET", f"{MAPS}?limit=1"))[1]["metadata"]["remainingItemCount"] == 3


async def test_a_token_older_than_the_history_is_expired(
    client: Client, served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        await client.make(MAPS, config_map(name))
    token = (await client.call("GET", f"{MAPS}?limit=1"))[1]["metadata"]["continue"]
    store: Store = served.store
    await client.make(MAPS, config_map("d"))
    store._log.clear()
    code, answer = await client.call("GET", f"{MAPS}?limit=1&continue={token}")
    assert (code, answer["reason"]) == (410, "Expired")


async def test_items_have_no_kind_and_objects_have(client: Client) -> None:
    await client.make(MAPS, config_map("a"))
    answer = (await client.call("GET", MAPS))[1]
    assert answer["kind"] == "ConfigMapList"
    assert "kind" not in answer["items"][0]


async def test_a_large_list_is_compressed_for_who_takes_it(client: Client) -> None:
    await client.make(MAPS, config_map("a", x="y" * 200_000))
    async with client.session.get(client.serving.url + MAPS, headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert len((await response.json())["items"]) == 2
    async with client.session.get(client.serving.url + MAPS, headers={"Accept-Encoding": "identity"}) as response:
        assert "Content-Encoding" not in response.headers


async def test_a_table_has_cells_and_metadata(client: Client) -> None:
    await client.make(PODS, pod("p"))
    answer = (await client.call("GET", PODS, Accept=f"{TABLE},application/json"))[1]
    assert (answer["kind"], answer["rows"][0]["cells"][:3]) == ("Table", ["p", "0/1", "Pending"])
    assert answer["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


async def test_a_watch_begins_with_what_there_is_and_goes_on(client: Client) -> None:
    await client.make(PODS, pod("a"))
    async with watching(client, f"{PODS}?watch=true") as lines:
        assert await lines.seen(1) == [("ADDED", "a")]
        await client.make(PODS, pod("b"))
        await client.call("DELETE", f"{PODS}/b")
        assert await lines.seen(3) == [("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "b")]


async def test_a_watch_resumes_after_a_version(client: Client) -> None:
    made = await client.make(MAPS, config_map("a"))
    await client.make(MAPS, config_map("b"))
    version = made["metadata"]["resourceVersion"]
    async with watching(client, f"{MAPS}?watch=1&resourceVersion={version}") as lines:
        assert await lines.seen(1) == [("ADDED", "b")]


async def test_to_a_selector_objects_come_and_go(client: Client) -> None:
    await client.make(MAPS, config_map("a", labels={"x": "1"}))
    async with watching(client, f"{MAPS}?watch=1&labelSelector=x%3D1") as lines:
        assert await lines.seen(1) == [("ADDED", "a")]
        await client.call("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"x": "2"}}}, **MERGE)
        left = await lines.next()
        assert (left["type"], left["object"]["metadata"]["labels"]) == ("DELETED", {"x": "1"})
        await client.call("PATCH", f"{MAPS}/a", {"data": {"k": "v"}}, **MERGE)
        await client.call("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"x": "1"}}}, **MERGE)
        assert await lines.seen(1) == [("ADDED", "a")]


async def test_initial_events_end_with_a_bookmark(client: Client, served: Any) -> None:
    await client.make(PODS, pod("a"))
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with watching(client, f"{PODS}?{query}") as lines:
        assert await lines.seen(1) == [("ADDED", "a")]
        mark = await lines.next()
    assert mark["type"] == "BOOKMARK"
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert mark["object"]["metadata"]["resourceVersion"] == str(served.store.resource_version)


async def test_a_watch_that_begins_too_early_is_told_so(client: Client, served: Any) -> None:
    await client.make(MAPS, config_map("a"))
    served.store._log.clear()
    async with watching(client, f"{MAPS}?watch=1&resourceVersion=1") as lines:
        event = await lines.next()
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


async def test_a_watch_of_tables_has_its_columns_once(client: Client) -> None:
    await client.make(PODS, pod("a"))
    async with watching(client, f"{PODS}?watch=1", Accept=f"{TABLE},application/json") as lines:
        first = await lines.next()
        await client.make(PODS, pod("b"))
        second = await lines.next()
    assert first["object"]["columnDefinitions"][0]["name"] == "Name"
    assert second["object"]["columnDefinitions"] is None
    assert second["object"]["rows"][0]["cells"][0] == "b"


async def test_a_watch_speaks_websocket_too(client: Client) -> None:
    await client.make(PODS, pod("a"))
    url = f"{client.serving.url}{PODS}?watch=1"
    async with client.session.ws_connect(url) as socket:
        event = await socket.receive_json(timeout=5)
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "a")
        await client.make(PODS, pod("b"))
        assert (await socket.receive_json(timeout=5))["object"]["metadata"]["name"] == "b"


async def test_many_watches_see_each_change_once(client: Client) -> None:
    async def one() -> list[tuple[str, str]]:
        async with watching(client, f"{MAPS}?watch=1&labelSelector=x") as lines:
            ready.release()
            return await lines.seen(3)

    ready = asyncio.Semaphore(0)
    watches = [asyncio.create_task(one()) for _ in range(50)]
    for _ in watches:
        await ready.acquire()
    for name in "abc":
        await client.make(MAPS, config_map(name, labels={"x": "1"}))
    for seen in await asyncio.gather(*watches):
        assert seen == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


async def test_discovery_says_the_same_twice(client: Client) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    _, headers, core = await client.full("GET", "/api", Accept=accept)
    assert headers["Content-Type"] == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    others = (await client.call("GET", "/apis", Accept=accept))[1]
    aggregated = {
        (group["metadata"].get("name", ""), resource["resource"], *resource["verbs"])
        for document in (core, others)
        for group in document["items"]
        for version in group["versions"]
        for resource in version["resources"]
    }
    legacy = set()
    listed = (await client.call("GET", "/apis"))[1]["groups"]
    groups = [(f"/apis/{one['preferredVersion']['groupVersion']}", one["name"]) for one in listed]
    for path, group in [("/api/v1", ""), *groups]:
        for resource in (await client.call("GET", path))[1]["resources"]:
            if "/" not in resource["name"]:
                legacy.add((group, resource["name"], *resource["verbs"]))
    assert aggregated == legacy


async def test_openapi_is_served_by_its_hash(client: Client) -> None:
    index = (await client.call("GET", "/openapi/v3"))[1]["paths"]
    url = index["api/v1"]["serverRelativeURL"]
    code, headers, document = await client.full("GET", url)
    assert code == 200
    assert "immutable" in headers["Cache-Control"]
    assert "/api/v1/namespaces/{namespace}/pods/{name}" in document["paths"]
    assert (await client.call("GET", url, If_None_Match=headers["ETag"]))[0] == 304
