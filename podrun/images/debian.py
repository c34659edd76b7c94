"""Files out of Debian packages: fetched with apt-get, unpacked with dpkg-deb, nothing of them run or installed."""

from __future__ import annotations

import asyncio
import os
import re
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote

from podrun.images.recipe import RecipeError
from podrun.images.tree import Node, Tree

_SKIPPED = ("/usr/share/doc/", "/usr/share/man/", "/usr/share/lintian/", "/usr/share/locale/", "/usr/share/bug/")
"""What a container has no reader for."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package as apt would fetch it."""

    file: str
    """`strace_6.1-0.1_amd64.deb`: name, version and architecture."""
    digest: str
    """As apt prints it: `SHA256:...` or `MD5Sum:...`."""

    @property
    def exact(self) -> str:
        """`strace:amd64=6.1-0.1`, as apt-get download takes it."""
        name, version, architecture = unquote(self.file).removesuffix(".deb").split("_")
        return f"{name}={version}" if architecture == "all" else f"{name}:{architecture}={version}"

    def is_one_of(self, patterns: Sequence[str]) -> bool:
        """Whether its name is among these, which may hold `*`."""
        name = self.file.partition("_")[0]
        return any(fnmatchcase(name, pattern) for pattern in patterns)


class Apt:
    """apt-get as a source of packages; the machine's own lists and caches stay as they are."""

    def __init__(self, cache: Path, lists: Path | None = None) -> None:
        """`cache` keeps what is fetched. `lists` are the package lists to begin with; None: the machine's own."""
        self._cache = cache
        self._lists = lists

    async def closure(self, names: Sequence[str]) -> tuple[Package, ...]:
        """The packages and everything they depend on (no recommendations), as if nothing were installed.

        Where the lists do not know them (a fresh machine has none), newer ones are fetched, once. Raises RecipeError.
        """
        try:
            return await self._closure(names)
        except RecipeError:
            own = self._cache / "lists"
            if self._lists == own:
                raise
            await self._update(own)
            return await self._closure(names)

    async def _closure(self, names: Sequence[str]) -> tuple[Package, ...]:
        nothing_installed = ("-o", "Dir::State::status=/dev/null")
        text = await self._run("install", "--print-uris", "--no-install-recommends", *nothing_installed, *names)
        found = re.findall(r"^'[^']+' (\S+\.deb) \d+ ?(\S*)$", text, re.M)
        if not found:
            raise RecipeError(f"apt-get knows no such packages: {' '.join(names)}")
        return tuple(Package(file, digest) for file, digest in found)

    async def _update(self, lists: Path) -> None:
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        self._lists = lists
        await self._run("update")

    async def obtain(self, names: Sequence[str], without: Sequence[str] = ()) -> list[Path]:
        """The files of the packages and of all they depend on, but for those whose names match a pattern of `without`.

        Where the mirror no longer has what the lists name (they are old), newer ones are fetched, once. Raises
        RecipeError.
        """
        closure = await self.closure(names)
        try:
            return await self.fetch([package for package in closure if not package.is_one_of(without)])
        except RecipeError:
            own = self._cache / "lists"
            if self._lists == own:
                raise
            await self._update(own)
            closure = await self._closure(names)
            return await self.fetch([package for package in closure if not package.is_one_of(without)])

    async def fetch(self, packages: Sequence[Package]) -> list[Path]:
        """The packages' files, fetched where they are missing. Raises RecipeError."""
        self._cache.mkdir(parents=True, exist_ok=True)
        missing = [package for package in packages if not (self._cache / package.file).exists()]
        if missing:
            with tempfile.TemporaryDirectory(prefix="fetch-", dir=self._cache) as scratch:
                await self._run("download", *(package.exact for package in missing), directory=Path(scratch))
                for package in missing:
                    os.rename(Path(scratch) / package.file, self._cache / package.file)
        return [self._cache / package.file for package in packages]

    async def file_of(self, package: str, path: str, scratch: Path) -> Node:
        """One file of a package: of the installed one where it is installed, else fetched. Raises RecipeError."""
        if await installed(package) and os.path.isfile(path):
            facts = os.stat(path)
            return Node(facts.st_mode & 0o7777, Path(path), mtime=int(facts.st_mtime))
        itself = [one for one in await self.closure([package]) if one.file.startswith(f"{package}_")]
        tree = Tree()
        below = Path(tempfile.mkdtemp(dir=scratch))
        await add_packages(tree, await self.fetch(itself), below)
        node = tree.get(path)
        if node is None or node.is_directory:
            raise RecipeError(f"the Debian package {package} has no file {path}")
        return node

    async def _run(self, command: str, *arguments: str, directory: Path | None = None) -> str:
        # apt-get keeps what it makes of the lists in files that are the machine's; and its user _apt cannot write here
        options = ["-qq"]
        for option in ("APT::Sandbox::User=root", "Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache="):
            options += ["-o", option]
        if self._lists is not None:
            options += ["-o", f"Dir::State::lists={self._lists}"]
        return await _run("apt-get", command, *options, *arguments, directory=directory)


async def add_packages(tree: Tree, files: Sequence[Path], scratch: Path) -> None:
    """Add what the packages hold to the tree; the files' content lies in `scratch` until the tree is written."""
    for number, file in enumerate(files):
        archive = scratch / f"{number}.tar"
        with archive.open("wb") as target:
            await _run("dpkg-deb", "--fsys-tarfile", str(file), output=target.fileno())
        await asyncio.to_thread(_add_archive, tree, archive, scratch / str(number))
        archive.unlink()


def _add_archive(tree: Tree, archive: Path, directory: Path) -> None:
    directory.mkdir()
    with tarfile.open(archive) as tar:
        for count, entry in enumerate(tar):
            path = f"/{entry.name.removeprefix('./')}"
            if path.startswith(_SKIPPED):
                continue
            if entry.isdir():
                node = Node(entry.mode)
            elif entry.issym():
                node = Node(0o777, target=entry.linkname)
            elif entry.islnk():
                node = Node(entry.mode, same_as=f"/{entry.linkname.removeprefix('./')}")
            elif entry.isreg() and (source := tar.extractfile(entry)) is not None:
                copy = directory / str(count)
                copy.write_bytes(source.read())
                copy.chmod(0o700)  # busybox is asked for its applets before it is packed
                node = Node(entry.mode, copy)
            else:
                continue
            tree.put(path, replace(node, uid=entry.uid, gid=entry.gid, mtime=int(entry.mtime)))


async def installed(package: str) -> str:
    """The version of an installed package, "" when it is not."""
    try:
        text = await _run("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package)
    except RecipeError:
        return ""
    state, _, version = text.partition(" ")
    return version if state == "installed" else ""


async def _run(*argv: str, directory: Path | None = None, output: int = asyncio.subprocess.PIPE) -> str:
    """Run a command to its end; gives what it printed. RecipeError with its last words when it fails."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
        )
    except FileNotFoundError:
        raise RecipeError(f"{argv[0]} is not on this machine: the recipe needs Debian's packages") from None
    printed, errors = await process.communicate()
    if process.returncode:
        words = errors.decode(errors="replace").strip().splitlines() or [f"it ended with {process.returncode}"]
        raise RecipeError(f"{argv[0]}: {words[-1]}")
    return (printed or b"").decode()
