"""A registry, spoken to over HTTP (OCI distribution-spec): names resolved, manifests and blobs read.

The sentences of failures are containerd's, as a kubelet shows them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from podrun.images import dialing, manifests
from podrun.images.manifests import ACCEPT, MANIFEST_LIMIT
from podrun.images.model import Credentials
from podrun.images.reference import DOCKER, Reference

_HUB = "registry-1.docker.io"
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_DENIED = "pull access denied, repository does not exist or may require authorization"


class RegistryError(Exception):
    """A request was not answered as it should be; the sentence is containerd's."""


class NotThere(RegistryError):
    """The registry has no such thing."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a repository is asked for: the registry itself, or a mirror of it."""

    base: URL
    """Up to and including the repository: `https://registry-1.docker.io/v2/library/busybox`."""
    query: Mapping[str, str] = field(default_factory=dict)
    """`ns=docker.io` tells a mirror whose images are wanted."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A manifest or an index, by its digest."""

    digest: str
    media_type: str


def origin(reference: Reference) -> Place:
    """The registry that the reference names; plain HTTP on loopback."""
    host = _HUB if reference.domain == DOCKER else reference.domain
    scheme = "http" if dialing.is_loopback(URL(f"//{host}").host or "") else "https"
    return Place(URL(f"{scheme}://{host}/v2/{reference.path}"))


def mirror(address: str, reference: Reference) -> Place:
    """A mirror by its address (`https://mirror.example`, `http://127.0.0.1:5000`; without a scheme https)."""
    url = URL(address if "://" in address else f"https://{address}")
    path = f"{url.path.rstrip('/').removesuffix('/v2')}/v2/{reference.path}"
    return Place(url.with_path(path), {"ns": reference.domain})


class Repository:
    """One repository at one place, with the log-in for it. Belongs to one pull."""

    def __init__(self, session: aiohttp.ClientSession, place: Place, credentials: Credentials | None) -> None:
        self._session = session
        self._place = place
        self._credentials = credentials
        self._authorization = ""

    async def resolve(self, reference: Reference) -> Resolved:
        """The manifest that a tag or digest means. Raises NotThere or RegistryError."""
        url = self._place.base / "manifests" / (reference.digest or reference.tag)
        async with self._request("HEAD", url, {"Accept": ACCEPT}) as answer:
            if answer.status == 404:
                raise NotThere(f"{reference}: not found")
            _check(answer)
            digest = answer.headers.get("Docker-Content-Digest", reference.digest)
            media_type = answer.content_type
        if not digest:
            # the header is only recommended: who does not send it is asked for the whole
            async with self._request("GET", url, {"Accept": ACCEPT}) as answer:
                _check(answer)
                digest = manifests.digest_of(await _limited(answer))
        return Resolved(manifests.check_digest(digest), media_type)

    async def manifest(self, wanted: Resolved) -> bytes:
        """A manifest by its digest, verified."""
        url = self._place.base / "manifests" / wanted.digest
        async with self._request("GET", url, {"Accept": wanted.media_type or ACCEPT}) as answer:
            return await self._small(answer, wanted.digest, url)

    async def config(self, digest: str) -> bytes:
        """A small blob, verified."""
        url = self._place.base / "blobs" / digest
        async with self._request("GET", url, {}) as answer:
            return await self._small(answer, digest, url)

    @asynccontextmanager
    async def blob(self, digest: str, start: int) -> AsyncIterator[tuple[aiohttp.StreamReader, bool]]:
        """A blob's bytes from `start` on, and whether they do begin there (else at 0: not every server resumes)."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        # what is compressed already must arrive as it is: its digest is that of these bytes
        async with self._request("GET", self._place.base / "blobs" / digest, headers) as answer:
            _check(answer)
            yield answer.content, answer.status == 206

    async def _small(self, answer: aiohttp.ClientResponse, digest: str, url: URL) -> bytes:
        if answer.status == 404:
            raise NotThere(f"content at {url} not found: not found")
        _check(answer)
        data = await _limited(answer)
        if manifests.digest_of(data) != digest:
            raise RegistryError(
                f"unexpected commit digest {manifests.digest_of(data)}, expected {digest}: failed precondition"
            )
        return data

    @asynccontextmanager
    async def _request(
        self, method: str, url: URL, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A request, made again with the log-in when the registry asks for one."""
        answer = await self._send(method, url, headers)
        try:
            if answer.status == 401:
                challenges = answer.headers.getall("WWW-Authenticate", [])
                answer.release()
                await self._log_in(challenges)
                answer = await self._send(method, url, headers)
            yield answer
        finally:
            answer.release()

    async def _send(self, method: str, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        sent = {**headers, "Accept-Encoding": "identity"}
        if self._authorization:
            sent["Authorization"] = self._authorization
        full = url.update_query(self._place.query) if self._place.query else url
        try:
            return await self._session.request(method, full, headers=sent)
        except (aiohttp.ClientError, TimeoutError) as error:
            verb = method.capitalize()
            raise RegistryError(f'failed to do request: {verb} "{full}": {dialing.words(error, full)}') from error

    async def _log_in(self, challenges: list[str]) -> None:
        """Answer a challenge (RFC 9110, 11.6; distribution's token specification); a token may have run out, too."""
        for challenge in challenges:
            scheme, _, rest = challenge.partition(" ")
            if scheme.lower() == "bearer":
                self._authorization = f"Bearer {await self._token(dict(_CHALLENGE.findall(rest)))}"
                return
            if scheme.lower() == "basic" and self._credentials is not None and self._credentials.username:
                self._authorization = _basic(self._credentials)
                return
        raise RegistryError(f"{_DENIED}: authorization failed: no basic auth credentials")

    async def _token(self, challenge: Mapping[str, str]) -> str:
        login = self._credentials
        realm = URL(challenge.get("realm", ""))
        if realm.scheme not in ("http", "https"):
            raise RegistryError("failed to authorize: no realm specified for token auth challenge")
        fields = {key: challenge[key] for key in ("service", "scope") if key in challenge}
        kind = "anonymous" if login is None else "oauth"
        try:
            if login is not None and login.identity_token:
                form = {**fields, "grant_type": "refresh_token", "refresh_token": login.identity_token}
                answer = await self._session.post(realm, data={**form, "client_id": "podrun"})
            else:
                headers = {"Authorization": _basic(login)} if login is not None else {}
                answer = await self._session.get(realm.update_query(fields), headers=headers)
            async with answer:
                if answer.status != 200:
                    _unexpected(answer)
                raw = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError) as error:
            why = f'Get "{realm}": {dialing.words(error, realm)}'
            raise RegistryError(f"failed to authorize: failed to fetch {kind} token: {why}") from error
        except RegistryError as error:
            raise RegistryError(f"failed to authorize: failed to fetch {kind} token: {error}") from None
        except ValueError:
            raise RegistryError(f"failed to authorize: failed to fetch {kind} token: it is not JSON") from None
        token = raw.get("token") or raw.get("access_token") if isinstance(raw, dict) else None
        if not isinstance(token, str):
            raise RegistryError("failed to authorize: authorization server did not include a token in the response")
        return token


def _basic(login: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{login.username}:{login.password}".encode()).decode()


def _check(answer: aiohttp.ClientResponse) -> None:
    if answer.status not in (200, 206):
        scheme = answer.request_info.headers.get("Authorization", "").partition(" ")[0]
        if answer.status in (401, 403) and scheme == "Bearer":
            raise RegistryError(f"{_DENIED}: server message: insufficient_scope: authorization failed")
        _unexpected(answer)


def _unexpected(answer: aiohttp.ClientResponse) -> None:
    status = f"{answer.status} {answer.reason or ''}".strip()
    raise RegistryError(f"unexpected status from {answer.method} request to {answer.url}: {status}")


async def _limited(answer: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in answer.content.iter_chunked(1 << 16):
        data += chunk
        if len(data) > MANIFEST_LIMIT:
            raise RegistryError(f"its manifest or configuration is larger than {MANIFEST_LIMIT} bytes")
    return bytes(data)
