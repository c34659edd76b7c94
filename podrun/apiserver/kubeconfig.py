"""How clients find the API and prove who they are: kubeconfig files.

The daemon writes one of its own; `podrun kubeconfig` merges the same cluster, user and context, all named `podrun`,
into a person's file. Two promises to that person: another context is never overwritten (ours carries a mark, an
`extensions` entry as minikube writes one), and the current context is chosen only where there was none.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from podrun.apiserver.pki import Pki

Kubeconfig = dict[str, Any]

NAME = "podrun"
_MARK = {"name": "podrun", "extension": {"provider": "podrun"}}


class ForeignContext(Exception):
    """A cluster, user or context named `podrun` exists that podrun did not write."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge comes to: the new content, the name of our context in it, and the current context after it."""

    config: Kubeconfig
    context: str
    current_context: str
    changed: bool

    @property
    def is_current(self) -> bool:
        return self.current_context == self.context


def for_admin(pki: Pki, server: str) -> Kubeconfig:
    """A kubeconfig for the administrator at `server` (https://HOST:PORT), certificates embedded."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": NAME,
                "cluster": {
                    "certificate-authority-data": _base64(pki.ca_certificate),
                    "extensions": [_MARK],
                    "server": server,
                },
            }
        ],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "extensions": [_MARK], "user": NAME}}],
        "current-context": NAME,
        "preferences": {},
        "users": [
            {
                "name": NAME,
                "user": {
                    "client-certificate-data": _base64(pki.admin_certificate),
                    "client-key-data": _base64(pki.admin_key),
                },
            }
        ],
    }


def merge(existing: Kubeconfig, ours: Kubeconfig) -> Merged:
    """`existing` with our cluster, user and context put in or renewed; nothing else of it is touched.

    A context of ours keeps the name and the namespace that the person has given it since (kubectx, kubens). Raises
    ForeignContext where something named `podrun` is not podrun's.
    """
    for_context = _our_context(existing) or _named(existing, "contexts")
    for_cluster = _named(existing, "clusters")
    if for_context is not None and not _is_ours(for_context.get("context")):
        raise ForeignContext(f"a context named {NAME} is already there, and podrun did not write it")
    if for_cluster is not None and not _is_ours(for_cluster.get("cluster")):
        raise ForeignContext(f"a cluster named {NAME} is already there, and podrun did not write it")
    if for_context is None and _named(existing, "users") is not None:
        raise ForeignContext(f"a user named {NAME} is already there, and podrun did not write it")
    merged: Kubeconfig = {"apiVersion": "v1", "kind": "Config", **existing}
    context = _renewed(ours["contexts"][0], for_context)
    for section, entry in (("clusters", ours["clusters"][0]), ("contexts", context), ("users", ours["users"][0])):
        kept = list(existing.get(section) or [])
        places = [place for place, each in enumerate(kept) if _name_of(each) == entry["name"]]
        if places:
            kept[places[0]] = entry
        else:
            kept.append(entry)
        merged[section] = kept
    merged["current-context"] = existing.get("current-context") or context["name"]
    return Merged(merged, context["name"], merged["current-context"], merged != existing)


def without(existing: Kubeconfig) -> Kubeconfig:
    """`existing` after podrun has gone: our entries taken out, and the current context too where it was ours."""
    context = _our_context(existing)
    if context is None:
        return existing
    left = dict(existing)
    for section, name in (("clusters", NAME), ("contexts", context["name"]), ("users", NAME)):
        left[section] = [entry for entry in existing.get(section) or [] if _name_of(entry) != name]
    if existing.get("current-context") == context["name"]:
        left["current-context"] = ""
    return left


def read(path: Path) -> Kubeconfig:
    """The file's content, {} where there is none. Raises ValueError where it is not a kubeconfig."""
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or content.get("kind", "Config") != "Config":
        raise ValueError(f"{path} is not a kubeconfig")
    return content


def write(path: Path, config: Kubeconfig) -> None:
    """Replace the file in one step, mode 0600 (or as it was), following a link to where it leads."""
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        mode = 0o600
    fresh = path.with_name(f".{path.name}.podrun")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        yaml.safe_dump(config, file, sort_keys=False)
        os.fchmod(file.fileno(), mode)
    fresh.rename(path)


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _name_of(entry: object) -> str | None:
    return entry.get("name") if isinstance(entry, dict) else None


def _named(config: Kubeconfig, section: str) -> dict[str, Any] | None:
    return next((entry for entry in config.get(section) or [] if _name_of(entry) == NAME), None)


def _our_context(config: Kubeconfig) -> dict[str, Any] | None:
    """The context that carries our mark, whatever it is called by now."""
    contexts = [entry for entry in config.get("contexts") or [] if isinstance(entry, dict)]
    return next((entry for entry in contexts if _is_ours(entry.get("context"))), None)


def _renewed(ours: dict[str, Any], there: dict[str, Any] | None) -> dict[str, Any]:
    if there is None:
        return ours
    chosen = {key: value for key, value in there["context"].items() if key == "namespace"}
    return {"name": there["name"], "context": {**ours["context"], **chosen}}


def _is_ours(body: object) -> bool:
    return isinstance(body, dict) and _MARK in (body.get("extensions") or [])
