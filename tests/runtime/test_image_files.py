"""Reading a file of an image through its layers, as overlayfs would show it."""

import os
from pathlib import Path

import pytest

from podrun.runtime.image_files import read


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    """Three layers, lowest first, with /etc/passwd in the lowest."""
    made = [tmp_path / name for name in ("low", "middle", "top")]
    for layer in made:
        (layer / "etc").mkdir(parents=True)
    (made[0] / "etc/passwd").write_text("low")
    return made


def test_the_topmost_file_counts(layers: list[Path]) -> None:
    assert read(layers, "/etc/passwd") == b"low"
    (layers[2] / "etc/passwd").write_text("top")
    assert read(layers, "/etc/passwd") == b"top"


def test_a_link_is_followed_inside_the_image(layers: list[Path]) -> None:
    (layers[1] / "etc/passwd").symlink_to("/usr/lib/passwd")
    (layers[0] / "usr/lib").mkdir(parents=True)
    (layers[0] / "usr/lib/passwd").write_text("linked")
    assert read(layers, "/etc/passwd") == b"linked"


@pytest.mark.parametrize("target", ["../../../../../../etc/hostname", "/etc/hostname"])
def test_a_link_out_of_the_image_stays_in_it(layers: list[Path], target: str) -> None:
    (layers[2] / "etc/passwd").symlink_to(target)
    with pytest.raises(FileNotFoundError):
        read(layers, "/etc/passwd")


def test_a_directory_link_out_of_the_image_stays_in_it(layers: list[Path], tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "passwd").write_text("outside")
    (layers[2] / "up").symlink_to(outside)
    with pytest.raises(FileNotFoundError):
        read(layers, "/up/passwd")


def test_a_loop_of_links_is_an_error(layers: list[Path]) -> None:
    (layers[2] / "a").symlink_to("b")
    (layers[2] / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels"):
        read(layers, "/a")


def test_a_fifo_is_not_opened(layers: list[Path]) -> None:
    (layers[0] / "etc/group").unlink(missing_ok=True)
    os.mkfifo(layers[2] / "etc/group")
    with pytest.raises(OSError, match="not a regular file"):
        read(layers, "/etc/group")


@pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts are made by root")
def test_a_whiteout_hides_a_file_and_an_opaque_directory_what_is_below(layers: list[Path]) -> None:
    os.mknod(layers[1] / "etc/passwd", 0o20000, os.makedev(0, 0))
    with pytest.raises(FileNotFoundError):
        read(layers, "/etc/passwd")
    (layers[1] / "etc/passwd").unlink()
    os.setxattr(layers[1] / "etc", "trusted.overlay.opaque", b"y")
    with pytest.raises(FileNotFoundError):
        read(layers, "/etc/passwd")
