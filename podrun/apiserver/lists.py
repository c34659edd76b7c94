"""GET of a collection: selectors, pages at one consistent version, versions of the past.

A page's continue token holds the version of the first page and the key where the next one begins (the form of
apiserver/pkg/storage/continue.go); the next page is read at that version, from the history.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any, NoReturn

import orjson
from aiohttp import web

from podrun.api.errors import ApiError, Cause, bad_request, expired, invalid, not_found, unclassified
from podrun.api.fieldselectors import parse_fields
from podrun.api.gotext import quote
from podrun.api.selectors import parse_labels
from podrun.apiserver.answers import answer_list, answer_record
from podrun.apiserver.call import Call
from podrun.apiserver.freshness import await_version, is_cached
from podrun.store.records import Key, Record
from podrun.store.store import Store
from podrun.store.tables import path_of

Object = dict[str, Any]
Matches = Callable[[Object], bool]

_TOKEN_VERSION = "meta.k8s.io/v1"
_STALE_TOKEN = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter."
)
_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@dataclass(frozen=True, slots=True)
class Selection:
    """What a list found: its items, the version they are of, and how to read on."""

    items: list[tuple[Key, Record]]
    version: int
    token: str = ""
    remaining: int | None = None

    def metadata(self) -> Object:
        """The list's own."""
        made: Object = {"resourceVersion": str(self.version)}
        if self.token:
            made["continue"] = self.token
        if self.remaining is not None:
            made["remainingItemCount"] = self.remaining
        return made


async def get_list(store: Store, call: Call) -> web.Response:
    """The list that a call asks for."""
    call.number("timeoutSeconds")
    selection = await select(store, call)
    return await answer_list(call, [record for _, record in selection.items], selection.metadata())


async def get_one(store: Store, call: Call) -> web.Response:
    """One object by its name."""
    version = call.query.get("resourceVersion", "")
    if version not in ("", "0"):
        if not is_cached(call):
            wanted = read_version(version)
        elif not (version.isascii() and version.isdigit()):
            raise unclassified(version_mistake(version))
        else:
            wanted = int(version)
        await await_version(store, call, wanted)
    return await answer_record(call, find(store, call))


def find(store: Store, call: Call) -> Record:
    """The object that a call names; raises NotFound."""
    kind = call.kind
    record = store.record(kind.alias_of or kind.resource, call.namespace, call.info.name)
    if record is None:
        raise not_found(kind.resource, call.info.name)
    return record


def matcher(call: Call) -> Matches | None:
    """The call's label and field selectors as one test of stored objects; None when everything matches."""
    labels, fields = call.query.get("labelSelector", ""), call.query.get("fieldSelector", "")
    if call.info.name:
        # A watch or deletion of a single object is one of a collection that holds no other.
        fields = f"metadata.name={call.info.name}"
    if not labels and not fields:
        return None
    kind = call.kind
    by_labels = parse_labels(labels) if labels else None
    by_fields = parse_fields(kind.resource, fields) if fields else None

    def matches(obj: Object) -> bool:
        if by_labels is not None and not by_labels.matches(obj["metadata"].get("labels") or {}):
            return False
        return by_fields is None or by_fields.matches(obj)

    return matches


async def select(store: Store, call: Call) -> Selection:
    """The objects that a list (or a deletion of a collection) is about; raises what is wrong with the options."""
    query = call.query
    token, version_text = query.get("continue", ""), query.get("resourceVersion", "")
    match = query.get("resourceVersionMatch", "")
    _check(query.get("sendInitialEvents"), version_text, match, token)
    limit = call.number("limit") or 0
    matches = matcher(call)
    if version_text == "0" and not token and is_cached(call):
        limit = 0  # what is at hand is given whole
    version, start = await _where(store, call, token, version_text, match, limit)
    kind = call.kind
    try:
        found = store.snapshot(kind.alias_of or kind.resource, call.namespace or None, version)
    except ApiError as error:
        if error.reason == "Expired":
            raise expired(_STALE_TOKEN if token else "The resourceVersion for the provided list is too old.") from None
        raise
    if start:
        found = found.beginning_at(start)
    matching = ((key, record) for key, record in found if matches is None or matches(record.object))
    at = store.resource_version if version is None else version
    if limit <= 0:
        return Selection(list(matching), at)
    page = list(islice(matching, limit + 1))
    if len(page) <= limit:
        return Selection(page, at)
    page.pop()
    # How many remain is only told where no selector had to be asked, as in Kubernetes.
    return Selection(page, at, _token(at, page[-1][0]), len(found) - limit if matches is None else None)


def read_version(text: str) -> int:
    """A resourceVersion of a query; raises the error that Kubernetes gives for one that is not a number."""
    if not (text.isascii() and text.isdigit()):
        raise bad_request(f"invalid resource version: {version_mistake(text)}")
    return int(text)


def version_mistake(text: str) -> str:
    return f"resourceVersion: Invalid value: {quote(text)}: strconv.ParseUint: parsing {quote(text)}: invalid syntax"


def _check(initial_events: str | None, version: str, match: str, token: str) -> None:
    causes = []
    if match:
        if not version:
            why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            causes.append(_forbidden("resourceVersionMatch", why))
        if token:
            why = "resourceVersionMatch is forbidden when continue is provided"
            causes.append(_forbidden("resourceVersionMatch", why))
        if match not in ("Exact", "NotOlderThan"):
            message = f'Unsupported value: {quote(match)}: supported values: "Exact", "NotOlderThan", ""'
            causes.append(Cause("FieldValueNotSupported", message, "resourceVersionMatch"))
        if match == "Exact" and version == "0":
            why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            causes.append(_forbidden("resourceVersionMatch", why))
    if initial_events is not None:
        causes.append(_forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if causes:
        raise invalid("ListOptions.meta.k8s.io", "", causes)


def _forbidden(field: str, why: str) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {why}", field)


async def _where(store: Store, call: Call, token: str, version: str, match: str, limit: int) -> tuple[int | None, str]:
    """The version to list at (None: the present one) and the path to begin at."""
    if token:
        if version not in ("", "0"):
            raise bad_request("specifying resource version is not allowed when using continue")
        return _read_token(token)
    if version in ("", "0"):
        return None, ""
    wanted = read_version(version)
    exactly = match == "Exact" or (not match and limit > 0)
    await await_version(store, call, wanted, at_once=exactly)
    return (wanted if exactly else None), ""


def _token(version: int, last: Key) -> str:
    # The smallest path after the last one that was sent.
    body = orjson.dumps({"v": _TOKEN_VERSION, "rv": version, "start": f"{path_of(last)}\0"})
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def _read_token(token: str) -> tuple[int, str]:
    raw = token.encode()
    wrong = next((i for i, byte in enumerate(raw) if byte not in _BASE64), None)
    if wrong is None and len(raw) % 4 == 1:
        wrong = len(raw) - 1
    if wrong is not None:
        _refuse_token(f"continue key is not valid: illegal base64 data at input byte {wrong}")
    try:
        body = orjson.loads(base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4)))
        version, start, form = body["rv"], body["start"], body["v"]
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        _refuse_token(f"continue key is not valid: {error}")
    if form != _TOKEN_VERSION:
        _refuse_token(f"continue key is not valid: server does not recognize this encoded version {form}")
    if not isinstance(version, int) or version == 0 or not isinstance(start, str):
        _refuse_token("continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not start:
        _refuse_token("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)")
    return version, start


def _refuse_token(why: str) -> NoReturn:
    raise bad_request(f"invalid continue token: {why}")
