"""podrun's API and a real API server's, asked the same: codes, content types, warnings and whole bodies."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import Podrun
from tests.reference.conftest import play

NOT_EQUAL_YET: dict[str, int] = {}
"""How many cases of a file are known to differ; more than that fails."""


@pytest.mark.slow
def test_the_api_answers_as_a_real_api_server(reference: Path, new_podrun: Callable[..., Podrun]) -> None:
    podrun = new_podrun()
    tool, cases = reference / "api.py", reference / "api"
    said = play(podrun, tool, "play", "--kubeconfig", podrun.kubeconfig, "-v", cases, seconds=900)
    counts = {name: (int(equal), int(all_)) for name, equal, all_ in re.findall(r"^(\S+) +(\d+)/(\d+)$", said, re.M)}
    assert counts, said
    worse = {name: pair for name, pair in counts.items() if pair[1] - pair[0] > NOT_EQUAL_YET.get(name, 0)}
    assert worse == {}, said
