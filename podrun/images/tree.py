"""A file system as a plan: composed in memory, written as one reproducible tar archive."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

EPOCH = 1767225600
"""2026-01-01: the time of everything podrun itself puts into an image, so that the same recipe gives the same bytes."""


@dataclass(frozen=True, slots=True)
class Node:
    """A file, directory or link. Exactly one of `content` and `target` is set, neither for a directory."""

    mode: int
    content: bytes | Path | None = None
    """Bytes, or a file of this machine to copy from."""
    target: str = ""
    """Where a symbolic link leads."""
    same_as: str = ""
    """The path of another node that this one is a hard link to."""
    uid: int = 0
    gid: int = 0
    mtime: int = EPOCH

    @property
    def is_directory(self) -> bool:
        return self.content is None and not self.target and not self.same_as


class Tree:
    """Nodes by path. Paths are absolute; links to directories among them are followed, as in a real file system."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}

    def __contains__(self, path: str) -> bool:
        return self._real(path) in self._nodes

    def get(self, path: str) -> Node | None:
        """The node at a path."""
        return self._nodes.get(self._real(path))

    def put(self, path: str, node: Node) -> None:
        """Add a node, replacing one that is there; missing directories above it are made (0755, root's)."""
        real = self._real(path)
        if not real:
            return
        if node.is_directory and self._leads_to_directory(real):
            return
        parent = real.rpartition("/")[0]
        if parent and parent not in self._nodes:
            self.put(parent, Node(0o755))
        self._nodes[real] = node

    def _leads_to_directory(self, real: str) -> bool:
        """A package's /bin/ must not replace the link /bin -> usr/bin."""
        node = self._nodes.get(real)
        return node is not None and bool(node.target)

    def _real(self, path: str) -> str:
        """The path without its leading slash and with the links among its parents followed."""
        real = ""
        todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        while todo:
            name = todo.pop()
            if name == "..":
                real = real.rpartition("/")[0]
                continue
            step = f"{real}/{name}" if real else name
            node = self._nodes.get(step)
            if todo and node is not None and node.target:
                if node.target.startswith("/"):
                    real = ""
                todo.extend(part for part in reversed(node.target.split("/")) if part not in ("", "."))
                continue
            real = step
        return real

    def write(self, file: IO[bytes]) -> None:
        """The tree as a tar archive, by name, hard links after what they link to. OSError for an unreadable source."""
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(self._nodes, key=lambda one: (bool(self._nodes[one].same_as), one.split("/"))):
                self._write_one(tar, path, self._nodes[path])

    def _write_one(self, tar: tarfile.TarFile, path: str, node: Node) -> None:
        info = tarfile.TarInfo(path)
        info.mode, info.uid, info.gid, info.mtime = node.mode, node.uid, node.gid, node.mtime
        if node.same_as:
            info.type, info.linkname = tarfile.LNKTYPE, self._real(node.same_as)
        elif node.target:
            info.type, info.linkname = tarfile.SYMTYPE, node.target
        elif isinstance(node.content, bytes):
            info.size = len(node.content)
            tar.addfile(info, io.BytesIO(node.content))
            return
        elif node.content is not None:
            with node.content.open("rb") as source:
                info.size = node.content.stat().st_size
                tar.addfile(info, source)
            return
        else:
            info.type = tarfile.DIRTYPE
        tar.addfile(info)
