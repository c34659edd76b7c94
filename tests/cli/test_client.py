"""The client's own HTTP: paths, bodies in every form, and refusals."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from podrun.cli.client import Client, Refused, path_of
from podrun.cli.errors import NO_DAEMON, CommandError


class Server:
    """Answers each connection with the bytes it is told, and remembers what was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answer = b""
        self.asked = b""
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self.asked = connection.recv(65536)
                connection.sendall(self.answer)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "s")
    yield made
    made.listener.shutdown(socket.SHUT_RDWR)
    made.listener.close()


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n5;x=y\r\n": 1}\r\n0\r\n\r\n',
        b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"a": 1}',
    ],
    ids=["with a length", "in chunks", "until the end"],
)
def test_a_body_is_read_in_every_form(server: Server, answer: bytes) -> None:
    server.answer = answer
    assert Client(str(server.path)).get("/x") == {"a": 1}


def test_lines_arrive_whole_over_chunks(server: Server) -> None:
    server.answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n2\r\ntw\r\n3\r\no\nx\r\n0\r\n\r\n"
    )
    with Client(str(server.path)).open("GET", "/x") as answer:
        assert list(answer.lines()) == [b"one", b"two", b"x"]


def test_a_refusal_carries_the_status(server: Server) -> None:
    server.answer = b'HTTP/1.1 404 Not Found\r\nContent-Length: 29\r\n\r\n{"message": "pods \\"x\\" no"}  '
    with pytest.raises(Refused) as raised:
        Client(str(server.path)).get("/x")
    assert (raised.value.http_code, raised.value.message) == (404, 'pods "x" no')


def test_a_refusal_that_is_no_status_is_shown_as_it_is(server: Server) -> None:
    server.answer = b"HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\noh no"
    with pytest.raises(Refused, match="oh no"):
        Client(str(server.path)).get("/x")


def test_a_connection_that_ends_without_an_answer(server: Server) -> None:
    with pytest.raises(CommandError, match="closed the connection") as raised:
        Client(str(server.path)).get("/x")
    assert raised.value.code == NO_DAEMON


def test_a_caller_s_own_patience_is_a_timeout(server: Server) -> None:
    server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(server.path) + "2")
    listener.listen()
    with listener, pytest.raises(TimeoutError):
        Client(str(server.path) + "2").open("GET", "/x", timeout=0.05)


def test_what_is_sent(server: Server) -> None:
    server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    Client(str(server.path)).send("PATCH", "/x", b"body", "text/x")
    assert server.asked.startswith(b"PATCH /x HTTP/1.1\r\nHost: podrun\r\nConnection: close\r\n")
    assert b"Content-Type: text/x\r\nContent-Length: 4\r\n" in server.asked


@pytest.mark.parametrize(
    ("parts", "query", "path"),
    [
        (("api", "v1"), {}, "/api/v1"),
        (("a b", "c/d", "ä"), {}, "/a%20b/c%2Fd/%C3%A4"),
        (("x",), {"q": "a=b,c!=d&e"}, "/x?q=a%3Db%2Cc%21%3Dd%26e"),
    ],
)
def test_paths_are_quoted(parts: tuple[str, ...], query: dict[str, str], path: str) -> None:
    assert path_of(*parts, **query) == path
