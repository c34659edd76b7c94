"""Makes image archives for tests: layers out of tar entries, docker-save files, OCI archives and directories."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podrun.images.manifests import OCI_MANIFEST, architecture


@dataclass
class Entry:
    """One tar entry; `kind` is a tarfile type."""

    name: str
    content: bytes = b""
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, bytes] = field(default_factory=dict)


def directory(name: str, mode: int = 0o755) -> Entry:
    return Entry(name, kind=tarfile.DIRTYPE, mode=mode)


def symlink(name: str, target: str) -> Entry:
    return Entry(name, kind=tarfile.SYMTYPE, link=target)


def hard_link(name: str, target: str) -> Entry:
    return Entry(name, kind=tarfile.LNKTYPE, link=target)


def tar_of(entries: Iterable[Entry]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for one in entries:
            info = tarfile.TarInfo(one.name)
            info.type, info.linkname, info.mode, info.uid, info.gid = one.kind, one.link, one.mode, one.uid, one.gid
            info.devmajor, info.devminor = one.device
            info.mtime = 1_700_000_000
            info.size = len(one.content)
            info.pax_headers = {
                f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape") for name, value in one.xattrs.items()
            }
            tar.addfile(info, io.BytesIO(one.content))
    return out.getvalue()


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def config_of(layers: Sequence[bytes], **changes: Any) -> bytes:
    config = {
        "architecture": architecture(),
        "os": "linux",
        "config": {"Cmd": ["/hello"], "Env": ["A=b"]},
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]},
    }
    return json.dumps(config | changes).encode()


def docker_save(path: Path, images: Mapping[tuple[str, ...], Sequence[bytes]], extra: Iterable[Entry] = ()) -> Path:
    """A file as docker save writes it: tags -> layers (uncompressed)."""
    entries: list[Entry] = [*extra]
    manifest = []
    for tags, layers in images.items():
        config = config_of(layers)
        name = f"{sha256(config)[7:]}.json"
        entries.append(Entry(name, config))
        entries += [Entry(f"{sha256(layer)[7:]}/layer.tar", layer) for layer in layers]
        paths = [f"{sha256(layer)[7:]}/layer.tar" for layer in layers]
        manifest.append({"Config": name, "RepoTags": list(tags), "Layers": paths})
    path.write_bytes(tar_of([*entries, Entry("manifest.json", json.dumps(manifest).encode())]))
    return path


def oci_blobs(layers: Sequence[bytes], config: bytes | None = None, compress: Any = gzip.compress) -> dict[str, bytes]:
    """The files of an OCI layout with one image named `dev` in its index."""
    config = config or config_of(layers)
    packed = [compress(layer) for layer in layers]
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **descriptor(config)},
            "layers": [descriptor(one) for one in packed],
        }
    ).encode()
    files = {f"blobs/{sha256(blob).replace(':', '/')}": blob for blob in (config, manifest, *packed)}
    entry = {**descriptor(manifest), "annotations": {"org.opencontainers.image.ref.name": "dev"}}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    return files


def descriptor(blob: bytes) -> dict[str, Any]:
    return {"digest": sha256(blob), "size": len(blob)}


def oci_archive(path: Path, files: Mapping[str, bytes]) -> Path:
    path.write_bytes(tar_of(Entry(name, content) for name, content in files.items()))
    return path


def oci_directory(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path
