"""The pods' scope, against a systemctl and a systemd-run that do what systemd would (the VM's tests have the real)."""

import os
from pathlib import Path

import pytest

from podrun.cgroups import scope
from podrun.cgroups.hierarchy import Hierarchies

SYSTEMCTL = """#!/bin/sh
case "$1" in
show) cat "$FAKE/control-group" 2>/dev/null || echo ;;
stop) rm -f "$FAKE/control-group" ;;
esac
"""
SYSTEMD_RUN = """#!/bin/sh
echo "$*" > "$FAKE/asked"
[ -e "$FAKE/refuse" ] && { echo "Failed to start transient scope unit: no" >&2; exit 1; }
mkdir -p "$FAKE/tree/system.slice/podrun-pods.scope/keeper"
echo 4711 > "$FAKE/tree/system.slice/podrun-pods.scope/cgroup.procs"
: > "$FAKE/tree/system.slice/podrun-pods.scope/keeper/cgroup.procs"
echo /system.slice/podrun-pods.scope > "$FAKE/control-group"
echo ready
"""


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that stands for systemd: what it was asked, and its tree."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("systemctl", SYSTEMCTL), ("systemd-run", SYSTEMD_RUN)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", str(tmp_path))
    return tmp_path


def _machine(systemd: Path) -> Hierarchies:
    return Hierarchies(systemd / "tree", frozenset({"cpu", "memory", "pids"}))


async def test_the_scope_is_made_once_and_its_keeper_sits_in_a_leaf(systemd: Path) -> None:
    machine = _machine(systemd)
    assert await scope.ensure(machine) == "system.slice/podrun-pods.scope"
    asked = (systemd / "asked").read_text()
    assert "--scope" in asked
    assert "--unit=podrun-pods --property=Delegate=yes" in asked
    assert (systemd / "tree/system.slice/podrun-pods.scope/keeper/cgroup.procs").read_text() == "4711"
    (systemd / "asked").unlink()
    assert await scope.ensure(machine) == "system.slice/podrun-pods.scope"
    assert not (systemd / "asked").exists()
    await scope.stop()
    assert not (systemd / "control-group").exists()


async def test_a_refusal_is_told_in_systemds_words(systemd: Path) -> None:
    (systemd / "refuse").touch()
    with pytest.raises(OSError, match=r"podrun-pods\.scope: Failed to start transient scope unit: no"):
        await scope.ensure(_machine(systemd))


@pytest.mark.parametrize(
    ("why", "runs", "controllers", "expected"),
    [
        ("systemd on v2", True, {"memory"}, True),
        ("systemd on v1: nobody removes our groups there", True, set(), False),
        ("no systemd", False, {"memory"}, False),
    ],
)
def test_when_a_scope_is_wanted(why: str, runs: bool, controllers: set[str], expected: bool, tmp_path: Path) -> None:
    directory = tmp_path if runs else tmp_path / "missing"
    assert scope.wanted(Hierarchies(tmp_path, frozenset(controllers)), directory) is expected, why
