"""Names as pods see them: what resolv.conf says, what resolvers then find, and when."""

from __future__ import annotations

import pytest

from tests.harness import Podrun, wait_until
from tests.network.test_services_in_pods import Object, address, pods, server, service  # noqa: F401
from tests.pods.living import Pods, pod, shell

CLUSTER = "default.svc.cluster.local svc.cluster.local cluster.local"


def resolv_conf(pods: Pods, name: str) -> dict[str, list[str]]:  # noqa: F811
    """The lines of a pod's resolv.conf by their first word."""
    lines = [line.split() for line in pods.sh(name, "cat /etc/resolv.conf").splitlines()]
    return {word: [value for head, *rest in lines if head == word for value in rest] for word, *_ in lines}


def dig(pods: Pods, *words: str) -> str:  # noqa: F811
    """What dig prints in the pod `client`."""
    return pods.exec("client", "dig", "+short", "+tries=2", "+time=2", *words).stdout


@pytest.fixture
def client(pods: Pods) -> Pods:  # noqa: F811
    pods.run(pod("client", shell("a", image="toolbox")))
    return pods


@pytest.mark.parametrize(
    ("why", "spec", "expected"),
    [
        (
            "ClusterFirst is the default",
            {},
            {"nameserver": ["10.96.0.10"], "search": CLUSTER.split(), "options": ["ndots:5"]},
        ),
        (
            "a pod with the host's network that asks for it",
            {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"},
            {"nameserver": ["10.96.0.10"], "search": CLUSTER.split(), "options": ["ndots:5"]},
        ),
        (
            "None is what dnsConfig says",
            {
                "dnsPolicy": "None",
                "dnsConfig": {
                    "nameservers": ["192.0.2.1"],
                    "searches": ["a.example"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
                },
            },
            {"nameserver": ["192.0.2.1"], "search": ["a.example"], "options": ["ndots:2", "edns0"]},
        ),
        (
            "dnsConfig adds to the cluster's and wins with its options",
            {"dnsConfig": {"searches": ["a.example"], "options": [{"name": "ndots", "value": "1"}]}},
            {"nameserver": ["10.96.0.10"], "search": [*CLUSTER.split(), "a.example"], "options": ["ndots:1"]},
        ),
    ],
)
def test_resolv_conf(why: str, spec: Object, expected: dict[str, list[str]], pods: Pods) -> None:  # noqa: F811
    pods.run(pod("reader", **spec))
    found = resolv_conf(pods, "reader")
    host = set(pods.podrun.run("cat", "/etc/resolv.conf").stdout.split())
    found["search"] = [one for one in found["search"] if one in expected["search"] or one not in host]
    assert found == expected, why


def test_default_means_the_hosts_own_servers(pods: Pods) -> None:  # noqa: F811
    pods.run(pod("reader", dnsPolicy="Default"))
    assert "10.96.0.10" not in pods.sh("reader", "cat /etc/resolv.conf")


def test_services_are_found_by_short_and_by_long_names(client: Pods) -> None:
    client.create(service())
    where = f"{address(client)}\n"
    for name in ("web", "web.default", "web.default.svc"):
        assert dig(client, "+search", name) == where
    assert dig(client, "web.default.svc.cluster.local") == where
    assert dig(client, "+tcp", "web.default.svc.cluster.local") == where
    assert dig(client, "-x", where.strip()) == "web.default.svc.cluster.local.\n"
    assert dig(client, "+search", "kubernetes.default") == "10.96.0.1\n"


def test_a_pod_reaches_another_by_the_services_name(pods: Pods) -> None:  # noqa: F811
    pods.create(server("one"), service(), pod("client"))
    pods.ready("one", "client")
    fetch = ["wget", "-q", "-O", "-", "http://web/who"]
    wait_until(lambda: pods.exec("client", *fetch).stdout == "one\n", 5, "http://web/ does not answer")


def test_pods_of_a_headless_service_have_names(client: Pods) -> None:
    client.create(service("db", clusterIP="None"))
    client.create(server("db-0", hostname="db-0", subdomain="db"), server("other"))
    client.ready("db-0", "other")
    first, second = client.address("db-0"), client.address("other")
    both = sorted([first, second])
    wait_until(lambda: sorted(dig(client, "+search", "db").split()) == both, 5, "db is not both pods")
    assert dig(client, "+search", "db-0.db") == f"{first}\n"
    dashed = second.replace(".", "-")
    assert dig(client, "+search", f"{dashed}.db") == f"{second}\n"
    assert client.sh("db-0", "hostname -f").strip() == "db-0.db.default.svc.cluster.local"
    assert dig(client, "-x", first) == "db-0.db.default.svc.cluster.local.\n"
    client.delete("db-0", grace=0)
    wait_until(lambda: dig(client, "+search", "db") == f"{second}\n", 5, "db is still both pods")


def test_ports_are_found_by_their_names(client: Pods) -> None:
    client.create(service(ports=[{"name": "http", "port": 80}, {"name": "admin", "port": 81}]))
    srv = dig(client, "SRV", "_admin._tcp.web.default.svc.cluster.local")
    assert srv == "0 100 81 web.default.svc.cluster.local.\n"


def test_a_service_that_is_only_a_name(client: Pods) -> None:
    client.create({**service("out"), "spec": {"type": "ExternalName", "externalName": "web.default.svc.cluster.local"}})
    client.create(service())
    assert dig(client, "+search", "out") == f"web.default.svc.cluster.local.\n{address(client)}\n"


def test_what_is_not_there_is_said_at_once(client: Pods) -> None:
    said = client.exec("client", "dig", "+tries=1", "+time=1", "nope.default.svc.cluster.local").stdout
    assert "status: NXDOMAIN" in said
    said = client.exec("client", "dig", "+tries=1", "+time=1", "AAAA", "kubernetes.default.svc.cluster.local").stdout
    assert "status: NOERROR" in said
    assert "ANSWER: 0" in said


@pytest.mark.parametrize(
    ("image", "script"),
    [
        ("busybox:1.36", "until nc -z db 5432; do sleep 0.1; done"),
        ("busybox:1.36", "until nslookup db.default.svc.cluster.local; do sleep 0.1; done"),
        ("toolbox", 'until [ -n "$(dig +short +search db)" ]; do sleep 0.1; done'),
    ],
)
def test_an_init_container_that_waits_for_a_service_goes_on_when_it_appears(
    pods: Pods,  # noqa: F811
    image: str,
    script: str,
) -> None:
    waits = {"name": "wait", "image": image, "command": ["sh", "-c", script]}
    pods.create(pod("waiting", shell(), initContainers=[waits]))
    pods.until("waiting", lambda now: "startedAt" in str(now["status"].get("initContainerStatuses")))
    pods.run(server("db"))
    assert pods.get("waiting")["status"]["phase"] == "Pending"
    pods.create(service("db", ports=[{"port": 5432, "targetPort": 8080}]))
    pods.ready("waiting")


def test_names_are_answered_after_podrund_has_died(client: Pods) -> None:
    client.create(service())
    before = client.podrun.daemon_pid
    client.podrun.crash()
    assert client.podrun.daemon_pid != before
    assert dig(client, "web.default.svc.cluster.local") == f"{address(client)}\n"


def test_the_host_asks_cluster_dns_at_its_address(podrun: Podrun) -> None:
    script = (
        "import dnslib; q = dnslib.DNSRecord.question('kubernetes.default.svc.cluster.local');"
        "print(dnslib.DNSRecord.parse(q.send('10.96.0.10', 53, timeout=3)).short())"
    )
    assert podrun.run("python", "-c", script).stdout == "10.96.0.1\n"
