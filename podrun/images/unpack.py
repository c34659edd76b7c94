"""Unpack one layer into a directory, as a process of its own that sees nothing but that directory.

    python unpack.py '{"directory": ..., "offset": 0, "length": 123, ...}' < archive > result

The parent gives the layer as a seekable file on stdin (a range of it, so that a layer inside an archive needs no
copy); the child changes its root to the directory before it looks at the first byte, hashes what it decompresses,
and writes JSON lines to stdout: `{"bytes": n}` now and then, and last `{"diff_id", "bytes", "entries"}` or
`{"refused": sentence}`. The directory may hold half of the layer then: the parent removes it.

The root is changed because the archive is a stranger's: no name, link or race in it can lead out of a root. On top
of that whatever no honest layer holds is refused: absolute names, `..`, hard links and writes that lead out, device
nodes, overlayfs' own xattrs, and more bytes or entries than the limits allow.

Layers come out in overlayfs' own form (OCI image-spec, layer.md): `.wh.NAME` becomes a 0/0 character device, and a
directory with `.wh..wh..opq` gets the xattr trusted.overlay.opaque.

Imports the standard library only (zstandard where it is installed): the file is run by its path.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import json
import os
import resource
import stat
import sys
import tarfile
import zlib
from typing import IO, Any, Protocol

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
AUFS = ".wh..wh."
XATTR = "SCHILY.xattr."
CHUNK = 1 << 18
MEMORY = 1 << 30
"""Bytes of address space: a header that claims gigabytes ends here and not in the machine's memory."""
REPORT_EVERY = 8 << 20


class Refused(Exception):
    """The archive is not one to unpack; the sentence says what is wrong with it."""


class Readable(Protocol):
    """What decompressors read from and are."""

    def read(self, size: int = -1, /) -> bytes: ...


class Range:
    """A part of a seekable file, read without moving the file's own position (others read it at the same time)."""

    def __init__(self, fd: int, offset: int, length: int) -> None:
        self._fd = fd
        self._at = offset
        self._end = offset + length

    def read(self, size: int = -1, /) -> bytes:
        left = self._end - self._at
        data = os.pread(self._fd, left if size < 0 else min(size, left), self._at)
        self._at += len(data)
        return data

    def peek(self, size: int) -> bytes:
        """The next bytes, which stay to be read."""
        return os.pread(self._fd, min(size, self._end - self._at), self._at)


class Counted:
    """The uncompressed stream as tarfile wants it (read, tell, seek forward), hashed and held to its limit."""

    def __init__(self, source: Readable, limit: int, why: str) -> None:
        self._source = source
        self._limit = limit
        self._why = why
        self._at = 0
        self._reported = 0
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        parts = []
        left = size
        while left and (data := self._source.read(min(left, CHUNK) if left > 0 else CHUNK)):
            parts.append(data)
            left -= len(data) if left > 0 else 0
            self._at += len(data)
            self.digest.update(data)
            if self._at > self._limit:
                raise Refused(self._why)
        if self._at - self._reported >= REPORT_EVERY:
            self._reported = self._at
            say({"bytes": self._at})
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Forward only: what is skipped is hashed too."""
        if whence != os.SEEK_SET or offset < self._at:
            raise Refused("it cannot be read in order")
        while self._at < offset and self.read(min(CHUNK, offset - self._at)):
            pass
        return self._at

    def drain(self) -> None:
        """Read the padding after the last entry: it belongs to the digest."""
        while self.read(CHUNK):
            pass


class StrictEntry(tarfile.TarInfo):
    """A tar header; tarfile takes a broken one for the end of the archive, here it is an error."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> StrictEntry:
        try:
            return super().frombuf(buf, encoding, errors)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise Refused(f"it is not a whole tar archive: {error}") from None


def decompress(source: Range) -> Readable:
    """The stream behind gzip or zstd, told by its first bytes (media types are not always true)."""
    magic = source.peek(6)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=source, mode="rb")  # type: ignore[call-overload,no-any-return]
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        return _zstd(source)
    if magic.startswith((b"BZh", b"\xfd7zXZ")):
        raise Refused("it is compressed with bzip2 or xz, which no image format has")
    return source


def _zstd(source: Range) -> Readable:
    try:
        import zstandard
    except ImportError:
        raise Refused("it is compressed with zstd: install the Python package zstandard") from None
    return zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)  # type: ignore[arg-type]


class Layer:
    """The layer as it grows below the current root."""

    def __init__(self, limit_bytes: int, limit_entries: int) -> None:
        self._limit_bytes = limit_bytes
        self._limit_entries = limit_entries
        self._directories: dict[str, str] = {"": ""}
        """Names of directories as entries spell them -> where they really are (links followed)."""
        self._times: dict[str, int] = {}
        self._whited: set[str] = set()
        self.bytes = 0
        self.entries = 0

    def add(self, tar: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        """Make one entry; raises Refused or OSError."""
        self.entries += 1
        if self.entries > self._limit_entries:
            raise Refused(f"it has more than {self._limit_entries} entries")
        # A sparse file claims bytes that the stream does not hold, so the stream's own limit is not enough.
        self.bytes += max(0, entry.size)
        if self.bytes > self._limit_bytes:
            raise Refused(f"its files are larger than {self._limit_bytes} bytes together")
        parts = inside(entry.name, f"the entry {entry.name!r}")
        if not parts:
            if not entry.isdir():
                raise Refused(f"its root is not a directory ({entry.name!r})")
            self._finish("/", entry)
            return
        parent = self._directory(parts[:-1], entry.name)
        name = parts[-1]
        if name.startswith(WHITEOUT):
            self._whiteout(parent, name)
            return
        path = f"{parent}/{name}"
        self._make(tar, entry, path)

    def finish(self) -> None:
        """Give directories their times, which every entry below them had changed."""
        for path, when in self._times.items():
            os.utime(path, ns=(when, when), follow_symlinks=False)

    def _directory(self, parts: list[str], entry: str) -> str:
        """Where a directory really is, made if it is missing. A link is followed as long as it stays inside."""
        spelled = "/".join(parts)
        known = self._directories.get(spelled)
        if known is not None:
            return known
        real = ""
        todo = list(reversed(parts))
        links = 0
        while todo:
            name = todo.pop()
            if name == "..":
                if not real:
                    raise Refused(f"the entry {entry!r} goes through a link that leads out of the layer")
                real = real.rpartition("/")[0]
                continue
            path = f"{real}/{name}"
            try:
                mode = os.lstat(path).st_mode
            except FileNotFoundError:
                os.mkdir(path, 0o755)
                real = path
                continue
            if stat.S_ISDIR(mode):
                real = path
            elif stat.S_ISLNK(mode):
                target = os.readlink(path)
                links += 1
                if target.startswith("/") or links > 40:
                    raise Refused(f"the entry {entry!r} goes through the link {path} -> {target}")
                todo.extend(part for part in reversed(target.split("/")) if part not in ("", "."))
            elif path in self._whited:
                self._replace_whiteout(path)
                os.mkdir(path, 0o755)
                os.setxattr(path, "trusted.overlay.opaque", b"y")
                real = path
            else:
                raise Refused(f"the entry {entry!r} lies below {path}, which is not a directory")
        self._directories[spelled] = real
        return real

    def _whiteout(self, parent: str, name: str) -> None:
        """What the layers below have and this one has not. What this layer itself made stays (layer.md)."""
        if name == OPAQUE:
            os.setxattr(parent or "/", "trusted.overlay.opaque", b"y")
            return
        if name.startswith(AUFS):
            return
        hidden = name.removeprefix(WHITEOUT)
        if hidden in ("", ".", ".."):
            raise Refused(f"the whiteout {name!r} in {parent or '/'} names no file")
        path = f"{parent}/{hidden}"
        try:
            os.mknod(path, stat.S_IFCHR, 0)
        except FileExistsError:
            if stat.S_ISDIR(os.lstat(path).st_mode):
                os.setxattr(path, "trusted.overlay.opaque", b"y")
        else:
            self._whited.add(path)

    def _replace_whiteout(self, path: str) -> None:
        os.unlink(path)
        self._whited.discard(path)

    def _make(self, tar: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
        opaque = False
        if path in self._whited:
            self._replace_whiteout(path)
            opaque = True
        elif os.path.lexists(path) and not (entry.isdir() and stat.S_ISDIR(os.lstat(path).st_mode)):
            self._remove(path)
        if entry.isreg():
            self._file(tar, entry, path)
        elif entry.isdir():
            if not os.path.lexists(path):
                os.mkdir(path, 0o755)
            if opaque:
                os.setxattr(path, "trusted.overlay.opaque", b"y")
        elif entry.issym():
            os.symlink(entry.linkname, path)
        elif entry.islnk():
            self._link(entry, path)
            return
        elif entry.isfifo():
            os.mkfifo(path)
        elif entry.isdev():
            raise Refused(f"the entry {entry.name!r} is a device ({entry.devmajor}:{entry.devminor})")
        else:
            raise Refused(f"the entry {entry.name!r} is of an unknown type ({entry.type!r})")
        self._finish(path, entry)

    def _file(self, tar: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
        source: IO[bytes] | None = tar.extractfile(entry)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "wb", buffering=0) as target:
            left = entry.size
            while left and source is not None:
                data = source.read(min(left, CHUNK))
                if not data:
                    raise Refused(f"it ends in the middle of {entry.name!r}")
                target.write(data)
                left -= len(data)

    def _link(self, entry: tarfile.TarInfo, path: str) -> None:
        parts = inside(entry.linkname, f"the hard link {entry.name!r} to {entry.linkname!r}")
        target = f"{self._directory(parts[:-1], entry.linkname)}/{parts[-1]}" if parts else "/"
        try:
            os.link(target, path, follow_symlinks=False)
        except OSError as error:
            raise Refused(f"the hard link {entry.name!r} to {entry.linkname!r}: {error.strerror}") from None

    def _finish(self, path: str, entry: tarfile.TarInfo) -> None:
        """Owner, mode, xattrs, time: in this order, since a change of owner clears setuid and capabilities."""
        if not (0 <= entry.uid < 0xFFFFFFFF and 0 <= entry.gid < 0xFFFFFFFF):
            raise Refused(f"the entry {entry.name!r} has the owner {entry.uid}:{entry.gid}")
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        if not entry.issym():
            os.chmod(path, entry.mode & 0o7777)
        for key, value in entry.pax_headers.items():
            if key.startswith(XATTR):
                self._xattr(path, key.removeprefix(XATTR), value.encode("utf-8", "surrogateescape"), entry.name)
        when = min(max(int(entry.mtime * 1_000_000_000), 0), 1 << 62)
        if entry.isdir():
            self._times[path] = when
        else:
            os.utime(path, ns=(when, when), follow_symlinks=False)

    def _xattr(self, path: str, name: str, value: bytes, entry: str) -> None:
        if name.startswith(("trusted.", "user.overlay.")):
            raise Refused(f"the entry {entry!r} has the xattr {name}, which is the machine's own")
        if name in ("security.selinux", "security.ima", "security.evm"):
            return  # labels of the machine the image was made on
        try:
            os.setxattr(path, name, value, follow_symlinks=False)
        except OSError as error:
            # a file system without user xattrs or ACLs runs the image all the same; capabilities may not get lost
            if name.startswith("security.") or error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise

    def _remove(self, path: str) -> None:
        """A later entry of the same name replaces the earlier one."""
        self._directories = {"": ""}
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
            return
        for directory, names, files in os.walk(path, topdown=False):
            for name in files:
                os.unlink(f"{directory}/{name}")
            for name in names:
                below = f"{directory}/{name}"
                if os.path.islink(below):
                    os.unlink(below)
                else:
                    self._times.pop(below, None)
                    os.rmdir(below)
        self._times.pop(path, None)
        os.rmdir(path)


def inside(name: str, what: str) -> list[str]:
    """The components of a name that stays inside; `what` begins the sentence of the refusal."""
    if name.startswith("/"):
        raise Refused(f"{what} has an absolute path")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Refused(f"{what} leads out of the layer with '..'")
    return parts


def unpack(fd: int, request: dict[str, Any]) -> dict[str, Any]:
    """Unpack the layer into the current root; gives the answer for stdout."""
    length = request["length"]
    limit, why = request["limit_bytes"], f"it unpacks to more than {request['limit_bytes']} bytes"
    source = Range(fd, request["offset"], length)
    stream = decompress(source)
    if stream is not source:
        by_ratio = max(request["ratio_from"], length * request["ratio"])
        if by_ratio < limit:
            limit, why = by_ratio, f"it unpacks to more than {request['ratio']} times its size"
    counted = Counted(stream, limit, why)
    layer = Layer(request["limit_bytes"], request["limit_entries"])
    try:
        tar = tarfile.TarFile(
            fileobj=counted,  # type: ignore[arg-type]
            tarinfo=StrictEntry,
            encoding="utf-8",
            errors="surrogateescape",
        )
        while (entry := tar.next()) is not None:
            layer.add(tar, entry)
            tar.members.clear()  # type: ignore[attr-defined]
        counted.drain()
        layer.finish()
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Refused(f"it is not a whole tar archive: {error}") from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise Refused(f"one of its headers makes no sense: {error}") from None
    except MemoryError:
        raise Refused("one of its headers is too large") from None
    return {"diff_id": f"sha256:{counted.digest.hexdigest()}", "bytes": layer.bytes, "entries": layer.entries}


def say(answer: dict[str, Any]) -> None:
    """One line of JSON to the parent."""
    os.write(1, json.dumps(answer).encode() + b"\n")


def main() -> None:
    """Read the request, go into the directory, unpack, answer."""
    request = json.loads(sys.argv[1])
    os.umask(0)
    with contextlib.suppress(ImportError):
        import zstandard  # noqa: F401 (from inside the new root it could not be found)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.chroot(request["directory"])
    os.chdir("/")
    try:
        answer = unpack(0, request)
    except Refused as error:
        answer = {"refused": str(error)}
    except OSError as error:
        answer = {"failed": f"{error.strerror}: {error.filename}" if error.filename else str(error)}
    say(answer)


if __name__ == "__main__":
    main()
