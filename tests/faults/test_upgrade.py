"""Another version of podrun takes over while pods run: the spawner re-executes itself, its children stay its children.

The older version is the last commit before spawners were ever replaced; a newer one is this one with other numbers.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import PROJECT, HarnessError, Podrun, wait_until
from tests.pods.living import FOREVER, Pods, container_status, pod, shell, state

OLDER = "d27522a9617d21d5daf855baa33dc27916d13e1f"
TALK = "trap 'exit 3' TERM; n=0; while :; do n=$((n + 1)); echo line $n; sleep 0.01; done"
WHICH = """
import asyncio, sys
from pathlib import Path
from podrun.spawner import program
from podrun.spawner.client import SpawnerClient
async def main():
    client = await SpawnerClient.connect(Path(sys.argv[1]))
    print(client.welcome.code == program.code())
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the older version."""
    place = tmp_path_factory.mktemp("older")
    made = subprocess.run(
        ["git", "-c", "safe.directory=*", "archive", OLDER, "podrun"], cwd=PROJECT, capture_output=True
    )
    if made.returncode != 0:
        pytest.skip("this checkout has no history")
    subprocess.run(["tar", "-x", "-C", place], input=made.stdout, check=True)
    return place


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The code of a version from the future, which reads other states."""
    place = tmp_path / "newer"
    shutil.copytree(PROJECT / "podrun", place / "podrun")
    for file, name, value in (("handover", "STATE_VERSION", 99), ("protocol", "VERSION", 99)):
        path = place / f"podrun/spawner/{file}.py"
        path.write_text(path.read_text().replace(f"\n{name} = 1\n", f"\n{name} = {value}\n"))
    return place


@pytest.fixture
def run_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """From now on `podrun` is the code below a directory."""
    return lambda place: monkeypatch.setenv("PYTHONPATH", str(place))


@pytest.fixture
def upgrading(
    older: Path, run_with: Callable[[Path], None], new_podrun: Callable[..., Podrun]
) -> Iterator[tuple[Podrun, Pods]]:
    """Pods that an older version has begun."""
    run_with(older)
    podrun = new_podrun(config={"evictionHard": None})
    pods = Pods(podrun)
    pods.create(
        pod("steady", shell("a"), shell("b"), shareProcessNamespace=True),
        pod("talks", shell("a", TALK), restartPolicy="Never"),
        pod("ends", shell("a", "while [ ! -e /go ]; do sleep 0.02; done; exit 9"), restartPolicy="Never"),
    )
    pods.ready("steady", "talks", "ends")
    yield podrun, pods
    run_with(PROJECT)


def stop(podrun: Podrun) -> None:
    before = podrun.daemon_pid
    os.kill(before, signal.SIGTERM)
    wait_until(lambda: not podrun.daemon_runs(), 20, f"podrund does not end\n{podrun.log()}")


def test_pods_go_on_through_an_upgrade(upgrading: tuple[Podrun, Pods], run_with: Callable[[Path], None]) -> None:
    podrun, pods = upgrading
    pids = {(name, c): pods.pid(name, c) for name, c in (("steady", "a"), ("steady", "b"), ("talks", "a"))}
    before, spawner = pods.get("steady"), podrun.spawner_pid
    stop(podrun)
    run_with(PROJECT)
    podrun.start_daemon()
    assert podrun.spawner_pid == spawner
    assert podrun.run(sys.executable, "-c", WHICH, podrun.layout.spawner_run).stdout == "True\n"
    assert {key: pods.pid(*key) for key in pids} == pids
    assert pods.get("steady")["status"] == before["status"]
    assert pods.sh("steady", "hostname") == "steady\n"

    # What began under the old code is still a child: its end is known exactly, and its log is whole.
    os.kill(pids["talks", "a"], signal.SIGTERM)
    assert state(pods.finished("talks"))["exitCode"] == 3
    lines = pods.log("talks").splitlines()
    assert lines == [f"line {n}" for n in range(1, len(lines) + 1)]
    pods.run(pod("fresh"))
    podrun.crash()
    pods.ready("steady", "fresh")
    assert pods.pid("steady") == pids["steady", "a"]
    assert [path.name for path in podrun.layout.state.glob("podrun.db.before-*")] != []
    for name in ("steady", "talks", "ends", "fresh"):
        pods.delete(name, grace=0)
    assert podrun.leaks() == {}


def test_what_cannot_read_the_state_never_takes_over(
    new_podrun: Callable[..., Podrun], run_with: Callable[[Path], None], newer: Path
) -> None:
    podrun = new_podrun()
    pods = Pods(podrun)
    pods.run(pod("steady", shell("a", FOREVER)))
    pid, spawner = pods.pid("steady"), podrun.spawner_pid
    stop(podrun)
    run_with(newer)
    with pytest.raises(HarnessError, match="cannot take them over"):
        podrun.start_daemon()
    run_with(PROJECT)
    for record in (podrun.layout.run / "runtime").glob("*/*/record.json"):
        written = record.read_bytes()
        record.write_bytes(b'{"of": "another version"}')
        with pytest.raises(HarnessError, match="written by another version of podrun"):
            podrun.start_daemon()
        record.write_bytes(written)
    assert Path(f"/proc/{pid}").exists()
    podrun.start_daemon()
    assert podrun.spawner_pid == spawner
    assert pods.pid("steady") == pid
    assert container_status(pods.get("steady"))["restartCount"] == 0
