"""Output to log lines, and log files: pure, and on a temporary directory."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podrun.spawner.cri_log import LONGEST, Lines, LogFile, timestamp
from podrun.spawner.protocol import Log

WHEN = 1767323045123456789
STAMP = b"2026-01-02T03:04:05.123456789Z stdout "
LONG = b"x" * LONGEST


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([b"one\ntwo\n"], [b"F one", b"F two"]),
        ([b"on", b"e\n"], [b"F one"]),
        ([b"\n\n"], [b"F ", b"F "]),
        ([b"a\r\nb\n"], [b"F a\r", b"F b"]),
        ([b"\0\xff\n"], [b"F \0\xff"]),
        ([b"no newline"], [b"P no newline"]),
        ([LONG + b"\n"], [b"F " + LONG]),
        ([LONG + b"y\n"], [b"P " + LONG, b"F y"]),
        ([LONG, LONG, b"y\n"], [b"P " + LONG, b"P " + LONG, b"F y"]),
        ([b"a\n" * 9000 + LONG + b"yy\nb\n"], [b"F a"] * 9000 + [b"P " + LONG, b"F yy", b"F b"]),
        ([], []),
    ],
)
def test_a_streams_bytes_become_lines(chunks: list[bytes], lines: list[bytes]) -> None:
    made = Lines("stdout")
    out = b"".join(made.take(chunk, WHEN) for chunk in chunks) + made.finish(WHEN)
    assert out == b"".join(STAMP + line + b"\n" for line in lines)


@given(st.lists(st.binary(max_size=50).map(lambda data: data.replace(b"x", LONG)), max_size=10))
def test_no_byte_is_lost_or_added(chunks: list[bytes]) -> None:
    made = Lines("stderr")
    out = b"".join(made.take(chunk, WHEN) for chunk in chunks) + made.finish(WHEN)
    back = b""
    for line in out.split(b"\n")[:-1]:
        tag, content = line.split(b" ", 3)[2:]
        assert len(content) <= LONGEST
        back += content + (b"\n" if tag == b"F" else b"")
    assert back == b"".join(chunks)


def test_a_timestamp_has_nine_digits() -> None:
    assert timestamp(1_000_000_001) == b"1970-01-01T00:00:01.000000001Z"


def test_a_file_is_rotated_by_size_and_the_oldest_go(tmp_path: Path) -> None:
    for second in range(6):
        (tmp_path / f"0.log.2020010{second}-000000").write_text("old")
    file = LogFile(Log(str(tmp_path / "0.log"), max_size=10, max_files=3))
    file.write(b"0123456789\n")
    file.write(b"x\n")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert (tmp_path / "0.log").read_bytes() == b"x\n"
    assert names[:2] == ["0.log", "0.log.20200105-000000"]
    assert names[2].startswith("0.log.2")
    assert (tmp_path / names[2]).read_bytes() == b"0123456789\n"
    assert len(names) == 3
    file.close()


def test_an_old_file_is_appended_to_and_has_the_kubelets_mode(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    for word in (b"a\n", b"b\n"):
        file = LogFile(Log(str(path)))
        file.write(word)
        file.close()
    assert path.read_bytes() == b"a\nb\n"
    assert path.stat().st_mode & 0o777 == 0o640


def test_what_a_full_disk_does_not_take_is_said_once_it_takes_again(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.symlink_to("/dev/full")
    file = LogFile(Log(str(path), max_size=0))
    file.write(b"lost\n")
    path.unlink()
    file.reopen()
    file.write(b"kept\n")
    file.close()
    first, second = path.read_bytes().splitlines()
    assert first.endswith(b" stderr F podrun: 5 bytes of this log could not be written: No space left on device")
    assert second == b"kept"


def test_formatting_is_quick() -> None:
    """The whole pump's mark is 300 MB/s; the formatting alone must be well above."""
    data = (b"y" * 99 + b"\n") * 2621
    made = Lines("stdout")
    began = time.perf_counter()
    for _ in range(100):
        made.take(data, WHEN)
    rate = 100 * len(data) / (time.perf_counter() - began) / 1e6
    assert rate > 150, f"{rate:.0f} MB/s"
