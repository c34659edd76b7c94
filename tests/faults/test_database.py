"""A database that is torn, cut off, from the future or gone: a clear refusal, and pods go on and are found again."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from podrun.cli.checks import Level, database
from tests.harness import HarnessError, Podrun, wait_until
from tests.pods.living import FOREVER, Pods, Refused, container_status, once, pod, shell, state


def stop(podrun: Podrun) -> None:
    os.kill(podrun.daemon_pid, signal.SIGTERM)
    wait_until(lambda: not podrun.daemon_runs(), 20, f"podrund does not end\n{podrun.log()}")


def tear(path: Path) -> None:
    """A page in the middle is not what was written."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4 * 4096))


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path: Path) -> None:
    path.write_bytes(b"no database at all\n" * 1000)


def from_the_future(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


HARM: tuple[tuple[Callable[[Path], None], str], ...] = (
    (tear, "damaged"),
    (cut_off, "damaged"),
    (overwrite, "damaged"),
    (from_the_future, "another version of podrun (format 99, not 1)"),
)


def test_is_refused_with_words_and_pods_go_on(podrun: Podrun, pods: Pods) -> None:
    pods.run(pod("steady"))
    pid, path = pods.pid("steady"), podrun.layout.database
    for number in range(10):  # enough to fill some pages
        metadata = {"name": f"c{number}"}
        pods.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "x" * 9000}})
    stop(podrun)
    whole = path.read_bytes()
    for harm, said in HARM:
        harm(path)
        with pytest.raises(HarnessError) as refused:
            podrun.start_daemon()
        assert said in str(refused.value)
        (found,) = database(podrun.layout)
        assert found.level is Level.MISSING
        assert said.partition(" (")[0] in found.what or "malformed" in found.what or "not a database" in found.what
        assert found.to_do
        for file in path.parent.glob(f"{path.name}-*"):
            file.unlink()
        path.write_bytes(whole)
        assert next(database(podrun.layout)).level is Level.OK
    assert Path(f"/proc/{pid}").exists()
    podrun.start_daemon()
    assert pods.pid("steady") == pid
    assert container_status(pods.get("steady"))["restartCount"] == 0
    podrun.kubectl("delete", "cm", *(f"c{number}" for number in range(10)))


def test_pods_are_found_again_where_it_is_gone(podrun: Podrun, pods: Pods) -> None:
    pods.create(
        pod("steady", shell("a", FOREVER), shell("b"), metadata={"labels": {"a": "b"}}),
        once("done", "exit 4"),
    )
    before = pods.ready("steady")
    assert state(pods.finished("done"))["exitCode"] == 4
    pid, manifests = pods.pid("steady"), podrun.layout.run / "supervisor/manifests"
    uid = before["metadata"]["uid"]
    done = pods.get("done")["metadata"]["uid"]
    kept = [manifests / f"{uid}.json", manifests / f"{done}.json"]
    wait_until(lambda: all(file.exists() for file in kept), 5, "the pods' objects are not kept")
    stop(podrun)
    for file in podrun.layout.state.glob("podrun.db*"):
        file.unlink()
    podrun.start_daemon()
    after = pods.ready("steady")
    assert pods.pid("steady") == pid
    assert after["metadata"]["uid"] == uid
    assert after["metadata"]["labels"] == {"a": "b"}
    assert after["spec"] == before["spec"]
    assert after["status"]["podIP"] == before["status"]["podIP"]
    assert {one["restartCount"] for one in after["status"]["containerStatuses"]} == {0}
    assert state(pods.finished("done"))["exitCode"] == 4


def test_a_pod_deleted_while_podrund_was_away_is_not_found_again(podrun: Podrun, pods: Pods) -> None:
    pods.run(pod("deleted"))
    pid = pods.pid("deleted")
    pods.call("DELETE", pods.path("pods", "deleted") + "?gracePeriodSeconds=0")
    os.kill(podrun.daemon_pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 20, "a deleted pod goes on")
    with pytest.raises(Refused):
        pods.get("deleted")
