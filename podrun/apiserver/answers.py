"""Answers: objects, lists and refusals in the form that the client asked for.

An object's JSON is made once, when it is written (`store.records.Record`), and sent as it is; a list is those texts
joined, each without its kind and apiVersion, which the API server leaves out of items.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from aiohttp import web
from aiohttp.hdrs import ACCEPT_ENCODING

from podrun.api import printers
from podrun.api.errors import ApiError
from podrun.api.gotext import quote
from podrun.api.gvk import KindRef
from podrun.api.kinds import Kind
from podrun.api.protobuf_writing import write_list, write_object
from podrun.api.schema import shared
from podrun.apiserver import yamlform
from podrun.apiserver.call import Call
from podrun.apiserver.event_forms import to_events_group
from podrun.apiserver.negotiation import JSON, PROTOBUF, YAML, Form, no_such_shape
from podrun.store.records import Record

Object = dict[str, Any]

COMPRESS_FROM = 128 << 10
"""Bytes from which an answer is compressed for a client that takes it (apiserver's defaultGzipThresholdBytes)."""
_COMPRESS_APART = 1 << 20
"""Bytes from which that is done on a thread, so that the loop goes on."""
_HEADERS = {"Cache-Control": "no-cache, private"}
_META = "meta.k8s.io"
_WITHOUT_PROTOBUF = ("apiextensions.k8s.io", "metrics.k8s.io")
"""Groups whose answers are always JSON."""


async def answer_record(call: Call, record: Record, *, code: int = 200) -> web.Response:
    """A stored object."""
    if not call.form.shape and call.form.media_type == JSON and not call.kind.alias_of and not call.form.pretty:
        return await _send(call, code, record.encoded, JSON)
    return await answer_object(call, shown(call.kind, record.object), code=code)


async def answer_object(call: Call, obj: Object, *, code: int = 200) -> web.Response:
    """An object that need not be stored (a dry run, a review)."""
    return await _send_value(call, code, shaped(call, obj))


async def answer_list(call: Call, records: Sequence[Record], metadata: Object) -> web.Response:
    """A list of stored objects; `metadata` is the list's own (resourceVersion, continue...)."""
    kind, form = call.kind, call.form
    if not form.shape and form.media_type == JSON and not kind.alias_of and not form.pretty:
        skip = len(f'{{"kind":"{kind.kind}","apiVersion":"{kind.api_version}",')
        texts = b",".join([b"{" + record.encoded[skip:] for record in records])
        return await _send(call, 200, b'%b,"items":[%b]}' % (orjson.dumps(_head(kind, metadata))[:-1], texts), JSON)
    return await answer_objects(call, [shown(kind, record.object) for record in records], metadata)


async def answer_objects(call: Call, objects: Sequence[Object], metadata: Object) -> web.Response:
    """A list of objects that need not be stored, each whole."""
    form = call.form
    if form.shape == "Table":
        return await _send_value(call, 200, table(call, objects, metadata))
    if form.shape == "PartialObjectMetadataList":
        head = {"kind": form.shape, "apiVersion": f"{_META}/{form.version}", "metadata": metadata}
        return await _send_value(call, 200, {**head, "items": [partial(form, obj) for obj in objects]})
    if form.shape:
        raise no_such_shape(form, call.kind.group, call.kind.list_kind)
    return await _send_value(call, 200, {**_head(call.kind, metadata), "items": [_item(obj) for obj in objects]})


async def answer_status(call: Call, status: Object, *, code: int = 200) -> web.Response:
    """A Status that says that something was done."""
    return await _send_value(call, code, status)


def success(details: Object | None = None) -> Object:
    """The Status of what went well and has nothing else to show."""
    status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if details is not None:
        status["details"] = details
    return status


def refusal(error: ApiError, warnings: Iterable[str] = ()) -> web.Response:
    """The answer to a request that is refused."""
    response = web.Response(
        status=error.code, body=orjson.dumps(error.status()) + b"\n", headers={**_HEADERS, **error.headers}
    )
    response.headers["Content-Type"] = JSON
    retry = (error.details or {}).get("retryAfterSeconds")
    if retry:
        response.headers["Retry-After"] = str(retry)
    add_warnings(response, warnings)
    return response


def add_warnings(response: web.StreamResponse, warnings: Iterable[str]) -> None:
    """`Warning: 299 - "text"` headers, each text once (RFC 7234; apiserver/pkg/warning)."""
    for text in dict.fromkeys(warnings):
        response.headers.add("Warning", f"299 - {quote(text.replace(chr(10), ' '))}")


def shown(kind: Kind, obj: Object) -> Object:
    """A stored object in the form of `kind`, which may be an alias of what it is stored as."""
    return to_events_group(obj) if kind.alias_of else obj


def shaped(call: Call, obj: Object) -> Object:
    """An object as the form wants it: itself, a Table of one row, or its metadata only. Raises NotAcceptable."""
    form = call.form
    if form.shape == "Table":
        metadata = {"resourceVersion": (obj.get("metadata") or {}).get("resourceVersion", "")}
        return table(call, [obj], metadata)
    if form.shape == "PartialObjectMetadata":
        return partial(form, obj)
    if form.shape:
        raise no_such_shape(form, call.kind.group, call.kind.kind)
    return obj


def table(call: Call, objects: Sequence[Object], metadata: Object, *, columns: bool = True) -> Object:
    """A Table of objects; later events of a watch have no column definitions. Raises BadRequest (includeObject)."""
    include_object = call.query.get("includeObject", "")
    printers.check_include_object(include_object)
    made: Object = printers.table(
        KindRef(call.kind.group, call.kind.version, call.kind.kind),
        objects,
        include_object=include_object or "Metadata",
        list_metadata=metadata,
        now=time.time(),
        columns=columns,
    )
    if call.form.version != "v1":
        version = f"{_META}/{call.form.version}"
        made = {**made, "apiVersion": version, "rows": [_row_of(version, row) for row in made["rows"]]}
    return made


def _row_of(version: str, row: Object) -> Object:
    """A row whose object, where it is metadata only, is of the table's own version."""
    obj = row.get("object")
    if not obj or obj.get("kind") != "PartialObjectMetadata":
        return row
    return {**row, "object": {**obj, "apiVersion": version}}


def partial(form: Form, obj: Object) -> Object:
    """Only the metadata of an object."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"{_META}/{form.version}",
        "metadata": obj.get("metadata") or {},
    }


def _head(kind: Kind, metadata: Object) -> Object:
    return {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": metadata}


def _item(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}


async def _send_value(call: Call, code: int, value: Object) -> web.Response:
    if call.form.media_type == PROTOBUF and (written := _protobuf(call.kind, value)) is not None:
        return await _send(call, code, written, PROTOBUF, end=b"")
    if call.form.media_type == YAML:
        return await _send(call, code, yamlform.dump(value), YAML, end=b"")
    option = orjson.OPT_INDENT_2 if call.form.pretty else None
    return await _send(call, code, orjson.dumps(value, option=option), JSON)


def _protobuf(kind: Kind, value: Object) -> bytes | None:
    """An answer of a kind that has that form; None for others (a Status, measurements), which are JSON."""
    reference = KindRef(kind.group, kind.version, kind.kind)
    if shared().name_of(reference) is None or kind.group in _WITHOUT_PROTOBUF:
        return None
    if value.get("kind") == kind.kind:
        return write_object(reference, value)
    if value.get("kind") == kind.list_kind:
        return write_list(reference, kind.list_kind, value["items"], value["metadata"])
    return None


async def _send(call: Call, code: int, body: bytes, media_type: str, end: bytes = b"\n") -> web.Response:
    headers = {**_HEADERS, "Content-Type": media_type}
    body += end
    if len(body) >= COMPRESS_FROM and "gzip" in call.request.headers.get(ACCEPT_ENCODING, ""):
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        if len(body) >= _COMPRESS_APART:
            body = await asyncio.to_thread(gzip.compress, body, 1)
        else:
            body = gzip.compress(body, 1)
    response = web.Response(status=code, body=body, headers=headers)
    add_warnings(response, call.warnings)
    return response
