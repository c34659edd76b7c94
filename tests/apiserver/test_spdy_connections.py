"""SPDY against a real daemon, from a client of our own: commands, refusals, and what no good client would send."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from podrun.apiserver.streams import spdy_frames as frames
from podrun.apiserver.streams.spdy_engine import MOST_STREAMS, CutOff, Ended, Engine, Event, Leaving, Received
from podrun.apiserver.streams.spdy_frames import Farewell
from tests.harness import Podrun, wait_until
from tests.pods.living import Pods

POD = "/api/v1/namespaces/default/pods/p"
FORWARD = "portforward.k8s.io"
V4 = "v4.channel.k8s.io"
SHELL = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}


@pytest.fixture(scope="module")
def house(module_podrun: Podrun) -> Iterator[Podrun]:
    """A daemon with a pod `p` that answers each line it is told."""
    loop = "while read x; do echo got $x; done; sleep 3600"
    container = {"name": "a", "image": "busybox:1.36", "command": ["sh", "-c", loop], "stdin": True}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    module_podrun.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
    module_podrun.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=20s")
    yield module_podrun
    module_podrun.delete_pods()
    assert module_podrun.leaks() == {}


class Peer:
    """A SPDY client on the daemon's unix socket. What it hears is kept in `events`."""

    def __init__(self, house: Podrun, path: str, *protocols: str, method: str = "POST", more: str = "") -> None:
        self.engine = Engine(client=True)
        self.events: list[Event] = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(str(house.layout.api_socket))
        versions = "".join(f"X-Stream-Protocol-Version: {name}\r\n" for name in protocols)
        upgrade = "Host: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\n{upgrade}{versions}{more}\r\n".encode())
        raw = b""
        while b"\r\n\r\n" not in raw:
            piece = self.socket.recv(4096)
            if not piece:
                break
            raw += piece
        self.head, _, self.rest = raw.partition(b"\r\n\r\n")
        self.code = int(self.head.split()[1])

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, raw: bytes = b"") -> None:
        """Send what the engine has, then raw bytes."""
        self.socket.sendall(self.engine.take() + raw)

    def hear(self) -> bool:
        """Hear a little; False at the end."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.events += self.engine.receive(data)
        return bool(data)

    def until_end(self) -> list[Event]:
        """Everything that was heard until the daemon's farewell, or its closing of the connection."""
        while Leaving() not in self.events and self.hear():
            pass
        return self.events

    def open(self, **headers: str) -> int:
        return self.engine.open(headers)

    def text(self, stream: int) -> bytes:
        return b"".join(one.data for one in self.events if isinstance(one, Received) and one.stream == stream)


@pytest.fixture
def steady(house: Podrun) -> Iterator[None]:
    """The daemon keeps nothing of the test's connections: descriptors, tasks that hold memory."""
    house.kubectl("get", "pods")
    before = house.descriptors()[0]
    yield
    wait_until(lambda: house.descriptors()[0] <= before, 5, "descriptors are left")
    assert house.kubectl("get", "pods", "-o", "name") == "pod/p\n"
    assert "Traceback" not in house.log()


@pytest.mark.parametrize("protocol", [V4, "v3.channel.k8s.io", "channel.k8s.io"])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_command_runs_and_its_end_is_told(house: Podrun, protocol: str, method: str, steady: None) -> None:
    script = quote("read x; echo out $x; echo err >&2; exit 7")
    query = f"command=sh&command=-c&command={script}&stdin=1&stdout=1&stderr=1"
    with Peer(house, f"{POD}/exec?{query}", "unknown", protocol, method=method) as peer:
        assert peer.code == 101
        assert f"X-Stream-Protocol-Version: {protocol}".encode() in peer.head
        error, stdin, stdout, stderr = (peer.open(streamtype=kind) for kind in ("error", "stdin", "stdout", "stderr"))
        peer.engine.send(stdin, b"in\n", fin=True)
        peer.send()
        peer.until_end()
    assert peer.text(stdout) == b"out in\n"
    assert peer.text(stderr) == b"err\n"
    assert Ended(stdout) in peer.events
    if protocol == V4:
        assert json.loads(peer.text(error))["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]
    else:
        assert peer.text(error).startswith(b"command terminated with non-zero exit code")


def test_attach_speaks_with_the_container_itself(house: Podrun, steady: None) -> None:
    with Peer(house, f"{POD}/attach?stdin=1&stdout=1", V4) as peer:
        _, stdin, stdout = (peer.open(streamtype=kind) for kind in ("error", "stdin", "stdout"))
        peer.engine.send(stdin, b"hello\n")
        peer.send()
        while b"got hello\n" not in peer.text(stdout):
            assert peer.hear()


def test_kubectls_spdy_runs_commands(house: Podrun) -> None:
    def kubectl(*words: str, given: bytes = b"") -> tuple[int, bytes]:
        command = house.inside("kubectl", *words)
        environment = house.environment() | SHELL
        done = subprocess.run(command, env=environment, input=given, capture_output=True, timeout=20)
        return done.returncode, done.stdout

    data = os.urandom(5_000_000)
    assert kubectl("exec", "-i", "p", "--", "cat", given=data) == (0, data)
    assert kubectl("exec", "p", "--", "sh", "-c", "echo hi; exit 3") == (3, b"hi\n")
    assert kubectl("exec", "-i", "p", "--", "true", given=data) == (0, b"")


def test_kubectls_spdy_has_a_terminal_with_a_size(house: Podrun) -> None:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 33, 101, 0, 0))
    client = subprocess.Popen(
        house.inside("kubectl", "exec", "-it", "p", "--", "sh", "-c", "sleep 0.5; stty size; read x; exit $x"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=house.environment() | SHELL,
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""
    while b"33 101" not in seen:
        seen += os.read(ours, 4096)
    os.write(ours, b"5\n")
    assert client.wait(timeout=10) == 5
    os.close(ours)


@pytest.mark.parametrize(
    ("protocols", "more", "code", "words"),
    [
        ((), "", 400, b"X-Stream-Protocol-Version does not exist"),
        ((" ,",), "", 400, b"no valid protocols"),
        (("v9",), "", 403, b"client supports [v9], server accepts [portforward.k8s.io]"),
        ((FORWARD,), "Content-Length: 3\r\n", 400, b"no body"),
    ],
    ids=["none", "nothing", "unknown", "a body"],
)
def test_upgrades_that_are_refused(
    house: Podrun, protocols: tuple[str, ...], more: str, code: int, words: bytes, steady: None
) -> None:
    with Peer(house, f"{POD}/portforward", *protocols, more=more) as peer:
        assert peer.code == code
        if more:
            peer.socket.sendall(b"abc")
        while words not in peer.rest:
            piece = peer.socket.recv(4096)
            assert piece, peer.rest
            peer.rest += piece


@contextmanager
def forward(house: Podrun) -> Iterator[Peer]:
    with Peer(house, f"{POD}/portforward", FORWARD) as peer:
        assert peer.code == 101
        yield peer


def test_a_pod_that_has_said_everything_still_listens(house: Podrun, steady: None) -> None:
    enter = ["nsenter", f"--target={Pods(house).pid('p')}", "--net", "--", sys.executable, "-m"]
    server = subprocess.Popen([*enter, "tests.apiserver.clients", "farewell", "7000"], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    with forward(house) as peer:
        error, data = (peer.open(streamtype=kind, port="7000", requestid="1") for kind in ("error", "data"))
        peer.send()
        while Ended(data) not in peer.events:
            assert peer.hear()
        assert peer.text(data) == b"bye"
        peer.engine.send(data, b"well then", fin=True)
        peer.send()
        assert server.communicate(timeout=10)[0] == b"well then"
        while Ended(error) not in peer.events:
            assert peer.hear()
    assert peer.text(error) == b""


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 4 + b"\x80\x02" + bytes(6),
        os.urandom(1 << 20) + b"\x80\x02" + bytes(6),
        struct.pack(">HHI", 0x8003, 1, 0xFFFFFF) + bytes(1 << 20),
        frames.syn_stream(1, b"\xff" * 1000),
        frames.settings({7: 0xFFFFFFFF}),
    ],
    ids=["HTTP", "noise", "a long frame", "no zlib", "a window"],
)
def test_nonsense_ends_the_connection(house: Podrun, raw: bytes, steady: None) -> None:
    with forward(house) as peer:
        try:
            peer.send(raw)
            peer.socket.shutdown(socket.SHUT_WR)
        except BrokenPipeError:
            pass
        peer.until_end()


def test_a_protocol_error_is_said_before_the_end(house: Podrun, steady: None) -> None:
    with forward(house) as peer:
        peer.send(b"\x80\x02" + bytes(6))
        heard = b""
        while piece := peer.socket.recv(4096):
            heard += piece
    assert heard == frames.goaway(0, Farewell.PROTOCOL_ERROR)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"streamtype": "data"},
        {"streamtype": "other", "port": "80"},
        {"streamtype": "error", "port": "0"},
        {"streamtype": "error", "port": "65536"},
        {"streamtype": "error", "port": "9" * 5000},
        {"streamtype": "error", "port": "٣"},
    ],
)
def test_streams_that_say_nothing_sensible_are_cut_off(house: Podrun, headers: dict[str, str], steady: None) -> None:
    with forward(house) as peer:
        stream = peer.open(**headers)
        peer.send()
        while CutOff(stream) not in peer.events:
            assert peer.hear()


def test_a_flood_of_streams_is_bounded_and_leaves_nothing(house: Podrun, steady: None) -> None:
    with forward(house) as peer:
        for number in range(MOST_STREAMS + 500):
            peer.open(streamtype="error", port="80", requestid=str(number))
        peer.send()
        while sum(isinstance(event, CutOff) for event in peer.events) < 500:
            assert peer.hear()


def test_what_nobody_reads_is_thrown_away(house: Podrun, steady: None) -> None:
    with forward(house) as peer:
        error = peer.open(streamtype="error", port="80", requestid="1")
        for _ in range(20):
            peer.send(frames.data(error, bytes(1 << 20)))
        lost = peer.open(streamtype="error")
        peer.send()
        while CutOff(lost) not in peer.events:
            assert peer.hear()


def test_many_that_begin_and_leave_cost_nothing(house: Podrun, steady: None) -> None:
    status = Path(f"/proc/{house.daemon_pid}/statm")

    def round_of_clients() -> int:
        for number in range(50):
            with forward(house) as peer:
                for kind in ("error", "data"):
                    peer.open(streamtype=kind, port="9", requestid=str(number))
                peer.send(frames.data(3, bytes(10_000)) + frames.ping(1) * 100 + b"\x80\x03")
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    round_of_clients()
    before = round_of_clients()
    after = max(round_of_clients() for _ in range(3))
    assert after - before < 8 << 20


def test_exec_waits_for_streams_only_while_the_client_is_there(house: Podrun, steady: None) -> None:
    with Peer(house, f"{POD}/exec?command=sleep&command=3598&stdout=1", V4) as peer:
        peer.open(streamtype="error")
        peer.send()
        peer.hear()
    house.kubectl("exec", "p", "--", "sh", "-c", "! pgrep -f 'sleep 359[8]'")
