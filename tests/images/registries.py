"""Registries for tests: Debian's docker-registry, unpacked and not installed, and one that misbehaves on demand."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

CACHE = Path("/var/tmp/podrun-test-registry")
PACKAGES = ("docker-registry", "skopeo")
_LIBRARIES = ("libgpgme11", "libgpgme11t64", "libassuan0", "libassuan9", "libgpg-error0", "libdevmapper1.02.1")


def programs() -> Path:
    """A directory in which the packages lie unpacked; CalledProcessError when they cannot be had."""
    root = CACHE / hashlib.sha256(" ".join((*PACKAGES, *_LIBRARIES)).encode()).hexdigest()[:12]
    if not root.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            os.chmod(scratch, 0o755)
            for name in (*PACKAGES, *_LIBRARIES):
                subprocess.run(
                    ["apt-get", "download", "-qq", name], cwd=scratch, check=name in PACKAGES, stderr=subprocess.DEVNULL
                )
            fresh = Path(scratch) / "root"
            for package in sorted(Path(scratch).glob("*.deb")):
                subprocess.run(["dpkg-deb", "-x", str(package), str(fresh)], check=True)
            with contextlib.suppress(OSError):  # another test process was quicker
                os.rename(fresh, root)
    return root


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def docker_registry(directory: Path, accounts: Mapping[str, str] | None = None) -> Iterator[str]:
    """A real registry on loopback; gives its address. `accounts` (htpasswd bcrypt lines) ask for a log-in."""
    address = f"127.0.0.1:{free_port()}"
    config: dict[str, Any] = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
        "http": {"addr": address},
        "log": {"level": "error"},
    }
    if accounts:
        passwords = directory / "htpasswd"
        passwords.write_text("".join(f"{name}:{hashed}\n" for name, hashed in accounts.items()))
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(passwords)}}
    file = directory / "config.yml"
    file.write_text(json.dumps(config))
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(programs() / "usr/bin/docker-registry"), "serve", str(file)], stdout=log, stderr=log
        )
    try:
        _wait_for(address, process)
        yield address
    finally:
        process.kill()
        process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    host, _, port = address.partition(":")
    while process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection((host, int(port)), timeout=5):
            return
    raise RuntimeError(f"docker-registry ended with {process.returncode}")


def skopeo(*arguments: str) -> None:
    """Run skopeo, unpacked."""
    root = programs()
    libraries = f"{root}/usr/lib/{os.uname().machine}-linux-gnu:{root}/lib/{os.uname().machine}-linux-gnu"
    subprocess.run(
        [str(root / "usr/bin/skopeo"), "--insecure-policy", *arguments],
        check=True,
        env={**os.environ, "LD_LIBRARY_PATH": libraries},
        stdout=subprocess.DEVNULL,
    )


@dataclass
class FakeRegistry:
    """Serves blobs and manifests from memory, with faults; counts what it is asked for."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Tag or digest -> (media type, content)"""
    requests: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    break_after: list[int] = field(default_factory=list)
    """How many bytes of a blob to send before the connection is cut, for the next requests in turn."""
    resumes: bool = True
    token: str = ""
    """When set, a Bearer token is asked for, to be had at /token."""
    token_uses: int = 1 << 30
    """How many requests a token is good for."""
    accounts: Mapping[str, str] = field(default_factory=dict)
    status: int = 0
    """When set, the answer to every request."""
    address: str = ""
    _left: int = 0

    def add(self, tag: str, media_type: str, content: bytes, blobs: Sequence[bytes] = ()) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        for key in (tag, digest):
            self.manifests[key] = (media_type, content)
        for blob in blobs:
            self.blobs[f"sha256:{hashlib.sha256(blob).hexdigest()}"] = blob
        return digest

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path_qs}")
        self.headers.append(dict(request.headers))
        if self.status:
            return web.Response(status=self.status)
        if request.path == "/token":
            return self._token(request)
        self._left -= 1
        if self.token and (request.headers.get("Authorization") != f"Bearer {self.token}" or self._left < 0):
            realm = f'Bearer realm="http://{self.address}/token",service="test",scope="repository:app:pull"'
            return web.Response(status=401, headers={"WWW-Authenticate": realm})
        kind, name = request.path.split("/")[-2:]
        if kind == "manifests" and name in self.manifests:
            media_type, content = self.manifests[name]
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            return web.Response(body=content, headers={"Docker-Content-Digest": digest, "Content-Type": media_type})
        if kind == "blobs" and name in self.blobs:
            return await self._blob(request, self.blobs[name])
        return web.Response(status=404)

    def _token(self, request: web.Request) -> web.Response:
        if self.accounts:
            user = request.headers.get("Authorization", "").removeprefix("Basic ")
            name, _, password = base64.b64decode(user).decode().partition(":")
            if self.accounts.get(name) != password:
                return web.Response(status=401)
        self._left = self.token_uses
        return web.json_response({"token": self.token})

    async def _blob(self, request: web.Request, blob: bytes) -> web.StreamResponse:
        start = 0
        if self.resumes and (wanted := request.headers.get("Range")):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        data = blob[start:]
        response = web.StreamResponse(status=206 if start else 200, headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        if self.break_after:
            await response.write(data[: self.break_after.pop(0)])
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(data)
        return response


@contextlib.asynccontextmanager
async def serving(registry: FakeRegistry) -> Any:
    """The fake on loopback, while the block lasts."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", registry.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    registry.address = f"127.0.0.1:{port}"
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield registry
    finally:
        await runner.cleanup()
