"""Resizing in place: when memory limits may be lowered."""

import pytest

from podrun.lifecycle.resize import Falling, memory_problem

START = "cannot decrease memory limits: "
POD = "attempting to set pod memory limit (20) below current usage (60)"
CONTAINER = 'attempting to set container "a" memory limit (10) below current usage (60)'


@pytest.mark.parametrize(
    ("falling", "problem"),
    [
        pytest.param([], "", id="nothing falls"),
        pytest.param([Falling("a", 10, 9), Falling("", 20, 19)], "", id="less is in use"),
        pytest.param([Falling("a", 10, 10)], START + CONTAINER, id="as much is in use"),
        pytest.param([Falling("", 20, 60)], START + POD, id="the pod uses more"),
        pytest.param([Falling("", 20, 60), Falling("a", 10, 50)], f"{START}[{POD}, {CONTAINER}]", id="both use more"),
    ],
)
def test_a_memory_limit_is_not_lowered_below_what_is_in_use(falling: list[Falling], problem: str) -> None:
    assert memory_problem(falling, 60) == problem
