"""One daemon for the attempts of a module, with the image for attackers and things of the host to be reached."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Podrun
from tests.pods.living import Object, Pods, pod
from tests.security import image

WAIT = "import signal; signal.signal(15, lambda *_: exit()); [signal.pause() for _ in iter(int, 1)]"
"""A first process that lives until TERM."""
_KEY = 0x706F6472
_KERNEL = tuple(map(int, os.uname().release.split(".")[:2]))
OWN_USERS = pytest.mark.skipif(_KERNEL < (6, 3), reason="tmpfs cannot be idmapped before Linux 6.3")
USERS = (
    pytest.param({}, id="default"),
    pytest.param({"hostUsers": False}, id="users of its own", marks=OWN_USERS),
)
"""Further fields of a pod's spec."""


def attacker(name: str = "a", script: str = WAIT, **fields: Any) -> Object:
    """A container of the image for attackers that runs a Python script."""
    return {
        "name": name,
        "image": image.NAME,
        "imagePullPolicy": "Never",
        "command": [image.PYTHON, "-c", script],
        "env": [{"name": "PYTHONPATH", "value": "/"}],
        **fields,
    }


@dataclass(frozen=True)
class Host:
    """What belongs to the host: a file, a process, a shared memory segment, an abstract socket in its network."""

    marker: Path
    pid: int
    key: int
    abstract: str

    def environment(self) -> list[Object]:
        """How attempts are told of it."""
        told = {
            "MARKER": str(self.marker),
            "HOST_PID": str(self.pid),
            "HOST_KEY": str(self.key),
            "ABSTRACT": self.abstract,
            "PYTHONPATH": "/",
        }
        return [{"name": name, "value": value} for name, value in told.items()]


@pytest.fixture(scope="module")
def host(module_podrun: Podrun) -> Iterator[Host]:
    marker = module_podrun.root / "marker"
    marker.write_text("the host's\n")
    libc = ctypes.CDLL(None)
    segment = libc.shmget(_KEY, 4096, 0o1600)  # IPC_CREAT
    name = f"podrun-test-{os.getpid()}"
    with contextlib.ExitStack() as stack:
        stack.callback(libc.shmctl, segment, 0, None)  # IPC_RMID
        stack.enter_context(_listening(module_podrun.holder.pid, name))
        yield Host(marker, module_podrun.holder.pid, _KEY, name)


@contextlib.contextmanager
def _listening(holder: int, name: str) -> Iterator[None]:
    """An abstract socket in the daemon's network namespace, which is left again: a socket stays where it was made."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/proc/{holder}/ns/net", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        assert libc.setns(there, 0x40000000) == 0
        listener = socket.socket(socket.AF_UNIX)
        assert libc.setns(own, 0x40000000) == 0
    finally:
        os.close(own)
        os.close(there)
    with listener:
        listener.bind(f"\0{name}")
        listener.listen()
        yield


@pytest.fixture(scope="module")
def attackers(module_podrun: Podrun, tmp_path_factory: pytest.TempPathFactory) -> Pods:
    """The pods of the module's daemon, which has the image for attackers."""
    path = image.save(tmp_path_factory.mktemp("image") / "attacker.tar")
    module_podrun.podrun("images", "load", path)
    path.unlink()
    return Pods(module_podrun)


def waiting(name: str, *containers: Object, **spec: Any) -> Object:
    """A pod of attackers."""
    return pod(name, *(containers or [attacker()]), **spec)
