"""ClusterRoles that are made of others: `aggregationRule` says which, their rules follow those.

Source: pkg/controller/clusterroleaggregation. The rules are the union of those of the selected roles, in the order of
the roles' names, each rule once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from podrun.api.selectors import label_selector
from podrun.controllers.work_queue import WorkQueue
from podrun.store.records import WatchEvent
from podrun.store.store import Store

Object = dict[str, Any]

CLUSTER_ROLES = "clusterroles.rbac.authorization.k8s.io"


def aggregated(role: Object, roles: Iterable[Object]) -> list[Object]:
    """The rules that `role`, which has an aggregationRule, gets from the others. Raises ApiError for a bad selector."""
    selectors = [label_selector(one) for one in role["aggregationRule"].get("clusterRoleSelectors") or ()]
    made: list[Object] = []
    for other in sorted(roles, key=lambda one: one["metadata"]["name"]):
        metadata = other["metadata"]
        if metadata["name"] == role["metadata"]["name"]:
            continue
        if any(selector.matches(metadata.get("labels")) for selector in selectors):
            made += [rule for rule in other.get("rules") or () if rule not in made]
    return made


class RoleAggregation:
    """Keeps the aggregated roles of one store as their selectors say."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: WorkQueue[str] = WorkQueue("cluster roles", self._settle)
        self._end: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Begin with what is there; return at once."""
        self._end = self._store.subscribe(CLUSTER_ROLES, self._on_role)
        self._ask()
        self._queue.start()

    async def stop(self) -> None:
        self._end()
        await self._queue.stop()

    def _on_role(self, event: WatchEvent) -> None:
        self._ask()

    def _ask(self) -> None:
        """Any change of a role may concern every aggregated one; there are few."""
        for role in self._store.list(CLUSTER_ROLES):
            if role.get("aggregationRule"):
                self._queue.add(role["metadata"]["name"])

    async def _settle(self, name: str) -> None:
        role = self._store.get(CLUSTER_ROLES, "", name)
        if role is None or not role.get("aggregationRule"):
            return
        rules = aggregated(role, self._store.list(CLUSTER_ROLES))
        if rules != (role.get("rules") or []):
            await self._store.modify(CLUSTER_ROLES, "", name, lambda current: {**current, "rules": rules})
