"""Failures of a connection in the words of Go's net package, which is what people find when they search for them."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl

import aiohttp
from yarl import URL


def words(error: BaseException, url: URL) -> str:
    """`dial tcp 127.0.0.1:1: connect: connection refused`, and the like."""
    port = url.port or 443
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"tls: failed to verify certificate: x509: {_certificate(error.certificate_error)}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {url.host}: no such host"
    if isinstance(error, aiohttp.ClientConnectorError):
        code = error.os_error.errno
        if isinstance(error.os_error, ssl.SSLError):
            return f"tls: {error.os_error.reason or error.os_error}"
        what = os.strerror(code).lower() if code is not None else str(error.os_error)
        return f"dial tcp {address(url.host or '')}:{port}: connect: {what}"
    if isinstance(error, (aiohttp.ConnectionTimeoutError, asyncio.TimeoutError)):
        return f"dial tcp {address(url.host or '')}:{port}: i/o timeout"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    return str(error) or type(error).__name__


def address(host: str) -> str:
    """The address that a host was tried at: the name's first, an IPv6 one in brackets; the name where there is none."""
    try:
        found = str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        found = host
    return f"[{found}]" if ":" in found else found


def is_loopback(host: str) -> bool:
    """Whether a registry on this host is spoken to in plain HTTP, as by every container engine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _certificate(error: Exception) -> str:
    text = str(error).lower()
    if "self-signed" in text or "unable to get local issuer" in text:
        return "certificate signed by unknown authority"
    if "expired" in text:
        return "certificate has expired or is not yet valid"
    return getattr(error, "verify_message", "") or str(error)
