"""scripts/quickstart on a machine without systemd: once, again, and taken back.

It runs in a network and a mount namespace in which every place that it writes to is an empty directory of the test's.
Packages are there already (scripts/test has installed them), so that no network is needed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.harness import AS_NOBODY, PROJECT, nobody_may_run_podrun

STAMP = PROJECT / ".venv/.installed-test,catalog"
PLACES = ("/etc/podrun", "/root", "/run", "/usr/local/bin", "/var/lib/podrun", "/var/log")
"""Mount points, which reset empties and leaves."""
OTHERS = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "work", "cluster": {"server": "https://work:6443"}}],
    "contexts": [{"name": "work", "context": {"cluster": "work", "user": "me"}}],
    "current-context": "work",
    "users": [{"name": "me", "user": {"token": "secret"}}],
}

pytestmark = [
    pytest.mark.skipif(not STAMP.exists(), reason="needs the environment that scripts/test makes"),
    pytest.mark.skipif(Path("/run/podrun").exists(), reason="a podrun of the machine's own is here"),
]


class Machine:
    """A machine on which nothing of podrun is yet."""

    def __init__(self, root: Path) -> None:
        self.root = root
        mounts = " && ".join(f"mkdir -p {place} && mount --bind {root}{place} {place}" for place in PLACES)
        script = f"ip link set lo up && {mounts} && echo ready && while read -r _; do :; done"
        self.holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "private", "--", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == b"ready\n"

    def run(self, *argv: str, seconds: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a program there, as root's login would."""
        environment = {
            "HOME": "/root",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PODRUN_EXTRAS": "test,catalog",
        }
        command = ["nsenter", f"--target={self.holder.pid}", "--net", "--mount", f"--wd={PROJECT}", "--", *argv]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL
        )

    def end(self) -> None:
        """End whatever still runs there."""
        network = os.readlink(f"/proc/{self.holder.pid}/ns/net")
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if int(name) != self.holder.pid and os.readlink(f"/proc/{name}/ns/net") == network:
                    os.kill(int(name), signal.SIGKILL)
        self.holder.communicate()


@pytest.fixture(scope="module")
def machine(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    root = tmp_path_factory.mktemp("machine")
    for place in PLACES:
        (root / place[1:]).mkdir(parents=True)
    subprocess.run(["cp", "-al", images, root / "var/lib/podrun/images"], check=True)
    (root / "root/.kube").mkdir()
    (root / "root/.kube/config").write_text(yaml.safe_dump(OTHERS))
    made_here = [place for place in PLACES if not Path(place).exists()]
    made = Machine(root)
    yield made
    made.run("podrun", "reset", "--yes")
    made.end()
    for place in made_here:
        Path(place).rmdir()
    shutil.rmtree(root, ignore_errors=True)


def test_from_nothing_to_the_bookstores_pod(machine: Machine) -> None:
    done = machine.run("scripts/quickstart")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [line.removeprefix("==> ") for line in done.stdout.splitlines() if line.startswith("==> ")]
    wanted = ["Debian packages", "Python packages", "Kernel", "Images", "Commands", "Daemon", "kubeconfig"]
    assert steps == [*wanted, "The bookstore's pod"]
    assert "catalog   2/2     Running" in done.stdout
    assert "What to try next" in done.stdout


def test_another_context_stays_the_current_one(machine: Machine) -> None:
    merged = yaml.safe_load((machine.root / "root/.kube/config").read_text())
    assert merged["current-context"] == "work"
    assert [each["name"] for each in merged["contexts"]] == ["work", "podrun"]
    said = machine.run("kubectl", "--context=podrun", "get", "pod", "catalog").stdout
    assert "2/2" in said


def test_again_it_is_quick_and_changes_nothing(machine: Machine) -> None:
    before = machine.run("kubectl", "--context=podrun", "get", "pod", "catalog", "-o", "yaml").stdout
    began = time.monotonic()
    done = machine.run("scripts/quickstart")
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began < 15
    assert "it runs already" in done.stdout
    assert "pod/catalog unchanged" in done.stdout
    assert machine.run("kubectl", "--context=podrun", "get", "pod", "catalog", "-o", "yaml").stdout == before


def test_new_code_starts_a_new_daemon_and_pods_go_on(machine: Machine) -> None:
    (machine.root / "run/podrun/started-from").write_text("older code\n")
    status = ("kubectl", "--context=podrun", "get", "pod", "catalog", "-o", "jsonpath={.status.containerStatuses}")
    before, pid = machine.run(*status).stdout, (machine.root / "run/podrun/podrund.pid").read_text()
    done = machine.run("scripts/quickstart")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (machine.root / "run/podrun/podrund.pid").read_text() != pid
    assert machine.run(*status).stdout == before


def test_a_step_that_fails_says_which_why_and_what_to_do(machine: Machine) -> None:
    done = machine.run(
        "env", "PATH=/usr/local/bin:/usr/bin:/bin", "bash", "-c", "PODRUN_EXTRAS=nothing scripts/quickstart"
    )
    assert done.returncode != 0
    assert "podrun: this step failed: Python packages" in done.stderr
    assert "why:" in done.stderr
    assert "what to do: check that the package index can be reached" in done.stderr


def test_reset_leaves_the_machine_as_it_was(machine: Machine) -> None:
    done = machine.run("podrun", "reset", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert yaml.safe_load((machine.root / "root/.kube/config").read_text()) == OTHERS
    assert list((machine.root / "usr/local/bin").iterdir()) == []
    assert machine.run("nft", "list", "ruleset").stdout == ""
    left = [path for path in machine.root.rglob("*") if path.is_file() and ".kube" not in path.parts]
    assert left == []


@pytest.mark.skipif(not nobody_may_run_podrun(), reason="nobody else than root reaches this folder")
def test_somebody_who_is_not_root_is_told_so() -> None:
    done = subprocess.run([*AS_NOBODY, PROJECT / "scripts/quickstart"], capture_output=True, text=True)
    assert done.returncode == 77
    assert "sudo scripts/quickstart" in done.stderr
