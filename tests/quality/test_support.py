"""The support matrix: each of its lines names tests that are there, and says what their results say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.quality.support import PROJECT, Result, features, matrix, results

PATTERNS = sorted({pattern for rows in features().values() for tests in rows.values() for pattern in tests})


@pytest.mark.parametrize("pattern", PATTERNS)
def test_names_tests_that_are_there(pattern: str) -> None:
    file, _, name = pattern.partition("::")
    path = PROJECT / file
    assert path.exists()
    if name:
        assert any(f"{word} {name}" in path.read_text() for word in ("def", "class"))


def test_reads_what_pytest_reports(tmp_path: Path) -> None:
    xml = """<testsuites><testsuite>
      <testcase classname="tests.pods.test_x.TestY" name="test_a[1-b]"/>
      <testcase classname="tests.pods.test_x" name="test_b"><failure/></testcase>
      <testcase classname="tests.pods.test_x" name="test_c"><skipped/></testcase>
    </testsuite></testsuites>"""
    assert results(xml) == [
        Result("tests/pods/test_x.py::TestY::test_a[1-b]", True),
        Result("tests/pods/test_x.py::test_b", False),
        Result("tests/pods/test_x.py::test_c", None),
    ]


def test_counts_what_passed() -> None:
    known = {"Pods": {"all": ["t.py::test_a"], "some": ["t.py"], "none": ["u.py"]}}
    ran = [Result("t.py::test_a1", True), Result("t.py::test_a2", True), Result("t.py::test_b", False)]
    assert matrix(known, ran).splitlines()[2:] == [
        "| **Pods** | |",
        "| all | 2 tests |",
        "| some | in part: 2 of 3 tests pass |",
        "| none | not run |",
    ]
