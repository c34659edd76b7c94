"""What must outlive podrund beside statuses and the runtime's state: back-offs, verdicts of probes, limits in force,
why a pod is being evicted.

One small JSON file per pod, replaced atomically when something in it changes (rarely: at restarts of containers and
when a probe's verdict changes). It lies on a tmpfs: after a reboot nothing of it would be true.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from podrun.api.disruption import Disruption
from podrun.kernel import files
from podrun.lifecycle.observed import ActualResources, Backoff, Verdict
from podrun.lifecycle.probes import Role
from podrun.lifecycle.status import Ending

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Remembered:
    """Of one pod: back-offs by key, verdicts by role and container id, limits in force by container id."""

    backoffs: dict[str, Backoff] = field(default_factory=dict)
    verdicts: dict[Role, dict[str, Verdict]] = field(default_factory=lambda: {role: {} for role in Role})
    resources: dict[str, ActualResources] = field(default_factory=dict)
    resize: dict[str, Any] = field(default_factory=dict)
    """The resize conditions that hold, by type, and what has been allocated to the pod."""
    ending: Ending | None = None
    """Why the pod is being evicted, if it is, and the seconds it has for it (None: what it asked for)."""
    ending_grace: int | None = None


class Memory:
    """The files below one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._written: dict[str, bytes] = {}

    def load(self, uid: str) -> Remembered:
        """What is known of a pod; nothing where there is no (readable) file."""
        try:
            data = orjson.loads((self._directory / f"{uid}.json").read_bytes())
        except (OSError, ValueError):
            return Remembered()
        made = Remembered(resize=data.get("resize", {}))
        made.backoffs = {key: Backoff(*entry) for key, entry in data.get("backoffs", {}).items()}
        for role, entries in data.get("verdicts", {}).items():
            made.verdicts[Role(role)] = {key: Verdict(text) for key, text in entries.items()}
        if ending := data.get("ending"):
            reason, message, why, made.ending_grace = ending
            made.ending = Ending(reason, message, Disruption(*why) if why else None)
        made.resources = {key: ActualResources(*entry) for key, entry in data.get("resources", {}).items()}
        return made

    def save(self, uid: str, remembered: Remembered) -> None:
        """Keep it, if it differs from what is kept. A failure is logged: the pod goes on without."""
        data = orjson.dumps(_plain(remembered))
        if self._written.get(uid) == data:
            return
        path = self._directory / f"{uid}.json"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            files.replace(path, data)
        except OSError as error:
            log.warning("cannot keep what is known of pod %s in %s: %s", uid, path, error.strerror)
            return
        self._written[uid] = data

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._written.pop(uid, None)
        (self._directory / f"{uid}.json").unlink(missing_ok=True)

    def known(self) -> list[str]:
        """The uids of pods with a file."""
        return [path.stem for path in self._directory.glob("*.json")] if self._directory.is_dir() else []


def _plain(remembered: Remembered) -> Mapping[str, Any]:
    return {
        "backoffs": {key: (b.delay, b.updated) for key, b in remembered.backoffs.items()},
        "verdicts": {role.value: entries for role, entries in remembered.verdicts.items() if entries},
        "resources": {
            key: (r.cpu_request, r.cpu_limit, r.memory_request, r.memory_limit)
            for key, r in remembered.resources.items()
        },
        "resize": remembered.resize,
        "ending": _ending(remembered),
    }


def _ending(remembered: Remembered) -> tuple[Any, ...] | None:
    ending = remembered.ending
    if ending is None:
        return None
    why = tuple(ending.disruption) if ending.disruption is not None else None
    return ending.reason, ending.message, why, remembered.ending_grace
