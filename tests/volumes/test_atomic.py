"""The atomic writer: whatever is written after whatever, readers see one payload or the other, and nothing is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podrun.volumes import atomic
from podrun.volumes.payload import File, Payload, Unavailable

NAMES = st.text(alphabet="abcde", min_size=1, max_size=3)
FILES = st.builds(File, content=st.binary(max_size=20), mode=st.sampled_from([0o400, 0o644, 0o755]))


def without_clashes(payload: Payload) -> Payload:
    """A path that is a file cannot be a directory, too."""
    return {path: file for path, file in payload.items() if not any(other.startswith(f"{path}/") for other in payload)}


PAYLOADS = st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), FILES, max_size=6).map(
    without_clashes
)


def visible(directory: Path) -> dict[str, tuple[bytes, int]]:
    """What a container sees: every file that can be reached by a name without leading dots."""
    found = {}
    for name in os.listdir(directory):
        if name.startswith(".."):
            continue
        top = directory / name
        paths = [top] if top.is_file() else [path for path in top.rglob("*") if path.is_file()]
        for path in paths:
            found[str(path.relative_to(directory))] = (path.read_bytes(), path.stat().st_mode & 0o7777)
    return found


def as_seen(payload: Payload) -> dict[str, bytes]:
    return {path: file.content for path, file in payload.items()}


@settings(max_examples=60, deadline=None)
@given(st.lists(PAYLOADS, min_size=1, max_size=5))
def test_after_each_write_exactly_the_payload_is_there(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[Payload]
) -> None:
    directory = tmp_path_factory.mktemp("volume")
    before: dict[str, bytes] | None = None
    for payload in payloads:
        changed = atomic.write(directory, payload)
        seen = visible(directory)
        assert {path: content for path, (content, _) in seen.items()} == as_seen(payload)
        assert changed == (as_seen(payload) != before)
        if changed:
            assert {path: mode for path, (_, mode) in seen.items()} == {p: f.mode for p, f in payload.items()}
        before = as_seen(payload)
        data = [name for name in os.listdir(directory) if name.startswith("..2")]
        assert len(data) == 1
        assert os.readlink(directory / "..data") == data[0]


@settings(max_examples=40, deadline=None)
@given(PAYLOADS, PAYLOADS)
def test_a_failed_write_leaves_the_old_files(
    tmp_path_factory: pytest.TempPathFactory, old: Payload, new: Payload
) -> None:
    directory = tmp_path_factory.mktemp("volume")
    atomic.write(directory, old)

    def fail() -> None:
        assert {path: content for path, (content, _) in visible(directory).items()} == as_seen(old)
        raise PermissionError

    if as_seen(old) != as_seen(new):
        with pytest.raises(PermissionError):
            atomic.write(directory, new, fail)
    assert {path: content for path, (content, _) in visible(directory).items()} == as_seen(old)
    assert len([name for name in os.listdir(directory) if name.startswith("..2")]) == 1


def test_an_open_file_stays_what_it_was(tmp_path: Path) -> None:
    atomic.write(tmp_path, {"a": File(b"old", 0o644)})
    with open(tmp_path / "a") as file:
        atomic.write(tmp_path, {"a": File(b"new", 0o644)})
        assert file.read() == "old"
    assert (tmp_path / "a").read_text() == "new"


def test_what_an_interrupted_write_left_is_cleared_away(tmp_path: Path) -> None:
    atomic.write(tmp_path, {"a": File(b"1", 0o644)})
    (tmp_path / "..2020_01_01_00_00_00.half").mkdir()
    os.symlink("..2020_01_01_00_00_00.half", tmp_path / "..data_tmp")
    atomic.write(tmp_path, {"a": File(b"2", 0o644)})
    assert sorted(name for name in os.listdir(tmp_path) if not name.startswith("..2")) == ["..data", "a"]
    assert (tmp_path / "a").read_text() == "2"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", 'invalid path: must not be empty: ""'),
        ("/a", "invalid path: must be relative path: /a"),
        ("a/../../b", "invalid path: must not contain '..': a/../../b"),
        ("..a", "invalid path: must not start with '..': ..a"),
        ("a/" + "b" * 256, "invalid path: filenames must be less than or equal to 255 characters"),
        ("a/" * 2049, "invalid path: must be less than or equal to 4096 characters"),
    ],
)
def test_a_path_that_leads_out_is_refused(tmp_path: Path, path: str, words: str) -> None:
    with pytest.raises(Unavailable) as caught:
        atomic.write(tmp_path, {path: File(b"", 0o644)})
    assert str(caught.value) == words
    assert os.listdir(tmp_path) == []
