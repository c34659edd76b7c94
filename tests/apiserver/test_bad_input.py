"""What no client should send: the Status that Kubernetes gives, never a 500, never a stuck connection."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.conftest import Client, config_map, pod
from tests.apiserver.serving import Serving, serving

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
JSON = "application/json"

ROWS: list[tuple[str, str, str, str, Any, int, str]] = [
    ("half an object", "POST", PODS, JSON, "{", 400, "BadRequest"),
    ("a list", "POST", PODS, JSON, "[]", 400, "BadRequest"),
    ("a number", "POST", PODS, JSON, "7", 400, "BadRequest"),
    ("nothing", "POST", PODS, JSON, "", 400, "BadRequest"),
    ("binary", "POST", PODS, JSON, b"\xff\xfe\x00", 400, "BadRequest"),
    ("a thousand levels", "POST", PODS, JSON, '{"a":' * 1000 + "1" + "}" * 1000, 422, "Invalid"),
    ("a hundred thousand levels", "POST", PODS, JSON, "[" * 100_000, 400, "BadRequest"),
    ("too much", "POST", PODS, JSON, b'{"a":"' + b"x" * (3 << 20) + b'"}', 413, "RequestEntityTooLarge"),
    ("text", "POST", PODS, "text/plain", "x", 415, "UnsupportedMediaType"),
    ("CBOR", "POST", PODS, "application/cbor", b"\xa0", 415, "UnsupportedMediaType"),
    (
        "a number of five thousand digits",
        "POST",
        PODS,
        JSON,
        '{"metadata":{"name":"a"},"spec":{"priority":' + "1" * 5000 + "}}",
        400,
        "BadRequest",
    ),
    (
        "a YAML number beyond every range",
        "POST",
        PODS,
        "application/yaml",
        "spec: {priority: 1e999}",
        400,
        "BadRequest",
    ),
    ("another kind", "POST", PODS, JSON, '{"kind":"ConfigMap","apiVersion":"v1"}', 400, "BadRequest"),
    ("another namespace", "POST", MAPS, JSON, '{"metadata":{"name":"a","namespace":"b"}}', 400, "BadRequest"),
    ("no such namespace", "POST", "/api/v1/namespaces/no/configmaps", JSON, config_map("a"), 404, "NotFound"),
    ("a patch of no kind", "PATCH", f"{MAPS}/kube-root-ca.crt", JSON, "{}", 415, "UnsupportedMediaType"),
    ("a patch of nothing", "PATCH", f"{MAPS}/no", "application/merge-patch+json", "{}", 404, "NotFound"),
    ("a broken patch", "PATCH", f"{MAPS}/kube-root-ca.crt", "application/merge-patch+json", "{", 400, "BadRequest"),
    ("put to a collection", "PUT", PODS, JSON, "{}", 405, "MethodNotAllowed"),
    ("post to an object", "POST", f"{PODS}/p", JSON, "{}", 405, "MethodNotAllowed"),
    ("make in all namespaces", "POST", "/api/v1/pods", JSON, pod("p"), 405, "MethodNotAllowed"),
    ("delete all namespaces", "DELETE", "/api/v1/namespaces", JSON, None, 405, "MethodNotAllowed"),
    ("delete the default one", "DELETE", "/api/v1/namespaces/default", JSON, None, 403, "Forbidden"),
    ("an unknown method", "PROPFIND", PODS, JSON, None, 405, "MethodNotAllowed"),
    ("a bad selector", "GET", f"{PODS}?labelSelector=a%20in", JSON, None, 400, "BadRequest"),
    ("a bad field", "GET", f"{PODS}?fieldSelector=spec.x%3Dy", JSON, None, 400, "BadRequest"),
    ("a bad limit", "GET", f"{PODS}?limit=x", JSON, None, 400, "BadRequest"),
    ("a bad version", "GET", f"{PODS}?resourceVersion=x", JSON, None, 400, "BadRequest"),
    ("a bad token", "GET", f"{PODS}?continue=x", JSON, None, 400, "BadRequest"),
    ("a version to come", "GET", f"{PODS}?resourceVersion=999999", JSON, None, 504, "Timeout"),
    ("a bad grace", "DELETE", f"{MAPS}/kube-root-ca.crt?gracePeriodSeconds=x", JSON, None, 400, "BadRequest"),
    ("bad options", "DELETE", f"{MAPS}/kube-root-ca.crt", JSON, "[", 400, "BadRequest"),
    ("a bad dry run", "POST", f"{MAPS}?dryRun=Some", JSON, config_map("a"), 422, "Invalid"),
    ("a bad field manager", "POST", f"{MAPS}?fieldManager=%01", JSON, config_map("a"), 422, "Invalid"),
]


@pytest.mark.parametrize(
    ("method", "path", "content_type", "body", "code", "reason"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS]
)
async def test_refused(
    client: Client, method: str, path: str, content_type: str, body: Any, code: int, reason: str
) -> None:
    if isinstance(body, dict):
        found, answer = await client.call(method, path, body)
    else:
        found, answer = await client.call(method, path, body, Content_Type=content_type)
    assert (found, answer["kind"], answer["reason"]) == (code, "Status", reason), answer
    # The server goes on.
    assert (await client.call("GET", PODS))[0] == 200


async def test_an_unknown_path_is_not_found(client: Client) -> None:
    assert await client.call("GET", "/apis/shop.example/v1/books") == (404, "404 page not found\n")
    assert (await client.call("GET", "/api/v1/nothing"))[1]["reason"] == "NotFound"


async def test_unknown_fields_are_warned_of_or_refused(client: Client) -> None:
    body = {**config_map("a"), "colour": "red"}
    code, headers, _ = await client.full("POST", MAPS, body)
    assert (code, headers["Warning"]) == (201, '299 - "unknown field \\"colour\\""')
    code, answer = await client.call("POST", f"{MAPS}?fieldValidation=Strict", body)
    assert (code, "unknown field" in answer["message"]) == (400, True)


async def test_half_a_request_harms_nobody(client: Client, served: Serving) -> None:
    context = ssl.create_default_context(cafile=str(served.pki.ca_certificate))
    context.load_cert_chain(served.pki.admin_certificate, served.pki.admin_key)
    for text in ("POST ", f"POST {PODS} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{", "\0\0\0\0\r\n\r\n"):
        _, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=context, server_hostname="127.0.0.1")
        writer.write(text.encode())
        await writer.drain()
        assert (await client.call("GET", PODS))[0] == 200
        writer.transport.abort()


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ("", b""),
        ("POST ", b""),
        ("GET /version HTTP/1.1\r\nHost: x\r\n", b""),
        (f"POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{", b"HTTP/1.1 504 "),
        (f"POST {MAPS} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{{", b"HTTP/1.1 504 "),
        (f"GET {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{", b"HTTP/1.1 200 "),
    ],
    ids=["nothing", "half a line", "half a header", "half a body", "half a chunk", "half a body that nobody reads"],
)
async def test_half_a_request_holds_nothing_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: str, answered: bytes
) -> None:
    for where in ("server.KEEP_ALIVE", "server.LINGER", "call.BODY_SECONDS"):
        monkeypatch.setattr(f"podrun.apiserver.{where}", 0.2)
    async with serving(tmp_path) as served:
        context = ssl.create_default_context(cafile=str(served.pki.ca_certificate))
        context.load_cert_chain(served.pki.admin_certificate, served.pki.admin_key)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", served.port, ssl=context, server_hostname="127.0.0.1"
        )
        writer.write(sent.encode())
        async with asyncio.timeout(10):
            answer = await reader.read()
        assert answer[: len(answered)] == answered
        assert bool(answer) == bool(answered)
        writer.transport.abort()


async def test_who_does_not_speak_tls_harms_nobody(client: Client, served: Serving) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await reader.read() == b""
    writer.close()
    assert (await client.call("GET", PODS))[0] == 200


async def test_what_is_no_http_fills_no_log(
    client: Client, served: Serving, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.create_default_context(cafile=str(served.pki.ca_certificate))
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=context, server_hostname="localhost")
    writer.write(b"\x00\x01nonsense\r\n\r\n")
    assert b" 400 " in await reader.readline()
    writer.close()
    assert (await client.call("GET", "/version"))[0] == 200
    assert caplog.records == []
