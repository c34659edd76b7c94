"""Volumes are tested with real mounts, which nobody else on the machine is to see."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from podrun.api.pod import Pod
from podrun.kernel import mounts, namespaces
from podrun.kernel.flags import Clone, MountFlags
from podrun.volumes.volumes import Volumes


@dataclass
class Cluster:
    """A fake of what the volumes need of the rest of podrun: objects in a dict, tokens that count themselves."""

    objects: dict[tuple[str, str, str], Mapping[str, Any]] = field(default_factory=dict)
    layers: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    tokens: list[tuple[str, str, str, int, tuple[str, str]]] = field(default_factory=list)
    node: dict[str, str] = field(default_factory=lambda: {"cpu": "2", "memory": "1Gi"})

    def put(self, resource: str, name: str, **fields: Any) -> None:
        self.objects[(resource, "ns", name)] = fields

    def get(self, resource: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        return self.objects.get((resource, namespace, name))

    def token(self, namespace: str, account: str, audience: str, seconds: int, pod: tuple[str, str]) -> str:
        self.tokens.append((namespace, account, audience, seconds, pod))
        return f"token-{len(self.tokens)}"

    def image_layers(self, reference: str) -> tuple[Path, ...]:
        return self.layers.get(reference, ())

    def allocatable(self) -> Mapping[str, str]:
        return self.node


def pod_of(*volumes: Mapping[str, Any], containers: list[dict[str, Any]] | None = None, **spec: Any) -> Pod:
    """A pod with these volumes, as the store would hold it."""
    return Pod.of(
        {
            "metadata": {"name": "p", "namespace": "ns", "uid": "uid-1", "labels": {"app": "web", "b": 'q"'}},
            "spec": {"containers": containers or [{"name": "a"}], "volumes": list(volumes), **spec},
        }
    )


@pytest.fixture
def own_mounts() -> Iterator[None]:
    """The test's thread, and those it starts, have a mount namespace of their own."""
    before = namespaces.open_namespace("mnt")
    namespaces.unshare(Clone.MNT)
    try:
        mounts.set_propagation("/", MountFlags.PRIVATE | MountFlags.REC)
        yield
    finally:
        # threads that the test started share this one's directory (CLONE_FS), which setns refuses: unshare parts them
        namespaces.unshare(Clone.MNT)
        namespaces.setns(before, Clone.MNT)
        os.close(before)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def volumes(own_mounts: None, tmp_path: Path) -> Volumes:
    return Volumes(tmp_path / "pods")
