# ruff: noqa: E501 (a row of a table is one line)
"""Limits of disk: whose is exceeded, in the kubelet's words."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from podrun.lifecycle.victims import SYSTEM_CRITICAL
from podrun.volumes.model import Usage
from tests.supervisor.conftest import House

pytestmark = pytest.mark.looptime
MB = 1 << 20


def limited(name: str, limit: str = "", **more: Any) -> dict[str, Any]:
    resources = {"limits": {"ephemeral-storage": limit}} if limit else {}
    return {"name": name, "image": "busybox", "resources": resources, **more}


TWO = {"containers": [limited("a", "5Mi"), limited("b", "50Mi")]}
SIDECAR = {"containers": [limited("b", "50Mi")], "initContainers": [limited("s", "5Mi", restartPolicy="Always")]}
VOLUME = {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "5Mi"}}]}
ROWS: list[tuple[str, dict[str, Any], dict[str, int], list[Usage], str]] = [
    ("a container that keeps to its limit stays", TWO, {"a": 4 * MB, "b": 40 * MB}, [], ""),
    ("one that does not goes", TWO, {"a": 6 * MB}, [], 'Container a exceeded its local ephemeral storage limit "5Mi". '),
    ("all together may not use more than all may", TWO, {"a": 60 * MB}, [], "Pod ephemeral local storage usage exceeds the total limit of containers 55Mi. "),
    ("volumes count for that", TWO, {"a": MB}, [Usage("v", 60 * MB, None, False)], "Pod ephemeral local storage usage exceeds the total limit of containers 55Mi. "),
    ("those in memory do not", TWO, {"a": MB}, [Usage("v", 60 * MB, None, True)], ""),
    ("a sidecar's own limit is not looked at, which 1.37 changes", SIDECAR, {"s": 6 * MB}, [], ""),
    ("a volume over its size goes before all else", {"containers": [limited("a", "5Mi")], **VOLUME}, {"a": 60 * MB}, [Usage("v", 6 * MB, 5 * MB, False)], 'Usage of EmptyDir volume "v" exceeds the limit "5Mi". '),
    ("a critical pod stays whatever it uses", {**TWO, "priority": SYSTEM_CRITICAL}, {"a": 60 * MB}, [], ""),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "layers", "volumes", "said"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
async def test_who_is_evicted(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    spec: dict[str, Any],
    layers: dict[str, int],
    volumes: list[Usage],
    said: str,
) -> None:
    async def usage(container_id: str) -> int:
        found = next(c for c in house.runtime.container_list if c.id == container_id)
        return layers.get(found.config.name, 0)

    monkeypatch.setattr(house.runtime, "writable_layer_usage", usage)
    monkeypatch.setattr(house.volumes, "usage", lambda pod: volumes)
    await house.create(spec)
    await asyncio.sleep(15)
    status = house.pod["status"]
    assert (status["phase"], status.get("message", "")) == ("Failed" if said else "Running", said)
