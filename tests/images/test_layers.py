"""What becomes of a layer on disk: whiteouts, links, modes, owners, xattrs, times."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import stat
import struct
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import zstandard

from podrun.images.layers import LayerFacts, LayerRefused, Layers, Piece
from podrun.images.model import Limits
from tests.images.archives import Entry, directory, hard_link, sha256, symlink, tar_of

CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
"""security.capability: cap_net_bind_service=ep (struct vfs_cap_data, revision 2)."""


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    for name in ("layers", "scratch"):
        (tmp_path / name).mkdir()
    return Layers(tmp_path / "layers", tmp_path / "scratch", Limits())


async def add(layers: Layers, data: bytes, diff_id: str, tmp_path: Path) -> LayerFacts:
    file = tmp_path / "layer.tar"
    file.write_bytes(data)
    with file.open("rb") as opened:
        return await layers.add(Piece.whole(opened.fileno()), diff_id, lambda _: None)


async def unpacked(layers: Layers, entries: Sequence[Entry], tmp_path: Path) -> Path:
    data = tar_of(entries)
    await add(layers, data, sha256(data), tmp_path)
    return layers.path(sha256(data))


def is_whiteout(path: Path) -> bool:
    facts = os.lstat(path)
    return stat.S_ISCHR(facts.st_mode) and facts.st_rdev == 0


def is_opaque(path: Path) -> bool:
    return "trusted.overlay.opaque" in os.listxattr(path)


async def test_modes_owners_times_links_and_capabilities(layers: Layers, tmp_path: Path) -> None:
    root = await unpacked(
        layers,
        [
            Entry(".", kind=tarfile.DIRTYPE, mode=0o711, uid=3),
            directory("bin", 0o1777),
            Entry("bin/su", b"x", mode=0o4755, uid=7, gid=8),
            Entry("bin/ping", b"x", xattrs={"security.capability": CAPABILITY, "user.note": b"\xff\0"}),
            hard_link("bin/again", "bin/su"),
            symlink("sh", "/bin/su"),
            Entry("pipe", kind=tarfile.FIFOTYPE, mode=0o600),
            Entry("implied/parent/file", b"x"),
            Entry("n\udcffme", b"x"),
        ],
        tmp_path,
    )
    su = os.lstat(root / "bin/su")
    assert (stat.S_IMODE(su.st_mode), su.st_uid, su.st_gid, su.st_mtime) == (0o4755, 7, 8, 1_700_000_000)
    assert os.lstat(root / "bin/again").st_ino == su.st_ino
    assert stat.S_IMODE(os.lstat(root / "bin").st_mode) == 0o1777
    assert os.lstat(root / "bin").st_mtime == 1_700_000_000
    assert (stat.S_IMODE(os.lstat(root).st_mode), os.lstat(root).st_uid) == (0o711, 3)
    assert os.getxattr(root / "bin/ping", "security.capability") == CAPABILITY
    assert os.getxattr(root / "bin/ping", "user.note") == b"\xff\0"
    assert os.readlink(root / "sh") == "/bin/su"
    assert stat.S_ISFIFO(os.lstat(root / "pipe").st_mode)
    assert stat.S_IMODE(os.lstat(root / "implied").st_mode) == 0o755
    assert b"n\xffme" in os.listdir(os.fsencode(root))


async def test_whiteouts_are_overlayfs_own(layers: Layers, tmp_path: Path) -> None:
    root = await unpacked(
        layers,
        [
            directory("a"),
            Entry("a/.wh.gone"),
            directory("b"),
            Entry("b/.wh..wh..opq"),
            Entry("b/new", b"x"),
            Entry("c/.wh..wh.plnk"),
            Entry(".wh.later"),
            Entry("later/file", b"x"),
            directory("before"),
            Entry("before/file", b"x"),
            Entry(".wh.before"),
            Entry("file", b"x"),
            Entry(".wh.file"),
        ],
        tmp_path,
    )
    assert is_whiteout(root / "a/gone")
    assert is_opaque(root / "b")
    assert not is_opaque(root / "a")
    assert os.listdir(root / "c") == []
    # a directory that this layer both removes and makes hides the one below it
    for name in ("later", "before"):
        assert is_opaque(root / name), name
        assert (root / name / "file").read_bytes() == b"x"
    assert (root / "file").read_bytes() == b"x"


async def test_the_last_entry_of_a_name_wins(layers: Layers, tmp_path: Path) -> None:
    root = await unpacked(
        layers,
        [
            Entry("a", b"first"),
            Entry("a", b"second"),
            directory("d"),
            Entry("d/below/x", b"x"),
            symlink("d/link", "below"),
            Entry("d", b"now a file"),
            symlink("l", "a"),
            Entry("l", b"not through the link"),
            directory("kept"),
            Entry("kept/x", b"x"),
            directory("kept", 0o700),
        ],
        tmp_path,
    )
    assert (root / "a").read_bytes() == b"second"
    assert (root / "d").read_bytes() == b"now a file"
    assert (root / "l").read_bytes() == b"not through the link"
    assert stat.S_IMODE((root / "kept").stat().st_mode) == 0o700
    assert (root / "kept/x").exists()


async def test_links_inside_are_followed(layers: Layers, tmp_path: Path) -> None:
    entries = [directory("usr/lib"), symlink("lib", "usr/lib"), symlink("usr/up", "../lib"), Entry("usr/up/x", b"x")]
    root = await unpacked(layers, [*entries, Entry("lib/y", b"y")], tmp_path)
    assert sorted(os.listdir(root / "usr/lib")) == ["x", "y"]


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lambda data: zstandard.ZstdCompressor().compress(data)])
async def test_any_compression_gives_the_same_layer(layers: Layers, tmp_path: Path, compress: object) -> None:
    data = tar_of([Entry("a", b"x" * 100_000)])
    assert callable(compress)
    facts = await add(layers, compress(data), sha256(data), tmp_path)
    assert facts == LayerFacts(sha256(data), 100_000, 1)
    assert list(layers) == [facts]


async def test_sparse_files_are_whole(layers: Layers, tmp_path: Path) -> None:
    """GNU tar's sparse format 1.0, which `docker save` of some images holds."""
    content = b"\0" * 8192 + b"end!" + b"\0" * 508
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("GNUSparseFile.0/hole")
        info.pax_headers = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": "hole",
            "GNU.sparse.realsize": str(len(content)),
        }
        stored = b"1\n8192\n512\n".ljust(512, b"\0") + b"end!" + b"\0" * 508
        info.size = len(stored)
        tar.addfile(info, io.BytesIO(stored))
    data = out.getvalue()
    await add(layers, data, sha256(data), tmp_path)
    assert (layers.path(sha256(data)) / "hole").read_bytes() == content


async def test_a_layer_that_many_want_is_unpacked_once(layers: Layers, tmp_path: Path) -> None:
    data = tar_of([Entry("a", b"x" * 1000)])
    file = tmp_path / "layer.tar"
    file.write_bytes(data)
    with file.open("rb") as opened:
        piece = Piece.whole(opened.fileno())
        started = await asyncio.gather(*(layers.add(piece, sha256(data), lambda _: None) for _ in range(5)))
        inode = layers.path(sha256(data)).stat().st_ino
        await layers.add(piece, sha256(data), lambda _: None)
    assert len(set(started)) == 1
    assert layers.path(sha256(data)).stat().st_ino == inode
    assert os.listdir(tmp_path / "scratch") == []


async def test_one_that_waits_for_another_that_fails_tries_itself(layers: Layers, tmp_path: Path) -> None:
    good = tar_of([Entry("a", b"x" * 1000)])
    for name, content in {"good": good, "bad": good[:700]}.items():
        (tmp_path / name).write_bytes(content)
    with (tmp_path / "good").open("rb") as whole, (tmp_path / "bad").open("rb") as broken:
        first = asyncio.ensure_future(layers.add(Piece.whole(broken.fileno()), sha256(good), lambda _: None))
        await asyncio.sleep(0)
        second = layers.add(Piece.whole(whole.fileno()), sha256(good), lambda _: None)
        assert await second == LayerFacts(sha256(good), 1000, 1)
        with pytest.raises(LayerRefused):
            await first


async def test_a_cancelled_layer_leaves_nothing(layers: Layers, tmp_path: Path) -> None:
    data = tar_of([Entry(str(number), bytes(100_000)) for number in range(300)])
    begun = asyncio.Event()
    file = tmp_path / "layer.tar"
    file.write_bytes(data)
    with file.open("rb") as opened:
        task = asyncio.ensure_future(layers.add(Piece.whole(opened.fileno()), sha256(data), lambda _: begun.set()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert os.listdir(tmp_path / "scratch") == []
    assert list(layers) == []


def test_the_unpacker_needs_nothing_but_the_standard_library() -> None:
    """It is run by its path, so that podrun need not be importable where it runs."""
    source = (Path(__file__).parents[2] / "podrun/images/unpack.py").read_text()
    imported = {
        line.split()[1].partition(".")[0] for line in source.splitlines() if line.startswith(("import", "from"))
    }
    assert imported <= sys.stdlib_module_names | {"__future__"}
