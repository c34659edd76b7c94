"""The stage of an experiment: a namespace of its own, a directory with its manifests, and a kubeconfig that means both.

Whatever ends the experiment (its last step, a failure, Ctrl-C, a signal), the stage is cleared: pods at once, then the
namespace with all that is in it. Only --keep leaves it standing.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from podrun.cli.client import Client, Refused, path_of
from podrun.cli.errors import NO_DAEMON, CommandError
from podrun.cli.experiments.files import Script
from podrun.cli.kubectl import bundled
from podrun.layout import Layout

_CLEARED_WITHIN = 60.0
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where an experiment is played."""

    namespace: str
    directory: Path
    environment: dict[str, str]


@contextmanager
def stage(client: Client, root: str, script: Script, *, keep: bool) -> Iterator[Stage]:
    """Set the stage, and clear it at the end. Raises CommandError where the experiment's namespace is there already."""
    namespace = f"experiment-{script.name}"
    with ExitStack() as undo:
        for number in _SIGNALS:
            undo.callback(signal.signal, number, signal.signal(number, _leave))
        undo.callback(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT))
        directory = Path(tempfile.mkdtemp(prefix="podrun-experiment-"))
        undo.callback(shutil.rmtree, directory, ignore_errors=True)
        environment = _furnish(directory, root, namespace, script)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, *_SIGNALS))
        try:
            _create(client, namespace)
            if not keep:
                undo.callback(_clear, client, namespace)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        try:
            yield Stage(namespace, directory, environment)
        finally:
            for number in (signal.SIGINT, *_SIGNALS):
                signal.signal(number, signal.SIG_IGN)  # clearing takes a moment, and must not be cut short


def _furnish(directory: Path, root: str, namespace: str, script: Script) -> dict[str, str]:
    """Write the manifests and a kubeconfig; gives the environment of the steps' commands."""
    kubectl, kubeconfig = bundled(), _kubeconfig(root)
    for manifest in script.manifests.values():
        (directory / f"{manifest.name}.yaml").write_text(manifest.text)
    for context in kubeconfig["contexts"]:
        context["context"]["namespace"] = namespace
    own = directory / ".kubeconfig"
    own.touch(0o600)
    own.write_text(json.dumps(kubeconfig))
    path = f"{kubectl.parent}:{os.environ.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin')}"
    words = {"PATH": path, "KUBECONFIG": str(own), "PODRUN_ROOT": root, "NAMESPACE": namespace, "LC_ALL": "C.UTF-8"}
    return {**os.environ, **words}


def _leave(number: int, _: FrameType | None) -> None:
    """Leave as if the signal had done it, but through every `finally`."""
    sys.exit(128 + number)


def _kubeconfig(root: str) -> dict[str, Any]:
    file = Layout(root).kubeconfig
    try:
        loaded: dict[str, Any] = yaml.safe_load(file.read_text())
    except OSError as error:
        hint = "the daemon writes it when it first starts: systemctl start podrun"
        raise CommandError(f"{file} cannot be read: {error.strerror}", hint, NO_DAEMON) from None
    return loaded


def _create(client: Client, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    try:
        client.send("POST", path_of("api", "v1", "namespaces"), json.dumps(body).encode())
    except Refused as error:
        if error.status.get("reason") != "AlreadyExists":
            raise
        raise CommandError(
            f"there is a namespace {namespace} already: this experiment runs elsewhere, or was kept",
            f"podrun kubectl delete namespace {namespace}",
        ) from None


def _clear(client: Client, namespace: str) -> None:
    """Remove the namespace and return when it has gone."""
    here = ("api", "v1", "namespaces", namespace)
    try:
        client.send("DELETE", path_of(*here, "pods", gracePeriodSeconds="0"))
        going = client.send("DELETE", path_of(*here))
    except Refused as error:
        if error.http_code == 404:
            return
        raise
    since = str((going.get("metadata") or {}).get("resourceVersion") or "")
    query = {"watch": "true", "fieldSelector": f"metadata.name={namespace}", "resourceVersion": since}
    with client.open("GET", path_of("api", "v1", "namespaces", **query), timeout=_CLEARED_WITHIN) as answer:
        for line in answer.lines():
            if json.loads(line)["type"] == "DELETED":
                return
