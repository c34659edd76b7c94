"""hostPath: a path of the host, checked for what the pod says it is (pkg/volume/hostpath)."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from podrun.api.pod import HostPath
from podrun.volumes.payload import Unavailable

_Test = Callable[[int], bool]
_KINDS: dict[str, tuple[_Test, str]] = {
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "Directory": (stat.S_ISDIR, "a directory"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def check(source: HostPath) -> Path:
    """The path, made where its type says so. Raises Unavailable with the kubelet's words, OSError if making fails.

    Without a type nothing is checked, and a path that is missing becomes a directory: containerd does that when it
    mounts it, and here too no container is to fail for it.
    """
    path = source.path
    if ".." in path.split("/"):
        raise Unavailable(f"invalid HostPath `{path}`: must not contain '..'")
    if not source.type:
        if not os.path.lexists(path):
            os.makedirs(path, mode=0o755, exist_ok=True)
        return Path(path)
    if source.type not in _KINDS:
        raise Unavailable(f"{source.type} is an invalid volume type")
    if source.type.endswith("OrCreate") and not os.path.exists(path):
        _make(source)
        return Path(path)
    is_right, words = _KINDS[source.type]
    if not is_right(_mode(path)):
        raise Unavailable(f"hostPath type check failed: {path} is not {words}")
    return Path(path)


def _make(source: HostPath) -> None:
    if source.type == "DirectoryOrCreate":
        os.makedirs(source.path, mode=0o755, exist_ok=True)
        return
    # FileOrCreate does not make the directory above it: the pod then waits with the error, as on a cluster
    try:
        os.close(os.open(source.path, os.O_CREAT | os.O_CLOEXEC, 0o644))
    except OSError as error:
        raise Unavailable(f"open {source.path}: {(error.strerror or '').lower()}") from None


def _mode(path: str) -> int:
    """st_mode of what the path leads to; 0, which is nothing, when it does not exist."""
    try:
        return os.stat(path).st_mode
    except OSError:
        return 0
