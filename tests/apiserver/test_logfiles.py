"""Log files to what `kubectl logs` prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from podrun.apiserver.streams.logfiles import Formatter, LogOptions, LogReader


def stamp(second: int) -> str:
    return f"2026-01-02T03:04:{second:02}.000000000Z"


LINES = "".join(f"{stamp(i)} stdout F line {i}\n" for i in range(10))
PIECES = f"{stamp(0)} stdout P one \n{stamp(1)} stdout F line\n{stamp(2)} stderr F two\n{stamp(3)} stdout P end"
TIMED = f"{stamp(0)} one line\n{stamp(2)} two\n{stamp(3)} end"

ROWS = [
    ("everything", LogOptions(), LINES, "".join(f"line {i}\n" for i in range(10))),
    ("the last lines", LogOptions(tail_lines=2), LINES, "line 8\nline 9\n"),
    ("no lines", LogOptions(tail_lines=0), LINES, ""),
    ("more lines than there are", LogOptions(tail_lines=99), LINES, "".join(f"line {i}\n" for i in range(10))),
    ("with times", LogOptions(timestamps=True, tail_lines=1), LINES, f"{stamp(9)} line 9\n"),
    ("since a time", LogOptions(since=stamp(8)), LINES, "line 8\nline 9\n"),
    ("the last lines, since a time", LogOptions(since=stamp(9), tail_lines=3), LINES, "line 9\n"),
    ("a limit cuts in the middle", LogOptions(limit_bytes=9), LINES, "line 0\nli"),
    ("pieces are joined", LogOptions(), PIECES + "\n", "one line\ntwo\nend"),
    ("a joined line has one time", LogOptions(timestamps=True), PIECES + "\n", TIMED),
    ("what is being written is not shown", LogOptions(), PIECES, "one line\ntwo\n"),
    ("an empty line", LogOptions(), f"{stamp(0)} stdout F \n", "\n"),
]  # fmt: skip


def printed(path: Path, options: LogOptions) -> str:
    reader, formatter = LogReader(path, options.tail_lines), Formatter(options)
    made = b""
    while not formatter.full and (lines := reader.read()):
        made += formatter.format(lines)
    reader.close()
    return made.decode()


@pytest.mark.parametrize(("options", "content", "wanted"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_one_file(tmp_path: Path, options: LogOptions, content: str, wanted: str) -> None:
    (tmp_path / "0.log").write_text(content)
    assert printed(tmp_path / "0.log", options) == wanted


@pytest.mark.parametrize("tail", [None, 1, 3, 4, 7, 10, 11])
def test_files_moved_aside_are_part_of_the_log(tmp_path: Path, tail: int | None) -> None:
    lines = LINES.splitlines(keepends=True)
    (tmp_path / "0.log.20260102-030405").write_text("".join(lines[:3]))
    (tmp_path / "0.log.20260102-030406").write_text("".join(lines[3:7]))
    (tmp_path / "0.log").write_text("".join(lines[7:]))
    wanted = range(10) if tail is None else range(max(0, 10 - tail), 10)
    assert printed(tmp_path / "0.log", LogOptions(tail_lines=tail)) == "".join(f"line {i}\n" for i in wanted)


def test_the_last_lines_of_a_large_file(tmp_path: Path) -> None:
    line = f"{stamp(0)} stdout F {'x' * 1000}\n"
    (tmp_path / "0.log").write_text(line * 2000 + LINES)
    assert printed(tmp_path / "0.log", LogOptions(tail_lines=10)) == "".join(f"line {i}\n" for i in range(10))
    assert len(printed(tmp_path / "0.log", LogOptions(tail_lines=1010))) == 1000 * 1001 + 70


def test_a_reader_goes_on_across_rotations(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    reader, formatter = LogReader(path, None), Formatter(LogOptions())
    assert reader.read() == b""
    lines = LINES.splitlines(keepends=True)
    path.write_text(lines[0])
    assert formatter.format(reader.read()) == b"line 0\n"
    with path.open("a") as file:
        file.write(lines[1])
    path.rename(tmp_path / "0.log.20260102-030405")
    path.write_text(lines[2])
    path.rename(tmp_path / "0.log.20260102-030406")
    path.write_text(lines[3])
    assert [formatter.format(reader.read()) for _ in range(4)] == [b"line 1\n", b"line 2\n", b"line 3\n", b""]
    reader.close()


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert printed(tmp_path / "no" / "0.log", LogOptions(tail_lines=5)) == ""
