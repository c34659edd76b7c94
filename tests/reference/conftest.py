"""Where the recordings of a real Kubernetes are, and how their tools are played on a podrun."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import Podrun

BESIDE = Path(__file__).resolve().parents[3] / "shared/reference"


@pytest.fixture(scope="session")
def reference() -> Path:
    """The recordings and their tools: $PODRUN_REFERENCE, or shared/reference beside the checkout."""
    directory = Path(os.environ.get("PODRUN_REFERENCE", BESIDE))
    if not (directory / "record.py").exists():
        pytest.skip(f"no recordings of a real Kubernetes at {directory}: set PODRUN_REFERENCE to where they are")
    return directory


def play(podrun: Podrun, tool: Path, *words: str | Path, seconds: float) -> str:
    """Run one of the reference's tools beside a podrun; what it printed, whatever its exit code."""
    done = subprocess.run(
        podrun.inside(sys.executable, tool, *words), capture_output=True, text=True, timeout=seconds, check=False
    )
    return done.stdout + done.stderr
