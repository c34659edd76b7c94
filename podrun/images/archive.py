"""Images in files: what `docker save` writes, OCI archives, and OCI directories.

Nothing is extracted: the archive's headers say where each blob lies, manifests are read from there, and layers are
unpacked straight out of the file. A compressed archive is decompressed into scratch first, within the limits.
"""

from __future__ import annotations

import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from podrun.images import manifests, reference
from podrun.images.layers import Piece
from podrun.images.manifests import Descriptor, ImageList, Malformed, Manifest
from podrun.images.model import ImageError, Limits
from podrun.images.unpack import CHUNK, Range, Refused, decompress, inside

_ENTRIES = 100_000
"""Files of an archive; the largest images have a few hundred."""
_NAME_IN_FULL = "io.containerd.image.name"
_NAME = "org.opencontainers.image.ref.name"


class ArchiveError(Exception):
    """A file cannot be loaded; the sentence names it and says why."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An image found in an archive."""

    id: str
    config: dict[str, Any]
    names: tuple[str, ...]
    """In full; () when the archive gives none that can be used."""
    layers: tuple[Piece, ...]
    """Lowest first, one for each of the configuration's diff ids; valid as long as the archive is open."""


class _Blobs(Protocol):
    """An archive's files by name."""

    def piece(self, name: str) -> Piece | None:
        """Where the file lies; None when there is none of that name."""


class _TarBlobs:
    """Files of a tar archive, by where they lie in it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._where: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        with os.fdopen(os.dup(fd), "rb") as file:
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:", errors="surrogateescape", encoding="utf-8") as tar:
                for count, entry in enumerate(tar):
                    self._note(entry, count)

    def _note(self, entry: tarfile.TarInfo, count: int) -> None:
        if count > _ENTRIES:
            raise Refused(f"it has more than {_ENTRIES} files")
        name = "/".join(inside(entry.name, f"the file {entry.name!r}"))
        if entry.isreg() and not entry.issparse():
            self._where[name] = (entry.offset_data, entry.size)
        elif entry.issym():
            # old versions of docker save link equal layers to each other: ../<id>/layer.tar
            self._links[name] = os.path.normpath(os.path.join(os.path.dirname(name), entry.linkname))
        elif entry.islnk():
            self._links[name] = os.path.normpath(entry.linkname)

    def piece(self, name: str) -> Piece | None:
        name = os.path.normpath(name)
        for _ in range(len(self._links) + 1):
            if name in self._where:
                return Piece(self._fd, *self._where[name])
            if name not in self._links:
                return None
            name = self._links[name]
        return None


class _DirectoryBlobs:
    """Files of an OCI directory; names come from digests, and links are not followed."""

    def __init__(self, directory: Path, open_files: ExitStack) -> None:
        self._directory = directory
        self._open_files = open_files

    def piece(self, name: str) -> Piece | None:
        try:
            fd = os.open(self._directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        self._open_files.callback(os.close, fd)
        return Piece.whole(fd)


@contextmanager
def opened(path: Path, scratch: Path, limits: Limits) -> Iterator[list[Stored]]:
    """The images in a file or directory; raises ArchiveError. Reads the disk: enter it off the event loop."""
    with ExitStack() as open_files:
        try:
            if path.is_dir():
                blobs: _Blobs = _DirectoryBlobs(path, open_files)
            else:
                blobs = _TarBlobs(_opened_tar(path, scratch, limits, open_files))
            found = _images(blobs, path.name)
        except (Malformed, Refused) as error:
            raise ArchiveError(f"{path}: {error}") from None
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise ArchiveError(f"{path} is neither a tar archive nor an OCI directory: {error}") from None
        except OSError as error:
            raise ArchiveError(f"{path}: {error.strerror}") from None
        yield found


def _opened_tar(path: Path, scratch: Path, limits: Limits, open_files: ExitStack) -> int:
    """A descriptor of the plain tar archive."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    open_files.callback(os.close, fd)
    source = Range(fd, 0, os.fstat(fd).st_size)
    stream = decompress(source)
    if stream is source:
        return fd
    limit = min(limits.bytes, max(limits.ratio_from, limits.ratio * os.fstat(fd).st_size))
    plain = open_files.enter_context(tempfile.TemporaryFile(dir=scratch))  # noqa: SIM115 (closed with the archive)
    written = 0
    while data := stream.read(CHUNK):
        written += len(data)
        if written > limit:
            raise Refused(f"it unpacks to more than {limit} bytes")
        plain.write(data)
    plain.flush()
    return plain.fileno()


def _images(blobs: _Blobs, file_name: str) -> list[Stored]:
    # Docker since 25 writes both forms; its own has every tag in full
    if (piece := blobs.piece("manifest.json")) is not None:
        return _docker_images(blobs, _read(piece, "manifest.json"))
    if (piece := blobs.piece("index.json")) is not None:
        return _oci_images(blobs, _read(piece, "index.json"), file_name)
    raise Malformed("it holds no image: neither manifest.json (docker save) nor index.json (OCI) is in it")


def _docker_images(blobs: _Blobs, data: bytes) -> list[Stored]:
    try:
        listed = json.loads(data)
        entries = [(one["Config"], one.get("RepoTags") or [], one["Layers"]) for one in listed]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Malformed("its manifest.json is not what docker save writes") from None
    found = []
    for config, tags, layers in entries:
        raw = _read(_present(blobs, str(config)), str(config))
        pieces = tuple(_present(blobs, str(layer)) for layer in layers)
        found.append(_stored(raw, pieces, [reference.parse(str(tag)) for tag in tags]))
    return found


def _oci_images(blobs: _Blobs, data: bytes, file_name: str) -> list[Stored]:
    index = manifests.parse(data, manifests.OCI_INDEX)
    if not isinstance(index, ImageList):
        raise Malformed("its index.json is not an index")
    groups: dict[str, list[Descriptor]] = {}
    for one in index.manifests:
        groups.setdefault(_named(one, file_name), []).append(one)
    return [_oci_image(blobs, ImageList(tuple(group)), name) for name, group in groups.items()]


def _oci_image(blobs: _Blobs, images: ImageList, name: str) -> Stored:
    """The image for this machine, down through nested indexes."""
    for _ in range(4):
        chosen = manifests.choose(images, manifests.architecture())
        if chosen is None:
            raise Malformed(f"it has no image for linux/{manifests.architecture()}")
        found = manifests.parse(_verified(blobs, chosen.digest), chosen.media_type)
        if isinstance(found, Manifest):
            config = _verified(blobs, found.config.digest)
            pieces = tuple(_present(blobs, _blob(layer.digest)) for layer in found.layers)
            return _stored(config, pieces, [reference.parse(name)] if name else [])
        images = found
    raise Malformed("its indexes are nested too deeply")


def _stored(config: bytes, pieces: Sequence[Piece], names: Sequence[reference.Reference]) -> Stored:
    raw = manifests.read_config(config)
    expected = len(manifests.diff_ids_of(raw))
    if len(pieces) != expected:
        raise Malformed(f"it has {len(pieces)} layers where its configuration names {expected}")
    where = raw.get("architecture") or manifests.architecture()
    if where != manifests.architecture():
        raise Malformed(f"its image is for linux/{where}, and this machine is linux/{manifests.architecture()}")
    return Stored(manifests.digest_of(config), raw, tuple(str(name) for name in names), tuple(pieces))


def _named(one: Descriptor, file_name: str) -> str:
    """The name an index gives an entry: in full, or the tag alone, which is completed with the file's name."""
    notes = one.annotations or {}
    name = str(notes.get(_NAME_IN_FULL) or notes.get(_NAME) or "")
    if name and _NAME_IN_FULL not in notes and ":" not in name and "/" not in name:
        name = f"{file_name.partition('.')[0].lower()}:{name}"
    try:
        reference.parse(name)
    except ImageError:
        return ""
    return name


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _verified(blobs: _Blobs, digest: str) -> bytes:
    data = _read(_present(blobs, _blob(digest)), digest)
    if manifests.digest_of(data) != digest:
        raise Malformed(f"the content of its blob {digest} is {manifests.digest_of(data)}")
    return data


def _present(blobs: _Blobs, name: str) -> Piece:
    piece = blobs.piece(name)
    if piece is None:
        raise Malformed(f"it lacks the file {name}")
    return piece


def _read(piece: Piece, name: str) -> bytes:
    if piece.length > manifests.MANIFEST_LIMIT:
        raise Malformed(f"its {name} is larger than {manifests.MANIFEST_LIMIT} bytes")
    return os.pread(piece.fd, piece.length, piece.offset)
