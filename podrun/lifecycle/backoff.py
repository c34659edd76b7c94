"""Delays between restarts and between pulls: 10 s, doubling, at most 300 s, forgotten after ten good minutes.

client-go's flowcontrol.Backoff as the kubelet uses it: a restart's delay counts from the moment the container ended,
and the first restart is immediate.
"""

from __future__ import annotations

from dataclasses import dataclass

from podrun.api.pod import Container, Pod
from podrun.lifecycle.observed import Backoff


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """First delay, longest delay, and quiet time after which it begins anew; seconds."""

    first: float = 10.0
    longest: float = 300.0
    forget: float = 600.0

    def scaled(self, factor: float) -> BackoffPolicy:
        """The same policy on a clock that runs `1/factor` times as fast (the daemon's --time-scale)."""
        return BackoffPolicy(self.first * factor, self.longest * factor, self.forget * factor)


CRASH_LOOP = BackoffPolicy()
IMAGE_PULL = BackoffPolicy()


def key(pod: Pod, container: Container) -> str:
    """What a container's back-off belongs to: a new image or new resources begin a new one (GetBackoffKey)."""
    resources = sorted((*container.resources.requests.items(), *container.resources.limits.items()))
    return "/".join((pod.uid, container.name, container.image, repr(resources)))


def waits_until(entry: Backoff | None, since: float, policy: BackoffPolicy) -> float | None:
    """Until when something that ended at `since` has to wait; None when it may go at once."""
    if entry is None or since - entry.updated > policy.forget:
        return None
    return since + entry.delay


def grown(entry: Backoff | None, since: float, now: float, policy: BackoffPolicy) -> Backoff:
    """The entry after one more start at `now` of something that ended at `since`."""
    if entry is None or since - entry.updated > policy.forget:
        return Backoff(policy.first, now)
    return Backoff(min(entry.delay * 2, policy.longest), now)


def crash_loop_message(delay: float, container: Container, pod: Pod) -> str:
    """The message of a container that waits in CrashLoopBackOff."""
    return f"back-off {duration(delay)} restarting failed container={container.name} pod={pod}"


def duration(seconds: float) -> str:
    """A duration as Go prints it: `10s`, `1m20s`, `5m0s`, `1h0m0s`, `500ms`, `1.5s`."""
    if seconds and seconds < 1:
        return f"{seconds * 1000:.10g}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:.10g}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
