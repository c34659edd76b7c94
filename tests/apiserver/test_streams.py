"""Logs, exec and attach against real containers, with the real kubectl and with the protocols themselves."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import select
import struct
import subprocess
import termios
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.harness import Podrun

Object = dict[str, Any]

LOOPS = "for i in 1 2 3; do echo line $i; done; echo oops >&2; while read x; do echo got $x; done; sleep 3600"


def container(name: str, script: str, **more: Any) -> Object:
    return {"name": name, "image": "busybox:1.36", "command": ["sh", "-c", script], **more}


def run(podrun: Podrun, name: str, *containers: Object, restart: str = "Never", **spec: Any) -> None:
    """Apply a pod and wait until its containers have started."""
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 0, "restartPolicy": restart, "containers": list(containers), **spec},
    }
    podrun.kubectl("apply", "-f", "-", input=json.dumps(body))
    started = "jsonpath={.status.containerStatuses[0].containerID}"
    podrun.kubectl("wait", f"--for={started}", f"pod/{name}", "--timeout=20s")


@pytest.fixture(scope="module")
def talker(module_podrun: Podrun) -> Iterator[Podrun]:
    """A daemon with a running pod `p`, container `a`; the tests that need another pod name it otherwise."""
    run(module_podrun, "p", container("a", LOOPS, stdin=True))
    yield module_podrun
    module_podrun.delete_pods()
    assert module_podrun.leaks() == {}


def test_logs_are_printed_as_asked(talker: Podrun) -> None:
    assert talker.kubectl("logs", "p") == "line 1\nline 2\nline 3\noops\n"
    assert talker.kubectl("logs", "p", "--tail=2") == "line 3\noops\n"
    assert talker.kubectl("logs", "p", "--limit-bytes=8") == "line 1\nl"
    first = talker.kubectl("logs", "p", "--timestamps").splitlines()[0]
    assert first.endswith("Z line 1")
    assert talker.kubectl("logs", "p", "--since=1h") == "line 1\nline 2\nline 3\noops\n"
    assert talker.kubectl("logs", "p", "--since-time=2999-01-01T00:00:00Z") == ""


def test_following_ends_with_the_container(talker: Podrun) -> None:
    run(talker, "short", container("a", "for i in 1 2 3; do echo $i; sleep 0.1; done; printf end; exit 3"))
    assert talker.kubectl("logs", "-f", "short") == "1\n2\n3\nend"


def test_the_log_of_the_run_before(talker: Podrun) -> None:
    once = "if [ -e /d/x ]; then echo second; sleep 3600; fi; touch /d/x; echo first; exit 1"
    mount = {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}
    run(talker, "again", container("a", once, **mount), restart="OnFailure", volumes=[{"name": "d", "emptyDir": {}}])
    restarted = "jsonpath={.status.containerStatuses[0].restartCount}=1"
    talker.kubectl("wait", f"--for={restarted}", "pod/again", "--timeout=20s")
    assert talker.kubectl("logs", "again", "--previous") == "first\n"
    assert talker.kubectl("logs", "again") == "second\n"


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (("logs", "p", "-c", "zz"), "container zz is not valid for pod p"),
        (("logs", "p", "--previous"), 'previous terminated container "a" in pod "p" not found'),
        (("logs", "zz"), 'pods "zz" not found'),
        (("logs", "p", "--tail=-7"), "--tail must be greater than or equal to -1"),
        (("exec", "zz", "--", "ls"), 'pods "zz" not found'),
        (("exec", "p", "--", "nope"), 'exec: "nope": executable file not found in $PATH'),
    ],
    ids=["a container", "a run before", "a pod", "a number", "a pod to exec in", "a command"],
)
def test_what_is_not_there(talker: Podrun, words: tuple[str, ...], refusal: str) -> None:
    done = talker.run("kubectl", *words, check=False)
    assert done.returncode != 0
    assert refusal in done.stderr


def test_exec_has_streams_and_a_code(talker: Podrun) -> None:
    done = talker.run("kubectl", "exec", "p", "--", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.returncode, done.stdout) == (7, "out\n")
    assert done.stderr.startswith("err\n")
    assert talker.kubectl("exec", "-i", "p", "--", "wc", "-c", input="x" * 300_000).strip() == "300000"


def test_much_output_arrives_whole(talker: Podrun) -> None:
    sent = talker.kubectl("exec", "p", "--", "sh", "-c", "yes 0123456789 | head -c 20000000")
    assert len(sent) == 20_000_000
    assert set(sent.splitlines()[:-1]) == {"0123456789"}


def test_a_grandchild_does_not_keep_an_exec_open(talker: Podrun) -> None:
    began = time.monotonic()
    assert talker.kubectl("exec", "p", "--", "sh", "-c", "sleep 30 & echo done") == "done\n"
    assert time.monotonic() - began < 10


def test_a_terminal_has_the_clients_size(talker: Podrun) -> None:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    client = subprocess.Popen(
        talker.inside("kubectl", "exec", "-it", "p", "--", "sh", "-c", "sleep 0.5; stty size; tty; read x; exit $x"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=talker.environment(),
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""
    while b"/dev/pts/" not in seen:
        assert select.select([ours], [], [], 10)[0], seen
        seen += os.read(ours, 4096)
    os.write(ours, b"5\n")
    assert client.wait(timeout=10) == 5
    os.close(ours)
    assert b"33 101\r\n" in seen


def test_files_are_copied_both_ways(talker: Podrun) -> None:
    source, back = talker.root / "source", talker.root / "back"
    source.write_bytes(os.urandom(100_000))
    talker.kubectl("cp", str(source), "p:/tmp/copy")
    talker.kubectl("cp", "p:/tmp/copy", str(back))
    assert back.read_bytes() == source.read_bytes()


def test_attach_speaks_with_the_container_itself(talker: Podrun) -> None:
    given = talker.run(
        "kubectl", "run", "-i", "--rm", "--restart=Never", "q", "--image=busybox:1.36", "--", "cat", input="hello\n"
    )
    assert given.stdout.startswith("hello\n")


# The protocols


@asynccontextmanager
async def socket_to(podrun: Podrun, path: str, *protocols: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A WebSocket to the API, made from within the daemon's network."""
    connector = aiohttp.UnixConnector(str(podrun.layout.api_socket))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(f"http://podrun{path}", protocols=protocols) as socket,
    ):
        yield socket


EXEC = "/api/v1/namespaces/default/pods/p/exec?"


async def heard(socket: aiohttp.ClientWebSocketResponse) -> dict[int, bytes]:
    """All bytes of each channel until the server closes."""
    channels: dict[int, bytes] = {}
    async with asyncio.timeout(10):
        async for message in socket:
            channels[message.data[0]] = channels.get(message.data[0], b"") + message.data[1:]
    return channels


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
async def test_the_end_is_a_status(talker: Podrun, protocol: str) -> None:
    query = "command=sh&command=-c&command=echo%20out;echo%20err%3E%262;exit%203&stdout=1&stderr=true"
    async with socket_to(talker, EXEC + query, "nonsense", protocol) as socket:
        assert socket.protocol == protocol
        channels = await heard(socket)
        assert socket.close_code == 1000
    assert (channels[1], channels[2]) == (b"out\n", b"err\n")
    status = json.loads(channels[3])
    assert (status["status"], status["reason"]) == ("Failure", "NonZeroExitCode")
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


async def test_v5_closes_stdin(talker: Podrun) -> None:
    async with socket_to(talker, f"{EXEC}command=cat&stdin=1&stdout=1", "v5.channel.k8s.io") as socket:
        await socket.send_bytes(b"\0hello")
        await socket.send_bytes(b"\xff\0")
        channels = await heard(socket)
    assert channels[1] == b"hello"
    assert json.loads(channels[3])["status"] == "Success"


async def test_base64_and_no_protocol_at_all(talker: Podrun) -> None:
    async with socket_to(talker, f"{EXEC}command=echo&command=hi&stdout=1", "base64.channel.k8s.io") as socket:
        texts = [message.data async for message in socket]
    assert texts == ["1", "1aGkK"]
    async with socket_to(talker, f"{EXEC}command=echo&command=hi&stdout=1") as socket:
        assert await heard(socket) == {1: b"hi\n"}


async def test_who_leaves_takes_the_process_along(talker: Podrun) -> None:
    async with socket_to(talker, f"{EXEC}command=sleep&command=3599&stdout=1", "v5.channel.k8s.io") as socket:
        assert (await socket.receive(timeout=10)).data == b"\1"
    done = talker.run(
        "kubectl", "exec", "p", "--", "sh", "-c", "while pgrep -f 'sleep 3599' >/dev/null; do sleep 0.05; done"
    )
    assert done.returncode == 0


async def test_who_leaves_is_missed_also_while_the_process_reads_nothing(talker: Podrun) -> None:
    query = f"{EXEC}command=sleep&command=3598&stdin=1&stdout=1"
    async with socket_to(talker, query, "v5.channel.k8s.io") as socket:
        assert (await socket.receive(timeout=10)).data == b"\1"
        with contextlib.suppress(TimeoutError):  # when pipe, server and sockets are full
            async with asyncio.timeout(1):
                while True:
                    await socket.send_bytes(b"\0" + bytes(1 << 16))
        writer = socket.get_extra_info("socket")
        writer.shutdown(0x2)  # both ways, without a farewell
    gone = "while pgrep -f 'sleep 3598' >/dev/null; do sleep 0.05; done"
    assert talker.run("kubectl", "exec", "p", "--", "timeout", "20", "sh", "-c", gone).returncode == 0


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("command=ls", 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("stdout=1", 400, "you must specify a command"),
        ("command=ls&stdout=1&container=zz", 400, "container zz is not valid for pod p"),
        ("command=ls&stdout=1", 400, "Upgrade request required"),
    ],
)
async def test_refused_before_any_stream(talker: Podrun, query: str, code: int, words: str) -> None:
    connector = aiohttp.UnixConnector(str(talker.layout.api_socket))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(f"http://podrun{EXEC}{query}") as response,
    ):
        assert response.status == code
        assert words in await response.text()


@pytest.mark.parametrize("protocol", ["binary.k8s.io", "base64.binary.k8s.io"])
async def test_logs_over_a_websocket(talker: Podrun, protocol: str) -> None:
    path = "/api/v1/namespaces/default/pods/p/log?tailLines=1"
    async with socket_to(talker, path, protocol) as socket:
        assert socket.protocol == protocol
        messages = [message.data async for message in socket]
    assert messages == ([b"oops\n"] if protocol == "binary.k8s.io" else ["b29wcwo="])
