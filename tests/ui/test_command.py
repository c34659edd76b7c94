"""`podrun ui`: prints the link, and opens a browser without telling every account on the machine what it is."""

from __future__ import annotations

import argparse
import stat
from pathlib import Path

import pytest

from podrun.cli import ui
from tests.harness import wait_until

URL = "https://127.0.0.1:6443/ui/#token=podrun-ui.secret"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs the command with a podrund that gives URL and a browser that notes what it was called with."""

    class Client:
        def __init__(self, path: str) -> None:
            assert path == "/run/podrun/podrun.sock"

        def send(self, method: str, path: str) -> dict[str, object]:
            assert (method, path) == ("POST", "/podrun/v1/ui/links")
            return {"url": URL, "seconds": 600}

    opener = tmp_path / "xdg-open"
    opener.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called.new; mv {tmp_path}/called.new {tmp_path}/called\n')
    opener.chmod(0o755)
    monkeypatch.setattr(ui, "Client", Client)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION", "SUDO_UID"):
        monkeypatch.delenv(name, raising=False)

    def run(no_browser: bool = False, **environment: str) -> int:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return ui.run(argparse.Namespace(root="/", no_browser=no_browser))

    return run


def test_the_link_is_printed_alone(run, capsys, tmp_path):
    assert run() == 0
    said = capsys.readouterr()
    assert said.out == f"{URL}\n"
    assert "once, within 10 minutes" in said.err
    assert not (tmp_path / "called").exists()


def test_a_browser_is_given_a_file_that_nobody_else_reads(run, capsys, tmp_path):
    run(DISPLAY=":0")
    wait_until(lambda: (tmp_path / "called").exists(), 5.0, "no browser was opened")
    page = Path((tmp_path / "called").read_text().strip())
    assert URL in page.read_text()
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert stat.S_IMODE(page.parent.stat().st_mode) == 0o700
    assert "a browser has been opened" in capsys.readouterr().err


def test_no_browser_is_opened_where_none_is_wanted(run, tmp_path, capsys):
    run(no_browser=True, DISPLAY=":0")
    assert "opened" not in capsys.readouterr().err
    assert list(tmp_path.glob("podrun-ui-*")) == []


def test_over_ssh_it_says_how_to_get_there(run, capsys):
    run(SSH_CONNECTION="10.0.0.1 1 10.0.0.2 22")
    assert "ssh -L 6443:127.0.0.1:6443" in capsys.readouterr().err
