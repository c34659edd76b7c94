"""Reading no older than a version that the client names, which may be one to come.

Kubernetes reads from a cache per kind that may lag behind; a version that it has not seen yet is waited for. Events
have no such cache: there a version to come is refused at once. Source: apiserver/pkg/storage/cacher.
"""

from __future__ import annotations

from aiohttp import web

from podrun.api.errors import ApiError, timeout
from podrun.apiserver.call import Call
from podrun.store.store import Store

PATIENCE = 3.0
"""Seconds that a version is waited for (cacher's blockTimeout)."""
_OUT_OF_TIME = (
    '{"metadata":{},"status":"Failure","message":"Timeout: request did not complete within the allotted timeout",'
    '"reason":"Timeout","details":{},"code":504}'
)


def is_cached(call: Call) -> bool:
    """Whether Kubernetes serves the kind from its watch cache."""
    return (call.kind.alias_of or call.kind.resource) != "events"


async def await_version(store: Store, call: Call, wanted: int, *, at_once: bool = False) -> None:
    """Return when the store is at version `wanted`; raises the refusal when it does not get there in time.

    With `at_once` the version is not waited for: it is read from where all versions are.
    """
    if wanted <= store.resource_version:
        return
    if not is_cached(call):
        raise too_large(wanted, store.resource_version, retry=False)
    if at_once:
        raise too_large(wanted, store.resource_version)
    allotted = call.allotted
    resource = call.kind.alias_of or call.kind.resource
    if await store.until(resource, lambda event: event.version >= wanted, min(PATIENCE, allotted)):
        return
    if store.resource_version >= wanted:
        return
    if allotted < PATIENCE:
        # The filter that watches the time knows nothing of kinds: its Status is bare, and plain text.
        raise web.HTTPGatewayTimeout(text=_OUT_OF_TIME, headers={"Cache-Control": "no-cache, private"})
    raise too_large(wanted, store.resource_version)


def too_large(version: int, current: int, *, retry: bool = True) -> ApiError:
    """The client knows a version that has not been yet (of another database, perhaps)."""
    error = timeout(f"Too large resource version: {version}, current: {current}", 1)
    error.details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}
    if retry:
        error.details["retryAfterSeconds"] = 1
    return error
