"""Port-forward with real clients: kubectl over WebSockets and over SPDY alone, Python's over its channels."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Podrun, wait_until
from tests.pods.living import Pods

TRANSPORTS = {"WebSocket": {}, "SPDY": {"KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}}
SERVE = "mkdir /w; echo hello > /w/index.html; httpd -p 127.0.0.1:8080 -h /w; exec nc -ll -p 7000 -e cat"


def server(name: str) -> dict[str, Any]:
    """A pod that serves HTTP on its own localhost and echoes on port 7000."""
    container: dict[str, Any] = {"name": "a", "image": "busybox:1.36", "command": ["sh", "-c", SERVE]}
    answers = {"command": ["wget", "-q", "-O", "-", "http://127.0.0.1:8080/"]}
    container["readinessProbe"] = {"exec": answers, "periodSeconds": 1}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
    }


@pytest.fixture(scope="module")
def house(module_podrun: Podrun) -> Iterator[Podrun]:
    """A daemon with a serving pod `p`."""
    module_podrun.apply(server("p"))
    module_podrun.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=20s")
    yield module_podrun
    module_podrun.delete_pods()
    assert module_podrun.leaks() == {}


class Forwarding:
    """A kubectl port-forward of one port."""

    def __init__(self, house: Podrun, process: subprocess.Popen[str], port: str) -> None:
        self.house, self.process, self.port = house, process, port

    def fetch(self) -> str:
        return self.house.run("curl", "-sS", "--max-time", "10", f"http://127.0.0.1:{self.port}/").stdout

    def knock(self) -> None:
        """Connect and see the connection end."""
        self.house.run("curl", "-s", "--max-time", "10", f"http://127.0.0.1:{self.port}/", check=False)

    def end(self) -> str:
        """What it has said once it has ended by itself."""
        return self.process.communicate(timeout=10)[0]


@contextmanager
def forwarding(house: Podrun, port: int, transport: str, to: str = "pod/p") -> Iterator[Forwarding]:
    process = subprocess.Popen(
        house.inside("kubectl", "port-forward", to, f":{port}"),
        env=house.environment() | TRANSPORTS[transport],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Forwarding from 127.0.0.1:"), line + process.stdout.read()
        yield Forwarding(house, process, line.split()[2].rpartition(":")[2])
    finally:
        process.kill()
        process.communicate()


def client(house: Podrun, *words: str) -> str:
    return house.run(sys.executable, "-m", "tests.apiserver.clients", *words, seconds=60).stdout


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_http_goes_through_again_and_again(house: Podrun, transport: str) -> None:
    with forwarding(house, 8080, transport) as forwarded:
        for _ in range(5):
            assert forwarded.fetch() == "hello\n"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_five_megabytes_come_back_whole_over_a_half_closed_connection(house: Podrun, transport: str) -> None:
    with forwarding(house, 7000, transport) as forwarded:
        assert client(house, "echo", forwarded.port, "5000000", "1") == "1\n"


@contextmanager
def serving(house: Podrun, how: str, port: int) -> Iterator[None]:
    """A server of clients.py in the network namespace of pod `p`."""
    pid = Pods(house).pid("p")
    enter = ["nsenter", f"--target={pid}", "--net", "--", sys.executable, "-m", "tests.apiserver.clients"]
    with subprocess.Popen([*enter, how, str(port)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_many_connections_at_once_do_not_mix(house: Podrun, transport: str) -> None:
    with serving(house, "serve", 7001), forwarding(house, 7001, transport) as forwarded:
        assert client(house, "echo", forwarded.port, "100000", "40") == "40\n"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_closed_port_is_told_in_containerds_words(house: Podrun, transport: str) -> None:
    with forwarding(house, 9999, transport) as forwarded:
        forwarded.knock()
        said = forwarded.end()
    assert "error forwarding port 9999 to pod " in said
    assert "failed to connect to localhost:9999 inside namespace" in said
    assert "IPv4: dial tcp4 127.0.0.1:9999: connect: connection refused IPv6 dial tcp6 [::1]:9999: connect:" in said


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_pod_that_ends_takes_its_connections_along(house: Podrun, transport: str) -> None:
    house.apply(server("q"))
    house.kubectl("wait", "--for=condition=Ready", "pod/q", "--timeout=20s")
    before = house.descriptors()[0]
    with forwarding(house, 7000, transport, to="pod/q") as forwarded:
        talker = subprocess.Popen(
            house.inside("bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{forwarded.port}; echo x >&3; cat <&3"),
            stdout=subprocess.PIPE,
        )
        assert talker.stdout is not None
        assert talker.stdout.readline() == b"x\n"
        house.kubectl("delete", "pod", "q", "--now")
        assert talker.stdout.read() == b""
        talker.communicate()
        forwarded.knock()
        said = forwarded.end()
    assert "network namespace for sandbox" in said or "failed to find sandbox" in said
    wait_until(lambda: house.descriptors()[0] <= before, 5, "descriptors of the forwarded connections are left")


def test_a_client_that_leaves_leaves_nothing(house: Podrun) -> None:
    house.kubectl("get", "pods")
    before = house.descriptors()[0]
    with forwarding(house, 7000, "WebSocket") as forwarded:
        holder = subprocess.Popen(
            house.inside("bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{forwarded.port}; echo x >&3; cat <&3"),
            stdout=subprocess.PIPE,
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"x\n"
        os.kill(forwarded.process.pid, signal.SIGKILL)
        holder.communicate(timeout=10)
    wait_until(lambda: house.descriptors()[0] <= before, 5, "descriptors of the forwarded connections are left")


def test_a_services_port_and_a_pod_on_the_hosts_network(house: Podrun) -> None:
    on_host = server("h")
    on_host["spec"]["hostNetwork"] = True
    on_host["metadata"]["labels"] = {"app": "h"}
    on_host["spec"]["containers"][0]["command"][2] = SERVE.replace("8080", "8081").replace("7000", "7009")
    del on_host["spec"]["containers"][0]["readinessProbe"]
    ports = [{"port": 80, "targetPort": 8081}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "h"}}
    house.apply(on_host, {**service, "spec": {"selector": {"app": "h"}, "ports": ports}})
    house.kubectl("wait", "--for=condition=Ready", "pod/h", "--timeout=20s")
    with forwarding(house, 80, "WebSocket", to="service/h") as forwarded:
        assert forwarded.fetch() == "hello\n"
    house.kubectl("delete", "pod/h", "service/h", "--now")


def standing_still(pid: int) -> Callable[[], bool]:
    """Whether a process has written something, and nothing more since it was asked before."""
    seen: list[str] = []

    def still() -> bool:
        seen.append(Path(f"/proc/{pid}/io").read_text().splitlines()[1])
        return seen[-1] != "wchar: 0" and seen[-1:] == seen[-2:-1]

    return still


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_that_leaves_while_the_pod_reads_nothing_leaves_nothing(house: Podrun, transport: str) -> None:
    house.kubectl("get", "pods")
    before = house.descriptors()[0]
    with serving(house, "ignore", 7002), forwarding(house, 7002, transport) as forwarded:
        send = f"exec 3<>/dev/tcp/127.0.0.1/{forwarded.port}; exec head -c 50000000 /dev/zero >&3"
        sender = subprocess.Popen(house.inside("bash", "-c", send), stderr=subprocess.DEVNULL)
        wait_until(standing_still(sender.pid), 20, "the pod reads", every=0.5)
        assert sender.poll() is None
        os.kill(forwarded.process.pid, signal.SIGKILL)
        sender.wait(timeout=10)
        wait_until(lambda: house.descriptors()[0] <= before, 20, "descriptors of the forwarded connections are left")


def test_pythons_client_forwards_over_channels(house: Podrun) -> None:
    assert client(house, "python_forward", "p", "8080") == "hello\n"


def test_pythons_client_is_told_of_a_closed_port(house: Podrun) -> None:
    assert "failed to connect to localhost:9999" in client(house, "python_refused", "p", "9999")


def test_pythons_client_leaves_nothing_when_it_leaves_while_the_pod_reads_nothing(house: Podrun) -> None:
    house.kubectl("get", "pods")
    before = house.descriptors()[0]
    with serving(house, "ignore", 7002):
        command = house.inside(sys.executable, "-m", "tests.apiserver.clients", "python_flood", "p", "7002")
        with subprocess.Popen(command, env=house.environment(), stdout=subprocess.PIPE) as flooding:
            assert flooding.stdout is not None
            assert flooding.stdout.readline() == b"sent\n"
            assert house.descriptors()[0] > before
            flooding.kill()
        wait_until(lambda: house.descriptors()[0] <= before, 20, "descriptors of the forwarded connections are left")


def test_pythons_client_runs_commands(house: Podrun) -> None:
    assert client(house, "python_exec", "p") == "out in\nerr\n7"


@pytest.mark.parametrize(
    ("query", "words"),
    [("", "is required"), ("?ports=x", "unable to parse"), ("?ports=0", "must be > 0"), ("?ports=70000", "unable to")],
)
def test_ports_that_make_no_sense_are_refused(house: Podrun, query: str, words: str) -> None:
    path = f"http://x/api/v1/namespaces/default/pods/p/portforward{query}"
    upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: " + "A" * 24,
    ]
    headers = [word for header in upgrade for word in ("-H", header)]
    answer = house.run("curl", "-sS", "--unix-socket", str(house.layout.api_socket), *headers, path).stdout
    assert '"code":400' in answer
    assert words in answer
