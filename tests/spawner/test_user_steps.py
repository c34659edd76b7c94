"""User namespaces: what is done as the host, the second fork, and failures on either side of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

import pytest

from podrun.kernel import namespaces
from podrun.kernel.flags import Clone, MountFlags
from podrun.spawner import plan
from podrun.spawner.client import SpawnerError
from podrun.spawner.plan import ROOTFS, Step
from podrun.spawner.protocol import Spawn
from tests.spawner.conftest import Box

FIRST = 1 << 20
MADE = plan.NewUsers(FIRST, 65536, Clone.NET | Clone.IPC | Clone.UTS)
ROOT = (plan.Mount("tmpfs", ROOTFS, MountFlags.NODEV), plan.Root(), plan.PivotRoot())


def pause(*steps: Step, name: str = "p") -> Spawn:
    return Spawn(name, "pause", ("/pause",), builtin_pause=True, plan=steps)


async def end(box: Box, name: str = "p") -> None:
    await box.client.signal(name, 9)
    await box.exit_of(name)
    await box.client.acknowledge(name)


async def test_the_process_after_the_second_fork_is_the_spawners_child_and_process_1(box: Box) -> None:
    started = await box.client.spawn(pause(MADE, plan.JoinUsers(new_pid=True), plan.Unshare(Clone.MNT), *ROOT))
    box.close(started)
    spawner = box.client.welcome.pid
    with open(f"/proc/{spawner}/task/{spawner}/children") as file:
        assert str(started.pid) in file.read().split()
    with open(f"/proc/{started.pid}/status") as file:
        (numbers,) = (line.split()[1:] for line in file if line.startswith("NSpid:"))
    assert (numbers[-2:], os.stat(f"/proc/{started.pid}").st_uid) == ([str(started.pid), "1"], FIRST)
    assert namespaces.inode("user", started.pid) != namespaces.inode("user")
    await end(box)


async def test_the_hosts_names_are_set_before_its_privileges_end(box: Box) -> None:
    steps = (MADE, plan.Hostname("inside"), plan.JoinUsers(), plan.Unshare(Clone.MNT), *ROOT)
    started = await box.client.spawn(pause(*steps))
    box.close(started)
    assert namespaces.inode("uts", started.pid) != namespaces.inode("uts")
    await end(box)


@pytest.mark.parametrize(
    ("steps", "step", "number"),
    [
        pytest.param((plan.NewUsers(0xFFFFFFF0, 65536, Clone.NET),), 0, errno.EINVAL, id="ids that there are not"),
        pytest.param((MADE, plan.Hostname("x" * 65)), 1, errno.EINVAL, id="as the host"),
        pytest.param(
            (MADE, plan.JoinUsers(), plan.Unshare(Clone.MNT), plan.Root("/none")), 3, errno.ENOENT, id="as root"
        ),
        pytest.param(
            (MADE, plan.JoinUsers(new_pid=True), plan.Root("/none")), 2, errno.ENOENT, id="after the second fork"
        ),
        pytest.param(
            (MADE, plan.JoinUsers(), plan.Mount("proc", ROOTFS)), 2, errno.EPERM, id="what only the host may do"
        ),
    ],
)
async def test_a_step_that_fails_is_told_and_nothing_is_left(
    box: Box, steps: Sequence[Step], step: int, number: int
) -> None:
    with pytest.raises(SpawnerError) as caught:
        await box.client.spawn(pause(*steps))
    failure = caught.value.failure
    assert (failure.stage, failure.step, failure.errno) == ("plan", step, number)
