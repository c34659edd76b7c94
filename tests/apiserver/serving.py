"""An API server of its own for a test: a fresh store, a CA made for it, TLS on a free port, no pods behind it.

Also runs alone, to play recordings against: `python -m tests.apiserver.serving DIRECTORY` writes DIRECTORY/kubeconfig
and serves until interrupted.
"""

from __future__ import annotations

import asyncio
import base64
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from podrun.apiserver import pki
from podrun.apiserver.pki import Pki
from podrun.apiserver.server import ApiServer
from podrun.apiserver.streams.pods import PodAccess
from podrun.controllers.gc import GarbageCollector
from podrun.controllers.namespaces import NamespaceController
from podrun.store.store import Store


@dataclass(frozen=True)
class Serving:
    """A running server, and how to reach it."""

    server: ApiServer
    store: Store
    pki: Pki
    port: int

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def kubeconfig(self) -> str:
        """A kubeconfig of the administrator."""

        def data(path: Path) -> str:
            return base64.b64encode(path.read_bytes()).decode()

        user = {
            "client-certificate-data": data(self.pki.admin_certificate),
            "client-key-data": data(self.pki.admin_key),
        }
        cluster = {"server": self.url, "certificate-authority-data": data(self.pki.ca_certificate)}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "podrun", "cluster": cluster}],
                "users": [{"name": "admin", "user": user}],
                "contexts": [{"name": "podrun", "context": {"cluster": "podrun", "user": "admin"}}],
                "current-context": "podrun",
            }
        )


@asynccontextmanager
async def serving(directory: Path, pods: PodAccess | None = None) -> AsyncIterator[Serving]:
    """A server whose files are below `directory`, with the controllers that every namespace has."""
    keys = pki.ensure(directory / "pki", [], pki.utc_now())
    store = Store(directory / "podrun.db")
    server = ApiServer(store, pki=keys, pods=pods)
    namespaces = NamespaceController(store, keys.ca_certificate.read_text())
    collector = GarbageCollector(store)
    await namespaces.start()
    await collector.start()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await server.start(listener, None)
        server.ready = True
        try:
            yield Serving(server, store, keys, listener.getsockname()[1])
        finally:
            await server.stop()
            await collector.stop()
            await namespaces.stop()
            await store.close()


async def _alone(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with serving(directory) as running:
        (directory / "kubeconfig").write_text(running.kubeconfig())
        print(running.url, flush=True)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(_alone(Path(sys.argv[1])))
