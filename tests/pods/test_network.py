"""How pods, the host and the world beyond reach one another."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.harness import Podrun, wait_until
from tests.pods.living import Pods, container_status, pod, shell, state

SERVER = "echo {0} > /tmp/who; trap 'exit 0' TERM; httpd -f -p {1} -h /tmp & wait $!"
"""Serves the word {0} at /who on port {1}."""


def serving(name: str, word: str = "hi", port: int = 8080, **fields: object) -> dict:
    return shell(name, SERVER.format(word, port), **fields)


def fetch(address: str, port: int) -> list[str]:
    """The command that asks a server who it is, in a container."""
    return ["wget", "-q", "-O", "-", f"http://{address}:{port}/who"]


_FETCH = r"""
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 3) as connection:
    connection.sendall(b"GET /who HTTP/1.0\r\n\r\n")
    print(connection.makefile().read().partition("\n\n")[2], end="")
"""


def from_host(address: str, port: int) -> list[str]:
    """The same command for outside a container."""
    return [sys.executable, "-S", "-c", _FETCH, address, str(port)]


def answered(pods: Pods, address: str, port: int, who: str) -> None:
    """The host gets that word from there, as soon as the server listens."""
    argv = from_host(address, port)
    wait_until(lambda: pods.podrun.run(*argv, check=False).stdout == who, 10, f"{address}:{port} does not say {who!r}")


def test_the_host_and_another_pod_reach_a_pod(pods: Pods) -> None:
    pods.run(pod("server", serving("a")))
    pods.run(pod("client"))
    answered(pods, pods.address("server"), 8080, "hi\n")
    assert pods.exec("client", *fetch(pods.address("server"), 8080)).stdout == "hi\n"


def test_a_pod_reaches_itself_by_its_own_address(pods: Pods) -> None:
    pods.run(pod("server", serving("a"), shell("b")))
    answered(pods, pods.address("server"), 8080, "hi\n")
    assert pods.exec("server", *fetch(pods.address("server"), 8080), container="b").stdout == "hi\n"


def test_two_containers_cannot_take_one_port(pods: Pods) -> None:
    pods.create(pod("both", serving("a"), shell("b", "sleep 0.2; exec httpd -f -p 8080"), restartPolicy="Never"))
    now = pods.until("both", lambda now: state(now, "b")["is"] == "terminated")
    assert state(now, "b")["exitCode"] == 1
    assert "Address already in use" in pods.log("both", "b")


def test_a_pod_sees_its_clients_real_address(pods: Pods) -> None:
    pods.run(pod("server", shell("a", "trap 'exit 0' TERM; nc -ll -p 7 -e netstat -tn & wait $!")))
    pods.run(pod("client"))
    wait_until(lambda: ":7 " in pods.sh("server", "netstat -ltn"), 5, "nc does not listen")
    said = pods.sh("client", f"nc -w 3 {pods.address('server')} 7 < /dev/null")
    assert pods.address("client") in said


def test_the_address_survives_the_restart_of_a_container(pods: Pods) -> None:
    pods.run(pod("phoenix", shell("a", "trap 'exit 1' TERM; sleep 1000 & wait $!"), shell("b")))
    before = pods.address("phoenix")
    pods.exec("phoenix", "sh", "-c", "kill -TERM 1")
    now = pods.until("phoenix", lambda now: container_status(now)["restartCount"] == 1)
    now = pods.until("phoenix", lambda now: "running" in container_status(now)["state"])
    assert now["status"]["podIP"] == before
    assert before in pods.sh("phoenix", "ip -o -4 addr show eth0")
    assert container_status(now, "b")["restartCount"] == 0


def test_a_pod_cannot_speak_with_anothers_address(pods: Pods) -> None:
    pods.run(pod("server", serving("a")))
    pods.run(pod("liar", shell("a", securityContext={"capabilities": {"add": ["NET_ADMIN"]}})))
    answered(pods, pods.address("server"), 8080, "hi\n")
    pods.sh(
        "liar",
        "ip addr add 10.244.77.77/32 dev eth0 && ip route change default via 169.254.1.1 dev eth0 src 10.244.77.77",
    )
    done = pods.exec("liar", "timeout", "1", *fetch(pods.address("server"), 8080))
    assert done.returncode != 0


class TestHostPort:
    def test_is_reached_on_loopback_and_on_the_nodes_address(self, pods: Pods) -> None:
        ports = [{"containerPort": 8080, "hostPort": 18080}]
        now = pods.run(pod("server", serving("a", ports=ports)))
        answered(pods, pods.address("server"), 8080, "hi\n")
        answered(pods, "127.0.0.1", 18080, "hi\n")
        answered(pods, now["status"]["hostIP"], 18080, "hi\n")

    def test_another_pod_reaches_it_through_the_node(self, pods: Pods) -> None:
        ports = [{"containerPort": 8080, "hostPort": 18080}]
        now = pods.run(pod("server", serving("a", ports=ports)))
        pods.run(pod("client"))
        answered(pods, pods.address("server"), 8080, "hi\n")
        assert pods.exec("client", *fetch(now["status"]["hostIP"], 18080)).stdout == "hi\n"

    def test_is_free_again_when_the_pod_is_gone(self, pods: Pods) -> None:
        ports = [{"containerPort": 8080, "hostPort": 18080}]
        pods.run(pod("first", serving("a", "one", ports=ports)))
        answered(pods, "127.0.0.1", 18080, "one\n")
        pods.delete("first")
        pods.run(pod("second", serving("a", "two", ports=ports)))
        answered(pods, "127.0.0.1", 18080, "two\n")

    def test_that_another_pod_has_leaves_the_pod_pending_with_an_event(self, pods: Pods) -> None:
        ports = [{"containerPort": 8080, "hostPort": 18080}]
        pods.run(pod("first", serving("a", "one", ports=ports)))
        pods.create(pod("second", serving("a", "two", ports=ports)))
        said = pods.event("second", "FailedScheduling")
        assert "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports." in said
        assert pods.get("second")["status"]["phase"] == "Pending"
        pods.delete("first")
        pods.ready("second")
        answered(pods, "127.0.0.1", 18080, "two\n")

    def test_of_udp_carries_datagrams(self, pods: Pods, podrun: Podrun) -> None:
        ports = [{"containerPort": 5353, "hostPort": 15353, "protocol": "UDP"}]
        pods.run(pod("server", shell(ports=ports)))
        listen = (
            "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 5353)); print(s.recv(9).decode())"
        )
        argv = ["nsenter", f"--target={pods.pid('server')}", "--net", sys.executable, "-c", listen]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:

            def came() -> bool:
                podrun.run("bash", "-c", "echo -n ping > /dev/udp/127.0.0.1/15353")
                return server.poll() is not None

            wait_until(came, 5, "no datagram came", every=0.1)
            assert server.communicate()[0] == "ping\n"


@pytest.fixture
def outside(podrun: Podrun) -> Iterator[str]:
    """A machine beyond the node: a network namespace behind a veth, 203.0.113.2 there and 203.0.113.1 here. Its pid."""
    sleeper = subprocess.Popen(
        podrun.inside("unshare", "--net", "sh", "-c", "echo on; exec sleep 600"), stdout=subprocess.PIPE
    )
    assert sleeper.stdout is not None
    sleeper.stdout.readline()
    there = ["nsenter", f"--target={sleeper.pid}", "--net"]
    podrun.run("ip", "link", "add", "out0", "type", "veth", "peer", "name", "eth0", "netns", str(sleeper.pid))
    podrun.run("ip", "addr", "add", "203.0.113.1/24", "dev", "out0")
    podrun.run("ip", "link", "set", "out0", "up")
    for words in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "addr", "add", "203.0.113.2/24", "dev", "eth0"],
        ["ip", "link", "set", "eth0", "up"],
    ):
        subprocess.run([*there, *words], check=True)
    yield str(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    podrun.run("ip", "link", "del", "out0", check=False)


def test_the_world_outside_sees_the_nodes_address(pods: Pods, outside: str) -> None:
    script = "exec busybox nc -ll -p 80 -e busybox netstat -tn"
    with subprocess.Popen(["nsenter", f"--target={outside}", "--net", "sh", "-c", script]) as server:
        try:
            pods.run(pod("client"))
            said: list[str] = []

            def answers() -> bool:
                said[:] = [pods.exec("client", "nc", "-w", "3", "203.0.113.2", "80", input="").stdout]
                return "203.0.113.1:" in said[0]

            wait_until(answers, 10, f"outside sees {said}")
            assert "10.244." not in said[0]
        finally:
            server.kill()


def test_the_world_outside_reaches_a_host_port(pods: Pods, outside: str) -> None:
    pods.run(pod("server", serving("a", ports=[{"containerPort": 8080, "hostPort": 18080}])))
    answered(pods, pods.address("server"), 8080, "hi\n")
    argv = ["nsenter", f"--target={outside}", "--net", *from_host("203.0.113.1", 18080)]
    assert subprocess.run(argv, capture_output=True, text=True).stdout == "hi\n"


def test_a_pod_on_the_hosts_network_reaches_pods_and_is_reached(pods: Pods) -> None:
    guest = pods.run(pod("guest", serving("a", "guest", 18081), hostNetwork=True))
    pods.run(pod("inner", serving("a", "inner")))
    answered(pods, "127.0.0.1", 18081, "guest\n")
    answered(pods, pods.address("inner"), 8080, "inner\n")
    assert pods.exec("guest", *fetch(pods.address("inner"), 8080)).stdout == "inner\n"
    assert pods.exec("inner", *fetch(guest["status"]["podIP"], 18081)).stdout == "guest\n"


class TestApiFromInside:
    """What a client library does in a pod: the service's address, the mounted CA and token."""

    def kubectl(self, pods: Pods, name: str, *words: str) -> str:
        """What the real kubectl says in the network of a pod, with the files mounted there."""
        directory = "/var/run/secrets/kubernetes.io/serviceaccount"
        authority = pods.podrun.root / "ca-of-the-pod.crt"
        authority.write_text(pods.sh(name, f"cat {directory}/ca.crt"))
        token = pods.sh(name, f"cat {directory}/token")
        place = pods.sh(name, "echo https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT").strip()
        options = [
            "--kubeconfig=/dev/null",
            f"--server={place}",
            f"--token={token}",
            f"--certificate-authority={authority}",
        ]
        enter = ["nsenter", f"--target={pods.pid(name)}", "--net"]
        done = pods.podrun.run(*enter, "kubectl", *options, "--request-timeout=5s", *words, check=False)
        return done.stdout + done.stderr

    def whoami(self, pods: Pods, name: str) -> dict:
        review = pods.podrun.root / "review.json"
        review.write_text(json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}))
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        return dict(
            json.loads(self.kubectl(pods, name, "create", "--raw", path, "-f", str(review)))["status"]["userInfo"]
        )

    def test_its_address_and_port_are_in_the_environment(self, pods: Pods) -> None:
        pods.run(pod("client"))
        said = pods.sh("client", "echo $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT $KUBERNETES_PORT_443_TCP_ADDR")
        assert said == "10.96.0.1 443 10.96.0.1\n"

    def test_the_token_names_the_pods_account_and_the_pod(self, pods: Pods) -> None:
        pods.run(pod("client"))
        who = self.whoami(pods, "client")
        assert who["username"] == "system:serviceaccount:default:default"
        groups = ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
        assert who["groups"] == groups
        assert who["extra"]["authentication.kubernetes.io/pod-name"] == ["client"]

    def test_an_account_without_a_role_may_see_the_version_and_no_pods(self, pods: Pods) -> None:
        pods.run(pod("client"))
        assert "Server Version: v1.36" in self.kubectl(pods, "client", "version")
        assert self.kubectl(pods, "client", "get", "pods") == (
            'Error from server (Forbidden): pods is forbidden: User "system:serviceaccount:default:default" '
            'cannot list resource "pods" in API group "" in the namespace "default"\n'
        )

    def test_the_pods_namespace_stands_beside_the_token(self, pods: Pods) -> None:
        pods.run(pod("client"))
        assert pods.sh("client", "cat /var/run/secrets/kubernetes.io/serviceaccount/namespace") == "default"

    def test_without_automount_there_is_no_token(self, pods: Pods) -> None:
        pods.run(pod("mute", automountServiceAccountToken=False))
        assert pods.exec("mute", "ls", "/var/run/secrets/kubernetes.io").returncode != 0

    def test_a_pod_on_the_hosts_network_reaches_it_too(self, pods: Pods) -> None:
        pods.run(pod("guest", hostNetwork=True))
        assert self.whoami(pods, "guest")["username"] == "system:serviceaccount:default:default"
