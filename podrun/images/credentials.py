"""Which log-in is meant for which registry: Docker's configuration, in a file or in imagePullSecrets.

A log-in goes only to what its entry names: `quay.io`, `quay.io/team` (images below it), `*.example.com`, or Docker
Hub's old address `https://index.docker.io/v1/`. Rules: the kubelet's keyring (pkg/credentialprovider).
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from podrun.images.model import Credentials
from podrun.images.reference import DOCKER, Reference

_HUB = frozenset({"index.docker.io", "registry-1.docker.io", DOCKER})


def of_secrets(secrets: Iterable[Mapping[str, Any]], reference: Reference) -> tuple[Credentials, ...]:
    """The log-ins for an image in Secrets of the types dockerconfigjson and dockercfg; others give none."""
    found: list[Credentials] = []
    for secret in secrets:
        data = secret.get("data") or {}
        for key in (".dockerconfigjson", ".dockercfg"):
            if key in data:
                try:
                    found += matching(base64.b64decode(data[key]), reference)
                except binascii.Error:
                    continue
    return tuple(dict.fromkeys(found))


def of_file(path: Path, reference: Reference) -> tuple[Credentials, ...]:
    """The log-ins for an image in a Docker configuration file; a file that is not there gives none."""
    try:
        return matching(path.read_bytes(), reference)
    except FileNotFoundError:
        return ()


def matching(config: bytes, reference: Reference) -> tuple[Credentials, ...]:
    """The log-ins for an image in a Docker configuration, the most exact entry first; () for what is none."""
    try:
        raw = json.loads(config)
    except ValueError:
        return ()
    entries = raw.get("auths", raw) if isinstance(raw, dict) else {}
    if not isinstance(entries, dict):
        return ()
    found = []
    for key in sorted(entries, key=len, reverse=True):
        login = _login(entries[key])
        if login is not None and _is_for(key, reference):
            found.append(login)
    return tuple(found)


def _is_for(key: str, reference: Reference) -> bool:
    place = key.partition("://")[2] or key
    host, _, path = place.partition("/")
    path = path.strip("/")
    if host in _HUB:
        host, path = DOCKER, path if path not in ("v1", "v2") else ""
    if not _same_host(host, reference.domain):
        return False
    return not path or reference.path == path or reference.path.startswith(f"{path}/")


def _same_host(pattern: str, host: str) -> bool:
    """Whether a host is meant: part by part, `*` standing for one of them; with a port, that one only."""
    pattern_name, _, pattern_port = pattern.partition(":")
    name, _, port = host.partition(":")
    parts, wanted = name.split("."), pattern_name.split(".")
    if pattern_port and pattern_port != port:
        return False
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


def _login(entry: object) -> Credentials | None:
    if not isinstance(entry, dict):
        return None
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            decoded = base64.b64decode(str(entry["auth"])).decode()
        except ValueError:
            return None
        username, _, password = decoded.partition(":")
    token = str(entry.get("identitytoken") or "")
    return Credentials(username, password.rstrip("\0"), token) if username or token else None
