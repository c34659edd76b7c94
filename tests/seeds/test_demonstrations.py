"""The demonstrations that a person runs: each fails by itself where it does not show what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import Podrun

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "demonstrations"
SCRIPTS = sorted(path.name for path in FOLDER.iterdir() if not path.suffix)


@pytest.mark.parametrize("script", SCRIPTS)
def test_shows_what_it_says(podrun: Podrun, script: str) -> None:
    podrun.run(FOLDER / script)
