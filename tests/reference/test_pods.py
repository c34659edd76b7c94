"""podrun and a real Kubernetes, seen by the same client: every scenario's statuses, events, logs and refusals.

record.py plays the scenarios on podrun in real time, compare.py holds what it saw against the recordings.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import Podrun
from tests.reference.conftest import play

NOT_EQUAL_YET: dict[str, str] = {}
"""Scenarios that are known to differ, each with what differs. An entry that has become equal must go."""


@pytest.mark.slow
def test_pods_live_as_under_a_real_kubelet(reference: Path, new_podrun: Callable[..., Podrun], tmp_path: Path) -> None:
    podrun = new_podrun()
    scenarios = reference / "scenarios.yaml"
    said = play(
        podrun,
        reference / "record.py",
        *("--kubeconfig", podrun.kubeconfig, "--out", tmp_path, "--jobs", "5", scenarios),
        seconds=1500,
    )
    compared = play(podrun, reference / "compare.py", reference / "recordings", tmp_path, "-v", seconds=120)
    differ = set(re.findall(r"^(\S+) .*(?:![0-9]+|no recording)", compared, re.MULTILINE))
    assert re.search(r"^\d+/\d+ scenarios equal", compared, re.MULTILINE), said + compared
    assert differ <= NOT_EQUAL_YET.keys(), compared
    assert podrun.leaks() == {}
