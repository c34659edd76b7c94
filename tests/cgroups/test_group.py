"""Groups on temporary directories that look like a tree, and on the kernel's own trees."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from podrun.cgroups.devices import DEFAULT_DEVICES
from podrun.cgroups.group import Group
from podrun.cgroups.hierarchy import Hierarchies, detect
from podrun.cgroups.limits import Limits
from podrun.cgroups.tree import PodGroups


def _tree(at: Path, *files: str) -> Path:
    at.mkdir(parents=True, exist_ok=True)
    for name in files:
        (at / name).write_text("")
    return at


def test_v1_limits_go_to_each_controllers_tree(tmp_path: Path) -> None:
    cpu = _tree(tmp_path / "cpu/g", "cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us")
    memory = _tree(tmp_path / "memory/g", "memory.limit_in_bytes")
    (memory / "memory.limit_in_bytes").write_text("0\n")
    group = Group(Hierarchies(legacy={"cpu": tmp_path / "cpu", "memory": tmp_path / "memory"}), "g")
    group.create(Limits(cpu_shares=2, cpu_quota_us=1000, memory_bytes=4096, pids=5))
    assert (cpu / "cpu.shares").read_text() == "2"
    assert (cpu / "cpu.cfs_quota_us").read_text() == "1000"
    assert (memory / "memory.limit_in_bytes").read_text() == "4096"


def test_v1_devices_are_denied_first_and_then_allowed(tmp_path: Path) -> None:
    devices = _tree(tmp_path / "devices/g", "devices.deny", "devices.allow")
    Group(Hierarchies(legacy={"devices": tmp_path / "devices"}), "g").allow_devices(None)
    assert (devices / "devices.deny").read_text() == "a"
    assert DEFAULT_DEVICES[2].line() == "c 1:3 rwm"
    assert DEFAULT_DEVICES[0].line() == "c *:* m"


def test_v2_parent_hands_its_controllers_down(tmp_path: Path) -> None:
    group = _tree(tmp_path / "g", "cgroup.subtree_control", "cpu.max", "cpu.weight", "memory.max", "pids.max")
    machine = Hierarchies(tmp_path, frozenset({"cpu", "memory", "pids"}))
    Group(machine, "g").create(Limits(cpu_quota_us=20_000, memory_bytes=9, pids=3), parent=True)
    assert (group / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert (group / "cpu.max").read_text() == "20000 100000"
    assert (group / "memory.max").read_text() == "9"


def test_a_refused_limit_leaves_no_group(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cpu\.weight"):
        Group(Hierarchies(tmp_path, frozenset({"cpu"})), "a/b").create(Limits(cpu_shares=5))
    assert list(tmp_path.iterdir()) == []


def test_v2_usage_is_read_and_the_working_set_leaves_out_inactive_files(tmp_path: Path) -> None:
    at = tmp_path / "g"
    at.mkdir()
    (at / "cpu.stat").write_text("usage_usec 1500\nuser_usec 1000\n")
    (at / "memory.current").write_text("10000\n")
    (at / "memory.stat").write_text("anon 5000\ninactive_file 3000\n")
    (at / "pids.current").write_text("4\n")
    (at / "memory.events").write_text("low 0\noom 2\noom_kill 1\n")
    group = Group(Hierarchies(tmp_path, frozenset({"cpu", "memory", "pids"})), "g")
    usage = group.usage()
    assert (usage.cpu_ns, usage.memory_bytes, usage.memory_working_set, usage.pids) == (1_500_000, 10_000, 7000, 4)
    assert group.oom_kills() == 1


@pytest.fixture
def pods() -> Iterator[PodGroups]:
    """A root of our own in the machine's trees."""
    if os.geteuid() != 0:
        pytest.skip("cgroups are made by root")
    groups = PodGroups(detect(), f"podrun-test-{os.getpid()}")
    groups.prepare()
    yield groups
    groups.root.kill()
    groups.remove()
    assert not groups.root.exists


def _sleeper(group: Group) -> subprocess.Popen[bytes]:
    def join() -> None:
        for file in group.procs_files:
            Path(file).write_text("0")

    return subprocess.Popen(["sleep", "1000"], preexec_fn=join)


def test_a_process_is_seen_in_its_pod_and_killed_with_it(pods: PodGroups) -> None:
    pod = pods.pod("burstable", "u1")
    pod.create(Limits(cpu_shares=100, memory_bytes=64 << 20, pids=50), parent=True)
    leaf = pod.child("a")
    leaf.create(Limits(cpu_quota_us=50_000))
    sleeper = _sleeper(leaf)
    try:
        assert leaf.processes() == pod.processes() == {sleeper.pid}
        assert pods.pods().keys() == {"u1"}
        assert leaf.usage().pids == 1
        with pytest.raises(OSError, match="busy"):
            leaf.remove()
        leaf.freeze(True)
        leaf.freeze(False)
    finally:
        pod.kill()
        assert sleeper.wait(10) == -signal.SIGKILL
    pod.remove()
    assert pods.pods() == {}


def test_a_leaf_without_limits_is_made_on_v2_only_and_ends_without_its_parent(pods: PodGroups) -> None:
    pod = pods.pod("", "leaf")
    pod.create(parent=True)
    leaf = pod.leaf("pause")
    leaf.create()
    sleeper = _sleeper(leaf)
    try:
        if pods.machine.unified is not None:
            assert len(leaf.directories) == 1
        assert len(leaf.procs_files) == len(pod.procs_files)
        assert pod.processes() == {sleeper.pid}
    finally:
        leaf.kill()
        sleeper.wait(10)
    leaf.remove()
    assert all(directory.is_dir() for directory in pod.directories)
    pod.remove()


def test_a_limit_can_rise_and_fall_while_it_runs(pods: PodGroups) -> None:
    group = pods.pod("", "u2")
    group.create(Limits(memory_bytes=32 << 20))
    group.limit(Limits(memory_bytes=64 << 20, cpu_shares=300))
    group.limit(Limits(memory_bytes=16 << 20))
    group.remove()
