"""What the containers of a pod share, and what they do not."""

import os

from podrun.runtime.model import Dns, State
from tests.runtime.machine import Machine

KINDS = ("net", "ipc", "uts", "mnt", "pid", "cgroup")


def _inodes(pid: int) -> dict[str, int]:
    return {kind: os.stat(f"/proc/{pid}/ns/{kind}").st_ino for kind in KINDS}


async def test_containers_share_net_ipc_and_uts_and_nothing_else(machine: Machine) -> None:
    pod = await machine.sandbox()
    first, second = [await machine.run(pod, "sleep", "1000", name=name) for name in "ab"]
    one, two, own = (
        _inodes(machine.runtime.status(first).pid),
        _inodes(machine.runtime.status(second).pid),
        _inodes(os.getpid()),
    )
    pause = _inodes(pod.pid)
    assert {kind for kind in KINDS if one[kind] == two[kind]} == {"net", "ipc", "uts"}
    assert {kind for kind in KINDS if one[kind] == pause[kind]} == {"net", "ipc", "uts"}
    assert not {kind for kind in KINDS if one[kind] == own[kind]}


async def test_a_shared_pid_namespace_has_pause_as_its_first_process(machine: Machine) -> None:
    pod = await machine.sandbox(share_process_namespace=True)
    await machine.run(pod, "sleep", "1000", name="a")
    output = await machine.output(pod, "cat /proc/1/comm; ls /proc/1/root 2>&1 | head -1; ps | grep -c '[s]leep 1000'")
    comm, root, seen = output.splitlines()
    assert comm == "pause"
    assert "Permission denied" in root
    assert seen == "1"


async def test_an_orphan_in_a_shared_pid_namespace_is_killed_with_its_container(machine: Machine) -> None:
    pod = await machine.sandbox(share_process_namespace=True)
    container = await machine.run(pod, "sh", "-c", "sleep 1000 & echo started")
    await machine.until(container)
    assert await machine.output(pod, "ps | grep -c '[s]leep 1000'", name="b") == "0\n"


async def test_a_debug_container_joins_its_targets_pid_namespace(machine: Machine) -> None:
    pod = await machine.sandbox()
    target = await machine.run(pod, "sleep", "1234")
    output = await machine.output(pod, "cat /proc/1/cmdline", name="debugger", target_id=target)
    assert output.split("\0")[:2] == ["sleep", "1234"]


async def test_shared_memory_is_the_pods_and_ends_with_it(machine: Machine) -> None:
    pod = await machine.sandbox()
    await machine.output(pod, "echo shared > /dev/shm/x; echo own > /tmp/x", name="a")
    assert await machine.output(pod, "cat /dev/shm/x; ls /tmp; stat -f -c %T /dev/shm", name="b") == "shared\ntmpfs\n"
    other = await machine.sandbox()
    assert await machine.output(other, "ls /dev/shm", name="a") == ""


async def test_the_pods_names_are_in_its_files(machine: Machine) -> None:
    pod = await machine.sandbox(hostname="h1", dns=Dns(("192.0.2.1",), ("a.b",), ("ndots:5",)))
    output = await machine.output(
        pod, "hostname; cat /etc/hostname /etc/resolv.conf; grep h1 /etc/hosts; echo $HOSTNAME"
    )
    assert output == (f"h1\nh1\nsearch a.b\nnameserver 192.0.2.1\noptions ndots:5\n{pod.addresses[0]}\th1\nh1\n")


async def test_pods_reach_each_other_and_themselves(machine: Machine) -> None:
    server, client = await machine.sandbox(), await machine.sandbox()
    await machine.run(server, "nc", "-ll", "-p", "80", "-e", "echo", "hello")
    assert server.addresses != client.addresses
    for pod, address in ((client, server.addresses[0]), (server, "127.0.0.1"), (server, server.addresses[0])):
        assert (
            await machine.output(
                pod, f"until nc -w 5 {address} 80 < /dev/null 2> /dev/null; do sleep 0.05; done", name="c"
            )
            == "hello\n"
        )


async def test_the_next_sandbox_of_a_pod_has_another_address(machine: Machine) -> None:
    pod = await machine.sandbox(pod_uid="stays")
    await machine.runtime.stop_sandbox(pod.id)
    assert not machine.runtime.sandbox_status(pod.id).ready
    again = await machine.sandbox(pod_uid="stays", attempt=1)
    assert again.addresses != pod.addresses
    await machine.runtime.remove_sandbox(pod.id)
    assert await machine.output(again, "echo up") == "up\n"


async def test_the_hosts_namespaces(machine: Machine) -> None:
    pod = await machine.sandbox(host_network=True, host_pid=True, host_ipc=True)
    container = await machine.run(pod, "sleep", "1000")
    theirs, own = _inodes(machine.runtime.status(container).pid), _inodes(os.getpid())
    assert {kind for kind in KINDS if theirs[kind] == own[kind]} == {"net", "uts", "ipc", "pid"}
    assert pod.addresses == ()
    assert machine.runtime.status(container).state is State.RUNNING


async def test_sysctls_are_the_pods(machine: Machine) -> None:
    pod = await machine.sandbox(sysctls={"net.ipv4.tcp_syncookies": "0", "kernel.shm_rmid_forced": "1"})
    script = "cat /proc/sys/net/ipv4/tcp_syncookies /proc/sys/kernel/shm_rmid_forced"
    assert await machine.output(pod, script) == "0\n1\n"
