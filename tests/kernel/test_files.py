"""Files that are replaced whole."""

from __future__ import annotations

from pathlib import Path

from podrun.kernel import files


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    for content in (b"long content", b"short", b""):
        files.replace(path, content, 0o640)
        assert path.read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]
