"""Which namespaces the containers of a pod share with each other and with the host."""

import os
from pathlib import Path

from tests.harness import Podrun, wait_until
from tests.pods.living import Pods, container_status, once, pod, shell, state

KINDS = ("net", "ipc", "uts", "mnt", "pid", "cgroup")


def namespace(pid: int, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def test_two_containers_share_network_ipc_and_hostname_and_nothing_else(pods: Pods) -> None:
    pods.run(pod("both", shell("a"), shell("b")))
    a, b = pods.pid("both", "a"), pods.pid("both", "b")
    shared = {kind for kind in KINDS if namespace(a, kind) == namespace(b, kind)}
    assert shared == {"net", "ipc", "uts"}
    assert namespace(a, "user") == namespace(os.getpid(), "user")
    host = os.getpid()
    assert all(namespace(a, kind) != namespace(host, kind) for kind in KINDS)


def test_each_container_is_process_1_of_its_own(pods: Pods) -> None:
    pods.run(pod("alone"))
    assert "sleep 1000" in pods.sh("alone", "ps")
    assert pods.sh("alone", "cat /proc/1/comm") == "sh\n"
    assert "pause" not in pods.sh("alone", "ps")


def test_a_pod_on_the_hosts_network_has_its_links_and_the_nodes_address(pods: Pods, podrun: Podrun) -> None:
    now = pods.run(pod("guest", hostNetwork=True))
    assert pods.sh("guest", "cat /proc/net/dev").count(":") == podrun.run("cat", "/proc/net/dev").stdout.count(":")
    assert namespace(pods.pid("guest"), "net") == namespace(podrun.holder.pid, "net")
    assert now["status"]["podIP"] == now["status"]["hostIP"]
    node = podrun.get("nodes")["items"][0]
    assert pods.sh("guest", "hostname").strip() == os.uname().nodename
    assert now["status"]["hostIP"] in [address["address"] for address in node["status"]["addresses"]]


def test_a_pod_with_the_hosts_processes_sees_them_all(pods: Pods) -> None:
    pods.run(pod("watcher", hostPID=True))
    assert namespace(pods.pid("watcher"), "pid") == namespace(os.getpid(), "pid")
    assert pods.sh("watcher", f"test -d /proc/{os.getpid()} && echo seen") == "seen\n"


def test_a_pod_with_the_hosts_ipc_shares_it(pods: Pods) -> None:
    pods.run(pod("guest", hostIPC=True))
    assert namespace(pods.pid("guest"), "ipc") == namespace(os.getpid(), "ipc")


class TestSharedProcesses:
    def test_pause_is_process_1_and_the_containers_see_each_other(self, pods: Pods) -> None:
        pods.run(pod("family", shell("a"), shell("b", "exec sleep 4242"), shareProcessNamespace=True))
        assert namespace(pods.pid("family", "a"), "pid") == namespace(pods.pid("family", "b"), "pid")
        assert "pause" in pods.sh("family", "cat /proc/1/comm")
        assert "sleep 4242" in pods.sh("family", "ps", container="a")

    def test_pause_reaps_zombies(self, pods: Pods, podrun: Podrun) -> None:
        pods.run(pod("family", shareProcessNamespace=True))
        pods.sh("family", "sh -c 'sleep 0.05 & exit 0'")  # the child outlives its parent and becomes pause's

        def reaped() -> bool:
            return "Z" not in pods.sh("family", "cat /proc/[0-9]*/stat | sed 's/.*) //' | cut -c1")

        wait_until(reaped, 5, "a zombie stays")
        assert "sleep 0.05" not in pods.sh("family", "ps")

    def test_a_container_may_signal_another_and_only_that_one_restarts(self, pods: Pods) -> None:
        pods.run(pod("family", shell("a"), shell("b", "exec sleep 4242"), shareProcessNamespace=True))
        pods.sh("family", "kill -9 $(pgrep -f 'sleep 4242' || ps | awk '/[s]leep 4242/ {print $1; exit}')")
        now = pods.until("family", lambda now: container_status(now, "b")["restartCount"] == 1)
        assert container_status(now, "b")["lastState"]["terminated"]["exitCode"] == 137
        assert container_status(now, "a")["restartCount"] == 0

    def test_the_end_of_one_container_does_not_end_the_other(self, pods: Pods) -> None:
        pods.create(pod("family", shell("a", "exit 3"), shell("b"), shareProcessNamespace=True, restartPolicy="Never"))
        now = pods.until("family", lambda now: state(now, "a")["is"] == "terminated")
        assert state(now, "a")["exitCode"] == 3
        assert state(pods.get("family"), "b")["is"] == "running"


def test_pause_holds_little_memory_and_no_capability(pods: Pods, podrun: Podrun) -> None:
    pods.run(pod("held"))
    mine = namespace(pods.pid("held"), "net")
    pauses = [
        pid
        for pid in podrun._processes()
        if podrun.owns(pid) and namespace(pid, "net") == mine and "pause" in Path(f"/proc/{pid}/comm").read_text()
    ]
    assert len(pauses) == 1
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pauses[0]}/status").read_text().splitlines())
    assert int(status["CapEff"], 16) == 0
    assert int(status["CapBnd"], 16) == 0
    assert int(status["VmRSS"].split()[0]) <= 200
    assert status["NoNewPrivs"] == "1"


def test_hostname_is_the_pods_name_or_the_specs(pods: Pods) -> None:
    pods.run(pod("plain"))
    pods.run(pod("named", hostname="web-0", subdomain="web"))
    assert pods.sh("plain", "hostname; cat /etc/hostname") == "plain\nplain\n"
    assert pods.sh("named", "hostname") == "web-0\n"
    hosts = pods.sh("named", "cat /etc/hosts")
    assert f"{pods.address('named')}\tweb-0.web.default.svc.cluster.local\tweb-0" in hosts


def test_host_aliases_stand_in_etc_hosts(pods: Pods) -> None:
    pods.run(pod("known", hostAliases=[{"ip": "10.1.2.3", "hostnames": ["db.local", "db"]}]))
    assert "10.1.2.3\tdb.local\tdb" in pods.sh("known", "cat /etc/hosts")


def test_dns_of_the_pod_is_what_the_spec_says(pods: Pods) -> None:
    config = {"nameservers": ["192.0.2.1"], "searches": ["a.example"], "options": [{"name": "ndots", "value": "2"}]}
    pods.run(pod("own", dnsPolicy="None", dnsConfig=config))
    assert pods.sh("own", "cat /etc/resolv.conf") == "search a.example\nnameserver 192.0.2.1\noptions ndots:2\n"


def test_sysctls_of_the_pods_namespaces(pods: Pods) -> None:
    sysctls = [
        {"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"},
        {"name": "kernel.shm_rmid_forced", "value": "1"},
    ]
    pods.run(pod("tuned", securityContext={"sysctls": sysctls}))
    read = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced"
    assert pods.sh("tuned", read) == "80\n1\n"


def test_shm_is_the_pods(pods: Pods) -> None:
    pods.run(pod("both", shell("a"), shell("b")))
    pods.sh("both", "echo hi > /dev/shm/note", "a")
    assert pods.sh("both", "cat /dev/shm/note", "b") == "hi\n"


def test_a_script_sees_both_its_own_and_the_pods_things_from_the_first_instant(pods: Pods) -> None:
    said = pods.output(once("early", "hostname; ip -o -4 addr show eth0 | wc -l; ls /dev/shm | wc -l"))
    assert said == "early\n1\n0\n"
