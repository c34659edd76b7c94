"""No room, no inodes, read-only: refused with words, nothing corrupted, and on it goes when there is room.

The database, images, volumes and writable layers of this daemon lie on one small file system, its logs on another.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import HarnessError, Podrun, wait_until
from tests.images.archives import Entry, docker_save, tar_of
from tests.pods.living import Object, Pods, Refused, container_status, once, pod, state

STATE, LOGS = "var/lib/podrun", "var/log/pods"


@pytest.fixture(scope="module")
def module_podrun(images: Path) -> Iterator[Podrun]:
    file_systems = {STATE: "size=200m,nr_inodes=20000", LOGS: "size=4m"}
    with Podrun.start(images=images, file_systems=file_systems) as podrun:
        yield podrun


@contextlib.contextmanager
def no_bytes(podrun: Podrun, path: str) -> Iterator[None]:
    where = podrun.root / path
    fill = f"cat /dev/zero > {where}/filler 2>/dev/null; cat /dev/zero > {where}/rest 2>/dev/null; true"
    podrun.run("sh", "-c", fill)
    try:
        yield
    finally:
        podrun.run("rm", "-f", where / "filler", where / "rest")


@contextlib.contextmanager
def no_inodes(podrun: Podrun, path: str) -> Iterator[None]:
    where = podrun.root / path / "many"
    podrun.run("sh", "-c", f"mkdir {where}; cd {where}; seq 30000 | xargs touch 2>/dev/null; true")
    try:
        yield
    finally:
        podrun.run("rm", "-rf", where)


@contextlib.contextmanager
def read_only(podrun: Podrun, path: str) -> Iterator[None]:
    """For whoever opens something anew: the kernel leaves a mount that is written to as it is."""
    podrun.run("mount", "--bind", podrun.root / path, podrun.root / path)
    podrun.run("mount", "-o", "remount,bind,ro", podrun.root / path)
    try:
        yield
    finally:
        podrun.run("umount", podrun.root / path)


def stop(podrun: Podrun) -> None:
    os.kill(podrun.daemon_pid, signal.SIGTERM)
    wait_until(lambda: not podrun.daemon_runs(), 20, f"podrund does not end\n{podrun.log()}")


def config_map(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "x" * 20_000}}


@pytest.fixture
def witness(pods: Pods) -> Iterator[int]:
    """A pod that must not notice; its process."""
    pods.run(pod("witness"))
    pid = pods.pid("witness")
    yield pid
    assert pods.pid("witness") == pid
    assert container_status(pods.get("witness"))["restartCount"] == 0


@pytest.mark.parametrize("shortage", [no_bytes, no_inodes], ids=["bytes", "inodes"])
def test_a_full_disk_is_said_and_lived_through(
    podrun: Podrun, pods: Pods, witness: int, tmp_path: Path, shortage: object
) -> None:
    archive = docker_save(tmp_path / "big.tar", {("big:1",): [tar_of([Entry("hello", b"x" * 3_000_000)])]})
    kept = "kept-bytes" if shortage is no_bytes else "kept-inodes"
    pods.create(config_map(kept))
    with shortage(podrun, STATE):  # type: ignore[operator]
        refused: Refused | None = None
        with contextlib.suppress(Refused):
            for number in range(200 if shortage is no_bytes else 2):  # the write-ahead log has some room of its own
                pods.create(config_map(f"{kept}-{number}"))
        try:
            pods.create(config_map(f"{kept}-last"))
        except Refused as error:
            refused = error
        if shortage is no_bytes:
            assert refused is not None
            assert "could not be stored: database or disk is full" in refused.status["message"]
        loaded = podrun.run("podrun", "images", "load", archive, check=False)
        assert loaded.returncode == 1
        assert "No space left on device" in loaded.stderr
        # What there is can be read, looked into and asked.
        assert pods.call("GET", pods.path("configmaps", kept))["data"]["a"] == "x" * 20_000
        assert pods.exec("witness", "echo", "here").stdout == "here\n"
        assert pods.exec("witness", "sh", "-c", "echo a > /file").returncode != 0
    podrun.podrun("images", "load", archive)
    assert "big" in podrun.podrun("images", "ls")
    podrun.podrun("images", "rm", "big:1")
    pods.create(config_map(f"{kept}-after"))
    pods.run(pod("after"))
    pods.delete("after", grace=0)
    podrun.crash()  # the next one reads everything
    assert pods.call("GET", pods.path("configmaps", f"{kept}-after"))["data"]["a"] == "x" * 20_000
    podrun.kubectl("delete", "cm", "--all", seconds=60)


def test_pods_end_and_begin_on_a_full_disk_as_well_as_they_can(podrun: Podrun, pods: Pods) -> None:
    """Their statuses cannot be stored: what happened is told when there is room."""
    pods.run(pod("ends", restartPolicy="Never"))
    with no_bytes(podrun, STATE):
        for number in range(50):
            with contextlib.suppress(Refused):
                pods.create(config_map(f"fill-{number}"))
        os.kill(pods.pid("ends"), signal.SIGKILL)
    ended = state(pods.finished("ends", 60))
    assert ended["exitCode"] == 137
    podrun.kubectl("delete", "cm", "--all", seconds=60)


def test_a_full_disk_of_logs_stops_nobody(podrun: Podrun, pods: Pods, witness: int) -> None:
    pods.create(once("talks", "yes 'a line of some length that fills a disk' | head -c 12000000; exit 4"))
    ended = state(pods.finished("talks", 60))
    assert ended["exitCode"] == 4
    size = int(podrun.run("du", "-sk", podrun.root / LOGS).stdout.split()[0])
    assert size <= 4096
    assert pods.exec("witness", "echo", "here").stdout == "here\n"
    pods.delete("talks")
    wait_until(lambda: pods.output(once("again", "echo room again")) == "room again\n", 20, "nothing is logged again")
    pods.delete("again")


def test_a_read_only_file_system_is_said(podrun: Podrun, pods: Pods, witness: int, tmp_path: Path) -> None:
    archive = docker_save(tmp_path / "small.tar", {("small:1",): [tar_of([Entry("hello", b"x")])]})
    stop(podrun)
    with read_only(podrun, STATE):
        with pytest.raises(HarnessError, match=r"podrun cannot start: .*(Read-only|readonly|cannot be)"):
            podrun.start_daemon()
        assert Path(f"/proc/{witness}").exists()
    podrun.start_daemon()
    with read_only(podrun, f"{STATE}/images"):
        loaded = podrun.run("podrun", "images", "load", archive, check=False)
        assert loaded.returncode == 1
        assert "Read-only file system" in loaded.stderr
    podrun.podrun("images", "load", archive)


def test_the_database_is_whole(podrun: Podrun) -> None:
    version = json.loads(podrun.kubectl("get", "--raw", "/api/v1/pods?limit=1"))["metadata"]["resourceVersion"]
    podrun.crash()
    assert int(json.loads(podrun.kubectl("get", "--raw", "/api/v1/pods"))["metadata"]["resourceVersion"]) >= int(
        version
    )
