"""What is made of an opened pod: comparisons, SVG, trees of processes; and sockets read from the kernel's tables."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from podrun.anatomy import differences
from podrun.anatomy.draw import draw
from podrun.anatomy.files import Place, root_of, size_below
from podrun.anatomy.model import Anatomy, Connection, Container, Process, Volume, group_namespaces
from podrun.anatomy.sockets import connections, sockets_in
from podrun.anatomy.svg import draw_svg

SHARED = {"net": 10, "ipc": 11, "uts": 12, "user": 1}
HOST = {"net": 1, "ipc": 2, "uts": 3, "pid": 4, "mnt": 5, "cgroup": 6, "user": 1}


def _container(name: str, number: int, *processes: Process, kind: str = "container") -> Container:
    own = {"pid": number, "mnt": number + 1, "cgroup": number + 2}
    return Container(name, kind, "busybox:1.36", processes, (), f"/podrun/podu/{name}", {**SHARED, **own})


PAUSE = _container("pause", 20, Process(100, 1, 65535, "/pause"), kind="pause")
APP = _container(
    "app",
    30,
    Process(110, 1, 0, "sh -c <&>", (8080,), parent=1),
    Process(111, 2, 0, "worker", parent=110),
    Process(112, 3, 0, "", parent=111, state="Z"),
)
SHELF = Volume("shelf", "emptyDir", (("app", "/a"), ("side", "/s")), 4096)
SIDE = _container("side", 40, Process(120, 1, 7, "tail -f /x", parent=1), kind="sidecar")


def _anatomy(*containers: Container, name: str = "web", uid: str = "u") -> Anatomy:
    return Anatomy(
        namespace="default",
        name=name,
        uid=uid,
        phase="Running",
        hostname=name,
        addresses=("10.244.0.2",),
        containers=containers,
        absent=(("init", "ended with exit code 0 (Completed)"),),
        namespaces=group_namespaces(containers, HOST),
        volumes=(SHELF, Volume("own", "secret", (("app", "/o"),))),
        cgroup=f"/podrun/pod{uid}",
        connections=(Connection("side", "app", 8080, 3),),
    )


WEB = _anatomy(PAUSE, APP, SIDE)


class TestDrawing:
    def test_each_process_stands_below_the_one_that_made_it(self) -> None:
        lines = [line.strip(" │") for line in draw(_anatomy(PAUSE, APP), 120).splitlines()]
        tree = [line for line in lines if "(inside" in line]
        assert tree == [
            "110 (inside 1) uid 0 :8080",
            "└ 111 (inside 2) uid 0",
            "└ 112 (inside 3) uid 0 zombie",
        ]

    def test_says_who_speaks_with_whom_and_what_is_used(self) -> None:
        text = draw(replace(WEB, containers=(PAUSE, replace(APP, frozen=True, memory=3 << 20, layers=2), SIDE)), 120)
        for part in ("side ──► app :8080 over localhost (3 connections)", "app FROZEN", "memory 3.0 MiB", "2 layers"):
            assert part in text


class TestComparing:
    def _shared(self, a: str, b: str, second: Anatomy = WEB) -> dict[str, bool]:
        lines = differences.compare(differences.side(WEB, a), differences.side(second, b))
        return {line.what: line.shared for line in lines}

    def test_two_containers_of_a_pod(self) -> None:
        found = self._shared("app", "side")
        namespaces = {kind: found[f"{kind} namespace"] for kind in ("net", "ipc", "uts", "pid", "mnt", "cgroup")}
        assert namespaces == {"net": True, "ipc": True, "uts": True, "pid": False, "mnt": False, "cgroup": False}
        assert (found["volume shelf"], found["volume own"], found["address"], found["user"]) == (
            True,
            False,
            True,
            False,
        )

    def test_two_pods(self) -> None:
        other = {kind: inode + 100 for kind, inode in SHARED.items()} | {"user": 1, "pid": 4, "mnt": 300, "cgroup": 6}
        lone = _anatomy(replace(PAUSE, namespaces=other), name="other", uid="v")
        found = self._shared("", "", lone)
        assert {what for what, shared in found.items() if shared} == {"user namespace"}

    def test_a_container_that_does_not_run_is_named(self) -> None:
        with pytest.raises(LookupError, match="has no container init that runs; it has pause, app, side"):
            differences.side(WEB, "init")

    def test_the_drawing_fits(self) -> None:
        text = differences.draw(differences.side(WEB, "app"), differences.side(WEB, "side"), 80)
        assert max(map(len, text.splitlines())) <= 80
        assert text.index("shared or alike:") < text.index("net namespace") < text.index("not shared:")


class TestSvg:
    @pytest.mark.parametrize("dark", [False, True])
    def test_is_xml_that_shows_everything(self, dark: bool) -> None:
        root = ElementTree.fromstring(draw_svg(WEB, dark=dark))
        words = " ".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text"))
        for part in ("Pod web", "net:[10]", "sh -c <&>", ":8080", "shelf (emptyDir)", "side → app :8080", "pause 100"):
            assert part in words

    def test_everything_is_inside_the_picture(self) -> None:
        root = ElementTree.fromstring(draw_svg(_anatomy(PAUSE, *[replace(SIDE, name=f"c{n}") for n in range(7)])))
        width, height = int(root.attrib["width"]), int(root.attrib["height"])
        boxes = list(root.iter("{http://www.w3.org/2000/svg}rect"))
        assert len(boxes) == 1 + 1 + 7 + 2  # paper, pod, containers, volumes
        for box in boxes:
            numbers = {key: int(value) for key, value in box.attrib.items() if key in ("x", "y", "width", "height")}
            assert numbers.get("x", 0) + numbers["width"] <= width
            assert numbers.get("y", 0) + numbers["height"] <= height


def test_connections_lead_from_who_called_to_who_listens(tmp_path: Path) -> None:
    """Three sockets of a call within the pod (one end IPv6), and a call to somewhere else."""
    head = "  sl  local_address rem_address   st\n"
    line = "   0: {} {} {} 0:0 00:0 0 0 0 {}\n".format
    mapped = "0000000000000000FFFF00000100007F"
    tcp = line("0100007F:9C40", "0100007F:1F90", "01", 7) + line("0200F40A:9C41", "08080808:01BB", "01", 9)
    tcp6 = line("0" * 32 + ":1F90", "0" * 32 + ":0000", "0A", 8) + line(f"{mapped}:1F90", f"{mapped}:9C40", "01", 6)
    (tmp_path / "1" / "net").mkdir(parents=True)
    (tmp_path / "1" / "net" / "tcp").write_text(head + tcp)
    (tmp_path / "1" / "net" / "tcp6").write_text(head + tcp6)
    sockets = sockets_in(tmp_path, 1)
    assert [socket.port for socket in sockets if socket.listens] == [8080]
    holders = {7: "side", 6: "app", 8: "app", 9: "app"}
    assert connections(sockets, holders) == (Connection("side", "app", 8080, 1),)


def test_the_root_counts_the_images_layers_and_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "upper" / "deep").mkdir(parents=True)
    (tmp_path / "upper" / "deep" / "file").write_bytes(bytes(5000))
    (tmp_path / "upper" / "link").symlink_to("/etc/passwd")
    options = f"rw,lowerdir=/l/2:/l/1:/skeleton,upperdir={tmp_path}/upper,workdir=/w"
    root = root_of([Place("/", "overlay", ("ro",), options), Place("/proc", "proc", (), "rw")])
    assert (root.layers, root.read_only) == (2, True)
    assert 5000 <= root.written <= 16384
    assert size_below(str(tmp_path / "not there")) == 0


def test_a_tree_that_is_nested_without_end_is_left(tmp_path: Path) -> None:
    (tmp_path / "first").write_bytes(bytes(5000))
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(before)
    assert size_below(str(tmp_path)) >= 5000
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)
