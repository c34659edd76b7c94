"""@kubernetes/client-node, the JavaScript client: watch, informer, logs, exec, port-forward."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.go_programs import CACHE
from tests.harness import BIN, Podrun

PACKAGE = "@kubernetes/client-node@1.4.0"
SESSION = Path(__file__).with_name("node") / "session.mjs"


@pytest.fixture(scope="session")
def installed() -> Path:
    """A directory in which the package is installed, once per machine; skips where it cannot be had."""
    npm = shutil.which("npm", path=os.pathsep.join((str(BIN), os.environ["PATH"])))
    if npm is None:
        pytest.skip("no node and npm on this machine (scripts/test installs them)")
    directory = CACHE / PACKAGE.replace("/", "-").removeprefix("@")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "node_modules").is_dir():
            fresh = directory.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            words = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(fresh), PACKAGE]
            done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
            if done.returncode != 0:
                pytest.skip(f"{PACKAGE} cannot be installed: {done.stderr.strip()[-300:]}")
            fresh.rename(directory)
    return directory


def test_watch_informer_logs_exec_and_port_forward(podrun: Podrun, installed: Path) -> None:
    said = podrun.run("node", SESSION, installed, check=False)
    assert (said.stdout, said.returncode) == ("done\n", 0), said.stderr
