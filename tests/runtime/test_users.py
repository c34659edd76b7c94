"""A pod's own user namespace: root inside is nobody outside, and files have the owners that they should have."""

import fcntl
import os
from dataclasses import replace
from pathlib import Path

import pytest

from podrun.kernel import namespaces
from podrun.runtime.errors import CreateFailed, StartFailed
from podrun.runtime.model import Mount, Security, State, User, UserIds
from tests.runtime.machine import Machine, make_runtime

FIRST = 1 << 20
IDS = UserIds(FIRST)
_NS_GET_USERNS = 0xB701


@pytest.fixture(autouse=True)
def kernel() -> None:
    release = os.uname().release.split(".")
    if (int(release[0]), int(release[1])) < (6, 3):
        pytest.skip("tmpfs cannot be idmapped before Linux 6.3")


def _owner_of(kind: namespaces.Kind, pid: int) -> int:
    """The inode of the user namespace that owns a process's namespace."""
    descriptor = namespaces.open_namespace(kind, pid)
    owner = fcntl.ioctl(descriptor, _NS_GET_USERNS)
    try:
        return os.fstat(owner).st_ino
    finally:
        os.close(owner)
        os.close(descriptor)


async def test_root_inside_is_nobody_outside(machine: Machine) -> None:
    pod = await machine.sandbox(users=IDS)
    container = await machine.run(pod, "sh", "-c", "cat /proc/self/uid_map; id; sleep 1000")
    pid = machine.runtime.status(container).pid
    assert os.stat(f"/proc/{pid}").st_uid == FIRST
    assert os.stat(f"/proc/{pod.pid}").st_uid == FIRST + 65535
    code, output = await machine.runtime.exec_sync(container, ["sh", "-c", "id -u; cat /proc/self/uid_map"], 10)
    assert code == 0
    assert output.split() == [b"0", b"0", b"1048576", b"65536"]
    for kind in ("net", "ipc", "uts", "mnt", "pid", "cgroup"):
        assert _owner_of(kind, pid) == namespaces.inode("user", pid), kind


async def test_a_container_has_all_that_it_has_with_the_hosts_users(machine: Machine) -> None:
    pod = await machine.sandbox(users=IDS, hostname="h1")
    script = """
        echo x > /dev/null && head -c 3 /dev/zero | wc -c
        echo again > /dev/stdout
        hostname; grep -c h1 /etc/hosts
        stat -c '%u %g' /etc/passwd /etc/hosts /dev /dev/null /bin/busybox /dev/shm
        touch /new && stat -c '%u' /new
        echo y > /dev/shm/x && ls /sys/class/net && ls /dev/mqueue && ls /sys/fs/cgroup > /dev/null
        (echo 1 > /proc/sys/net/ipv4/ip_forward) 2>&1 | grep -c Read-only
        cat /proc/keys | wc -c
    """
    output = (await machine.output(pod, script)).split("\n")
    assert output[:4] == ["3", "again", "h1", "1"]
    assert output[4:10] == ["0 0"] * 6
    assert output[10:] == ["0", "eth0", "lo", "1", "0", ""]


async def test_another_user_than_root_is_its_number_in_the_range(machine: Machine) -> None:
    pod = await machine.sandbox(users=IDS)
    who = User(uid=1000, gid=1000, supplemental_groups=(7,))
    container = await machine.run(pod, "sh", "-c", "id; echo reopened > /dev/stdout; exec sleep 1000", user=who)
    code, output = await machine.runtime.exec_sync(container, ["sh", "-c", "id -u; echo also > /dev/stdout"], 10)
    assert (code, output) == (0, b"1000\nalso\n")
    assert os.stat(f"/proc/{machine.runtime.status(container).pid}").st_uid == FIRST + 1000
    await machine.runtime.stop_container(container, 0)
    assert machine.log(container) == "uid=1000(app) gid=1000(app) groups=7,1000(app)\nreopened\n"


async def test_files_in_volumes_belong_to_whom_the_container_says(machine: Machine, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir(mode=0o755)
    (volume / "before").write_text("text")
    os.chown(volume / "before", 1000, 1000)
    pod = await machine.sandbox(users=IDS)
    mount = Mount(volume, "/v")
    output = await machine.output(pod, "stat -c %u /v/before; touch /v/mine", mounts=(mount,))
    assert output == "1000\n"
    assert (volume / "mine").stat().st_uid == 0
    assert await machine.output(pod, "touch /v/before && id -u", mounts=(mount,), user=User(uid=1000)) == "1000\n"
    other = await machine.output(pod, "touch /v/no 2>&1", mounts=(mount,), user=User(uid=1000))
    assert "Permission denied" in other


async def test_capabilities_and_setuid_hold_inside_only(machine: Machine) -> None:
    as_root = machine.layer / "root/su"
    as_root.parent.mkdir()
    as_root.write_bytes((machine.layer / "bin/busybox").read_bytes())
    as_root.chmod(0o4755)
    pod = await machine.sandbox(users=IDS)
    security = Security(add_capabilities=("SYS_ADMIN", "SYS_TIME", "SYS_MODULE"))
    script = "mount -t tmpfs none /tmp && echo mounted; date -s 2030-01-01 2>&1"
    (machine.layer / "bin/date").symlink_to("busybox")
    output = await machine.output(pod, script, security=security)
    assert output.splitlines()[0] == "mounted"
    assert "not permitted" in output
    # busybox's su says whether it has become root, other applets give that up at once
    (machine.layer / "bin/su").symlink_to("busybox")
    told = {
        path: await machine.output(pod, f"{path} < /dev/null 2>&1", user=User(uid=1000)) for path in ("su", "/root/su")
    }
    assert {path: "must be suid" in words for path, words in told.items()} == {"su": True, "/root/su": False}


async def test_only_an_unmasked_proc_can_be_mounted_by_a_container_inside_the_container(machine: Machine) -> None:
    (machine.layer / "bin/unshare").symlink_to("busybox")
    pod = await machine.sandbox(users=IDS)
    script = "unshare -U -m -p -f -r sh -c 'mount -t proc p /tmp && readlink /tmp/self' 2>&1"
    masked = Security(add_capabilities=("SYS_ADMIN",))
    assert "permission denied" in await machine.output(pod, script, security=masked)
    assert await machine.output(pod, script, security=replace(masked, unmasked_proc=True)) == "1\n"


async def test_a_privileged_container_is_so_in_its_own_user_namespace(machine: Machine) -> None:
    pod = await machine.sandbox(users=IDS)
    security = Security(privileged=True, seccomp="Unconfined")
    output = await machine.output(pod, "ip link add d0 type veth && echo linked; cat /dev/kmsg 2>&1", security=security)
    assert output.splitlines()[0] == "linked"
    assert "Operation not permitted" in output or "Permission denied" in output or "can't open" in output


async def test_pods_with_user_namespaces_share_pids_terminals_and_debuggers(machine: Machine) -> None:
    pod = await machine.sandbox(users=IDS, share_process_namespace=True)
    await machine.run(pod, "sleep", "1000", name="a")
    assert await machine.output(pod, "cat /proc/1/comm; ps | grep -c '[s]leep 1000'", name="b") == "pause\n1\n"
    alone = await machine.sandbox(users=IDS)
    target = await machine.run(alone, "sleep", "1234")
    output = await machine.output(alone, "cat /proc/1/cmdline; id -u", name="debugger", target_id=target)
    assert output.split("\0") == ["sleep", "1234", "0\n"]
    terminal = await machine.run(alone, "sh", "-c", "tty; stat -c %u $(tty)", name="t", tty=True)
    await machine.until(terminal)
    assert machine.log(terminal).replace("\r", "") == "/dev/pts/0\n0\n"


async def test_a_program_that_is_missing_is_told_and_leaves_nothing(machine: Machine) -> None:
    pod = await machine.sandbox(users=IDS)
    container = await machine.create(pod, "/missing")
    with pytest.raises(StartFailed, match='exec: "/missing": stat /missing: no such file or directory'):
        await machine.runtime.start_container(container)
    assert machine.runtime.status(container).exit_code == 128


async def test_the_next_podrund_adopts_a_pod_with_its_user_namespace(machine: Machine) -> None:
    pod = await machine.sandbox(users=IDS)
    container = await machine.run(pod, "sleep", "1000")
    pid = machine.runtime.status(container).pid
    await machine.runtime.close()
    following = make_runtime(machine.root, machine.groups.name, machine.layer)
    await following.runtime.start()
    machine.runtime = following.runtime
    assert following.runtime.status(container).state is State.RUNNING
    assert following.runtime.status(container).pid == pid
    assert await following.runtime.exec_sync(container, ["id", "-u"], 10) == (0, b"0\n")
    assert await following.output(pod, "stat -c %u /bin/sh", name="b") == "0\n"


async def test_sysctls_are_set_in_the_namespaces_that_belong_to_it(machine: Machine) -> None:
    pod = await machine.sandbox(
        users=IDS, sysctls={"kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "20", "net.ipv4.tcp_syncookies": "0"}
    )
    names = "/proc/sys/kernel/shm_rmid_forced /proc/sys/fs/mqueue/msg_max /proc/sys/net/ipv4/tcp_syncookies"
    assert await machine.output(pod, f"cat {names}") == "1\n20\n0\n"


async def test_a_volume_whose_file_system_cannot_be_idmapped_is_told(machine: Machine) -> None:
    pod = await machine.sandbox(users=IDS)
    with pytest.raises(CreateFailed, match=r"/proc/sys .maybe its file system has no idmapped mounts on this kernel"):
        await machine.create(pod, "true", mounts=(Mount(Path("/proc/sys"), "/v"),))
    assert machine.runtime.containers() == []


async def test_an_image_volume_is_put_together_from_its_layers(machine: Machine, tmp_path: Path) -> None:
    for name in ("low", "high"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / name).write_text(name)
    pod = await machine.sandbox(users=IDS)
    whole = Mount(tmp_path / "low", "/v", read_only=True, layers=(tmp_path / "low", tmp_path / "high"))
    mounts = (whole, replace(whole, target="/s", sub_path="sub"), replace(whole, target="/f", sub_path="sub/low"))
    script = "ls /v/sub /s; cat /f; stat -c %u /v /s /f; touch /v/x 2>&1 | grep -c Read-only"
    output = await machine.output(pod, script, mounts=mounts)
    assert output.split() == ["/s:", "high", "low", "/v/sub:", "high", "low", "low0", "0", "0", "1"]
    alone = replace(whole, layers=(tmp_path / "high",))
    assert await machine.output(pod, "ls /v/sub", mounts=(alone,), name="b") == "high\n"


async def test_many_layers_and_pods_on_the_network(machine: Machine, tmp_path: Path) -> None:
    layers = [machine.layer]
    for number in range(150):
        (tmp_path / f"layer-with-quite-a-long-name-{number}").mkdir()
        layers.append(tmp_path / f"layer-with-quite-a-long-name-{number}")
        (layers[-1] / f"file{number}").touch()
    (layers[-1] / "bin").mkdir()
    server, client = await machine.sandbox(users=IDS), await machine.sandbox(users=UserIds(FIRST + 65536))
    await machine.run(server, "nc", "-ll", "-p", "80", "-e", "echo", "hello", user=User(uid=1000))
    script = (
        f"until nc -w 5 {server.addresses[0]} 80 < /dev/null 2> /dev/null; do sleep 0.05; done; ls / | grep -c file"
    )
    assert await machine.output(client, script, layers=tuple(layers)) == "hello\n150\n"
