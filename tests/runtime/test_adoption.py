"""podrund dies and comes again; the spawner is killed; nothing is left behind in the end."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from podrun.cgroups.group import Group
from podrun.kernel import processes
from podrun.network.wiring import LINK_PREFIX
from podrun.runtime.errors import SandboxFailed
from podrun.runtime.model import Resources, State
from podrun.spawner.start import SpawnerFailed
from tests.runtime.machine import Machine, make_runtime


def _next_life(machine: Machine) -> Machine:
    """The runtime of the next podrund on the same machine."""
    return make_runtime(machine.root, machine.groups.name, machine.layer)


async def test_a_new_podrund_adopts_what_runs_and_hears_what_ended(machine: Machine) -> None:
    pod = await machine.sandbox()
    lasting = await machine.run(pod, "sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.05; done", name="lasting")
    ending = await machine.run(pod, "sh", "-c", "read x; exit 6", name="ending", stdin=True)
    created = await machine.create(pod, "echo", "late", name="late")
    before = machine.runtime.status(lasting)
    typing = await machine.runtime.attach(ending, stdin=True, stdout=False, stderr=False)
    assert typing.stdin is not None
    writer = os.dup(typing.stdin)
    await machine.runtime.close()

    os.write(writer, b"\n")
    os.close(writer)
    await asyncio.to_thread(_wait_for_record, machine.root / "spawner", ending)

    after = _next_life(machine)
    await after.runtime.start()
    machine.runtime = after.runtime
    assert after.runtime.status(lasting) == before
    ended = await after.until(ending)  # told at once, or when the log's last line is written
    assert (ended.state, ended.exit_code) == (State.EXITED, 6)
    assert [event.kind for event in after.events] == ["container-exited"]
    assert after.runtime.sandbox_status(pod.id) == pod
    await after.runtime.start_container(created)
    await after.until(created)
    assert after.log(created) == "late\n"
    code, output = await after.runtime.exec_sync(lasting, ["echo", "still here"], 10)
    assert (code, output) == (0, b"still here\n")
    await after.runtime.stop_container(lasting, 20)
    assert after.runtime.status(lasting).exit_code == 9


def _wait_for_record(directory: Path, process_id: str) -> None:
    """Until the spawner has written down the exit."""
    while not (directory / "exits" / process_id).exists():
        os.sched_yield()


@pytest.mark.parametrize(
    ("kernel", "code", "reason"),
    [
        ([OSError("this kernel does not keep it")], 137, "ContainerStatusUnknown"),
        ([None, None, 9 << 8], 9, "Error"),
        ([None, 0], 0, "Completed"),
        ([None, int(signal.SIGSEGV)], 139, "Error"),
    ],
    ids=["until Linux 6.15", "an exit code", "success", "a signal"],
)
async def test_a_killed_spawner_is_replaced_and_what_it_knew_is_lost_honestly(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, kernel: list[int | OSError | None], code: int, reason: str
) -> None:
    def wait_status(pidfd: int) -> int | None:
        answer = kernel.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(processes, "wait_status", wait_status)
    pod = await machine.sandbox()
    container = await machine.run(pod, "sleep", "1000")
    former = machine.runtime.spawner
    os.kill(former.welcome.pid, signal.SIGKILL)
    await former.lost
    async with asyncio.timeout(20):
        await machine.reconnected.wait()
        await machine.runtime.stop_container(container, 0)
    status = machine.runtime.status(container)
    assert (status.state, status.exit_code, status.reason) == (State.EXITED, code, reason)
    again = await machine.run(pod, "sh", "-c", "echo again", name="again")
    await machine.until(again)
    assert machine.log(again) == "again\n"


async def test_where_no_spawner_can_be_begun_the_runtime_says_that_it_is_broken(machine: Machine) -> None:
    pod = await machine.sandbox()
    machine.refuse_spawner = True
    os.kill(machine.runtime.spawner.welcome.pid, signal.SIGKILL)
    with pytest.raises(SpawnerFailed, match="no room for a spawner"):
        async with asyncio.timeout(20):
            await asyncio.shield(machine.runtime.broken)
    with pytest.raises(SandboxFailed):
        await machine.sandbox(pod_uid="later")
    machine.refuse_spawner = False
    await machine.runtime.close()
    after = _next_life(machine)
    await after.runtime.start()
    machine.runtime = after.runtime
    assert after.runtime.sandbox_status(pod.id).ready


def _traces(machine: Machine) -> dict[str, object]:
    """What pods could leave behind on this machine."""
    root = Group(machine.groups.machine.below(machine.groups.name), "")
    spawner = machine.runtime.spawner.welcome
    return {
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "spawner's mounts": len(Path(f"/proc/{spawner.pid}/mountinfo").read_text().splitlines()),
        "children": len(Path(f"/proc/{spawner.pid}/task/{spawner.pid}/children").read_text().split()),
        "links": [name for _, name in socket.if_nameindex() if name.startswith(LINK_PREFIX)],
        "routes": Path("/proc/net/route").read_text().count("vpod"),
        "groups": sorted(str(path) for top in root.directories for path in top.rglob("*") if path.is_dir()),
        "own descriptors": len(os.listdir("/proc/self/fd")),
        "spawner's descriptors": len(os.listdir(f"/proc/{spawner.pid}/fd")),
        "log process's descriptors": len(os.listdir(f"/proc/{spawner.log_process}/fd")),
        "layers": sorted((machine.root / "state/containers").iterdir()),
        "records": sorted((machine.root / "run").rglob("record.json")),
        "exits": sorted(path for path in (machine.root / "spawner").rglob("*exit*") if path.is_file()),
        "addresses": sorted((machine.root / "state/network/addresses").iterdir()),
    }


async def test_forty_pods_up_and_down_leave_nothing(machine: Machine) -> None:
    await _one_pod(machine, 0)  # what is made once and kept
    before = await _settled(machine)
    await asyncio.gather(*(_one_pod(machine, number) for number in range(1, 41)))
    after = await _settled(machine)
    assert after == before


async def _one_pod(machine: Machine, number: int) -> None:
    pod = await machine.sandbox(
        pod_uid=f"pod-{number}",
        cgroup_parent=("", "burstable", "besteffort")[number % 3],
        share_process_namespace=number % 5 == 0,
        resources=Resources(memory_limit=64 << 20),
    )
    first = await machine.create(pod, "sh", "-c", "sleep 1000 & sleep 1000", name="a", tty=number % 4 == 0, stdin=True)
    second = await machine.create(pod, "no-such-program" if number % 7 == 0 else "true", name="b")
    await asyncio.gather(
        machine.runtime.start_container(first), machine.runtime.start_container(second), return_exceptions=True
    )
    assert (await machine.runtime.exec_sync(first, ["echo", "x"], 20))[1] == b"x\n"
    await machine.runtime.remove_sandbox(pod.id)


async def _settled(machine: Machine) -> dict[str, object]:
    """The traces once the kernel has cleaned up network namespaces, which it does in its own time."""
    await machine.runtime.settle()
    await machine.runtime.spawner.rest()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE) as changes:
        changes.bind((0, 1))  # RTMGRP_LINK
        async with asyncio.timeout(20):
            while any(name.startswith(LINK_PREFIX) for _, name in socket.if_nameindex()):
                await asyncio.get_running_loop().sock_recv(changes, 65536)
    return _traces(machine)
