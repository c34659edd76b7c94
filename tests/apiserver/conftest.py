"""A served API for each test."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from podrun.store.store import Store
from tests.apiserver.serving import Serving, serving

Object = dict[str, Any]


@dataclass
class Client:
    """A caller of the API; what it sends is JSON unless said otherwise."""

    serving: Serving
    session: aiohttp.ClientSession
    headers: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """(code, parsed body) of a request; header names are given with underscores."""
        code, _, answer = await self.full(method, path, body, **headers)
        return code, answer

    async def full(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """(code, headers, parsed body)."""
        named = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        content: dict[str, Any] = {"data": body} if isinstance(body, str | bytes) else {"json": body}
        if body is None:
            content = {}
        async with self.session.request(method, self.serving.url + path, headers=named, **content) as response:
            try:
                answer = await response.json(content_type=None)
            except ValueError:
                answer = await response.text()
            return response.status, response.headers, answer

    async def make(self, path: str, body: Object) -> Object:
        """POST that must succeed."""
        code, answer = await self.call("POST", path, body)
        assert code == 201, answer
        made: Object = answer
        return made


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Serving]:
    async with serving(tmp_path) as running:
        yield running


@pytest.fixture
async def client(served: Serving) -> AsyncIterator[Client]:
    """The administrator, by client certificate."""
    context = ssl.create_default_context(cafile=str(served.pki.ca_certificate))
    context.load_cert_chain(served.pki.admin_certificate, served.pki.admin_key)
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=True) as session:
        yield Client(served, session)


@pytest.fixture
async def stranger(served: Serving) -> AsyncIterator[Client]:
    """Somebody without a certificate."""
    context = ssl.create_default_context(cafile=str(served.pki.ca_certificate))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield Client(served, session)


async def eventually(store: Store, resource: str, holds: Callable[[], bool]) -> None:
    """Wait, from change to change of a resource, until something holds."""
    async with asyncio.timeout(5), store.watch(resource) as changes:
        while not holds():
            await changes.batch()


def pod(name: str, **metadata: Any) -> Object:
    """A pod that no scheduler takes."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **metadata},
        "spec": {"schedulerName": "none", "containers": [{"name": "a", "image": "busybox:1.36"}]},
    }


def config_map(name: str, *, labels: dict[str, str] | None = None, **data: str) -> Object:
    metadata: Object = {"name": name}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
