"""Images that stand in for those of Kubernetes' specs, which no package registry has, as `docker save` files.

agnhost and nnp are the real programs, built from Kubernetes' own module; the user space around them is Debian's.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from podrun.images.store import ImageStore
from podrun.layout import Layout
from tests.harness import BIN

REGISTRY = "registry.k8s.io/e2e-test-images"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TOOLS = "podrun.test/conformance-tools:1"
Entry = tuple[bytes | None, int]
"""Content (None: a directory) and mode."""


def write(directory: Path, agnhost: Path, nnp: Path) -> list[Path]:
    """All archives, made in `directory`."""
    tools = _tools(directory)
    agnhost_alone = _layer({"agnhost": (agnhost.read_bytes(), 0o755), "tmp": (None, 0o1777)})
    beside = _layer({"uploads": (None, 0o755)}, {"agnhost-2": "agnhost"})
    page = _layer({"www/index.html": (b"a page\n", 0o644)})
    server = {"Cmd": ["busybox", "httpd", "-f", "-p", "80", "-h", "/www"]}
    as_root = _layer({"usr/local/bin/nnp": (nnp.read_bytes(), 0o6755)})
    agnhosts = [f"{REGISTRY}/agnhost:{version}" for version in ("2.63.0", "2.55")]
    images: Iterable[tuple[str, list[str], list[bytes], dict[str, Any]]] = (
        ("agnhost", agnhosts, [tools, agnhost_alone, beside], {"Entrypoint": ["/agnhost"], "Cmd": ["pause"]}),
        ("busybox", [f"{REGISTRY}/busybox:1.37.0-1"], [tools], {"Cmd": ["sh"]}),
        ("glibc", [f"{REGISTRY}/glibc-dns-testing:2.0.0"], [tools], {"Cmd": ["sh"]}),
        ("ipc-utils", [f"{REGISTRY}/ipc-utils:1.4"], [tools], {"Cmd": ["sh"]}),
        ("nginx", [f"{REGISTRY}/nginx:1.15-4"], [tools, page], server),
        ("nginx-new", [f"{REGISTRY}/nginx:1.27-0"], [tools, page, _layer({"new": (b"", 0o644)})], server),
        ("nonewprivs", [f"{REGISTRY}/nonewprivs:1.4"], [tools, as_root], {"Cmd": ["nnp"]}),
        ("nonroot", [f"{REGISTRY}/nonroot:1.5"], [tools], {"Cmd": ["sh"], "User": "1234"}),
        ("pause", ["registry.k8s.io/pause:3.10.2"], [agnhost_alone], {"Entrypoint": ["/agnhost", "pause"]}),
    )
    return [_archive(directory / f"{name}.tar", tags, layers, config) for name, tags, layers, config in images]


def _tools(directory: Path) -> bytes:
    """The layer that tools.yaml describes."""
    root = directory / "tools"
    recipe = Path(__file__).with_name("tools.yaml")
    subprocess.run([BIN / "podrun", "--root", root, "images", "build", recipe], check=True, stdout=subprocess.DEVNULL)
    image = ImageStore(Layout(root).images).get(TOOLS)
    assert image is not None
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for layer in image.layers:
            for where, directories, files in os.walk(layer):
                for name in sorted(directories + files):
                    path = Path(where, name)
                    archive.add(path, arcname=str(path.relative_to(layer)), recursive=False)
    return packed.getvalue()


def _layer(entries: Mapping[str, Entry], links: Mapping[str, str] | None = None) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, (content, mode) in entries.items():
            member = tarfile.TarInfo(name)
            member.mode = mode
            if content is None:
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return packed.getvalue()


def _archive(path: Path, tags: list[str], layers: list[bytes], config: dict[str, Any]) -> Path:
    digests = [hashlib.sha256(layer).hexdigest() for layer in layers]
    described = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": [PATH], **config},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }
    names = [f"{digest}.tar" for digest in digests]
    manifest = [{"Config": "config.json", "RepoTags": tags, "Layers": names}]
    files = dict(zip(names, layers, strict=True))
    files |= {"config.json": json.dumps(described).encode(), "manifest.json": json.dumps(manifest).encode()}
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path
