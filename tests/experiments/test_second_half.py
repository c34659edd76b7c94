"""The second half of the experiments: each comes out as it says, and notices when its claim is broken on purpose."""

from __future__ import annotations

import pytest

from tests.experiments.runs import Run, Runs, check, half


@pytest.mark.parametrize("run", half(1), ids=str)
def test_comes_out_as_it_says(runs: Runs, run: Run) -> None:
    check(run, runs.result(run))
