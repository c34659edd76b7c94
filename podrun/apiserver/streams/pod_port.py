"""A connection to a port of a pod, made from inside: localhost in the pod's own network namespace.

A socket belongs to the namespace of the thread that makes it, and stays there whoever uses it. So a thread of its own
joins the pod's namespace, makes the sockets and ends; no other thread of the daemon ever leaves the host's.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from podrun.kernel.flags import Clone
from podrun.kernel.namespaces import open_namespace, setns
from podrun.runtime.errors import NotFound
from podrun.runtime.model import Event
from podrun.runtime.service import RuntimeService

CONNECT_SECONDS = 5.0
_LOOPBACK = ((socket.AF_INET, "127.0.0.1", "tcp4 127.0.0.1"), (socket.AF_INET6, "::1", "tcp6 [::1]"))

_Made = socket.socket | OSError


class PortUnreachable(Exception):
    """Nothing answers there; the text is containerd's."""


@dataclass(frozen=True, slots=True)
class PodPorts:
    """The ports of a sandbox, as seen from inside."""

    runtime: RuntimeService
    sandbox_id: str

    def on_end(self, callback: Callable[[], None]) -> Callable[[], None]:
        """`callback` is called when the sandbox ends; the function returned ends that."""

        def heard(event: Event) -> None:
            if event.kind == "sandbox-exited" and event.sandbox_id == self.sandbox_id:
                callback()

        return self.runtime.subscribe(heard)

    async def connect(self, port: int) -> socket.socket:
        """A connected, non-blocking socket; raises PortUnreachable."""
        try:
            status = self.runtime.sandbox_status(self.sandbox_id)
            namespace = open_namespace("net", status.pid) if status.ready else -1
        except NotFound:
            raise PortUnreachable(f'failed to find sandbox "{self.sandbox_id}" in store: not found') from None
        except OSError:  # pause has just ended
            namespace = -1
        if namespace < 0:
            raise PortUnreachable(f'network namespace for sandbox "{self.sandbox_id}" is closed')
        try:
            sockets = await _sockets_in(namespace)
        finally:
            os.close(namespace)
        try:
            return await self._first_connected(sockets, port)
        except PortUnreachable as why:
            where = "host" if status.config.host_network else f"/proc/{status.pid}/ns/net"
            raise PortUnreachable(f'failed to execute portforward in network namespace "{where}": {why}') from None

    async def _first_connected(self, sockets: list[_Made], port: int) -> socket.socket:
        """IPv4 first, then IPv6, one after the other as containerd does."""
        found, failures = None, []
        for attempt, (_, address, name) in zip(sockets, _LOOPBACK, strict=True):
            if found is not None:
                _close(attempt)
                continue
            try:
                if isinstance(attempt, OSError):
                    raise attempt
                async with asyncio.timeout(CONNECT_SECONDS):
                    await asyncio.get_running_loop().sock_connect(attempt, (address, port))
                found = attempt
            except OSError as error:
                _close(attempt)
                why = "i/o timeout" if isinstance(error, TimeoutError) else f"connect: {_text(error)}"
                failures.append(f"dial {name}:{port}: {why}")
            except BaseException:
                _close(*sockets)
                raise
        if found is None:
            tried = f"IPv4: {failures[0]} IPv6 {failures[1]}"
            raise PortUnreachable(
                f'failed to connect to localhost:{port} inside namespace "{self.sandbox_id}", {tried}'
            )
        return found


async def _sockets_in(namespace: int) -> list[_Made]:
    """One socket of each family of `_LOOPBACK`, made in a network namespace, or why there is none (no IPv6 here)."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    made: list[_Made] = []
    failures: list[OSError] = []

    def make() -> None:
        try:
            setns(namespace, Clone.NET)
            made.extend(_made(family) for family, _, _ in _LOOPBACK)
        except OSError as error:
            failures.append(error)
        loop.call_soon_threadsafe(done.set_result, None)

    threading.Thread(target=make, name="pod-port", daemon=True).start()
    # Not to be cancelled: the thread uses `namespace`, and its sockets have to be closed by somebody.
    try:
        await asyncio.shield(done)
    except asyncio.CancelledError:
        await done
        _close(*made)
        raise
    if failures:
        _close(*made)
        raise PortUnreachable(f"failed to enter the pod's network namespace: {_text(failures[0])}")
    return made


def _made(family: socket.AddressFamily) -> _Made:
    try:
        return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        return error


def _close(*sockets: _Made) -> None:
    for one in sockets:
        if isinstance(one, socket.socket):
            one.close()


def _text(error: OSError) -> str:
    """The error as Go spells it: the system's words, in lower case."""
    return os.strerror(error.errno).lower() if error.errno else str(error)
