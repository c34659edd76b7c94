"""Which tree does what, from the mounts of real machines."""

from pathlib import Path

import pytest

from podrun.cgroups.hierarchy import Hierarchies, choose

V2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
HYBRID = """\
30 24 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:5 - cgroup cgroup rw,cpu,cpuacct
34 30 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
35 30 0:31 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices
36 30 0:32 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
37 30 0:33 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer"""
V1 = "\n".join(line for line in HYBRID.splitlines() if "cgroup2" not in line)
AT = Path("/sys/fs/cgroup")


@pytest.mark.parametrize(
    ("why", "mountinfo", "on_v2", "expected"),
    [
        (
            "pure v2 has every controller",
            V2,
            {AT: frozenset({"cpu", "memory", "pids", "io", "rdma"})},
            Hierarchies(AT, frozenset({"cpu", "memory", "pids"}), {}),
        ),
        (
            "hybrid limits on v1, and v2 replaces cpuacct, freezer and devices",
            HYBRID,
            {AT / "unified": frozenset({"hugetlb"})},
            Hierarchies(
                AT / "unified",
                frozenset(),
                {"cpu": AT / "cpu,cpuacct", "memory": AT / "memory", "pids": AT / "pids"},
            ),
        ),
        (
            "hybrid with pids on v2 sets that limit there",
            HYBRID,
            {AT / "unified": frozenset({"pids"})},
            Hierarchies(AT / "unified", frozenset({"pids"}), {"cpu": AT / "cpu,cpuacct", "memory": AT / "memory"}),
        ),
        (
            "pure v1 needs the accounting, freezing and device controllers too",
            V1,
            {},
            Hierarchies(
                None,
                frozenset(),
                {
                    "cpu": AT / "cpu,cpuacct",
                    "memory": AT / "memory",
                    "pids": AT / "pids",
                    "cpuacct": AT / "cpu,cpuacct",
                    "freezer": AT / "freezer",
                    "devices": AT / "devices",
                },
            ),
        ),
    ],
)
def test_each_controller_is_used_where_it_is(
    why: str, mountinfo: str, on_v2: dict[Path, frozenset[str]], expected: Hierarchies
) -> None:
    assert choose(mountinfo, on_v2) == expected, why


def test_controllers_mounted_together_share_one_directory() -> None:
    hierarchies = choose(V1, {})
    assert len(hierarchies.directories) == 5
    assert hierarchies.below("podrun").of("cpuacct") == AT / "cpu,cpuacct/podrun"


def test_missing_controllers_are_named() -> None:
    assert choose("", {}).missing() == ("cpu", "memory", "pids")
