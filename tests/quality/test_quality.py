"""The rules that tools hold: layers, lint, format, types, and the length of files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
LONGEST_FILE = 700


def _tool(name: str, *arguments: str) -> None:
    program = Path(sys.executable).with_name(name)
    done = subprocess.run([program, *arguments], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, f"{name} {' '.join(arguments)}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("ruff", "check", "."), id="lint"),
        pytest.param(("ruff", "format", "--check", "."), id="format"),
        pytest.param(("mypy",), id="types"),
        pytest.param(("lint-imports",), id="layers"),
    ],
)
def test_tool_finds_nothing(command: tuple[str, ...]) -> None:
    _tool(*command)


def _sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (PROJECT / folder).rglob("*.py"))


def test_no_file_is_too_long() -> None:
    lengths = {
        path.relative_to(PROJECT): len(path.read_text().splitlines())
        for path in _sources("podrun", "tests", "images", "examples")
    }
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(PROJECT))
        for path in _sources("podrun")
        if not path.read_text().lstrip().startswith(('"""', 'r"""'))
    ]
    assert silent == []
