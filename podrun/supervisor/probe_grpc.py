"""gRPC probes: one call of grpc.health.v1.Health/Check over plain HTTP/2 (pkg/probe/grpc).

The request and its answer are one small protobuf message each, so no gRPC library is needed, only HTTP/2.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from podrun.lifecycle.backoff import duration
from podrun.lifecycle.probes import Result
from podrun.supervisor.probe_http import VERSION, dial_text

_SERVING = 1
_STATUS_NAMES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_UNIMPLEMENTED = 12
_CODES = (
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
)


async def grpc_probe(host: str, port: int, service: str, seconds: float) -> Result:
    """One look, at most `seconds`; every failure counts as one of the container."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    greeted = asyncio.Event()
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                code, message, body = await _check(reader, writer, where, service, greeted)
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError:
        if greeted.is_set():
            return Result(False, f"timeout: health rpc did not complete within {duration(seconds)}")
        return Result(False, _not_connected(where, seconds))
    except (OSError, EOFError, h2.exceptions.ProtocolError) as error:
        if not greeted.is_set():
            # grpc.WithBlock tries again until the time is up, until a server of HTTP/2 has sent its settings.
            return Result(False, _not_connected(where, seconds))
        why = dial_text(host, port, error) if isinstance(error, OSError) else str(error)
        return Result(False, f"error: health rpc probe failed: rpc error: code = Unavailable desc = {why}")
    return _judged(code, message, body)


def _not_connected(where: str, seconds: float) -> str:
    return f'timeout: failed to connect service "{where}" within {duration(seconds)}: context deadline exceeded'


def _judged(code: int, message: str, body: bytes) -> Result:
    if code == _UNIMPLEMENTED:
        what = "this server does not implement the grpc health protocol (grpc.health.v1.Health)"
        return Result(False, f"error: {what}: {message}")
    if code:
        name = _CODES[code] if code < len(_CODES) else f"Code({code})"
        return Result(False, f"error: health rpc probe failed: rpc error: code = {name} desc = {message}")
    status = _health_status(body)
    if status != _SERVING:
        return Result(False, f'service unhealthy (responded with "{_STATUS_NAMES.get(status, status)}")')
    return Result(True, "service healthy")


def _request(service: str) -> bytes:
    """A length-prefixed HealthCheckRequest{service}."""
    name = service.encode()
    length = bytearray()
    rest = len(name)
    while True:
        rest, low = rest >> 7, rest & 0x7F
        length.append(low | (0x80 if rest else 0))
        if not rest:
            break
    message = b"\x0a" + bytes(length) + name if name else b""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def _health_status(body: bytes) -> int:
    """The status (field 1, a varint) of a length-prefixed HealthCheckResponse; 0 where it is left out."""
    message = body[5:]
    return message[1] if len(message) >= 2 and message[0] == 0x08 else 0


async def _check(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str, service: str, greeted: asyncio.Event
) -> tuple[int, str, bytes]:
    """(gRPC status code, its message, body); `greeted` is set when the server has sent its settings."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("user-agent", f"kube-probe/{VERSION}"),
        ("te", "trailers"),
    ]
    connection.send_headers(1, headers)
    connection.send_data(1, _request(service), end_stream=True)
    writer.write(connection.data_to_send())
    await writer.drain()
    body = b""
    told: dict[str, str] = {}
    while True:
        data = await reader.read(65536)
        if not data:
            raise EOFError("error reading server preface: EOF")
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.RemoteSettingsChanged):
                greeted.set()
            elif isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                told.update((str(name), str(value)) for name, value in event.headers or ())
            elif isinstance(event, h2.events.DataReceived):
                body += event.data or b""
                connection.acknowledge_received_data(event.flow_controlled_length or 0, 1)
            elif isinstance(event, h2.events.StreamEnded):
                return int(told.get("grpc-status", "2")), unquote(told.get("grpc-message", "")), body
            elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                raise EOFError(f"stream terminated by RST_STREAM with error code: {event.error_code}")
        writer.write(connection.data_to_send())
        await writer.drain()
