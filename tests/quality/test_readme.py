"""The README names what there is: every command, setting, exit code and example."""

from __future__ import annotations

import re

from pydantic.alias_generators import to_camel

from podrun.cli.errors import EXIT_CODES
from podrun.cli.main import COMMANDS
from podrun.settings import Settings
from tests.quality.support import PROJECT, README


def test_names_every_command_setting_and_exit_code() -> None:
    text = README.read_text()
    assert [command for command in COMMANDS if f"`podrun {command}" not in text] == []
    assert [name for name in map(to_camel, Settings.model_fields) if f"`{name}`" not in text] == []
    listed = re.search(r"Exit codes: (.*?)\.", text, re.DOTALL)
    assert listed is not None
    assert [int(code) for code in re.findall(r"\d", listed.group(1))] == [code for code, _ in EXIT_CODES]


def test_names_every_demonstration() -> None:
    text = README.read_text()
    scripts = [path.name for path in (PROJECT / "examples/demonstrations").iterdir() if not path.suffix]
    assert [name for name in scripts if f"`{name}`" not in text] == []


def test_paths_it_names_are_there() -> None:
    named = re.findall(r"\b(?:examples|scripts|tests)/[\w./-]+\w", README.read_text())
    assert [path for path in named if not (PROJECT / path).exists()] == []
