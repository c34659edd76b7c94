"""Pods on which podrun itself fails: a fault in a rule, or a refusal of the machine that nobody foresaw.

Such a failure stays with its pod: it is logged, told as an Event, counted, and tried again, longer and longer after.
One small file per pod says so to `podrun doctor`, until a step succeeds.
"""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from podrun.api.pod import Pod

log = logging.getLogger(__name__)

LONGEST_WAIT = 300.0
REASON = "FailedSync"
"""The kubelet's, of a pod that it could not bring on."""


@dataclass(slots=True)
class Count:
    """Of this process: steps that have failed so far, and the pods that are in trouble now, by uid."""

    failures: int = 0
    pods: dict[str, str] = field(default_factory=dict)


counted = Count()


class Trouble:
    """Of one pod."""

    def __init__(self, directory: Path, pod: Pod) -> None:
        self._file = directory / pod.uid
        self._pod = pod
        self._in_a_row = 0
        self._noted = self._file.exists()  # by the podrund before this one

    def met(self, error: Exception) -> tuple[float, str]:
        """A step has failed: seconds until it is to be tried again, and the message of the Event.

        To be called where the exception is handled. The message names the kind of failure only: what an exception says
        may not be for the eyes of those who may see the pod.
        """
        self._in_a_row += 1
        wait = min(2.0**self._in_a_row, LONGEST_WAIT)
        counted.failures += 1
        counted.pods[self._pod.uid] = str(self._pod)
        log.exception("pod %s: a step of its life failed; it is tried again in %.0f s", self._pod, wait)
        said = "".join(traceback.format_exception_only(error)).strip()
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._noted = True
            self._file.write_text(f"{self._pod}\n{said}\n")
        except OSError as refused:
            log.warning("podrun doctor will not know of this: %s", refused)
        return wait, f"error syncing pod: {type(error).__name__}; tried again in {wait:.0f}s, podrun's log says more"

    def over(self) -> None:
        """A step has succeeded, or the pod is gone."""
        if self._in_a_row or self._noted:
            self._in_a_row, self._noted = 0, False
            counted.pods.pop(self._pod.uid, None)
            self._file.unlink(missing_ok=True)
