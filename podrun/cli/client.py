"""Requests to the daemon over its unix socket, in as little code and import time as HTTP/1.1 allows.

`http.client` would bring in the email package (15 ms); `podrun ps` has 30 ms in all. Each request has a connection of
its own, which the server closes; bodies come with a length, in chunks, or until the end.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

from podrun.cli.errors import NO_DAEMON, NOT_ROOT, CommandError

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import takes 3 ms
if TYPE_CHECKING:
    from typing import IO, Any

JSON = "application/json"
PATIENCE = 30.0
"""Seconds in which a daemon that is being restarted is back many times over."""


class Refused(CommandError):
    """The API answered with a Status; `status` is that object."""

    def __init__(self, status: dict[str, Any]) -> None:
        super().__init__(str(status.get("message") or status.get("reason") or "the API refused it"))
        self.status = status

    @property
    def http_code(self) -> int:
        return int(self.status.get("code") or 0)


class Answer:
    """A response whose body is still to be read. Headers' names are in lower case."""

    def __init__(self, code: int, headers: dict[str, str], stream: IO[bytes], connection: socket.socket) -> None:
        self.code = code
        self.headers = headers
        self._stream = stream
        self._connection = connection

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._connection.close()

    def pieces(self) -> Iterator[bytes]:
        """The body as it arrives."""
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self._stream.readline().split(b";")[0] or b"0", 16):
                yield self._stream.read(size)
                self._stream.readline()
        elif (length := self.headers.get("content-length")) is not None:
            yield self._stream.read(int(length))
        else:
            while piece := self._stream.read1(65536):  # type: ignore[attr-defined]
                yield piece

    def set_timeout(self, seconds: float) -> None:
        """Raise TimeoutError where nothing arrives for so long."""
        self._connection.settimeout(seconds)

    def read(self) -> bytes:
        return b"".join(self.pieces())

    def lines(self) -> Iterator[bytes]:
        """The body line by line, as a watch or a progress report sends it."""
        rest = b""
        for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole
        if rest:
            yield rest


class Client:
    """The API at one socket, as root."""

    def __init__(self, socket_path: str) -> None:
        self.socket_path = socket_path

    def open(
        self,
        method: str,
        path: str,
        body: bytes | IO[bytes] | None = None,
        *,
        content_type: str = JSON,
        accept: str = JSON,
        timeout: float = PATIENCE,
    ) -> Answer:
        """Send a request and read the head of its answer. A file as body is sent as it is, by its size.

        Raises CommandError where no daemon listens or none answers, Refused where the answer is a failure, and
        TimeoutError where a caller's own `timeout` (seconds without a byte) has passed.
        """
        connection = self._connect()
        connection.settimeout(timeout)
        head = f"{method} {path} HTTP/1.1\r\nHost: podrun\r\nConnection: close\r\nAccept: {accept}\r\n"
        if body is not None:
            size = len(body) if isinstance(body, bytes) else _size_of(body)
            head += f"Content-Type: {content_type}\r\nContent-Length: {size}\r\n"
        try:
            connection.sendall(head.encode() + b"\r\n")
            if isinstance(body, bytes):
                connection.sendall(body)
            elif body is not None:
                connection.sendfile(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server has answered before it read all: what it says is better than our error
        try:
            answer = _read_head(connection)
        except TimeoutError:
            if timeout != PATIENCE:
                raise
            # Its socket is there, held by the spawner, but nobody takes what comes.
            raise _no_answer(f"podrun's daemon has not answered for {PATIENCE:g} s") from None
        if answer.code >= 400:
            with answer:
                raise Refused(_status_of(answer))
        return answer

    def get(self, path: str, accept: str = JSON) -> Any:
        with self.open("GET", path, accept=accept) as answer:
            return json.loads(answer.read())

    def send(self, method: str, path: str, body: bytes | None = None, content_type: str = JSON) -> Any:
        with self.open(method, path, body, content_type=content_type) as answer:
            return json.loads(answer.read() or b"null")

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(self.socket_path)
        except PermissionError:
            raise CommandError(f"{self.socket_path} is for root only", "run it with sudo", NOT_ROOT) from None
        except OSError as error:
            raise CommandError(
                f"podrun's daemon does not answer at {self.socket_path}: {error.strerror or error}",
                "start it: systemctl start podrun, or `podrun daemon`; `sudo scripts/quickstart` sets it up",
                NO_DAEMON,
            ) from None
        return connection


_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def _quote(text: str) -> str:
    """Percent-encoding (RFC 3986, section 2.1); urllib.parse would cost 5 ms."""
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode())


def path_of(*parts: str, **query: str) -> str:
    """A URL path of quoted parts, with a query."""
    return "/" + "/".join(_quote(part) for part in parts) + query_of(**query)


def query_of(**query: str) -> str:
    """`?NAME=VALUE&...`, quoted; "" without any."""
    return "?" + "&".join(f"{name}={_quote(value)}" for name, value in query.items()) if query else ""


def _no_answer(what: str) -> CommandError:
    hint = "it may be restarting; try again, and look at its log: journalctl -u podrun, or /var/log/podrun.log"
    return CommandError(what, hint, NO_DAEMON)


def _read_head(connection: socket.socket) -> Answer:
    stream = connection.makefile("rb")
    first = stream.readline().split(None, 2)
    if len(first) < 2:
        raise _no_answer("podrun's daemon closed the connection without an answer")
    headers: dict[str, str] = {}
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return Answer(int(first[1]), headers, stream, connection)


def _status_of(answer: Answer) -> dict[str, Any]:
    body = answer.read()
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if not isinstance(status, dict):
        status = {"message": body.decode(errors="replace").strip()}
    return {"code": answer.code, **status}


def _size_of(file: IO[bytes]) -> int:
    import os

    return os.fstat(file.fileno()).st_size - file.tell()
