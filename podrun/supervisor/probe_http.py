"""HTTP probes and hooks: one GET, redirects on the same host only, certificates not verified (pkg/probe/http).

Failures are told in the words of Go's HTTP client, which is what Events of a kubelet show.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

import aiohttp

from podrun.api.pod import Container, HttpGetAction
from podrun.lifecycle.probes import Result

VERSION = "1.36"
_LONGEST_BODY = 10 << 10
_MAX_REDIRECTS = 10


class BadPort(ValueError):
    """A port that is no number and no name of the container's ports."""


def port_of(port: int | str, container: Container) -> int:
    """The number of a port given by number or by name. Raises BadPort with Kubernetes' words."""
    if isinstance(port, int):
        number = port
    else:
        named = next((p.container_port for p in container.ports if p.name == port), None)
        if named is None and not port.isdecimal():
            raise BadPort(f'strconv.Atoi: parsing "{port}": invalid syntax')
        number = named if named is not None else int(port)
    if not 0 < number < 65536:
        raise BadPort(f"invalid port number: {number}")
    return number


def url_of(action: HttpGetAction, container: Container, pod_address: str) -> str:
    """Where the request goes. Raises BadPort."""
    host = action.host or pod_address
    if ":" in host:
        host = f"[{host}]"
    where = urlsplit(action.path or "")
    path = quote(where.path, safe="/%:@!$&'()*+,;=~-._")
    if path and not path.startswith("/"):
        path = f"/{path}"
    number = port_of(action.port, container)
    return urlunsplit((action.scheme.lower() or "http", f"{host}:{number}", path, where.query, ""))


def headers_of(action: HttpGetAction, purpose: str) -> list[tuple[str, str]]:
    """The probe's own headers, with User-Agent and Accept where it has none; an empty Accept is left out."""
    headers = [(h.name, h.value) for h in action.http_headers]
    names = {name.lower() for name, _ in headers}
    if "user-agent" not in names:
        headers.append(("User-Agent", f"kube-{purpose}/{VERSION}"))
    if "accept" not in names:
        headers.append(("Accept", "*/*"))
    return [(name, value) for name, value in headers if not (name.lower() == "accept" and not value)]


async def http_probe(action: HttpGetAction, container: Container, pod_address: str, seconds: float) -> Result:
    """One look, at most `seconds`."""
    try:
        url = url_of(action, container, pod_address)
    except BadPort as error:
        return Result(False, error=str(error))
    try:
        async with asyncio.timeout(seconds):
            status, body, stopped = await _get(url, headers_of(action, "probe"))
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return Result(False, failure_text(url, error))
    if not 200 <= status < 400:
        return Result(False, f"HTTP probe failed with statuscode: {status}")
    if stopped:
        return Result(True, f"Probe terminated redirects, Response body: {body}", warning=True)
    return Result(True, body)


async def http_hook(action: HttpGetAction, container: Container, pod_address: str) -> None:
    """A lifecycle hook: any answer is a success. Raises OSError or aiohttp.ClientError; BadPort."""
    url = url_of(action, container, pod_address)
    headers = headers_of(action, "lifecycle")
    try:
        await _get(url, headers)
    except aiohttp.ClientConnectorSSLError:
        # A server without TLS is asked again without it (lifecycle/handlers.go).
        await _get(url.replace("https://", "http://", 1), [(n, v) for n, v in headers if n.lower() != "authorization"])


async def _get(url: str, headers: list[tuple[str, str]]) -> tuple[int, str, bool]:
    """(status, body, whether a redirect to another host was not followed)"""
    connector = aiohttp.TCPConnector(ssl=_unverified(), force_close=True, limit=0)
    first_host = urlsplit(url).hostname
    async with aiohttp.ClientSession(
        connector=connector, skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"), auto_decompress=False
    ) as session:
        for _ in range(_MAX_REDIRECTS):
            async with session.get(url, headers=headers, allow_redirects=False) as answer:
                body = (await answer.content.read(_LONGEST_BODY)).decode(errors="replace")
                location = answer.headers.get("Location")
                if answer.status not in (301, 302, 303, 307, 308) or location is None:
                    return answer.status, body, False
                url = urljoin(url, location)
                if urlsplit(url).hostname != first_host:
                    return answer.status, body, True
    raise aiohttp.ClientError(f"stopped after {_MAX_REDIRECTS} redirects")


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def failure_text(url: str, error: BaseException) -> str:
    """`Get "URL": dial tcp 10.0.0.1:80: connect: connection refused`, as Go says it."""
    where = f'Get "{url}": '
    if isinstance(error, TimeoutError):
        return f"{where}context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return f"{where}EOF"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"{where}http: server gave HTTP response to HTTPS client"
    if isinstance(error, aiohttp.ClientResponseError):
        line = _first_line(error.message)
        return f"{where}net/http: HTTP/1.x transport connection broken: malformed HTTP response {line}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"{where}dial tcp: lookup {error.host}: no such host"
    if isinstance(error, OSError) and error.errno:
        parts = urlsplit(url)
        text = dial_text(parts.hostname or "", parts.port or 0, error)
        if not isinstance(error, aiohttp.ClientConnectorError):  # it was connected
            text = text.replace("dial tcp", "read tcp").replace(": connect: ", ": read: ")
        return f"{where}{text}"
    return f"{where}{error}"


def _first_line(message: str) -> str:
    """The line that is no HTTP, quoted, out of what the parser says of it (it shows the bytes)."""
    shown = re.search(r"b(['\"])(.*?)(\\r|\\n|\1)", message)
    return f'"{shown[2]}"' if shown is not None else '""'


def dial_text(host: str, port: int, error: OSError) -> str:
    """`dial tcp 10.0.0.1:80: connect: connection refused`"""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if isinstance(error, TimeoutError):
        return f"dial tcp {where}: i/o timeout"
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {host}: no such host"
    words = {
        errno.ECONNREFUSED: "connection refused",
        errno.EHOSTUNREACH: "no route to host",
        errno.ENETUNREACH: "network is unreachable",
        errno.ECONNRESET: "connection reset by peer",
        errno.ETIMEDOUT: "connection timed out",
    }
    why = words.get(error.errno or 0) or (error.strerror or str(error)).lower()
    return f"dial tcp {where}: connect: {why}"
