"""Archives made to harm: each is refused with a sentence, and nothing is written outside, or stays inside."""

from __future__ import annotations

import gzip
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from podrun.images.archive import ArchiveError
from podrun.images.model import Limits
from podrun.images.store import ImageStore
from tests.images.archives import Entry, directory, docker_save, hard_link, symlink, tar_of

LIMITS = Limits(bytes=1 << 20, entries=50)

HOSTILE: list[tuple[str, list[Entry], str]] = [
    ("an absolute name", [Entry("/etc/evil", b"x")], "has an absolute path"),
    ("a name that climbs", [Entry("../../evil", b"x")], "leads out of the layer with '..'"),
    ("a name that climbs later", [directory("a"), Entry("a/../../evil", b"x")], "leads out of the layer with '..'"),
    (
        "a write through a link to an absolute path",
        [symlink("out", "/etc"), Entry("out/evil", b"x")],
        "goes through the link /out -> /etc",
    ),
    (
        "a write through a link that climbs",
        [directory("a"), symlink("a/out", "../../.."), Entry("a/out/evil", b"x")],
        "goes through a link that leads out of the layer",
    ),
    (
        "a write through a chain of links",
        [symlink("one", "two"), symlink("two", "/tmp"), Entry("one/evil", b"x")],
        "goes through the link /two -> /tmp",
    ),
    (
        "links that lead to each other",
        [symlink("a", "b"), symlink("b", "a"), Entry("a/x", b"")],
        "goes through the link",
    ),
    (
        "a directory through a link",
        [symlink("out", "/var"), directory("out/evil")],
        "goes through the link /out -> /var",
    ),
    ("a hard link to an absolute path", [hard_link("shadow", "/etc/shadow")], "has an absolute path"),
    ("a hard link that climbs", [hard_link("shadow", "../../etc/shadow")], "leads out of the layer with '..'"),
    (
        "a hard link through a link",
        [symlink("out", "/etc"), hard_link("shadow", "out/shadow")],
        "goes through the link /out -> /etc",
    ),
    ("a hard link to nothing", [hard_link("a", "b")], "No such file or directory"),
    ("a block device", [Entry("sda", kind=tarfile.BLKTYPE, device=(8, 0))], "is a device (8:0)"),
    ("a character device", [Entry("mem", kind=tarfile.CHRTYPE, device=(1, 1))], "is a device (1:1)"),
    ("a forged whiteout", [Entry("gone", kind=tarfile.CHRTYPE, device=(0, 0))], "is a device (0:0)"),
    ("a whiteout of the parent", [directory("a"), Entry("a/.wh...")], "names no file"),
    ("a whiteout of itself", [Entry(".wh..")], "names no file"),
    ("a whiteout that climbs", [Entry(".wh.a/../../evil")], "leads out of the layer with '..'"),
    (
        "overlayfs' own xattr",
        [Entry("a", xattrs={"trusted.overlay.redirect": b"/etc"})],
        "the xattr trusted.overlay.redirect",
    ),
    ("more bytes than allowed", [Entry("a", bytes(2 << 20))], "its files are larger than 1048576 bytes together"),
    ("more entries than allowed", [Entry(str(n)) for n in range(60)], "it has more than 50 entries"),
    ("an owner that is none", [Entry("a", uid=0xFFFFFFFF)], "has the owner 4294967295:0"),
    ("a root that is a file", [Entry(".", b"x")], "its root is not a directory"),
    ("something below a file", [Entry("a", b"x"), Entry("a/b", b"x")], "which is not a directory"),
]


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images", limits=LIMITS)


def everything_below(path: Path) -> set[str]:
    """Every name below a directory but the store's locks."""
    found = {os.path.join(where, name) for where, names, files in os.walk(path) for name in (*names, *files)}
    return {name for name in found if not name.endswith(".lock")}


@pytest.mark.parametrize(("entries", "words"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
async def test_a_hostile_layer_is_refused(store: ImageStore, tmp_path: Path, entries: list[Entry], words: str) -> None:
    good = tar_of([Entry("fine", b"x")])
    path = docker_save(tmp_path / "evil.tar", {("evil:1",): [good, tar_of(entries)]})
    before = everything_below(tmp_path)
    with pytest.raises(ArchiveError) as caught:
        await store.load(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{path}: layer ")
    assert everything_below(tmp_path) == before
    assert not os.path.lexists("/etc/evil")
    assert store.list() == ()


async def test_a_bomb_is_refused_before_it_is_large(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images", limits=Limits(ratio_from=1 << 20, ratio=50))
    bomb = gzip.compress(tar_of([Entry("zeros", bytes(64 << 20))]))
    path = docker_save(tmp_path / "bomb.tar", {("bomb:1",): [bomb]})
    with pytest.raises(ArchiveError, match="it unpacks to more than 50 times its size"):
        await store.load(path)
    assert store.list() == ()


async def test_a_file_that_claims_more_than_it_holds_is_refused(store: ImageStore, tmp_path: Path) -> None:
    """A sparse file of terabytes is a few bytes of archive."""
    info = tarfile.TarInfo("hole")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 42)}
    info.size = 512
    data = info.tobuf(tarfile.PAX_FORMAT) + b"0\n".ljust(512, b"\0") + bytes(1024)
    with pytest.raises(ArchiveError, match="its files are larger than 1048576 bytes together"):
        await store.load(docker_save(tmp_path / "sparse.tar", {("sparse:1",): [data]}))


async def test_a_header_that_is_a_bomb_is_refused(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images")
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 3 << 30
    layer = gzip.compress(info.tobuf() + bytes(100 << 20))
    with pytest.raises(ArchiveError, match=r"(one of its headers is too large|not a whole tar archive)"):
        await store.load(docker_save(tmp_path / "pax.tar", {("pax:1",): [layer]}))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(lambda data: data[:700], "not a whole tar archive", id="cut off in a file"),
        pytest.param(lambda data: data[:1400], "not a whole tar archive", id="cut off in a header"),
        pytest.param(lambda data: b"\x1f\x8b" + data, "not a whole tar archive", id="not really gzip"),
        pytest.param(lambda data: b"BZh91" + data, "compressed with bzip2", id="bzip2"),
        pytest.param(
            lambda data: data[:1024] + b"garbage!" * 64 + data[1536:], "not a whole tar", id="garbage between"
        ),
    ],
)
async def test_a_damaged_layer_is_refused(
    store: ImageStore, tmp_path: Path, damage: Callable[[bytes], bytes], words: str
) -> None:
    layer = tar_of([Entry("a", b"x" * 300), Entry("b", b"y" * 100)])
    path = docker_save(tmp_path / "bad.tar", {("bad:1",): [damage(layer)]})
    with pytest.raises(ArchiveError, match=words):
        await store.load(path)
    assert store.list() == ()


async def test_content_that_is_not_what_the_configuration_names_is_refused(store: ImageStore, tmp_path: Path) -> None:
    path = docker_save(tmp_path / "bad.tar", {("bad:1",): [tar_of([Entry("a", b"x" * 100)])]})
    path.write_bytes(path.read_bytes().replace(b"x" * 100, b"z" * 100))
    with pytest.raises(ArchiveError, match="its content is sha256:"):
        await store.load(path)
    assert store.list() == ()


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (Entry("/etc/evil", b"x"), "has an absolute path"),
        (Entry("../evil", b"x"), "leads out of the layer with '..'"),
    ],
    ids=["an absolute name", "a name that climbs"],
)
async def test_a_hostile_file_around_the_layers_is_refused(
    store: ImageStore, tmp_path: Path, extra: Entry, words: str
) -> None:
    path = docker_save(tmp_path / "evil.tar", {("evil:1",): [tar_of([Entry("a")])]}, [extra])
    with pytest.raises(ArchiveError, match=words):
        await store.load(path)
