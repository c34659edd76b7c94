"""A daemon for a file's experiments, whose back-offs run ten times faster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.experiments.runs import TIME_SCALE, Run, Runs
from tests.harness import Podrun


@pytest.fixture(scope="module")
def experimenting(images: Path) -> Iterator[Podrun]:
    with Podrun.start(images=images, options=TIME_SCALE) as podrun:
        yield podrun


@pytest.fixture(scope="module")
def runs(experimenting: Podrun, request: pytest.FixtureRequest) -> Iterator[Runs]:
    """The runs that this file's tests ask for; afterwards nothing may be left of any."""
    items = [item for item in request.session.items if item.path == request.path and isinstance(item, pytest.Function)]
    chosen = [item.callspec.params.get("run") for item in items]
    playing = Runs(experimenting, [run for run in chosen if isinstance(run, Run)])
    yield playing
    playing.end()
    assert "experiment-" not in experimenting.kubectl("get", "namespaces", "-o", "name")
    assert experimenting.leaks() == {}
