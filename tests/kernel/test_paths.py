"""Paths inside a root: whatever the image's links say, nothing outside is opened or made."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from podrun.kernel import paths
from podrun.kernel.calls import KernelError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("root", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    return tmp_path


@pytest.fixture
def root(place: Path) -> Iterator[int]:
    descriptor = os.open(place / "root", os.O_PATH)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("path", ["/etc/conf/deep", "relative/deep", "/a/../b/./c"])
def test_missing_directories_are_made(root: int, place: Path, path: str) -> None:
    os.close(paths.make_directory(root, path))
    assert (place / "root" / path.lstrip("/")).resolve().is_relative_to(place / "root")


@pytest.mark.parametrize(
    ("target", "made"),
    [
        ("/outside", "outside/new"),
        ("../../../outside", "outside/new"),
        ("{place}/outside", "{place}/outside/new"),
        ("sub/dir", "sub/dir/new"),
    ],
)
def test_a_link_is_followed_inside_the_root_even_where_it_leads_nowhere(
    root: int, place: Path, target: str, made: str
) -> None:
    (place / "root/link").symlink_to(target.format(place=place))
    os.close(paths.make_directory(root, "/link/new"))
    assert (place / "root" / made.format(place=place).lstrip("/")).is_dir()
    assert os.listdir(place / "outside") == ["secret"]


def test_links_in_a_circle_are_refused(root: int, place: Path) -> None:
    (place / "root/a").symlink_to("b")
    (place / "root/b").symlink_to("a")
    with pytest.raises(KernelError) as caught:
        paths.make_directory(root, "/a/x")
    assert caught.value.errno == errno.ELOOP


def test_a_file_in_the_way_is_named(root: int, place: Path) -> None:
    (place / "root/file").write_text("")
    with pytest.raises(KernelError, match=r"^openat2: /file/x: Not a directory$"):
        paths.make_directory(root, "/file/x")


def test_a_magic_link_is_no_way_out(root: int, place: Path) -> None:
    (place / "root/exe").symlink_to("/proc/self/root")
    with pytest.raises(KernelError):
        paths.open_in_root(root, "/exe/etc/passwd")


def test_a_file_is_made_and_an_existing_one_left(root: int, place: Path) -> None:
    os.close(paths.make_file(root, "/etc/hosts"))
    assert (place / "root/etc/hosts").read_text() == ""
    (place / "root/etc/hosts").write_text("kept")
    os.close(paths.make_file(root, "/etc/hosts"))
    assert (place / "root/etc/hosts").read_text() == "kept"


@pytest.mark.parametrize(
    ("target", "made"),
    [("/run/resolv.conf", "run/resolv.conf"), ("../run/a", "run/a"), ("/../../outside/file", "outside/file")],
    ids=["absolute", "relative", "out"],
)
def test_a_file_is_made_where_a_link_leads_to_nothing(root: int, place: Path, target: str, made: str) -> None:
    (place / "root/etc").mkdir()
    (place / "root/etc/resolv.conf").symlink_to(target)
    os.close(paths.make_file(root, "/etc/resolv.conf"))
    assert (place / "root" / made).is_file()
    assert not (place / "outside/file").exists()


def test_links_to_nothing_in_a_circle_make_no_file(root: int, place: Path) -> None:
    (place / "root/a").symlink_to("b")
    (place / "root/b").symlink_to("a")
    with pytest.raises(KernelError) as error:
        paths.make_file(root, "/a")
    assert error.value.errno == errno.ELOOP


@pytest.mark.parametrize("path", ["../outside/secret", "link/secret", "/outside/secret"])
def test_beneath_means_beneath(root: int, place: Path, path: str) -> None:
    (place / "root/link").symlink_to("../outside")
    with pytest.raises(KernelError) as caught:
        paths.open_beneath(root, path)
    assert caught.value.errno == errno.EXDEV


@pytest.mark.parametrize("path", ["/", "/x/..", ""])
def test_the_root_itself_has_no_name(path: str) -> None:
    with pytest.raises(KernelError):
        paths.parent_and_name(path)
