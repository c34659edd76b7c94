"""Services with real pods and real traffic: who is reached, by whom, and from when on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import Podrun, wait_until
from tests.pods.living import Pods, pod, shell

Object = dict[str, Any]

SERVE = "echo {0} > /tmp/who; trap 'exit 0' TERM; httpd -f -p 8080 -h /tmp & wait $!"
WHEN_TOLD = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}


@pytest.fixture
def pods(podrun: Podrun) -> Iterator[Pods]:
    yield Pods(podrun)
    podrun.kubectl("delete", "services", "-l", "test=services", "--wait=false")


def server(name: str, **spec: Any) -> Object:
    """A pod that says its own name at /who on port 8080, with the label app=web."""
    ports = [{"name": "http", "containerPort": 8080}]
    container = shell("a", SERVE.format(name), ports=ports, **spec.pop("container", {}))
    return pod(name, container, metadata={"labels": {"app": "web"}}, **spec)


def service(name: str = "web", **spec: Any) -> Object:
    """A Service of app=web at port 80."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {"test": "services"}},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}], **spec},
    }


def address(pods: Pods, name: str = "web") -> str:
    return str(pods.call("GET", pods.path("services", name))["spec"]["clusterIP"])


def node_port(pods: Pods, name: str = "web") -> int:
    return int(pods.call("GET", pods.path("services", name))["spec"]["ports"][0]["nodePort"])


def ask(pods: Pods, where: str, client: str = "client") -> str:
    """The name of the pod that answers a pod there; the reason where none does."""
    done = pods.exec(client, "wget", "-q", "-O", "-", f"http://{where}/who")
    return (done.stdout or done.stderr.splitlines()[0]).strip()


def ask_from_host(pods: Pods, where: str) -> str:
    done = pods.podrun.run("curl", "-sS", "-m", "3", f"http://{where}/who", check=False)
    return (done.stdout or done.stderr).strip()


def asked_until(pods: Pods, where: str, names: set[str]) -> None:
    """The host is answered by all these pods."""
    seen: set[str] = set()

    def all_seen() -> bool:
        seen.add(ask_from_host(pods, where))
        return names <= seen

    wait_until(all_seen, 10, f"{where} is not served by {names}, but by {seen}")


def test_pods_and_the_host_reach_the_ready_pods_of_a_service(pods: Pods) -> None:
    pods.create(server("one"), server("two"), pod("client"), service())
    pods.ready("one", "two", "client")
    asked_until(pods, address(pods), {"one", "two"})
    assert {ask(pods, address(pods)) for _ in range(12)} == {"one", "two"}


def test_a_pod_reaches_itself_through_its_service(pods: Pods) -> None:
    pods.run(server("one"))
    pods.create(service())
    asked_until(pods, address(pods), {"one"})
    assert [ask(pods, address(pods), "one") for _ in range(3)] == ["one"] * 3


def test_a_service_without_ready_pods_refuses_at_once(pods: Pods) -> None:
    pods.create(service(type="NodePort"), pod("client"))
    pods.ready("client")
    assert "refused" in ask(pods, address(pods))
    assert "Couldn't connect" in ask_from_host(pods, address(pods))
    assert "Couldn't connect" in ask_from_host(pods, f"127.0.0.1:{node_port(pods)}")


def test_only_ready_pods_are_reached_and_a_change_is_seen_at_once(pods: Pods) -> None:
    pods.create(server("late", container={"readinessProbe": WHEN_TOLD}), server("early"), service())
    pods.ready("early")
    asked_until(pods, address(pods), {"early"})
    assert {ask_from_host(pods, address(pods)) for _ in range(10)} == {"early"}
    pods.sh("late", "touch /tmp/ready")
    pods.ready("late")
    asked_until(pods, address(pods), {"early", "late"})
    pods.sh("late", "rm /tmp/ready")
    pods.until(
        "late", lambda now: any(c["type"] == "Ready" and c["status"] == "False" for c in now["status"]["conditions"])
    )
    wait_until(lambda: {ask_from_host(pods, address(pods)) for _ in range(6)} == {"early"}, 5, "late is still reached")


def test_unready_pods_are_reached_where_they_are_published(pods: Pods) -> None:
    pods.create(server("late", container={"readinessProbe": WHEN_TOLD}), service(publishNotReadyAddresses=True))
    asked_until(pods, address(pods), {"late"})


def test_a_node_port_is_served_on_loopback_and_on_every_address_of_the_host(pods: Pods) -> None:
    pods.run(server("one"))
    pods.create(service(type="NodePort"))
    port = node_port(pods)
    assert 30000 <= port <= 32767
    asked_until(pods, f"127.0.0.1:{port}", {"one"})
    pods.podrun.run("ip", "address", "add", "192.0.2.9/32", "dev", "lo")
    asked_until(pods, f"192.0.2.9:{port}", {"one"})
    assert ask(pods, f"192.0.2.9:{port}", "one") == "one"


def test_a_client_stays_with_its_pod_under_session_affinity(pods: Pods) -> None:
    pods.create(server("one"), server("two"), server("three"), pod("client"), service(sessionAffinity="ClientIP"))
    pods.ready("one", "two", "three", "client")
    first = ask(pods, address(pods))
    assert first in ("one", "two", "three")
    assert [ask(pods, address(pods)) for _ in range(8)] == [first] * 8
    pods.delete(first, grace=0)
    wait_until(lambda: ask(pods, address(pods)) in {"one", "two", "three"} - {first}, 5, "nobody else takes over")


def test_several_ports_and_protocols_lead_where_they_say(pods: Pods) -> None:
    ports = [
        {"name": "u", "protocol": "UDP", "port": 53, "targetPort": 53},
        {"name": "t", "protocol": "TCP", "port": 5353, "targetPort": 53},
    ]
    names = service("names", ports=ports)
    del names["spec"]["selector"]
    served = [{"name": "u", "protocol": "UDP", "port": 53}, {"name": "t", "protocol": "TCP", "port": 53}]
    subsets = [{"addresses": [{"ip": "10.96.0.10"}], "ports": served}]
    pods.create(pod("client", shell("a", image="toolbox")), names)
    pods.call("POST", pods.path("endpoints"), {"metadata": {"name": "names"}, "subsets": subsets})
    pods.ready("client")
    dig = f"dig +short +tries=1 +time=2 @{address(pods, 'names')} kubernetes.default.svc.cluster.local"
    wait_until(lambda: pods.exec("client", "sh", "-c", dig).stdout == "10.96.0.1\n", 5, "UDP is not served")
    assert pods.sh("client", f"{dig} -p 5353 +tcp") == "10.96.0.1\n"
    assert "refused" in pods.exec("client", "sh", "-c", f"{dig} -p 5353").stdout


def test_endpoints_made_by_hand_are_served_and_mirrored(pods: Pods) -> None:
    pods.run(server("one"))
    by_hand = service("manual", ports=[{"port": 80}])
    del by_hand["spec"]["selector"]
    subsets = [{"addresses": [{"ip": pods.address("one")}], "ports": [{"port": 8080}]}]
    endpoints = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "manual"}, "subsets": subsets}
    pods.create(by_hand)
    pods.call("POST", pods.path("endpoints"), endpoints)
    asked_until(pods, address(pods, "manual"), {"one"})
    listed = pods.podrun.get("endpointslices", "-l", "kubernetes.io/service-name=manual")["items"]
    managed = [one["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] for one in listed]
    assert managed == ["endpointslicemirroring-controller.k8s.io"]
    pods.podrun.kubectl("delete", "service", "manual")
    wait_until(lambda: not pods.podrun.get("endpoints")["items"][1:], 5, "the Endpoints have not gone with the Service")


def test_kubectl_expose_serves_a_pod_and_deleting_the_service_ends_that(pods: Pods) -> None:
    pods.run(server("one"))
    pods.podrun.kubectl("expose", "pod", "one", "--port=81", "--target-port=8080", "--labels=test=services")
    where = f"{address(pods, 'one')}:81"
    asked_until(pods, where, {"one"})
    pods.podrun.kubectl("delete", "service", "one")
    wait_until(lambda: "Couldn't connect" in ask_from_host(pods, where), 5, "the Service is gone and still served")
    assert pods.podrun.get("endpointslices", "-l", "kubernetes.io/service-name=one")["items"] == []


def test_services_outlive_podrund(pods: Pods) -> None:
    pods.create(server("one"), server("two"), pod("client"), service(sessionAffinity="ClientIP"))
    pods.ready("one", "two", "client")
    where = address(pods)
    first = ask(pods, where)
    before = rules(pods)
    pods.podrun.crash()
    assert rules(pods) == before
    assert [ask(pods, where) for _ in range(6)] == [first] * 6, "the client's pod is forgotten"


def rules(pods: Pods) -> list[str]:
    """The names of what nft has of podrun's Services."""
    listed = json.loads(pods.podrun.run("nft", "-j", "list", "table", "ip", "podrun-services").stdout)["nftables"]
    return sorted(f"{kind} {one[kind].get('name')}" for one in listed for kind in one if kind != "metainfo")


def test_services_are_told_to_containers_by_variables(pods: Pods) -> None:
    pods.create(service("my-db", ports=[{"name": "sql", "port": 5432}]))
    pods.create(pod("told"), pod("untold", enableServiceLinks=False))
    pods.ready("told", "untold")
    told = pods.sh("told", "env | sort")
    where = address(pods, "my-db")
    assert f"MY_DB_SERVICE_HOST={where}\n" in told
    assert "MY_DB_SERVICE_PORT_SQL=5432\n" in told
    assert f"MY_DB_PORT_5432_TCP=tcp://{where}:5432\n" in told
    assert "KUBERNETES_SERVICE_HOST=10.96.0.1\n" in told
    untold = pods.sh("untold", "env")
    assert "MY_DB" not in untold
    assert "KUBERNETES_SERVICE_HOST=10.96.0.1\n" in untold


def test_the_service_of_the_api_comes_back_when_it_is_deleted(pods: Pods) -> None:
    pods.podrun.kubectl("delete", "service", "kubernetes")
    wait_until(
        lambda: pods.podrun.run("kubectl", "get", "service", "kubernetes", check=False).returncode == 0, 5, "gone"
    )
    assert address(pods, "kubernetes") == "10.96.0.1"
