"""The recipes that podrun ships, and what a recipe may say."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from podrun.images import build, debian, golang
from podrun.images.model import Image, Progress, Source
from podrun.images.recipe import Applets, RecipeError, read
from podrun.images.store import ImageStore
from podrun.images.tree import Node, Tree
from tests.conftest import IMAGE_SOURCES, shipped_images
from tests.images.registries import free_port


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


def names_in(image: Image, directory: str) -> set[str]:
    return {name for layer in image.layers for name in os.listdir(layer / directory)}


def run_in(image: Image, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program of a one-layer image in its root."""
    return subprocess.run(["chroot", str(image.layers[0]), *argv], input=stdin, capture_output=True, text=True)


async def test_busybox_is_a_stand_in_with_the_real_images_paths(store: ImageStore) -> None:
    image = await store.build(IMAGE_SOURCES / "busybox.yaml")
    assert (image.stand_in, image.source) == (True, Source.BUILT)
    assert image.references == ("docker.io/library/busybox:1.36", "docker.io/library/busybox:latest")
    assert (image.config.cmd, dict(image.config.env)["PATH"].count("/bin")) == (("sh",), 3)
    wanted = "sh wget nc httpd nslookup ls cat sleep vi id ps top tail grep sed awk tar ping env date true false mount"
    assert set(wanted.split()) <= names_in(image, "bin")
    (root,) = image.layers
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
    assert stat.S_IMODE((root / "root").stat().st_mode) == 0o700
    users = [line.split(":")[0] for line in (root / "etc/passwd").read_text().splitlines()]
    assert users == ["root", "daemon", "bin", "sys", "sync", "mail", "www-data", "operator", "nobody"]
    assert (root / "bin/sh").stat().st_ino == (root / "bin/busybox").stat().st_ino


async def test_layers_are_reproducible(tmp_path: Path) -> None:
    stores = [ImageStore(tmp_path / name) for name in "ab"]
    images = [await store.build(IMAGE_SOURCES / "busybox.yaml") for store in stores]
    assert images[0].id == images[1].id


async def test_an_unchanged_recipe_is_answered_from_the_store(store: ImageStore) -> None:
    first = await store.build(IMAGE_SOURCES / "busybox.yaml")
    steps: list[Progress] = []
    assert await store.build(IMAGE_SOURCES / "busybox.yaml", steps.append) == first
    assert [one.step for one in steps] == ["unchanged", "done"]


SCANS = [
    ("a port that listens", lambda port: ["-z", "127.0.0.1", str(port)], 0),
    ("with -v and a timeout", lambda port: ["-zv", "-w", "1", "127.0.0.1", str(port)], 0),
    ("a port that does not", lambda port: ["-z", "-w", "1", "127.0.0.1", "1"], 1),
]


@pytest.mark.parametrize(("arguments", "code"), [row[1:] for row in SCANS], ids=[row[0] for row in SCANS])
async def test_its_nc_can_scan_as_init_containers_do(store: ImageStore, arguments: object, code: int) -> None:
    image = await store.build(IMAGE_SOURCES / "busybox.yaml")
    assert callable(arguments)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = run_in(image, "nc", *arguments(listener.getsockname()[1]))
    assert done.returncode == code, done.stderr


WGETS = [
    ("an answer within the limit", ["-T", "5", "-qO-"], True, 0, "hello"),
    ("the limit in one word", ["-qO-", "-T5"], True, 0, "hello"),
    ("behind another letter", ["-qT", "5", "-O-"], True, 0, "hello"),
    ("the long form", ["-q", "--timeout=5", "-O", "-"], True, 0, "hello"),
    ("no limit", ["-qO-"], True, 0, "hello"),
    ("no answer within the limit", ["-T", "1", "-qO-"], False, 1, "wget: download timed out\n"),
]


@pytest.mark.parametrize(
    ("arguments", "answers", "code", "said"), [row[1:] for row in WGETS], ids=[row[0] for row in WGETS]
)
async def test_its_wget_takes_a_time_limit(
    store: ImageStore, arguments: list[str], answers: bool, code: int, said: str
) -> None:
    image = await store.build(IMAGE_SOURCES / "busybox.yaml")
    os.mknod(image.layers[0] / "dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answers:
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        else:
            await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        done = await asyncio.to_thread(run_in, image, "wget", *arguments, url)
    assert (done.returncode, done.stdout + done.stderr) == (code, said)


async def test_its_nc_still_carries_bytes(store: ImageStore) -> None:
    image = await store.build(IMAGE_SOURCES / "busybox.yaml")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        talking = asyncio.to_thread(run_in, image, "nc", "127.0.0.1", str(listener.getsockname()[1]), stdin="hello\n")
        client = asyncio.ensure_future(talking)
        accepted, _ = await asyncio.to_thread(listener.accept)
        with accepted:
            assert accepted.recv(100) == b"hello\n"
            accepted.sendall(b"welcome\n")
    assert (await client).stdout == "welcome\n"


@pytest.fixture(scope="module")
def catalog() -> Image:
    image = ImageStore(shipped_images()).get("bookstore/catalog:dev")
    assert image is not None
    return image


def test_the_catalog_is_one_program_and_no_shell(catalog: Image) -> None:
    (root,) = catalog.layers
    assert os.listdir(root) == ["catalog"]
    assert catalog.config.entrypoint == ("/catalog",)
    assert b"ld-linux" not in (root / "catalog").read_bytes()
    assert (root / "catalog").stat().st_size < 10 << 20


@pytest.fixture
def served(catalog: Image) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The catalog running in its own root on a free port."""
    port = free_port()
    process = subprocess.Popen(
        ["chroot", "--userspec=65532:65532", str(catalog.layers[0]), "/catalog"],
        env={"PATH": os.environ["PATH"], "PORT": str(port)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, port
    finally:
        process.kill()
        process.wait()


def test_the_catalog_answers_logs_and_ends(served: tuple[subprocess.Popen[str], int]) -> None:
    process, port = served
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["msg"] == "catalog listening"

    def get(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            text: str = answer.read().decode()
        return text

    assert get("/healthz") == '{"status":"ok"}'
    books = json.loads(get("/books"))
    assert {"id", "title", "author", "year", "price"} == set(books[0])
    assert json.loads(get("/books/2")) == books[1]
    line = json.loads(process.stdout.readline())
    assert (line["level"], line["path"], line["status"]) == ("INFO", "/healthz", 200)
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0
    assert json.loads(process.stdout.read().splitlines()[-1])["msg"] == "catalog stopped"


def test_the_toolbox_has_its_tools() -> None:
    image = ImageStore(shipped_images()).get("toolbox")
    assert image is not None
    assert {"strace", "dig", "nslookup", "lsns", "nsenter", "ipcs", "ipcmk", "sh", "wget"} <= names_in(image, "usr/bin")
    assert run_in(image, "strace", "-V").stdout.startswith("strace")
    assert run_in(image, "dig", "-v").returncode == 0


def test_a_changed_source_is_another_program(tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text("package main")
    before = golang.key_of(tmp_path)
    (tmp_path / "notes.txt").write_text("nothing")
    assert golang.key_of(tmp_path) == before
    (tmp_path / "main.go").write_text("package main // changed")
    assert golang.key_of(tmp_path) != before


async def test_a_program_in_the_cache_needs_no_toolchain(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/main.go").write_text("package main")
    recipe = tmp_path / "a.yaml"
    recipe.write_text("names: [a]\nlayers: [{go: {source: src, to: /a}}]\n")

    def none() -> Path:
        raise RecipeError("there is no Go toolchain")

    monkeypatch.setattr(golang, "toolchain", none)
    with pytest.raises(RecipeError, match="no Go toolchain"):
        await store.build(recipe)
    (tmp_path / "images/build" / golang.key_of(tmp_path / "src")).write_bytes(b"program")
    image = await store.build(recipe)
    assert (image.layers[0] / "a").read_bytes() == b"program"


async def test_what_the_compiler_says_is_shown(store: ImageStore, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/main.go").write_text("package main\n\nfunc main() {\n")
    (tmp_path / "src/go.mod").write_text("module a\n\ngo 1.24\n")
    recipe = tmp_path / "a.yaml"
    recipe.write_text("names: [a]\nlayers: [{go: {source: src, to: /a}}]\n")
    with pytest.raises(RecipeError, match=r"(?s)compiling .*src failed:.*syntax error"):
        await store.build(recipe)


REFUSED = [
    ("an unknown key", "names: [a]\nlayer: []\n", "layer: Extra inputs are not permitted"),
    ("a bad name", "names: [A b]\n", "must be lowercase"),
    ("no name", "names: []\n", "names: "),
    ("a path that climbs", "names: [a]\nlayers: [{files: {/../a: x}}]\n", "is not an absolute path without '..'"),
    ("a relative path", "names: [a]\nlayers: [{files: {a: x}}]\n", "is not an absolute path without '..'"),
    ("a mode that is none", 'names: [a]\nlayers: [{directories: {/a: "9"}}]\n', "invalid literal"),
    ("no YAML", "names: [\n", "while parsing"),
]


@pytest.mark.parametrize(("text", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_recipe_that_makes_no_sense_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        read(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(path))


async def test_a_package_that_nobody_has(store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def as_it_was(self: debian.Apt, lists: Path) -> None:
        """The lists that an update would fetch: the machine's."""

    monkeypatch.setattr(debian.Apt, "_update", as_it_was)
    path = tmp_path / "a.yaml"
    path.write_text("names: [a]\nlayers: [{packages: [no-such-package-anywhere]}]\n")
    with pytest.raises(RecipeError, match="no-such-package-anywhere"):
        await store.build(path)


async def test_packages_that_the_mirror_has_no_longer_are_looked_for_in_newer_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a machine is whose lists are of last year: their versions have gone. What is left out is not fetched."""
    versions, fetched = iter(("1", "2")), []

    async def closure(self: debian.Apt, names: Sequence[str]) -> tuple[debian.Package, ...]:
        version = next(versions)
        return tuple(debian.Package(f"{name}_{version}_all.deb", "") for name in (*names, "libllvm14"))

    async def fetch(self: debian.Apt, packages: Sequence[debian.Package]) -> list[Path]:
        fetched.append([package.file for package in packages])
        if packages[0].file.endswith("_1_all.deb"):
            raise RecipeError("apt-get: 404 Not Found")
        return [Path(package.file) for package in packages]

    async def update(self: debian.Apt, lists: Path) -> None:
        self._lists = lists

    for name, stand_in in (("_closure", closure), ("fetch", fetch), ("_update", update)):
        monkeypatch.setattr(debian.Apt, name, stand_in)
    assert await debian.Apt(tmp_path).obtain(["postgresql"], ["libllvm*"]) == [Path("postgresql_2_all.deb")]
    assert fetched == [["postgresql_1_all.deb"], ["postgresql_2_all.deb"]]


async def test_a_machine_with_empty_package_lists_gets_its_own(tmp_path: Path) -> None:
    """As a fresh Debian is: apt-get knows nothing until its first update. The machine's own lists are left alone."""
    (tmp_path / "empty/partial").mkdir(parents=True)
    apt = debian.Apt(tmp_path / "cache", lists=tmp_path / "empty")
    (package,) = [one for one in await apt.closure(["busybox-static"]) if one.file.startswith("busybox-static_")]
    (file,) = await apt.fetch([package])
    assert file.stat().st_size > 100_000
    assert os.listdir(tmp_path / "empty") == ["partial"]


async def test_one_file_of_a_package_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(package: str) -> str:
        return ""

    monkeypatch.setattr(debian, "installed", nothing)
    node = await debian.Apt(tmp_path / "cache").file_of("busybox-static", "/bin/busybox", tmp_path)
    assert isinstance(node.content, Path)
    assert node.content.stat().st_size > 1 << 20
    with pytest.raises(RecipeError, match="the Debian package busybox-static has no file /bin/none"):
        await debian.Apt(tmp_path / "cache").file_of("busybox-static", "/bin/none", tmp_path)


async def test_what_is_built_and_unchanged_needs_no_packages(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "a.yaml"
    recipe.write_text("names: [a]\nlayers: [{packages: [busybox-static]}]\n")
    image = await store.build(recipe)

    async def unreachable(*argv: str, **_: object) -> str:
        raise RecipeError(f"{argv[0]} was asked")

    monkeypatch.setattr(debian, "_run", unreachable)
    assert await store.build(recipe) == image


TABLE = b"code\0mv\0nameif\0nc\0netstat\0nl\0data"


def test_an_applet_is_renamed_in_its_place() -> None:
    assert build.renamed_applets(TABLE, {"nc": "nd"}) == TABLE.replace(b"\0nc\0", b"\0nd\0")
    assert build.renamed_applets(TABLE, {}) == TABLE


@pytest.mark.parametrize(
    ("why", "names", "message"),
    [
        ("there is no such applet", {"wget": "wgeu"}, "wget is not the name of one applet"),
        ("the table would not be sorted", {"nc": "nz"}, "nz does not fit in the place of nc"),
        ("the name is taken", {"nc": "nl"}, "nl does not fit in the place of nc"),
        ("the name is longer", {"nc": "ncc"}, "ncc does not fit in the place of nc"),
    ],
)
def test_an_applet_that_cannot_be_renamed(why: str, names: dict[str, str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build.renamed_applets(TABLE, names)


def test_the_program_that_is_installed_here_stays_as_it_is(tmp_path: Path) -> None:
    installed = tmp_path / "busybox"
    installed.write_bytes(TABLE)
    tree = Tree()
    tree.put("/bin/busybox", Node(0o755, installed))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    build._rename_applets(tree, Applets(busybox="/bin/busybox", directory="/bin", renamed={"nc": "nd"}), scratch)
    assert installed.read_bytes() == TABLE
    node = tree.get("/bin/busybox")
    assert node is not None
    assert isinstance(node.content, Path)
    assert b"\0nd\0" in node.content.read_bytes()
