"""The store: versions, conflicts, durability, history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from podrun.api.errors import ApiError
from podrun.store.journal import UnreadableDatabase
from podrun.store.store import Remove, Store

Object = dict[str, Any]


def config_map(name: str, namespace: str = "default", **data: str) -> Object:
    return {"metadata": {"name": name, "namespace": namespace}, "data": data}


def with_data(obj: Object, **data: Any) -> Object:
    return {**obj, "data": {**obj.get("data", {}), **data}}


def with_datum(obj: Object, key: str) -> Object:
    return with_data(obj, **{key: "1"})


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(tmp_path / "podrun.db", history=20)
    yield opened
    await opened.close()


async def test_dicts_of_long_ago_are_given_up_and_come_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podrun.store.records.PARSED_AT_MOST", 2)
    made = [await store.create("configmaps", config_map(f"c{i}")) for i in range(4)]
    listed = store.list("configmaps")
    assert listed == made
    assert store.get("configmaps", "default", "c3") is listed[3]
    assert listed[0] is not made[0]


async def test_a_change_can_be_waited_for(store: Store) -> None:
    waiting = asyncio.ensure_future(store.until("configmaps", lambda event: event.key.name == "b", 5))
    await store.create("configmaps", config_map("a"))
    assert not waiting.done()
    await store.create("configmaps", config_map("b"))
    assert await waiting
    assert not await store.until("configmaps", lambda event: True, 0.01), "what has been is not waited for"


async def test_what_is_created_can_be_read_listed_and_is_whole(store: Store) -> None:
    made = await store.create("configmaps", config_map("a", x="1"))
    assert list(made) == ["kind", "apiVersion", "metadata", "data"]
    assert made["metadata"]["resourceVersion"] == str(store.resource_version) == "2"
    assert store.get("configmaps", "default", "a") is made
    assert store.list("configmaps") == store.list("configmaps", "default") == [made]
    assert store.list("configmaps", "other") == []


async def test_lists_are_in_the_order_of_the_keys(store: Store) -> None:
    for namespace, name in (("b", "a"), ("a", "z"), ("a-b", "c"), ("a", "b")):
        await store.create("configmaps", config_map(name, namespace))
    listed = [(obj["metadata"]["namespace"], obj["metadata"]["name"]) for obj in store.list("configmaps")]
    assert listed == [("a-b", "c"), ("a", "b"), ("a", "z"), ("b", "a")]


async def test_a_second_create_is_refused(store: Store) -> None:
    await store.create("configmaps", config_map("a"))
    with pytest.raises(ApiError, match='configmaps "a" already exists'):
        await store.create("configmaps", config_map("a"))


async def test_of_two_creates_at_once_one_is_refused_and_then_sees_the_other(store: Store) -> None:
    async def create() -> str:
        try:
            await store.create("configmaps", config_map("a"))
        except ApiError as error:
            assert store.get("configmaps", "default", "a") is not None
            return error.reason
        return "created"

    assert sorted(await asyncio.gather(create(), create())) == ["AlreadyExists", "created"]


async def test_an_update_needs_the_version_it_expects(store: Store) -> None:
    made = await store.create("configmaps", config_map("a"))
    version = made["metadata"]["resourceVersion"]
    await store.update("configmaps", with_data(made, x="1"), expected_version=version)
    with pytest.raises(ApiError) as refused:
        await store.update("configmaps", with_data(made, x="2"), expected_version=version)
    assert refused.value.reason == "Conflict"
    with pytest.raises(ApiError) as refused:
        await store.update("configmaps", config_map("b"))
    assert refused.value.reason == "NotFound"


async def test_changes_made_at_once_do_not_overwrite_each_other(store: Store) -> None:
    await store.create("configmaps", config_map("a"))
    changes = [store.modify("configmaps", "default", "a", partial(with_datum, key=f"k{i}")) for i in range(15)]
    await asyncio.gather(*changes)
    current = store.get("configmaps", "default", "a")
    assert current is not None
    assert len(current["data"]) == 15


async def test_a_change_that_changes_nothing_is_not_written(store: Store) -> None:
    made = await store.create("configmaps", config_map("a", x="1"))
    version = store.resource_version
    assert await store.modify("configmaps", "default", "a", lambda obj: with_data(obj, x="1")) == made
    assert store.resource_version == version


async def test_removal_tells_the_last_state_with_a_version_of_its_own(store: Store) -> None:
    made = await store.create("configmaps", config_map("a", x="1"))
    async with store.watch("configmaps", since=store.resource_version) as watch:
        await store.write("configmaps", "default", "a", lambda obj: Remove(with_data(made, y="2")))
        (event,) = await watch.batch()
    assert (event.type, event.object["data"], event.version) == ("DELETED", {"x": "1", "y": "2"}, 3)
    assert event.previous == made
    with pytest.raises(ApiError, match="not found"):
        await store.remove("configmaps", "default", "a")


async def test_an_announced_removal_is_seen_as_a_change_first(store: Store) -> None:
    made = await store.create("configmaps", config_map("a"))
    last = with_data(made, x="1")
    async with store.watch("configmaps", since=store.resource_version) as watch:
        removed = await store.write("configmaps", "default", "a", lambda obj: Remove(last, announced=True))
        changed, gone = await watch.batch()
    assert [(changed.type, changed.version), (gone.type, gone.version)] == [("MODIFIED", 3), ("DELETED", 4)]
    assert (changed.object["data"], gone.previous, removed.version) == ({"x": "1"}, changed.object, 4)


async def test_a_watch_tells_what_came_after_its_version_in_order_and_by_namespace(store: Store) -> None:
    await store.create("configmaps", config_map("old"))
    since = store.resource_version
    await store.create("configmaps", config_map("a"))
    await store.create("configmaps", config_map("a", "other"))
    await store.create("secrets", config_map("s"))
    async with store.watch("configmaps", "default", since=since) as watch:
        await store.modify("configmaps", "default", "a", lambda obj: with_data(obj, x="1"))
        seen = [(event.type, event.object["metadata"]["name"]) for event in await watch.batch()]
    assert seen == [("ADDED", "a"), ("MODIFIED", "a")]
    assert await watch.batch() == []


async def test_a_watch_without_a_version_begins_with_what_there_is(store: Store) -> None:
    await store.create("configmaps", config_map("a"))
    async with store.watch("configmaps") as watch:
        await store.create("configmaps", config_map("b"))
        names = []
        async for event in watch:
            names.append(event.object["metadata"]["name"])
            if len(names) == 2:
                break
    assert names == ["a", "b"]


async def test_subscribers_hear_of_a_change_once_it_is_visible(store: Store) -> None:
    seen: list[bool] = []
    end = store.subscribe("configmaps", lambda event: seen.append(store.get(*event.key) is event.object))
    await store.create("configmaps", config_map("a"))
    end()
    await store.create("configmaps", config_map("b"))
    assert seen == [True]


async def test_past_the_history_a_watch_and_an_old_list_are_expired(store: Store) -> None:
    for i in range(30):
        await store.create("configmaps", config_map(f"c{i}"))
    for too_old in (lambda: store.watch("configmaps", since=5), lambda: store.items("configmaps", version=5)):
        with pytest.raises(ApiError) as refused:
            too_old()
        assert (refused.value.code, refused.value.reason) == (410, "Expired")
        assert refused.value.message == "too old resource version: 5 (12)"
    store.watch("configmaps", since=11).close()


async def test_a_list_can_be_had_as_it_was(store: Store) -> None:
    await store.create("configmaps", config_map("changed", x="1"))
    await store.create("configmaps", config_map("removed"))
    version = store.resource_version
    before = store.items("configmaps")
    await store.modify("configmaps", "default", "changed", lambda obj: with_data(obj, x="2"))
    await store.remove("configmaps", "default", "removed")
    await store.create("configmaps", config_map("created"))
    assert store.items("configmaps", version=version) == before


async def test_everything_is_there_after_a_restart_and_watches_resume(tmp_path: Path) -> None:
    first = Store(tmp_path / "podrun.db")
    made = await first.create("configmaps", config_map("a", x="1"))
    await first.create("configmaps", config_map("b"))
    since = first.resource_version
    await first.modify("configmaps", "default", "a", lambda obj: with_data(obj, x="2"))
    await first.remove("configmaps", "default", "b")
    await first.close()

    second = Store(tmp_path / "podrun.db")
    assert second.resource_version == since + 2
    assert [obj["data"] for obj in second.list("configmaps")] == [{"x": "2"}]
    async with second.watch("configmaps", since=since) as watch:
        changed, removed = await watch.batch()
    assert (changed.type, changed.previous) == ("MODIFIED", made)
    assert (removed.type, removed.object["metadata"]["resourceVersion"]) == ("DELETED", str(since + 2))
    made = await second.create("configmaps", config_map("c"))
    assert made["metadata"]["resourceVersion"] == str(since + 3)
    await second.close()


async def test_a_database_serves_one_daemon_at_a_time_and_is_for_root_only(tmp_path: Path, store: Store) -> None:
    with pytest.raises(UnreadableDatabase, match="another podrun daemon"):
        Store(tmp_path / "podrun.db")
    assert (tmp_path / "podrun.db").stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_no_database_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "podrun.db").write_bytes(b"no database" * 100)
    with pytest.raises(UnreadableDatabase, match="move it away"):
        Store(tmp_path / "podrun.db")


async def test_a_disk_that_is_full_fails_the_writes_and_leaves_the_rest(store: Store) -> None:
    made = await store.create("configmaps", config_map("a", x="1"))
    pages = store._journal._database.execute("PRAGMA page_count").fetchone()[0]
    store._journal._database.execute(f"PRAGMA max_page_count = {pages}")
    big = "x" * 100_000
    results = await asyncio.gather(
        store.create("configmaps", config_map("b", x=big)),
        store.modify("configmaps", "default", "b", lambda obj: with_data(obj, y="2")),
        return_exceptions=True,
    )
    assert [getattr(result, "reason", result) for result in results] == ["InternalError", "InternalError"]
    assert store.list("configmaps") == [made]
    store._journal._database.execute("PRAGMA max_page_count = 1000000")
    again = await store.create("configmaps", config_map("b", x=big))
    assert int(again["metadata"]["resourceVersion"]) == int(made["metadata"]["resourceVersion"]) + 1


async def test_a_reader_that_does_not_read_is_cut_off(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podrun.store.watch.LONGEST_QUEUE", 3)
    watch = store.watch("configmaps", since=store.resource_version)
    for i in range(5):
        await store.create("configmaps", config_map(f"c{i}"))
    with pytest.raises(ApiError) as refused:
        await watch.batch()
    assert refused.value.reason == "Expired"
