"""The README's support matrix, made from the results of a test run: `python -m tests.quality.support RESULTS.xml`.

A line of the matrix names what users know, support.yaml the tests that prove it; the results say how many of them
passed. Nothing in the matrix is written by hand.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[2]
README = PROJECT / "README.md"
TABLE = Path(__file__).with_name("support.yaml")
BEGIN, END = "<!-- support matrix: made by scripts/support-matrix -->", "<!-- end of the support matrix -->"

Features = dict[str, dict[str, list[str]]]


@dataclass(frozen=True, slots=True)
class Result:
    """A test's name as `tests/pods/test_x.py::TestY::test_z[row]`, and whether it passed (None: skipped)."""

    name: str
    passed: bool | None


def features() -> Features:
    """Group -> feature -> the tests that prove it."""
    loaded: Features = yaml.safe_load(TABLE.read_text())
    return loaded


def results(xml: str) -> list[Result]:
    """Read a JUnit report of pytest."""
    found = []
    for case in ElementTree.fromstring(xml).iter("testcase"):
        parts = case.get("classname", "").split(".")
        files = [place for place, part in enumerate(parts) if part.startswith("test_")]
        file = files[0] + 1 if files else len(parts)
        name = "::".join(["/".join(parts[:file]) + ".py", *parts[file:], case.get("name", "")])
        kinds = {child.tag for child in case}
        found.append(Result(name, None if "skipped" in kinds else not kinds & {"failure", "error"}))
    return found


def matrix(known: Features, ran: list[Result]) -> str:
    """The table in Markdown."""
    lines = ["| | proven by |", "|---|---|"]
    for group, rows in known.items():
        lines.append(f"| **{group}** | |")
        for feature, patterns in rows.items():
            mine = [result.passed for result in ran if result.name.startswith(tuple(patterns))]
            lines.append(f"| {feature} | {_verdict(mine)} |")
    return "\n".join(lines)


def _verdict(passed: list[bool | None]) -> str:
    good, count = passed.count(True), len(passed) - passed.count(None)
    if not count:
        return "not run"
    tests = "test" if count == 1 else "tests"
    return f"{count} {tests}" if good == count else f"in part: {good} of {count} {tests} pass"


def main() -> None:
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = matrix(features(), results(Path(sys.argv[1]).read_text()))
    README.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


if __name__ == "__main__":
    main()
