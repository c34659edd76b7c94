"""Tests that run inside the guest, against the machine's own podrun as quickstart leaves it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

collect_ignore_glob = [] if os.environ.get("PODRUN_GUEST") else ["test_*.py"]

PROJECT = Path(__file__).resolve().parents[3]


def run(*argv: str | Path, seconds: float = 300) -> str:
    """What a command that succeeds prints; a failure shows all that it said."""
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, timeout=seconds, cwd=PROJECT, check=False)
    assert done.returncode == 0, f"{argv}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def get(*words: str) -> dict[str, Any]:
    """An object, as kubectl gives it."""
    return json.loads(run("kubectl", "get", *words, "-o", "json"))


def first_processes() -> dict[str, int]:
    """The oldest process of every pod's cgroup, by cgroup below the scope that holds the pods."""
    scope = Path("/sys/fs/cgroup") / run("systemctl", "show", "-PControlGroup", "podrun-pods.scope").strip().strip("/")
    found = {}
    for procs in scope.rglob("cgroup.procs"):
        if pids := {int(pid) for pid in procs.read_text().split()}:
            found[str(procs.parent.relative_to(scope))] = min(pids)
    return found
