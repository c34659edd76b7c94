"""ClusterRoles that are made of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from podrun.controllers.cluster_roles import CLUSTER_ROLES, RoleAggregation, aggregated
from podrun.store.store import Store
from tests.apiserver.conftest import eventually

PODS: dict[str, Any] = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
MAPS: dict[str, Any] = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}


def role(name: str, *rules: dict[str, Any], part: str = "") -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"part": part}}, "rules": list(rules)}


def whole(*parts: str) -> dict[str, Any]:
    selectors = [{"matchLabels": {"part": part}} for part in parts]
    return role("whole", part="a") | {"aggregationRule": {"clusterRoleSelectors": selectors}}


def test_the_union_in_the_order_of_names_each_rule_once_and_never_ones_own() -> None:
    roles = [role("z", PODS, part="a"), role("b", MAPS, PODS, part="b"), role("c", PODS, part="c"), whole("a", "b")]
    assert aggregated(whole("a", "b"), roles) == [MAPS, PODS]
    assert aggregated(whole("a"), roles) == [PODS]
    assert aggregated(whole("nothing"), roles) == []


async def test_rules_follow_the_roles_that_are_selected(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    await store.create(CLUSTER_ROLES, whole("a"))
    controller = RoleAggregation(store)
    await controller.start()

    def rules() -> list[Any]:
        found: list[Any] = (store.get(CLUSTER_ROLES, "", "whole") or {})["rules"]
        return found

    try:
        await store.create(CLUSTER_ROLES, role("part", PODS, part="a"))
        await eventually(store, CLUSTER_ROLES, lambda: rules() == [PODS])
        await store.remove(CLUSTER_ROLES, "", "part")
        await eventually(store, CLUSTER_ROLES, lambda: rules() == [])
    finally:
        await controller.stop()
        await store.close()
