"""A directory whose files change all at once, as the kubelet's atomic writer makes it (pkg/volume/util).

    ..2026_01_02_15_04_05.123456/   the files, in a directory that is never changed once it is visible
    ..data -> ..2026_...            replaced by a rename: the moment of the change
    name -> ..data/name             one link for each first component of the payload's paths

Who has opened a file before the change goes on reading the old content; who opens one after it reads the new.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from podrun.volumes.payload import File, Payload, Unavailable

_DATA = "..data"
_NEW_DATA = "..data_tmp"
_PATH_LIMIT = 4096
_NAME_LIMIT = 255


def write(directory: Path, payload: Payload, before_visible: Callable[[], None] = lambda: None) -> bool:
    """Make the directory's files those of the payload; gives whether anything changed.

    `before_visible` is called when the new files are written and nobody can see them yet (for owners and modes).
    Raises Unavailable for a path that leads out, OSError when the disk does not take it; the old files stay then.
    """
    files = {checked(path): file for path, file in payload.items()}
    current = _current(directory)
    obsolete: set[str] = set()
    if current is not None:
        present = _contents(directory / current)
        obsolete = {path.partition("/")[0] for path in present} - {path.partition("/")[0] for path in files}
        if present == {path: file.content for path, file in files.items()}:
            _link(directory, files)
            return False
    fresh = _write_fresh(directory, files)
    try:
        before_visible()
        new_link = directory / _NEW_DATA
        new_link.unlink(missing_ok=True)  # of a process that was killed between the two steps
        os.symlink(fresh.name, new_link)
        os.rename(new_link, directory / _DATA)
    except BaseException:
        shutil.rmtree(fresh)
        raise
    _link(directory, files)
    for name in obsolete:
        (directory / name).unlink(missing_ok=True)
    _remove_old(directory, fresh.name)
    return True


def checked(path: str) -> str:
    """The path in its shortest form; raises Unavailable for one that is absolute or leads out (validatePath)."""
    if not path:
        raise Unavailable('invalid path: must not be empty: ""')
    if path.startswith("/"):
        raise Unavailable(f"invalid path: must be relative path: {path}")
    if len(path) > _PATH_LIMIT:
        raise Unavailable(f"invalid path: must be less than or equal to {_PATH_LIMIT} characters")
    for name in path.split("/"):
        if name == "..":
            raise Unavailable(f"invalid path: must not contain '..': {path}")
        if len(name) > _NAME_LIMIT:
            raise Unavailable(f"invalid path: filenames must be less than or equal to {_NAME_LIMIT} characters")
    if path.startswith(".."):
        raise Unavailable(f"invalid path: must not start with '..': {path}")
    return posixpath.normpath(path)


def _current(directory: Path) -> str | None:
    """The name of the directory that ..data leads to; None before the first write."""
    try:
        return os.readlink(directory / _DATA)
    except FileNotFoundError:
        return None


def _contents(directory: Path) -> dict[str, bytes]:
    """The files below a directory, by their relative path; modes are not looked at, as in the kubelet."""
    found = {}
    for where, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(where, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, directory)] = file.read()
    return found


def _write_fresh(directory: Path, files: Mapping[str, File]) -> Path:
    stamp = time.strftime("..%Y_%m_%d_%H_%M_%S.", time.gmtime())
    fresh = Path(tempfile.mkdtemp(prefix=stamp, dir=directory))
    try:
        os.chmod(fresh, 0o755)
        for path, file in files.items():
            target = fresh / path
            _make_parents(fresh, path)
            fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(fd, "wb", buffering=0) as out:
                out.write(file.content)
                if file.owner is not None:
                    os.fchown(fd, file.owner, -1)
                os.fchmod(fd, file.mode)
    except BaseException:
        shutil.rmtree(fresh)
        raise
    return fresh


def _make_parents(fresh: Path, path: str) -> None:
    step = fresh
    for name in path.split("/")[:-1]:
        step = step / name
        if not step.is_dir():
            step.mkdir()
            step.chmod(0o755)  # whatever the process' umask


def _link(directory: Path, files: Mapping[str, File]) -> None:
    """Make the links that are missing; a link made by an earlier, interrupted write is as good."""
    for path, file in files.items():
        name = path.partition("/")[0]
        link = directory / name
        if os.path.lexists(link):
            continue
        os.symlink(f"{_DATA}/{name}", link)
        if file.owner is not None:
            os.lchown(link, file.owner, -1)


def _remove_old(directory: Path, current: str) -> None:
    """Remove every data directory but the current one, also those of interrupted writes."""
    for entry in os.scandir(directory):
        if entry.name.startswith("..2") and entry.name != current and entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
