"""The command line itself: help everywhere, exit codes, completion, and what a listing may import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from podrun.cli import completion
from podrun.cli.errors import NO_DAEMON, OK, USAGE
from podrun.cli.main import COMMANDS, PASSED_ON, main


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - set(PASSED_ON)))
def test_every_command_has_help_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "-h"])
    assert ended.value.code == OK
    said = capsys.readouterr().out
    assert said.startswith(f"usage: podrun {command}")
    assert "examples:" in said


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == OK
    said = capsys.readouterr().out
    assert all(command in said for command in COMMANDS)
    assert "exit codes:" in said


def test_an_unknown_command_is_a_mistake_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fly"])
    assert ended.value.code == USAGE
    assert "invalid choice: 'fly'" in capsys.readouterr().err


def test_without_a_daemon_it_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path), "ps"]) == NO_DAEMON
    said = capsys.readouterr().err
    assert "does not answer" in said
    assert "systemctl start podrun" in said


def test_a_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path), "play", "missing.yaml"]) == USAGE
    assert capsys.readouterr().err == "podrun: missing.yaml cannot be read: No such file or directory\n"


def test_a_reader_that_has_gone_is_no_error() -> None:
    shell = f"{sys.executable} -m podrun.cli.main -h | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (OK, "")


def test_a_listing_imports_nothing_heavy() -> None:
    program = "import sys, podrun.cli.ps, podrun.cli.main; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {
        "asyncio",
        "dataclasses",
        "email",
        "http.client",
        "inspect",
        "pathlib",
        "pydantic",
        "typing",
        "yaml",
    }
    assert heavy & set(done.stdout.split()) == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_every_command_and_option(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == OK
    script = capsys.readouterr().out
    assert all(command in script for command in COMMANDS)
    assert "time-scale" in script
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_bash_completes_commands_actions_and_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", "bash"])
    (tmp_path / "script").write_text(capsys.readouterr().out)

    def complete(*words: str) -> set[str]:
        line = " ".join(f"'{word}'" for word in words)
        program = f"source {tmp_path}/script; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _podrun; "
        program += 'printf "%s\\n" "${COMPREPLY[@]}"'
        done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
        return set(done.stdout.split())

    assert complete("podrun", "p") == {"play", "ps"}
    assert complete("podrun", "images", "l") == {"ls", "load"}
    assert complete("podrun", "daemon", "--ti") == {"--time-scale"}


def test_words_of_a_command_come_from_its_parser() -> None:
    assert {"--timeout", "--replace", "--no-wait"} <= set(completion.words_of("play"))
