"""The Python clients: the official one and kr8s, driven as their documentation shows it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.harness import Podrun

SESSION = Path(__file__).with_name("python_session.py")


@pytest.mark.parametrize("client", ["kubernetes", "kr8s"])
def test_objects_watch_logs_exec_and_port_forward(podrun: Podrun, client: str) -> None:
    said = podrun.run(sys.executable, SESSION, client)
    assert said.stdout == "done\n", said.stderr
