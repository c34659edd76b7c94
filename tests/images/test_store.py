"""The store: loading every form of archive, names, removal, garbage, and several users at once."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
from pathlib import Path

import pytest
import zstandard

from podrun.images.archive import ArchiveError
from podrun.images.manifests import DOCKER_LIST, OCI_INDEX, architecture
from podrun.images.model import Progress, Source
from podrun.images.store import ImageStore
from tests.images.archives import (
    Entry,
    config_of,
    descriptor,
    docker_save,
    oci_archive,
    oci_blobs,
    oci_directory,
    sha256,
    tar_of,
)

BASE = tar_of([Entry("base", b"base")])
TOP = tar_of([Entry("top", b"top")])


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


async def test_a_docker_save_file_with_several_images_and_tags(store: ImageStore, tmp_path: Path) -> None:
    path = docker_save(tmp_path / "a.tar", {("one:1", "one:2"): [BASE], ("two:1",): [BASE, TOP]})
    one, two = await store.load(path)
    assert one.references == ("docker.io/library/one:1", "docker.io/library/one:2")
    assert one.id == sha256(config_of([BASE]))
    assert (one.config.cmd, one.config.env) == (("/hello",), (("A", "b"),))
    assert (one.size, two.size, one.source, one.stand_in) == (4, 7, Source.LOADED, False)
    assert [(layer / name).read_text() for layer, name in zip(two.layers, ("base", "top"), strict=True)] == [
        "base",
        "top",
    ]
    assert store.get("one:2") == one
    assert store.get(two.id) == two
    assert store.get("one:3") is None
    assert [image.id for image in store.list()] == [one.id, two.id]


@pytest.mark.parametrize("form", ["archive", "directory", "gzip", "zstd", "list"])
async def test_every_form_of_oci(store: ImageStore, tmp_path: Path, form: str) -> None:
    files = oci_blobs([BASE, TOP], compress=zstandard.ZstdCompressor().compress if form == "zstd" else gzip.compress)
    if form == "list":
        files = as_list(files)
    make = oci_directory if form == "directory" else oci_archive
    path = make(tmp_path / "app", files)
    if form == "gzip":
        path.write_bytes(gzip.compress(path.read_bytes()))
    (image,) = await store.load(path)
    assert image.id == sha256(config_of([BASE, TOP]))
    assert image.references == ("docker.io/library/app:dev",)
    assert (image.layers[1] / "top").read_text() == "top"


def as_list(files: dict[str, bytes]) -> dict[str, bytes]:
    """The index names a list, which holds this machine's image between others and an attestation."""
    index = json.loads(files["index.json"])
    (entry,) = index["manifests"]
    names = entry.pop("annotations")
    mine = {**entry, "platform": {"os": "linux", "architecture": architecture()}}
    other = {**descriptor(b"other"), "platform": {"os": "linux", "architecture": "s390x"}}
    proof = {**descriptor(b"proof"), "platform": {"os": "unknown", "architecture": "unknown"}}
    inner = {"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [other, mine, proof]}
    listed = json.dumps(inner).encode()
    files[f"blobs/{sha256(listed).replace(':', '/')}"] = listed
    outer = [{**descriptor(listed), "mediaType": OCI_INDEX, "annotations": names}]
    return files | {"index.json": json.dumps({"schemaVersion": 2, "manifests": outer}).encode()}


async def test_a_layer_that_is_here_is_not_read_again(store: ImageStore, tmp_path: Path) -> None:
    await store.load(docker_save(tmp_path / "a.tar", {("a:1",): [BASE]}))
    path = docker_save(tmp_path / "b.tar", {("b:1",): [BASE, TOP]})
    # the known layer's bytes are spoiled: only who reads them notices
    path.write_bytes(path.read_bytes().replace(b"base\0", b"BASE\0"))
    steps: list[Progress] = []
    await store.load(path, steps.append)
    assert [(one.what, one.step) for one in steps if one.step in ("present", "unpacked")] == [
        (sha256(BASE)[7:19], "present"),
        (sha256(TOP)[7:19], "unpacked"),
    ]


async def test_a_name_moves_and_its_old_image_goes(store: ImageStore, tmp_path: Path) -> None:
    await store.load(docker_save(tmp_path / "a.tar", {("a:1",): [BASE]}))
    (new,) = await store.load(docker_save(tmp_path / "b.tar", {("a:1",): [TOP]}))
    assert store.list() == (new,)
    assert await store.garbage_collect() == 4
    assert [layer.name for layer in (tmp_path / "images/layers").iterdir() if layer.is_dir()] == [new.layers[0].name]


async def test_garbage_is_what_no_image_names_and_no_container_uses(store: ImageStore, tmp_path: Path) -> None:
    (image,) = await store.load(docker_save(tmp_path / "a.tar", {("a:1", "a:2"): [BASE, TOP]}))
    assert await store.remove("a:1")
    assert not await store.remove("a:1")
    assert await store.garbage_collect() == 0
    assert await store.remove(image.id[7:19])
    assert store.list() == ()
    assert await store.garbage_collect(in_use=[image.layers[0]]) == 3
    assert (image.layers[0] / "base").exists()
    assert await store.garbage_collect() == 4
    assert os.listdir(tmp_path / "images/layers") == []


async def test_nothing_is_collected_while_someone_adds(store: ImageStore, tmp_path: Path) -> None:
    await store.load(docker_save(tmp_path / "a.tar", {("a:1",): [BASE]}))
    await store.remove("a:1")
    other = ImageStore(tmp_path / "images")
    async with other._adding():
        assert await store.garbage_collect() == 0
    assert await store.garbage_collect() == 4


async def test_what_one_process_adds_another_sees(store: ImageStore, tmp_path: Path) -> None:
    path = docker_save(tmp_path / "a.tar", {("a:1",): [BASE]})
    program = (
        "import asyncio, sys; from pathlib import Path; from podrun.images.store import ImageStore;"
        "asyncio.run(ImageStore(Path(sys.argv[1])).load(Path(sys.argv[2])))"
    )
    assert store.get("a:1") is None
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(tmp_path / "images"), str(path))
    assert await process.wait() == 0
    image = store.get("a:1")
    assert image is not None
    assert (image.layers[0] / "base").read_text() == "base"


async def test_a_process_that_is_killed_leaves_what_the_next_one_can_use(store: ImageStore, tmp_path: Path) -> None:
    layers = [tar_of([Entry(f"{number}-{count}", bytes(50_000)) for count in range(400)]) for number in range(3)]
    path = docker_save(tmp_path / "a.tar", {("a:1",): [BASE, *layers]})
    program = (
        "import asyncio, sys; from pathlib import Path; from podrun.images.store import ImageStore;"
        "asyncio.run(ImageStore(Path(sys.argv[1])).load(Path(sys.argv[2]), lambda step: print(step.step, flush=True)))"
    )
    for moment in (1, 2, 3, 5):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(tmp_path / "images"), str(path), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(moment):
            await process.stdout.readline()
        process.kill()
        await process.wait()
        for image in store.list():
            assert all(layer.is_dir() for layer in image.layers)
    (image,) = await store.load(path)
    assert [len(os.listdir(layer)) for layer in image.layers] == [1, 400, 400, 400]
    await store.garbage_collect()
    assert os.listdir(tmp_path / "images/scratch") == []


async def test_after_a_crash_the_next_collection_cleans_up(store: ImageStore, tmp_path: Path) -> None:
    """What a killed process can leave: scratch, a whole layer that no image names, and a note without its layer."""
    (tmp_path / "images/scratch/layer-half").mkdir()
    (tmp_path / "images/scratch/layer-half/x").write_text("x")
    await store.load(docker_save(tmp_path / "a.tar", {("a:1",): [BASE]}))
    (tmp_path / "images/index.json").unlink()
    (tmp_path / "images/layers/note.json").write_text('{"diff_id": "sha256:0", "bytes": 0, "entries": 0}')
    again = ImageStore(tmp_path / "images")
    assert again.list() == ()
    assert await again.garbage_collect() == 4
    assert os.listdir(tmp_path / "images/scratch") == []
    assert os.listdir(tmp_path / "images/layers") == []


REFUSED = [
    ("not an archive", lambda path: path.write_bytes(b"hello"), "is neither a tar archive nor an OCI directory"),
    ("an archive of something else", lambda path: path.write_bytes(BASE), "it holds no image"),
    (
        "another machine's image",
        lambda path: oci_archive(path, oci_blobs([BASE], config_of([BASE], architecture="s390x"))),
        "its image is for linux/s390x",
    ),
    (
        "more layers than the configuration names",
        lambda path: oci_archive(path, oci_blobs([BASE, TOP], config_of([BASE]))),
        "it has 2 layers where its configuration names 1",
    ),
    (
        "a blob that is not what its name says",
        lambda path: oci_archive(path, {k: v.replace(b"Cmd", b"cmd") for k, v in oci_blobs([BASE]).items()}),
        "the content of its blob sha256:",
    ),
    (
        "a blob that is missing",
        lambda path: oci_archive(path, {k: v for k, v in oci_blobs([BASE]).items() if v[:2] != b"\x1f\x8b"}),
        "it lacks the file blobs/sha256/",
    ),
    (
        "a digest that is a path",
        lambda path: oci_archive(path, {"index.json": b'{"manifests": [{"digest": "sha256:../../x"}]}'}),
        "is not a sha256 digest",
    ),
    (
        "a manifest.json of something else",
        lambda path: path.write_bytes(tar_of([Entry("manifest.json", b'{"a": 1}')])),
        "is not what docker save writes",
    ),
    ("no file at all", lambda path: None, "No such file or directory"),
]


@pytest.mark.parametrize(("make", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_what_is_no_image_is_refused_with_words(
    store: ImageStore, tmp_path: Path, make: object, words: str
) -> None:
    path = tmp_path / "x.tar"
    assert callable(make)
    make(path)
    with pytest.raises(ArchiveError) as caught:
        await store.load(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert store.list() == ()
