"""Spoilt frames, by WebSocket and by SPDY, to exec, attach and port-forward of a pod that runs."""

from __future__ import annotations

import json
import random
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from podrun.apiserver.streams import spdy_frames
from podrun.apiserver.streams.spdy_engine import Engine
from tests.conftest import shipped_images
from tests.harness import Podrun, wait_until
from tests.pods.living import FOREVER, Pods, pod, shell
from tests.torture.fuzz import GROUP
from tests.torture.nonsense import TEXTS, spoilt_bytes
from tests.torture.row import Round, Row

CONNECTIONS = 10
"""Of a round."""
PATHS = (
    "exec?command=cat&stdin=1&stdout=1&stderr=1",
    "exec?command=sh&stdin=1&stdout=1&tty=1",
    "attach?stdin=1&stdout=1",
    "portforward?ports=80",
)
WEBSOCKETS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io", "x", "")


@contextmanager
def frames() -> Iterator[Round]:
    """A pod, and connections to it that go wrong in the middle; then everything of them is gone."""
    with Podrun.start(images=shipped_images()) as podrun:
        pods = Pods(podrun)
        pods.run(pod("p", shell("a", FOREVER, stdin=True)))
        pods.exec("p", "true")
        descriptors = podrun.descriptors()[0]
        upgraded = tried = 0

        def play(r: random.Random) -> None:
            nonlocal upgraded, tried
            for _ in range(CONNECTIONS):
                tried += 1
                with suppress(ConnectionError, TimeoutError), _connected(podrun) as sock:
                    data = _upgraded(sock, r)
                    upgraded += data is not None
                    _talk(sock, r, data or b"")
            assert pods.exec("p", "echo", "unmoved").stdout == "unmoved\n"
            wait_until(lambda: not _left(pods), 20, f"processes are left: {_left(pods)}", every=0.1)
            assert "Traceback" not in podrun.log(), podrun.log()

        yield play
        print(f"{upgraded} of {tried} connections were upgraded")
        assert upgraded > tried / 3
        wait_until(lambda: podrun.descriptors()[0] <= descriptors + 5, 20, "descriptors are left open", every=0.1)
        podrun.delete_pods()
        assert podrun.leaks() == {}


def _left(pods: Pods) -> list[str]:
    """What the pod runs beside its own shell."""
    said = pods.exec("p", "ps", "-o", "args").stdout.splitlines()[1:]
    return [line for line in said if line.strip() == "cat" or line.strip() == "sh"]


@contextmanager
def _connected(podrun: Podrun) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(podrun.layout.api_socket))
        yield sock


def _upgraded(sock: socket.socket, r: random.Random) -> bytes | None:
    """What to say on a connection that is upgraded now; None where the upgrade was refused."""
    path = f"/api/v1/namespaces/default/pods/p/{r.choice(PATHS)}"
    by_spdy = r.random() < 0.5
    sock.sendall((_spdy(r, path) if by_spdy else _websocket(r, path)).encode())
    data = _spdy_frames(r, path) if by_spdy else _websocket_frames(r)
    return data if b" 101 " in _head(sock) else None


def _talk(sock: socket.socket, r: random.Random, data: bytes) -> None:
    sock.sendall(spoilt_bytes(r, data) if r.random() < 0.7 else data)
    if r.random() < 0.5:
        sock.shutdown(socket.SHUT_WR)
    sock.settimeout(r.choice((0.01, 0.1, 0.3)))
    while sock.recv(65536):
        pass


def _head(sock: socket.socket) -> bytes:
    said = b""
    while b"\r\n\r\n" not in said:
        piece = sock.recv(4096)
        if not piece:
            break
        said += piece
    return said.split(b"\r\n", 1)[0]


def _websocket(r: random.Random, path: str) -> str:
    protocol = r.choice(WEBSOCKETS)
    offered = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n{offered}\r\n"
    )


def _websocket_frames(r: random.Random) -> bytes:
    """Masked frames (RFC 6455) of data, resizes, closings, pings, pieces of messages, and of lengths that lie."""
    made = b""
    for _ in range(r.randint(1, 8)):
        resize = json.dumps({"Width": r.choice((80, -1, 1 << 40, "x")), "Height": 24}).encode()
        payload = r.choice((b"\x00echo x\n", b"\x04" + resize, b"\xff\x00", b"\x09x", b"", r.randbytes(40)))
        operation = r.choice((0x82, 0x82, 0x82, 0x81, 0x02, 0x80, 0x88, 0x89, 0x8A, 0xF2, 0x83))
        mask = r.randbytes(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        length = r.choice((len(payload),) * 6 + (len(payload) + 1,))
        made += bytes([operation, 0x80 | length]) + mask + masked
        if r.random() < 0.05:
            made += bytes([0x82, 0xFF]) + struct.pack("!Q", r.choice((1 << 20, 1 << 62, (1 << 64) - 1))) + mask
    return made


def _spdy(r: random.Random, path: str) -> str:
    protocol = "portforward.k8s.io" if "portforward" in path else r.choice(("v4.channel.k8s.io", "x"))
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        f"X-Stream-Protocol-Version: {protocol}\r\nContent-Length: 0\r\n\r\n"
    )


def _spdy_frames(r: random.Random, path: str) -> bytes:
    client, made = Engine(client=True), b""
    kinds = ("error", "data") if "portforward" in path else ("error", "stdin", "stdout", "stderr", "resize")
    for kind in kinds:
        headers = {"streamtype": kind, "port": r.choice(("80", "x", "99999")), "requestid": r.choice(("0", "1"))}
        if r.random() < 0.2:
            headers[r.choice(TEXTS) or "a"] = r.choice(TEXTS)
        number = client.open(headers)
        made += client.take() + spdy_frames.data(number, r.randbytes(r.randint(0, 60)), fin=r.random() < 0.3)
        made += r.choice((b"", spdy_frames.ping(1), spdy_frames.rst_stream(number, 3), spdy_frames.goaway(number, 0)))
    return made


ROWS = (
    Row(
        "frames", GROUP, f"{CONNECTIONS} connections a round whose frames are spoilt: nothing of them left", 200, frames
    ),
)
