"""Which ids of the host a pod with `hostUsers: false` has (the kubelet's user namespace manager, KEP-127).

65536 of them per pod, from host id 65536 on, so that no two pods and no user of the host share one. The range is kept
in the kubelet's file `userns` in the pod's directory, and so as long as the pod is there: whatever is restarted,
podrund or the sandbox or the machine, files that containers left keep their owner.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from podrun.kernel import files
from podrun.runtime.model import UserIds
from podrun.supervisor.machine import MAX_PODS

LENGTH = 65536
FILE = "userns"


class NoRange(Exception):
    """There is no range for the pod; the text is the kubelet's."""


class UserRanges:
    """The ranges of the pods below `pods`, which has a directory per uid; without one they are known here only."""

    def __init__(self, pods: Path | None = None, most: int = MAX_PODS) -> None:
        self._pods, self._most = pods, most
        self._of: dict[str, UserIds] = {}
        for file in pods.glob(f"*/{FILE}") if pods is not None else ():
            if (found := _read(file)) is not None and found not in self._of.values():
                self._of[file.parent.name] = found

    def of(self, uid: str) -> UserIds:
        """The pod's range, taken now unless it has one. Raises NoRange, OSError when it cannot be written down."""
        if uid not in self._of:
            taken = {ids.first for ids in self._of.values()}
            free = (first for first in range(LENGTH, LENGTH * (self._most + 1), LENGTH) if first not in taken)
            first = next(free, None)
            if first is None:
                raise NoRange("could not find an empty slot to allocate a user namespace")
            ids = UserIds(first, LENGTH)
            if self._pods is not None:
                place = self._pods / uid
                place.mkdir(mode=0o750, parents=True, exist_ok=True)
                files.replace(place / FILE, _text(ids))
            self._of[uid] = ids
        return self._of[uid]

    def release(self, uid: str) -> None:
        """The pod is gone, and its directory with it."""
        self._of.pop(uid, None)


def _text(ids: UserIds) -> bytes:
    mapping = [{"hostId": ids.first, "containerId": 0, "length": ids.count}]
    return json.dumps({"uidMappings": mapping, "gidMappings": mapping}).encode()


def _read(file: Path) -> UserIds | None:
    """None for what is no range of ours."""
    try:
        content: Any = json.loads(file.read_bytes())
        (mapping,) = content["uidMappings"]
        first, count = int(mapping["hostId"]), int(mapping["length"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return UserIds(first, count) if count == LENGTH and first % LENGTH == 0 and first >= LENGTH else None
