"""Looks of probes at real servers on loopback, and what they say when it goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from podrun.api.pod import Container, Probe
from podrun.lifecycle.probes import Result
from podrun.supervisor.probe_grpc import grpc_probe
from podrun.supervisor.probe_http import dial_text
from podrun.supervisor.probe_run import look
from tests.supervisor.fakes import FakeRuntime

HOST = "127.0.0.1"
CONTAINER = Container.model_validate({"name": "a", "image": "i", "ports": [{"name": "web", "containerPort": 9}]})


async def probe(container: Container = CONTAINER, **fields: Any) -> Result:
    runtime: Any = FakeRuntime()
    return await look(runtime, Probe.model_validate(fields), container, "c", HOST)


async def respond(request: web.Request) -> web.StreamResponse:
    match request.path:
        case "/ok":
            return web.Response(text="fine")
        case "/echo":
            return web.json_response(dict(request.headers))
        case "/missing":
            return web.Response(status=404, text="secret")
        case "/here":
            return web.Response(status=302, headers={"Location": "/ok"})
        case "/away":
            return web.Response(status=302, headers={"Location": "http://elsewhere.invalid/"}, text="moved")
        case "/round":
            return web.Response(status=302, headers={"Location": "/round"})
        case "/slow":
            await asyncio.sleep(3)
    return web.Response(status=500)


def certificate(directory: Path) -> ssl.SSLContext:
    """A server's, for a name that nobody asks for and signed by nobody."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody.else")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now - timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + made.public_bytes(serialization.Encoding.PEM)
    (directory / "pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "pem")
    return context


@contextlib.asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", respond)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0, ssl_context=tls)
    await site.start()
    assert runner.addresses
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving() as number:
        yield number


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


@pytest.mark.parametrize(
    ("path", "passed", "output"),
    [
        ("/ok", True, "fine"),
        ("/missing", False, "HTTP probe failed with statuscode: 404"),
        ("/here", True, "fine"),
        ("/away", True, "Probe terminated redirects, Response body: moved"),
    ],
)
async def test_http(port: int, path: str, passed: bool, output: str) -> None:
    result = await probe(httpGet={"port": port, "path": path})
    assert (result.passed, result.output) == (passed, output)
    assert result.warning == (path == "/away")


async def test_redirects_have_an_end(port: int) -> None:
    result = await probe(httpGet={"port": port, "path": "/round"})
    assert result.output == f'Get "http://{HOST}:{port}/round": stopped after 10 redirects'


async def test_a_slow_server_is_not_waited_for(port: int) -> None:
    result = await probe(httpGet={"port": port, "path": "/slow"}, timeoutSeconds=1)
    assert result.output == (
        f'Get "http://{HOST}:{port}/slow": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    )


async def test_nobody_there(closed_port: int) -> None:
    result = await probe(httpGet={"port": closed_port, "path": "/"})
    where = f"{HOST}:{closed_port}"
    assert result.output == f'Get "http://{where}/": dial tcp {where}: connect: connection refused'
    result = await probe(tcpSocket={"port": closed_port})
    assert result.output == f"dial tcp {where}: connect: connection refused"


async def test_headers(port: int) -> None:
    async def headers(*given: tuple[str, str]) -> dict[str, str]:
        listed = [{"name": name, "value": value} for name, value in given]
        result = await probe(httpGet={"port": port, "path": "/echo", "httpHeaders": listed})
        made: dict[str, str] = json.loads(result.output)
        return made

    plain = await headers()
    assert (plain["User-Agent"], plain["Accept"]) == ("kube-probe/1.36", "*/*")
    own = await headers(("X-A", "b"), ("User-Agent", "me"), ("Accept", ""), ("Host", "name.example"))
    assert (own["X-A"], own["User-Agent"], own["Host"]) == ("b", "me", "name.example")
    assert "Accept" not in own


async def test_https_is_not_verified(tmp_path: Path) -> None:
    async with serving(certificate(tmp_path)) as port:
        assert (await probe(httpGet={"port": port, "path": "/ok", "scheme": "HTTPS"})).passed


async def test_a_port_may_have_a_name(port: int) -> None:
    named = Container.model_validate({"name": "a", "ports": [{"name": "web", "containerPort": port}]})
    assert (await probe(named, httpGet={"port": "web", "path": "/ok"})).passed
    assert (await probe(named, tcpSocket={"port": "web"})).passed
    assert (await probe(named, tcpSocket={"port": "none"})).error == 'strconv.Atoi: parsing "none": invalid syntax'


async def test_exec() -> None:
    runtime: Any = FakeRuntime()
    runtime.execs = {("yes", "value"): (0, b"out"), ("no",): (1, b"why\n")}
    container = Container.model_validate({"name": "a", "env": [{"name": "V", "value": "value"}]})

    async def run(*command: str) -> Result:
        return await look(runtime, Probe.model_validate({"exec": {"command": command}}), container, "c", HOST)

    assert await run("yes", "$(V)") == Result(True, "out")
    assert await run("no") == Result(False, "why\n")
    assert (await run("none")).error == "no none"
    assert runtime.done.count(("exec", "none")) == 3, "what errs is tried three times"


Answer = Callable[[h2.connection.H2Connection, int, bytes], None]


@contextlib.asynccontextmanager
async def grpc_server(answer: Answer) -> AsyncIterator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        body = b""
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    body += event.data or b""
                elif isinstance(event, h2.events.StreamEnded):
                    answer(connection, event.stream_id or 1, body)
            writer.write(connection.data_to_send())
        writer.close()

    server = await asyncio.start_server(handle, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def status(code: int) -> Answer:
    def answer(connection: h2.connection.H2Connection, stream: int, body: bytes) -> None:
        connection.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        message = bytes([0x08, code]) if code else b""
        connection.send_data(stream, b"\0" + len(message).to_bytes(4, "big") + message)
        connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)

    return answer


def failing(code: int, message: str) -> Answer:
    def answer(connection: h2.connection.H2Connection, stream: int, body: bytes) -> None:
        headers = [(":status", "200"), ("grpc-status", str(code)), ("grpc-message", message)]
        connection.send_headers(stream, headers, end_stream=True)

    return answer


@pytest.mark.parametrize(
    ("answer", "passed", "output"),
    [
        (status(1), True, "service healthy"),
        (status(2), False, 'service unhealthy (responded with "NOT_SERVING")'),
        (status(0), False, 'service unhealthy (responded with "UNKNOWN")'),
        (
            failing(12, "unknown service"),
            False,
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown service",
        ),
        (
            failing(5, "unknown%20service"),
            False,
            "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service",
        ),
    ],
)
async def test_grpc(answer: Answer, passed: bool, output: str) -> None:
    async with grpc_server(answer) as port:
        result = await grpc_probe(HOST, port, "", 1)
    assert (result.passed, result.output) == (passed, output)


async def test_grpc_names_its_service() -> None:
    heard: list[bytes] = []

    def answer(connection: h2.connection.H2Connection, stream: int, body: bytes) -> None:
        heard.append(body)
        status(1)(connection, stream, body)

    async with grpc_server(answer) as port:
        await grpc_probe(HOST, port, "my.Service", 1)
    assert heard == [b"\0\0\0\0\x0c\x0a\x0amy.Service"]


async def test_grpc_without_a_server(closed_port: int) -> None:
    result = await grpc_probe(HOST, closed_port, "", 1)
    where = f"{HOST}:{closed_port}"
    assert result.output == f'timeout: failed to connect service "{where}" within 1s: context deadline exceeded'


async def test_grpc_that_never_answers() -> None:
    async with grpc_server(lambda *_: None) as port:
        result = await grpc_probe(HOST, port, "", 1)
    assert result.output == "timeout: health rpc did not complete within 1s"


@contextlib.asynccontextmanager
async def saying(words: bytes) -> AsyncIterator[int]:
    """A server that says the same to everybody, and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(words)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (b"hello\r\n", 'net/http: HTTP/1.x transport connection broken: malformed HTTP response "hello"'),
        (b"", "EOF"),
    ],
)
async def test_what_is_no_http_is_told_as_go_tells_it(words: bytes, said: str) -> None:
    async with saying(words) as port:
        result = await probe(httpGet={"port": port, "path": "/"})
    assert (result.passed, result.output) == (False, f'Get "http://{HOST}:{port}/": {said}')


async def test_what_is_no_grpc_is_never_connected() -> None:
    async with saying(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        result = await grpc_probe(HOST, port, "", 1)
    expected = f'timeout: failed to connect service "{HOST}:{port}" within 1s: context deadline exceeded'
    assert (result.passed, result.output) == (False, expected)


def test_a_name_that_nobody_knows() -> None:
    assert dial_text("no.such", 80, socket.gaierror(-2, "Name or service not known")) == (
        "dial tcp: lookup no.such: no such host"
    )
