"""Devices by BPF, OOM kills by notification and swift joins, on the kernel's own trees."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from podrun.cgroups import swift
from podrun.cgroups.bpf import DevicePrograms
from podrun.cgroups.devices import DEFAULT_DEVICES
from podrun.cgroups.ending import end
from podrun.cgroups.group import Group
from podrun.cgroups.hierarchy import detect
from podrun.cgroups.limits import Limits
from podrun.cgroups.oom import OomNotifier
from podrun.cgroups.tree import PodGroups


@pytest.fixture
def pods() -> Iterator[PodGroups]:
    """A root of our own in the machine's trees."""
    if os.geteuid() != 0:
        pytest.skip("cgroups are made by root")
    groups = PodGroups(detect(), f"podrun-kernel-test-{os.getpid()}")
    groups.prepare()
    yield groups
    groups.root.kill()
    groups.remove()
    assert not groups.root.exists


def _in(group: Group, code: str) -> subprocess.Popen[str]:
    """Python that joins the group before it begins."""

    def join() -> None:
        for file in group.procs_files:
            Path(file).write_text("0")

    return subprocess.Popen([sys.executable, "-c", code], preexec_fn=join, stdout=subprocess.PIPE, text=True)


def test_only_allowed_devices_can_be_opened(pods: PodGroups, tmp_path: Path) -> None:
    if pods.machine.unified is None:
        pytest.skip("no v2 tree")
    group = pods.pod("", "devices").child("a")
    group.create()
    programs = DevicePrograms()
    group.allow_devices(programs, DEFAULT_DEVICES)
    programs.close()
    code = f"""
import os
for name, major, minor in (("null", 1, 3), ("random", 1, 8), ("mem", 1, 1), ("kmsg", 1, 11)):
    path = {str(tmp_path)!r} + "/" + name
    os.mknod(path, 0o20666, os.makedev(major, minor))
    try:
        os.close(os.open(path, os.O_RDONLY))
        print(name, "opened")
    except PermissionError:
        print(name, "refused")
"""
    output, _ = _in(group, code).communicate(timeout=30)
    assert output.split("\n") == ["null opened", "random opened", "mem refused", "kmsg refused", ""]


async def test_an_oom_kill_is_told_and_counted(pods: PodGroups) -> None:
    group = pods.pod("burstable", "oom").child("a")
    group.create(Limits(memory_bytes=24 << 20, whole_group_oom=True))
    notifier, told = OomNotifier(), asyncio.Event()
    notifier.watch(group, told.set)
    process = _in(group, "x = bytearray(200 << 20)")
    try:
        async with asyncio.timeout(30):
            await told.wait()
            assert await asyncio.to_thread(process.wait) == -9
    finally:
        process.kill()
        process.communicate()
    assert group.oom_kills() == 1
    await end(group)
    notifier.close()


async def test_ending_a_group_waits_for_what_runs_in_it(pods: PodGroups) -> None:
    pod = pods.pod("", "ending")
    pod.create(parent=True)
    leaf = pod.child("a")
    leaf.create()
    sleeper = _in(leaf, "import time; print('up', flush=True); time.sleep(1000)")
    assert sleeper.stdout is not None
    assert sleeper.stdout.readline() == "up\n"
    await end(pod)
    assert not pod.exists
    sleeper.communicate()


def test_joins_are_held_swift_without_a_mount() -> None:
    before = Path("/proc/self/mountinfo").read_text()
    held = swift.hold(f"podrun-test-{os.getpid()}")
    assert Path("/proc/self/mountinfo").read_text() == before
    swift.release(held)
