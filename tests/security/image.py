"""An image for attackers: the interpreter of this machine, its standard library, and the attempts.

Python makes any system call, which a shell cannot, and the machine that runs the tests has it. There is no other
program in the image.
"""

from __future__ import annotations

import functools
import io
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.images.archives import Entry, directory, docker_save, symlink, tar_of

NAME = "attacker:test"
PYTHON = "/usr/bin/python3"
HERE = Path(__file__).resolve().parent
_LEFT_OUT = frozenset({
    "test", "idlelib", "lib2to3", "ensurepip", "distutils", "turtledemo", "tkinter", "pydoc_data", "config", "asyncio",
    "curses", "dbm", "multiprocessing", "sqlite3", "unittest", "venv", "wsgiref", "xml", "xmlrpc", "zoneinfo",
})  # fmt: skip
"""Of the standard library: what no attempt needs."""


def save(
    path: Path, name: str = NAME, more: Mapping[str, bytes] | None = None, entries: tuple[Entry, ...] = ()
) -> Path:
    """Write the image as docker save does; `more` are executable files by path, `entries` a last layer."""
    scripts = [Entry(file.lstrip("/"), content, mode=0o755) for file, content in (more or {}).items()]
    return docker_save(
        path, {(name,): [_interpreter(), tar_of([*_attempts(), *scripts]), *([tar_of(entries)] if entries else [])]}
    )


@functools.cache
def _interpreter() -> bytes:
    out = io.BytesIO()
    real, library = Path(os.path.realpath(sys.executable)), Path(sysconfig.get_path("stdlib"))
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("etc", "tmp", "root", "dev", "proc", "sys", "usr", "usr/bin"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(info)
        tar.add(real, PYTHON.lstrip("/"))
        for shared in sorted(_libraries(real, library)):
            tar.add(os.path.realpath(shared), shared.lstrip("/"))
        tar.add(library, str(library).lstrip("/"), filter=_wanted)
    return out.getvalue()


def _wanted(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = Path(info.name).name
    return None if name in _LEFT_OUT or name.startswith("config-") or info.issym() else info


def _libraries(program: Path, library: Path) -> set[str]:
    """The shared libraries of the interpreter and its modules, where the loader looks for them."""
    modules = [program, *(library / "lib-dynload").glob("*.so")]
    said = subprocess.run(["ldd", *map(str, modules)], capture_output=True, text=True, check=False).stdout
    return set(re.findall(r"(/\S+) \(0x", said))


def _attempts() -> Iterator[Entry]:
    for name in ("tests", "tests/security", "tests/security/inside"):
        yield directory(name)
    yield from (
        Entry(f"tests/security/inside/{file.name}", file.read_bytes()) for file in (HERE / "inside").glob("*.py")
    )
    yield symlink("usr/bin/python", "python3")
