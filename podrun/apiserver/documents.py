"""Documents: discovery, OpenAPI, version, token issuer. Made once, sent as they are."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import orjson
from aiohttp import web

from podrun.api import openapi
from podrun.apiserver import discovery, health, openapi_v2
from podrun.apiserver.negotiation import JSON, clauses
from podrun.apiserver.requestinfo import RequestInfo
from podrun.apiserver.tokens import TokenSigner

Object = dict[str, Any]

ISSUER_PATH = "/.well-known/openid-configuration"
KEYS_PATH = "/openid/v1/jwks"
_KEYS_CACHE = "public, max-age=3600"
"""For how long others may go by the keys that they have read (Kubernetes' routes/openidmetadata.go)."""
_REST = ("/openapi/v2", "/openapi/v3", KEYS_PATH, "/version")


class Documents:
    """Everything that is read and is no object. `address` is where clients reach the server (host:port)."""

    def __init__(self, signer: TokenSigner, address: str) -> None:
        self._signer = signer
        self._address = address

    def answer(self, request: web.Request, info: RequestInfo) -> web.StreamResponse:
        """The document of a path, else the 404 of a server that knows no such path."""
        path = info.path.rstrip("/")
        parts = path.strip("/").split("/")
        if path in ("/api", "/apis") and _wants_aggregated(request):
            return _send(discovery.aggregated(path == "/api"), media_type=discovery.AGGREGATED_TYPE)
        found: Object | None = None
        if path == "/version":
            found = health.version()
        elif path == "/api":
            found = discovery.api_versions(self._address)
        elif path == "/apis":
            found = discovery.group_list()
        elif parts[0] == "apis" and len(parts) == 2:
            found = discovery.group(parts[1])
        elif info.version:
            found = discovery.resource_list(info.group, info.version)
        elif path == "/openapi/v3":
            found = _openapi_index()
        elif path == "/openapi/v2":
            return web.Response(body=openapi_v2.document(), headers={"Content-Type": openapi_v2.MEDIA_TYPE})
        elif path.startswith("/openapi/v3/"):
            return _openapi_answer(request, path.removeprefix("/openapi/v3/"))
        elif path == ISSUER_PATH:
            return _send(self._issuer(), cache=_KEYS_CACHE)
        elif path == KEYS_PATH:
            return _send(self._signer.public_keys(), media_type="application/jwk-set+json", cache=_KEYS_CACHE)
        elif path == "":
            found = {"paths": _paths()}
        if found is None:
            return web.Response(status=404, text=health.NOT_FOUND)
        return _send(found)

    def _issuer(self) -> Object:
        # Whoever reads this has reached the server by the issuer's name, so the keys are there too: in a pod, say,
        # where the address that clients on the host use leads nowhere.
        return {
            "issuer": self._signer.issuer,
            "jwks_uri": f"{self._signer.issuer}{KEYS_PATH}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }


def _wants_aggregated(request: web.Request) -> bool:
    """Whether the first clause that can be served is the aggregated form."""
    for clause in clauses(request.headers.get("Accept", "")):
        if clause.media_type != JSON:
            continue
        if not clause.parameter("as"):
            return False
        if (clause.parameter("g"), clause.parameter("v")) == ("apidiscovery.k8s.io", "v2"):
            return True
    return False


def _paths() -> list[str]:
    group_paths = [
        path
        for group, versions in discovery.groups().items()
        for path in (f"/apis/{group}", *(f"/apis/{group}/{version}" for version in versions))
    ]
    return [ISSUER_PATH, "/api", "/api/v1", "/apis", *sorted(group_paths), *health.CHECKS, "/metrics", *_REST]


def _group_versions() -> dict[str, tuple[str, str]]:
    """The documents of /openapi/v3 by their path below it."""
    served = {"api/v1": ("", "v1")}
    for group, versions in discovery.groups().items():
        served |= {f"apis/{group}/{version}": (group, version) for version in versions}
    return served


@cache
def _openapi_document(group: str, version: str) -> bytes:
    kinds = discovery.kinds_of(group, version)
    return orjson.dumps(openapi.document((group, version), kinds))


@cache
def _openapi_hash(group: str, version: str) -> str:
    """Changes when the document may: from what it is made of, so that the index need not make them all."""
    text = repr(discovery.kinds_of(group, version)) + health.GIT_VERSION
    return hashlib.sha512(text.encode()).hexdigest().upper()


def _openapi_index() -> Object:
    paths = {
        path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={_openapi_hash(*group_version)}"}
        for path, group_version in sorted(_group_versions().items())
    }
    return {"paths": paths}


def _openapi_answer(request: web.Request, path: str) -> web.StreamResponse:
    group_version = _group_versions().get(path)
    if group_version is None:
        return web.Response(status=404, text=health.NOT_FOUND)
    accepts = request.headers.get("Accept", "")
    if accepts and not any(clause.media_type in (JSON, "*/*", "application/*") for clause in clauses(accepts)):
        return web.Response(status=406)
    etag = _openapi_hash(*group_version)
    if request.headers.get("If-None-Match", "").strip('"') == etag:
        return web.Response(status=304)
    response = web.Response(body=_openapi_document(*group_version), headers={"Content-Type": JSON, "ETag": f'"{etag}"'})
    if request.query.get("hash", "") == etag:
        response.headers["Cache-Control"] = "public, immutable"
    response.enable_compression()
    return response


def _send(value: Object, *, media_type: str = JSON, cache: str = "no-cache, private") -> web.Response:
    headers = {"Content-Type": media_type, "Cache-Control": cache}
    return web.Response(body=orjson.dumps(value) + b"\n", headers=headers)
