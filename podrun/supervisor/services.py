"""What every worker works with: one of each per daemon."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from podrun.runtime.service import RuntimeService
from podrun.store.store import Store
from podrun.supervisor.memory import Memory
from podrun.supervisor.needs import Clock, PodVolumes
from podrun.supervisor.options import Options
from podrun.supervisor.pulls import Pulls
from podrun.supervisor.recorder import Recorder
from podrun.supervisor.user_ranges import UserRanges
from podrun.volumes.model import ObjectLookup


@dataclass(frozen=True)
class Services:
    """The rooms below, and what workers share."""

    store: Store
    runtime: RuntimeService
    pulls: Pulls
    volumes: PodVolumes
    lookup: ObjectLookup
    recorder: Recorder
    memory: Memory
    options: Options
    termination_message: Callable[[str], str]
    """What a container that has ended left in its termination log, by container id."""
    clock: Clock = time.time
    user_ranges: UserRanges = field(default_factory=UserRanges)
