"""What is installed has no known vulnerability (pip-audit, against PyPI's advisory database)."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

PIP_AUDIT = Path(sys.executable).with_name("pip-audit")


def audit(*arguments: str) -> list[dict[str, Any]]:
    """The report's entry of each package."""
    command = [str(PIP_AUDIT), "--format=json", "--progress-spinner=off", "--timeout=5", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if not done.stdout.startswith("{"):
        pytest.skip(f"pip-audit cannot reach its database: {done.stderr.strip().splitlines()[-1:]}")
    entries: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    return entries


def test_no_dependency_has_a_known_vulnerability(tmp_path: Path) -> None:
    if not PIP_AUDIT.exists():
        pytest.skip("pip-audit is not installed")
    known = tmp_path / "known.txt"
    known.write_text("pip==23.0.1\n")  # it has advisories: a database that knows of none is not the database
    sample = audit(f"--requirement={known}", "--no-deps", "--disable-pip")
    if any("skip_reason" in entry for entry in sample):
        pytest.skip(f"pip-audit's database cannot be reached: {sample[0]['skip_reason']}")
    assert sample[0]["vulns"]
    entries = audit(f"--path={sysconfig.get_path('purelib')}")
    vulnerable = {
        f"{entry['name']} {entry['version']}": [advisory["id"] for advisory in entry["vulns"]]
        for entry in entries
        if entry.get("vulns") and entry["name"] != "pip"  # the interpreter's own, which installs and does not run here
    }
    assert vulnerable == {}
