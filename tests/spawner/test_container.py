"""What a container can and cannot see: a real one, on the real kernel."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from podrun.kernel import capabilities, mounts, seccomp_profile
from podrun.kernel.flags import Clone, MountAttr
from podrun.spawner import plan
from podrun.spawner.client import SpawnerError
from podrun.spawner.plan import Passed
from podrun.spawner.protocol import Capabilities, Seccomp, Spawn, User
from tests.spawner.conftest import Box


async def test_it_runs_as_process_1_with_its_own_root(box: Box) -> None:
    exited, lines = await box.run_to_end(box.container("sh", "-c", "echo $$; ls /; exit 3"))
    assert lines == ["1", "bin", "dev", "etc", "proc", "sys", "tmp"]
    assert (exited.exit.code, exited.exit.signal, exited.log_complete) == (3, 0, True)


async def test_no_descriptor_of_the_spawner_is_left_in_it(box: Box) -> None:
    _, lines = await box.run_to_end(box.container("ls", "/proc/self/fd"))
    assert lines == ["0", "1", "2", "3"], "3 is ls looking"


async def test_what_is_masked_cannot_be_read(box: Box) -> None:
    script = (
        "cat /proc/kcore | head -c 1; ls /sys/firmware /proc/acpi; cat /proc/keys; echo >/proc/sys/kernel/domainname"
    )
    _, lines = await box.run_to_end(box.container("sh", "-c", script))
    assert lines[-1].endswith("can't create /proc/sys/kernel/domainname: Read-only file system")
    assert [line for line in lines[:-1] if not line.endswith(":") and line and "No such file" not in line] == []


async def test_capabilities_are_what_was_asked(box: Box) -> None:
    wanted = capabilities.mask(["CHOWN", "NET_RAW"])
    spawn = replace(box.container("cat", "/proc/self/status"), capabilities=Capabilities(wanted, wanted, wanted))
    _, lines = await box.run_to_end(spawn)
    sets = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Cap")}
    assert {sets[name] for name in ("CapPrm", "CapEff", "CapBnd")} == {f"{wanted:016x}"}
    assert int(sets["CapInh"], 16) == int(sets["CapAmb"], 16) == 0


async def test_another_user_has_its_groups_and_no_capabilities(box: Box) -> None:
    spawn = replace(
        box.container("sh", "-c", "id -u; id -G; cat /proc/self/status; echo written >/dev/stdout"),
        user=User(1000, 3000, (3000, 2000)),
        no_new_privs=True,
    )
    _, lines = await box.run_to_end(spawn)
    assert lines[:2] == ["1000", "3000 2000"]
    assert "CapEff:\t0000000000000000" in lines
    assert "NoNewPrivs:\t1" in lines
    assert lines[-1] == "written", "a user other than root opens its own stdout"


async def test_ambient_capabilities_reach_another_user(box: Box) -> None:
    one = capabilities.mask(["NET_BIND_SERVICE"])
    spawn = replace(
        box.container("cat", "/proc/self/status"),
        user=User(1000, 1000),
        capabilities=Capabilities(one, one, one, one, one),
    )
    _, lines = await box.run_to_end(spawn)
    assert f"CapEff:\t{one:016x}" in lines


@pytest.mark.parametrize("no_new_privs", [False, True])
@pytest.mark.parametrize("user", [User(), User(1000, 1000)])
async def test_the_default_filter_is_in_force(box: Box, no_new_privs: bool, user: User) -> None:
    program = seccomp_profile.runtime_default(capabilities.DEFAULT)
    spawn = replace(
        box.container("sh", "-c", "cat /proc/self/status; busybox unshare -r true"),
        seccomp=Seccomp(program, seccomp_profile.SPEC_ALLOW),
        no_new_privs=no_new_privs,
        user=user,
    )
    _, lines = await box.run_to_end(spawn)
    assert "Seccomp:\t2" in lines
    assert lines[-1].endswith("Operation not permitted")


async def test_a_profile_of_ones_own_is_in_force(box: Box) -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}],
    }
    spawn = replace(box.container("busybox", "mkdir", "/x"), seccomp=Seccomp(seccomp_profile.from_profile(profile)))
    _, lines = await box.run_to_end(spawn)
    assert lines[0].endswith("No space left on device")


async def test_a_volume_comes_as_a_descriptor_and_no_link_of_the_image_leads_it_out(box: Box, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "file").write_text("of the host")
    outside = tmp_path / "outside"
    outside.mkdir()
    (box.state / "image" / "link").symlink_to(outside)
    tree = mounts.open_tree(str(volume))
    bind = plan.Bind("/link/data", source=Passed(0), set=MountAttr.RDONLY)
    spawn = box.container("sh", "-c", "cat /link/data/file; echo; echo x >/link/data/new", extra=[bind])
    _, lines = await box.run_to_end(spawn, [tree])
    os.close(tree)
    assert lines[0] == "of the host"
    assert lines[1].endswith("Read-only file system")
    assert list(outside.iterdir()) == []


async def test_two_containers_share_what_pause_holds(box: Box) -> None:
    pause = Spawn(
        "pause",
        "pause",
        ("/pause",),
        builtin_pause=True,
        plan=(
            plan.Unshare(Clone.NET | Clone.IPC | Clone.UTS | Clone.MNT),
            plan.Hostname("the-pod"),
            plan.Sysctl("net.ipv4.ip_unprivileged_port_start", "7"),
            plan.Mount("tmpfs", plan.ROOTFS, options="size=0k"),
            plan.Root(),
            plan.PivotRoot(),
        ),
    )
    held = await box.client.spawn(pause)
    join = plan.Setns(Passed(0), Clone.NET | Clone.IPC | Clone.UTS)
    for _ in range(2):
        script = (
            "cat /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_unprivileged_port_start; readlink /proc/self/ns/net"
        )
        spawn = box.container("sh", "-c", script)
        steps = (join, plan.Unshare(Clone.MNT | Clone.CGROUP), *spawn.plan[1:])
        _, lines = await box.run_to_end(replace(spawn, plan=steps), [held.descriptors["pidfd"]])
        assert lines[:2] == ["the-pod", "7"]
        assert lines[2] == os.readlink(f"/proc/{held.pid}/ns/net")
    assert os.listdir(f"/proc/{held.pid}/root") == [], "pause has an empty root"
    assert Path(f"/proc/{held.pid}/comm").read_text() == "pause\n"
    box.close(held)


async def test_the_pid_namespace_of_pause_is_joined(box: Box) -> None:
    pause = Spawn("pause", "pause", ("/pause",), builtin_pause=True, new_pid=True)
    held = await box.client.spawn(pause)
    spawn = replace(box.container("sh", "-c", "cat /proc/1/comm; echo $$"), new_pid=False, join_pid=Passed(0))
    _, lines = await box.run_to_end(spawn, [held.descriptors["pidfd"]])
    assert lines == ["pause", "2"]
    await box.client.signal("pause", 15)
    assert (await box.exit_of("pause")).exit.code == 0
    with pytest.raises(SpawnerError, match="its first process has ended"):
        await box.client.spawn(replace(spawn, id="late"), [held.descriptors["pidfd"]])
    box.close(held)


async def test_nobody_gets_from_a_container_to_the_spawners_program(box: Box) -> None:
    """Not even once it no longer runs (while it does, it is ETXTBSY): it is executed from a read-only mount."""
    exe = f"/proc/{box.client.welcome.pid}/exe"
    assert os.statvfs(exe).f_flag & os.ST_RDONLY
    with pytest.raises(SpawnerError) as caught:
        await box.client.spawn(replace(box.container("/proc/self/exe", "-c", "1"), id="escape"))
    assert caught.value.failure.stage == "exec"


async def test_a_batch_of_netlink_messages_is_sent_from_inside(box: Box) -> None:
    """Loopback up (RTM_NEWLINK), and a link that does not exist, which the kernel refuses in its own words."""
    up = _set_up(index=1, sequence=1)
    spawn = box.container("cat", "/sys/class/net/lo/operstate", "/proc/net/dev", extra=[])
    steps = (spawn.plan[0], plan.Netlink(up), *spawn.plan[1:])
    _, lines = await box.run_to_end(replace(spawn, plan=steps))
    assert lines[0] == "unknown", "what an operational loopback says of itself"
    steps = (spawn.plan[0], plan.Netlink(up + _set_up(index=99, sequence=2)), *spawn.plan[1:])
    with pytest.raises(SpawnerError) as caught:
        await box.client.spawn(replace(spawn, id="c99", plan=steps))
    assert (caught.value.failure.call, caught.value.failure.errno) == ("netlink", 19)
    assert caught.value.failure.path.startswith("message 1")


def _set_up(index: int, sequence: int) -> bytes:
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, 1, 1)
    return struct.pack("=IHHII", 16 + len(body), 16, 0x5, sequence, 0) + body
