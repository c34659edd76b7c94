"""The picture of a pod: read from a made-up /proc, grouped, and drawn."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from podrun.anatomy.draw import draw
from podrun.anatomy.model import KINDS, Anatomy, Namespace
from podrun.anatomy.read import open_pod

UID = "6f3c8f5e-0000-4000-8000-000000000001"
APP, SIDECAR = "a" * 64, "b" * 64
HOST = dict.fromkeys(KINDS, 1)
SHARED = {"net": 20, "ipc": 21, "uts": 22, "user": 1}


class FakeProc:
    """A /proc with processes that one says are there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.process("self", "/", HOST, 1, ["podrun"])

    def process(
        self, pid: int | str, cgroup: str, namespaces: dict[str, int], inner: int, words: list[str], port: int = 0
    ) -> None:
        directory = self.root / str(pid)
        (directory / "ns").mkdir(parents=True)
        (directory / "fd").mkdir()
        (directory / "net").mkdir()
        for kind, inode in namespaces.items():
            os.symlink(f"{kind}:[{inode}]", directory / "ns" / kind)
        (directory / "cgroup").write_text(f"4:memory:{cgroup}\n0::{cgroup}\n")
        (directory / "stat").write_text(f"{pid} (x) S " + " ".join(["0"] * 18) + f" {pid if pid != 'self' else 0} 0\n")
        (directory / "status").write_text(f"Name:\tx\nUid:\t0\t65534\t0\t0\nNSpid:\t{pid}\t{inner}\n")
        (directory / "comm").write_text(words[0][:15] + "\n")
        (directory / "cmdline").write_bytes(b"\0".join(word.encode() for word in words) + b"\0")
        (directory / "mountinfo").write_text(
            "1 0 0:1 / / rw - overlay overlay rw\n2 1 0:2 / /var/log/app ro - ext4 /dev/vda rw\n"
        )
        head = "  sl  local_address\n"
        line = f"   0: 00000000:{port:04X} 00000000:0000 0A 0:0 00:0 0 0 0 {port}\n" if port else ""
        (directory / "net" / "tcp").write_text(head + line)
        if port:
            os.symlink(f"socket:[{port}]", directory / "fd" / "3")


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    fake = FakeProc(tmp_path)
    group = f"/podrun/besteffort/pod{UID}"
    own = {"pid": 30, "mnt": 31, "cgroup": 32}
    fake.process(100, f"{group}/pause", {**SHARED, "pid": 1, "mnt": 33, "cgroup": 1}, 1, ["pause"])
    fake.process(110, f"{group}/{APP}", {**SHARED, **own}, 1, ["/catalog"], port=8080)
    fake.process(
        120, f"{group}/{SIDECAR}", {**SHARED, "pid": 40, "mnt": 41, "cgroup": 42}, 1, ["/bin/sh", "-c", "a\n b"]
    )
    fake.process(121, f"{group}/{SIDECAR}", {**SHARED, "pid": 40, "mnt": 41, "cgroup": 42}, 7, ["sleep", "30"])
    for other in (100, 120, 121):  # one network namespace has one table
        (fake.root / str(other) / "net" / "tcp").write_text((fake.root / "110" / "net" / "tcp").read_text())
    fake.process(130, "/podrun/besteffort/podother/" + "c" * 64, HOST, 1, ["somebody else"])
    return fake


def _pod() -> dict[str, Any]:
    mounts = [{"name": "varlog", "mountPath": "/var/log/app"}]
    return {
        "metadata": {"namespace": "default", "name": "catalog", "uid": UID},
        "spec": {
            "initContainers": [
                {"name": "migrate", "image": "busybox"},
                {"name": "log-sidecar", "image": "busybox:1.36", "restartPolicy": "Always", "volumeMounts": mounts},
            ],
            "containers": [{"name": "catalog", "image": "bookstore/catalog:dev", "volumeMounts": mounts}],
            "volumes": [{"name": "varlog", "emptyDir": {}}],
        },
        "status": {
            "phase": "Running",
            "podIPs": [{"ip": "10.244.0.7"}],
            "initContainerStatuses": [
                {"name": "migrate", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
                {"name": "log-sidecar", "containerID": f"containerd://{SIDECAR}", "restartCount": 2},
            ],
            "containerStatuses": [{"name": "catalog", "containerID": f"containerd://{APP}", "restartCount": 0}],
        },
    }


@pytest.fixture
def anatomy(proc: FakeProc) -> Anatomy:
    return open_pod(_pod(), proc.root)


def test_containers_are_those_that_run_pause_first_and_the_others_say_why(anatomy: Anatomy) -> None:
    assert [(each.name, each.kind) for each in anatomy.containers] == [
        ("pause", "pause"),
        ("log-sidecar", "sidecar"),
        ("catalog", "container"),
    ]
    assert anatomy.absent == (("migrate", "ended with exit code 0 (Completed)"),)


def test_namespaces_name_their_members(anatomy: Anatomy) -> None:
    assert anatomy.namespaces == (
        Namespace("net", 20, ("pause", "log-sidecar", "catalog"), host=False),
        Namespace("ipc", 21, ("pause", "log-sidecar", "catalog"), host=False),
        Namespace("uts", 22, ("pause", "log-sidecar", "catalog"), host=False),
        Namespace("pid", 1, ("pause",), host=True),
        Namespace("pid", 40, ("log-sidecar",), host=False),
        Namespace("pid", 30, ("catalog",), host=False),
        Namespace("mnt", 33, ("pause",), host=False),
        Namespace("mnt", 41, ("log-sidecar",), host=False),
        Namespace("mnt", 31, ("catalog",), host=False),
        Namespace("cgroup", 1, ("pause",), host=True),
        Namespace("cgroup", 42, ("log-sidecar",), host=False),
        Namespace("cgroup", 32, ("catalog",), host=False),
        Namespace("user", 1, ("pause", "log-sidecar", "catalog"), host=True),
    )


def test_processes_know_both_numbers_their_user_and_their_ports(anatomy: Anatomy) -> None:
    _, sidecar, catalog = anatomy.containers
    assert [(each.pid, each.inner_pid, each.command) for each in sidecar.processes] == [
        (120, 1, "/bin/sh -c a b"),
        (121, 7, "sleep 30"),
    ]
    assert (catalog.processes[0].listens, catalog.processes[0].user) == ((8080,), 65534)


def test_mounts_are_named_by_the_pods_volumes(anatomy: Anatomy) -> None:
    mounts = {mount.target: mount for mount in anatomy.containers[2].mounts}
    assert mounts["/"].volume == ""
    assert (mounts["/var/log/app"].volume, mounts["/var/log/app"].read_only) == ("varlog", True)
    assert anatomy.volumes[0].targets == (("log-sidecar", "/var/log/app"), ("catalog", "/var/log/app"))


def test_cgroup_is_the_pods(anatomy: Anatomy) -> None:
    assert anatomy.cgroup == f"/podrun/besteffort/pod{UID}"


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_drawing_keeps_its_frame_at_every_width(anatomy: Anatomy, width: int) -> None:
    lines = draw(anatomy, width).splitlines()
    top = next(place for place, line in enumerate(lines) if line.startswith("┌"))
    bottom = next(place for place, line in enumerate(lines) if line.startswith("└"))
    assert {len(line) for line in lines[top : bottom + 1]} == {len(lines[top])}
    assert all(line.startswith("│") and line.endswith("│") for line in lines[top + 1 : bottom])


def test_drawing_shows_what_is_shared_and_what_is_not(anatomy: Anatomy) -> None:
    text = draw(anatomy, 100)
    for part in (
        "10.244.0.7",
        "shared: network: one address, one port space   net:[20]",
        "shared: UTS: the hostname (catalog)",
        "log-sidecar (sidecar)",
        "restarted 2 times",
        ":8080",
        "own pid:[30]",
        "volume: varlog (emptyDir)",
        "migrate does not run: ended with exit code 0 (Completed)",
        "pause 100 holds the namespaces",
        "net         20",
    ):
        assert part in text
    assert "shared: processes" not in text


def test_a_pod_without_processes_is_said_to_have_none(tmp_path: Path) -> None:
    pod = _pod()
    pod["status"] = {"phase": "Pending"}
    opened = open_pod(pod, FakeProc(tmp_path).root)
    assert opened.containers == ()
    assert dict(opened.absent)["catalog"] == "waits: it has not begun"
    assert "no sandbox" in draw(opened, 80)
