"""Writes that may wait for others: they share a commit, and nobody who waits for them waits long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from podrun.api.errors import ApiError
from podrun.store.journal import Journal, Write
from podrun.store.store import Store


def config_map(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "data": {}}


@pytest.fixture
async def commits(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names that each commit wrote, commit by commit."""
    seen: list[list[str]] = []
    settle = Journal._settle

    def noted(journal: Journal, writes: list[Write], *, stale: bool = False) -> None:
        if writes:
            seen.append([write.event.key.name for write in writes])
        settle(journal, writes, stale=stale)

    monkeypatch.setattr(Journal, "_settle", noted)
    return seen


@pytest.fixture
async def store(tmp_path: Path, commits: list[list[str]]) -> AsyncIterator[Store]:
    opened = Store(tmp_path / "podrun.db")
    yield opened
    await opened.close()


async def test_patient_writes_go_with_the_next_one_that_is_waited_for(store: Store, commits: list[list[str]]) -> None:
    patient = [asyncio.create_task(store.create("configmaps", config_map(n), patient=True)) for n in ("a", "b")]
    await asyncio.sleep(0)
    await store.create("configmaps", config_map("c"))
    await asyncio.gather(*patient)
    assert commits == [["a", "b", "c"]]


async def test_a_patient_write_alone_is_soon_durable(store: Store, commits: list[list[str]]) -> None:
    await store.create("configmaps", config_map("a"), patient=True)
    assert commits == [["a"]]


async def test_patient_writes_are_committed_at_the_end(tmp_path: Path) -> None:
    store = Store(tmp_path / "other.db")
    written = asyncio.create_task(store.create("configmaps", config_map("a"), patient=True))
    await asyncio.sleep(0)
    await store.close()
    await written
    again = Store(tmp_path / "other.db")
    assert [obj["metadata"]["name"] for obj in again.list("configmaps")] == ["a"]
    await again.close()


async def test_a_conflict_with_a_patient_write_makes_it_visible(store: Store) -> None:
    written = asyncio.create_task(store.create("configmaps", config_map("a"), patient=True))
    await asyncio.sleep(0)
    with pytest.raises(ApiError):
        await store.create("configmaps", config_map("a"))
    assert store.get("configmaps", "default", "a") is not None
    await written
