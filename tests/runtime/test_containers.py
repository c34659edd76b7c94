"""A container's life: root, user, bounds, exit, failure; each on the real kernel."""

import asyncio
import json
import signal
import time
from pathlib import Path

import pytest

from podrun.runtime.errors import ConfigFailed, CreateFailed, NotFound, SandboxFailed, StartFailed
from podrun.runtime.model import Mount, PortMapping, Resources, Security, State, User
from tests.runtime.machine import Machine

RUNC = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    "unable to start container process: "
)
CAPABILITIES = "grep -E '^Cap(Prm|Eff|Bnd|Inh|Amb)|NoNewPrivs|Seccomp:' /proc/self/status"


async def test_it_runs_prints_and_ends(machine: Machine) -> None:
    pod = await machine.sandbox()
    container = await machine.run(pod, "sh", "-c", "echo out; echo err >&2; exit 3")
    status = await machine.until(container)
    assert (status.state, status.exit_code, status.reason, status.signal) == (State.EXITED, 3, "Error", 0)
    assert sorted(machine.log(container).splitlines()) == ["err", "out"]
    assert status.created_at <= status.started_at <= status.finished_at <= time.time()
    kinds = [event.kind for event in machine.events if event.container_id == container]
    assert kinds == ["container-started", "container-exited"]


async def test_a_container_may_be_created_while_its_sandbox_is_made(machine: Machine) -> None:
    pod, container = await machine.sandbox_with("sh", "-c", "hostname")
    assert machine.runtime.status(container).state is State.CREATED
    await machine.runtime.start_container(container)
    await machine.until(container)
    assert machine.log(container) == "host1\n"
    unstarted = await machine.create(pod, "true")
    await machine.runtime.update_resources(unstarted, Resources(memory_limit=1 << 25))
    await machine.runtime.remove_sandbox(pod.id)
    assert machine.runtime.containers() == []
    assert machine.runtime.sandboxes() == []


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("/no/such/binary",), 'exec: "/no/such/binary": stat /no/such/binary: no such file or directory: unknown'),
        (("nothing",), 'exec: "nothing": executable file not found in $PATH: unknown'),
        (("/etc/passwd",), 'exec: "/etc/passwd": permission denied: unknown'),
        (("/etc",), 'exec: "/etc": permission denied: unknown'),
    ],
)
async def test_a_command_that_cannot_run_is_a_start_error(machine: Machine, argv: tuple[str, ...], why: str) -> None:
    pod = await machine.sandbox()
    container = await machine.create(pod, *argv)
    with pytest.raises(StartFailed) as failure:
        await machine.runtime.start_container(container)
    assert failure.value.message == RUNC + why
    status = machine.runtime.status(container)
    assert (status.state, status.exit_code, status.reason) == (State.EXITED, 128, "StartError")
    assert status.message == RUNC + why


async def test_the_root_is_the_images_and_what_it_writes_is_its_own(machine: Machine) -> None:
    pod = await machine.sandbox()
    assert await machine.output(pod, "echo x > /new; ls /", name="a") == ("bin\ndev\netc\nnew\nproc\nsys\ntmp\n")
    assert "new" not in await machine.output(pod, "ls /", name="b")
    assert not (machine.layer / "new").exists()


async def test_devices_and_file_systems_are_containerds(machine: Machine) -> None:
    pod = await machine.sandbox()
    output = await machine.output(
        pod,
        "ls /dev; grep -c . /proc/mounts >/dev/null; grep -E ' (/proc|/dev|/dev/pts|/dev/shm|/dev/mqueue|/sys) ' "
        "/proc/mounts | while read a b c d; do echo $b $c ${d%%,*}; done; cat /proc/interrupts | wc -c; "
        "echo 1 > /proc/sys/kernel/hostname; echo 1 > /sys/x",
    )
    for name in ("fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "tty", "urandom", "zero"):
        assert name in output.splitlines()
    for line in ("/proc proc rw", "/dev tmpfs rw", "/dev/pts devpts rw", "/dev/shm tmpfs rw", "/sys sysfs ro"):
        assert line in output.splitlines()
    assert "0" in output.splitlines()
    assert output.count("Read-only file system") == 2


@pytest.mark.parametrize(
    ("why", "security", "user", "expected"),
    [
        ("containerd's default", Security(), User(), ("00000000a80425fb", "00000000a80425fb", "0", "2")),
        (
            "nothing, and never more",
            Security(drop_capabilities=("ALL",), no_new_privileges=True),
            User(),
            ("0000000000000000", "0000000000000000", "1", "2"),
        ),
        (
            "added and dropped",
            Security(add_capabilities=("NET_ADMIN", "SYS_TIME"), drop_capabilities=("CHOWN",)),
            User(),
            ("00000000aa0435fa", "00000000aa0435fa", "0", "2"),
        ),
        ("another user has none", Security(), User(uid=1000), ("0000000000000000", "00000000a80425fb", "0", "2")),
        ("unconfined", Security(seccomp="Unconfined"), User(), ("00000000a80425fb", "00000000a80425fb", "0", "0")),
    ],
)
async def test_capabilities(
    machine: Machine, why: str, security: Security, user: User, expected: tuple[str, ...]
) -> None:
    pod = await machine.sandbox()
    lines = dict(
        line.split(":\t")
        for line in (await machine.output(pod, CAPABILITIES, security=security, user=user)).splitlines()
    )
    assert (lines["CapEff"], lines["CapBnd"], lines["NoNewPrivs"], lines["Seccomp"]) == expected, why


async def test_a_privileged_container_has_everything(machine: Machine) -> None:
    pod = await machine.sandbox()
    output = await machine.output(
        pod,
        f"{CAPABILITIES}; touch /proc/sys/kernel/hostname && mount -t tmpfs x /tmp && echo ok",
        security=Security(privileged=True),
    )
    assert "Seccomp:\t0" in output
    assert output.endswith("ok\n")


async def test_user_groups_home_and_directory(machine: Machine) -> None:
    pod = await machine.sandbox()
    container = await machine.run(
        pod, "sh", "-c", "id; pwd; echo $HOME", user=User(name="app", fs_group=77), working_dir="/w/d"
    )
    status = await machine.until(container)
    assert machine.log(container) == "uid=1000(app) gid=1000(app) groups=77,1000(app)\n/w/d\n/home/app\n"
    assert status.user == (1000, 1000, (1000, 77))


async def test_devices_are_everybodys(machine: Machine) -> None:
    pod = await machine.sandbox()
    script = "umask 0; for d in null zero full random urandom tty; do stat -c '%a %n' /dev/$d; done; echo x >/dev/null"
    container = await machine.run(pod, "sh", "-c", script, user=User(name="app"))
    status = await machine.until(container)
    assert {line.split()[0] for line in machine.log(container).splitlines()} == {"666"}
    assert status.exit_code == 0


async def test_an_unknown_user_is_refused_at_create(machine: Machine) -> None:
    pod = await machine.sandbox()
    with pytest.raises(CreateFailed, match="unable to find user ghost"):
        await machine.create(pod, "true", user=User(name="ghost"))
    assert machine.runtime.containers() == []


async def test_volumes_sub_paths_and_read_only(machine: Machine, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "file").write_text("content\n")
    pod = await machine.sandbox()
    mounts = (
        Mount(volume, "/sub/in/here"),
        Mount(volume, "/sub", sub_path="a/b"),
        Mount(volume / "file", "/etc/one-file", read_only=True),
        Mount(volume, "/data", read_only=True),
    )
    output = await machine.output(
        pod,
        "cat /etc/one-file; echo x > /sub/y; ls /sub/in/here; echo z > /data/z; echo z > /etc/one-file",
        mounts=mounts,
    )
    assert "content\na\nfile\n" in output
    assert output.count("Read-only file system") == 2
    assert (volume / "a/b/y").read_text() == "x\n"


async def test_a_sub_path_never_leaves_its_volume(machine: Machine, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "out").symlink_to("/etc")
    pod = await machine.sandbox()
    for path, create, what in (
        ("out", True, "prepare subPath"),  # it leads to what there is on the host, so that nothing is to be made
        ("out/no/such", True, "create subPath directory"),
        ("../no/such", True, "create subPath directory"),
        ("missing", False, "prepare subPath"),
    ):
        with pytest.raises(ConfigFailed, match=f'failed to {what} for volumeMount "v" of container "a"'):
            await machine.create(
                pod, "true", mounts=(Mount(volume, "/v", sub_path=path, volume="v", create_sub_path=create),)
            )
    assert machine.runtime.containers() == []


async def test_a_missing_volume_source_is_refused(machine: Machine) -> None:
    pod = await machine.sandbox()
    with pytest.raises(ConfigFailed, match="/no/such: No such file or directory"):
        await machine.create(pod, "true", mounts=(Mount(Path("/no/such"), "/v"),))


async def test_a_read_only_root(machine: Machine) -> None:
    pod = await machine.sandbox()
    output = await machine.output(
        pod, "echo x > /x; echo x > /dev/shm/x && echo ok", security=Security(read_only_root=True)
    )
    assert "Read-only file system" in output
    assert "ok" in output.splitlines()


async def test_the_termination_message_is_read(machine: Machine) -> None:
    pod = await machine.sandbox()
    container = await machine.run(
        pod, "sh", "-c", "echo -n why > /dev/termination-log", termination_message_path="/dev/termination-log"
    )
    await machine.until(container)
    assert machine.runtime.termination_message(container) == "why"


async def test_more_memory_than_allowed_is_oom_killed_by_notification(machine: Machine) -> None:
    pod = await machine.sandbox()
    container = await machine.run(
        pod, "dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1", resources=Resources(memory_limit=16 << 20)
    )
    status = await machine.until(container)
    assert (status.reason, status.exit_code) == ("OOMKilled", 137)
    assert "oom" in {event.kind for event in machine.events if event.container_id == container}


async def test_stop_sends_the_signal_and_kills_after_the_grace(machine: Machine) -> None:
    pod = await machine.sandbox()
    polite = await machine.run(pod, "sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.05; done", name="polite")
    stubborn = await machine.run(pod, "sh", "-c", "trap '' TERM; sleep 1000", name="stubborn")
    began = time.monotonic()
    await machine.runtime.stop_container(polite, 20)
    assert machine.runtime.status(polite).exit_code == 7
    await machine.runtime.stop_container(stubborn, 0.3)
    status = machine.runtime.status(stubborn)
    assert (status.exit_code, status.signal, status.reason) == (137, signal.SIGKILL, "Error")
    assert 0.3 <= time.monotonic() - began < 10


async def test_a_second_stop_with_less_grace_shortens_the_first(machine: Machine) -> None:
    pod = await machine.sandbox()
    container = await machine.run(pod, "sleep", "1000")  # process 1 ignores TERM
    patient = asyncio.create_task(machine.runtime.stop_container(container, 1000))
    await machine.runtime.stop_container(container, 0)
    async with asyncio.timeout(5):
        await patient


async def test_a_failed_sandbox_leaves_nothing(machine: Machine) -> None:
    taken = await machine.sandbox(port_mappings=(PortMapping(80, 8080),))
    with pytest.raises(SandboxFailed, match="8080/TCP is already used"):
        await machine.sandbox(pod_uid="second", port_mappings=(PortMapping(80, 8080),))
    with pytest.raises(SandboxFailed, match=r"no\.such\.sysctl|no/such/sysctl"):
        await machine.sandbox(pod_uid="third", sysctls={"no.such.sysctl": "1"})
    assert [pod.id for pod in machine.runtime.sandboxes()] == [taken.id]
    assert set(machine.groups.pods()) == {taken.config.pod_uid}
    assert machine.network.addresses.owners().keys() == {taken.config.pod_uid}


async def test_a_caller_that_is_cancelled_leaves_nothing_half_done(machine: Machine) -> None:
    making = asyncio.create_task(machine.sandbox())
    await asyncio.sleep(0)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    await machine.runtime.settle()
    (pod,) = machine.runtime.sandboxes()
    assert pod.ready
    container = await machine.create(pod, "sleep", "1000")
    starting = asyncio.create_task(machine.runtime.start_container(container))
    await asyncio.sleep(0)
    starting.cancel()
    await machine.until(container, State.RUNNING)


async def test_resources_change_while_it_runs(machine: Machine) -> None:
    pod = await machine.sandbox()
    container = await machine.run(pod, "sleep", "1000", resources=Resources(memory_limit=64 << 20, cpu_shares=100))
    await machine.runtime.update_resources(container, Resources(memory_limit=128 << 20, cpu_shares=512))
    resources = machine.runtime.status(container).config.resources
    assert (resources.memory_limit, resources.cpu_shares) == (128 << 20, 512)
    statistics = machine.runtime.container_statistics(container)
    assert statistics is not None
    assert statistics.pids == 1
    assert 0 < statistics.memory_working_set < 64 << 20
    whole = machine.runtime.sandbox_statistics(pod.id)
    assert whole is not None
    assert whole.cpu_ns >= statistics.cpu_ns > 0


async def test_what_is_not_there_is_not_found(machine: Machine) -> None:
    with pytest.raises(NotFound):
        machine.runtime.status("nothing")
    await machine.runtime.remove_container("nothing")
    await machine.runtime.remove_sandbox("nothing")


async def test_an_image_of_many_layers(machine: Machine, tmp_path: Path) -> None:
    layers = [machine.layer]
    for number in range(126):
        layers.append(tmp_path / f"a-layer-whose-path-is-long-{number}")
        layers[-1].mkdir()
        (layers[-1] / f"file{number}").touch()
    pod = await machine.sandbox()
    assert await machine.output(pod, "ls / | grep -c file", layers=tuple(layers)) == "126\n"


async def test_a_seccomp_profile_of_the_machine(machine: Machine, tmp_path: Path) -> None:
    profile = tmp_path / "no-mkdir.json"
    calls = [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": calls}))
    pod = await machine.sandbox()
    container = await machine.run(pod, "sh", "-c", "mkdir /x; sleep 1000", security=Security(seccomp=profile))
    profile.unlink()  # it counts as it was when the container was created
    code, said = await machine.runtime.exec_sync(container, ["mkdir", "/x"], 10)
    assert (code, said) == (1, b"mkdir: can't create directory '/x': Operation not permitted\n")
    await machine.runtime.stop_container(container, 0)
    assert machine.log(container) == "mkdir: can't create directory '/x': Operation not permitted\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, 'cannot load seccomp profile "{0}": open {0}: no such file or directory'),
        ("{nonsense", 'decoding seccomp profile failed "{0}": '),
        ('{"defaultAction": "SCMP_ACT_DANCE"}', 'decoding seccomp profile failed "{0}": '),
    ],
)
async def test_a_seccomp_profile_that_cannot_be_used_is_refused_at_create(
    machine: Machine, tmp_path: Path, content: str | None, why: str
) -> None:
    profile = tmp_path / "profile.json"
    if content is not None:
        profile.write_text(content)
    pod = await machine.sandbox()
    with pytest.raises(CreateFailed) as caught:
        await machine.create(pod, "true", security=Security(seccomp=profile))
    assert caught.value.message.startswith("failed to create containerd container: " + why.format(profile))
    assert machine.runtime.containers() == []
