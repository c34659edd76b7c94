"""/metrics: how many requests were answered, with which code, and how long it took. Kubernetes' names and labels.

Noting a request costs a dictionary's lookup and a bisection; everything else is done when somebody reads. The series
are as many as there are served verbs of served resources: a path that nobody serves is counted without its name.
"""

from __future__ import annotations

import itertools
import os
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field

import psutil

from podrun.api.kinds import BY_PATH
from podrun.apiserver.exposition import Family, Sample
from podrun.apiserver.requestinfo import RequestInfo
from podrun.supervisor.trouble import counted

BUCKETS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
)  # fmt: skip
"""Upper bounds in seconds (apiserver/pkg/endpoints/metrics/metrics.go)."""
_VERBS = {"create": "POST", "update": "PUT", "connect": "CONNECT"}
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CONNECTED = frozenset({"attach", "exec", "portforward", "proxy"})
_LABELS = ("verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component")

Key = tuple[str, ...]


@dataclass(slots=True)
class _Series:
    codes: dict[int, int] = field(default_factory=dict)
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0


class RequestMetrics:
    """Counts since podrun started."""

    def __init__(self) -> None:
        self._series: dict[Key, _Series] = {}

    def note(self, info: RequestInfo, *, dry_run: bool, applied: bool, code: int, seconds: float) -> None:
        """A request that has been answered; `applied` is a PATCH that is a server-side apply."""
        key = _key(info, dry_run, applied)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series()
        series.codes[code] = series.codes.get(code, 0) + 1
        series.buckets[bisect_left(BUCKETS, seconds)] += 1
        series.seconds += seconds

    def families(self) -> Iterable[Family]:
        """What has been counted, and the process itself."""
        total = Family(
            "apiserver_request_total",
            "counter",
            "[STABLE] Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, "
            "scope, component, and HTTP response code.",
        )
        duration = Family(
            "apiserver_request_duration_seconds",
            "histogram",
            "[STABLE] Response latency distribution in seconds for each verb, dry run value, group, version, resource, "
            "subresource, scope and component.",
        )
        for key, series in sorted(self._series.items()):
            labels = dict(zip(_LABELS, key, strict=True))
            total.samples += [Sample({**labels, "code": str(code)}, n) for code, n in sorted(series.codes.items())]
            bounds = (*map(str, BUCKETS), "+Inf")
            counts = list(itertools.accumulate(series.buckets))
            duration.samples += [
                *(Sample({**labels, "le": le}, n, suffix="_bucket") for le, n in zip(bounds, counts, strict=True)),
                Sample(labels, series.seconds, suffix="_sum"),
                Sample(labels, counts[-1], suffix="_count"),
            ]
        return [total, duration, *_process()]


def _key(info: RequestInfo, dry_run: bool, applied: bool) -> Key:
    dry = "All" if dry_run else ""
    kind = BY_PATH.get((info.group, info.version, info.resource)) if info.is_resource else None
    if kind is None or (info.subresource and info.subresource not in kind.subresources):
        verb = info.verb.upper() if info.verb.upper() in _METHODS else "OTHER"
        return (verb, dry, "", "", "", "", "", "apiserver")
    verb = "connect" if info.subresource in _CONNECTED else "apply" if applied else info.verb
    of_many = "namespace" if info.namespace else "cluster"
    scope = "resource" if info.name or info.verb == "create" else of_many
    shown = _VERBS.get(verb, verb.upper())
    return (shown, dry, kind.group, kind.version, kind.plural, info.subresource, scope, "apiserver")


def _process() -> Iterable[Family]:
    """What client libraries say of their own process."""
    process = psutil.Process()
    used, memory = process.cpu_times(), process.memory_info()
    values: tuple[tuple[str, str, str, float], ...] = (
        ("process_cpu_seconds_total", "counter", "User and system CPU time in seconds.", used.user + used.system),
        ("process_open_fds", "gauge", "Number of open file descriptors.", len(os.listdir("/proc/self/fd"))),
        ("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", memory.rss),
        ("process_start_time_seconds", "gauge", "When the process started, since the epoch.", process.create_time()),
        ("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", memory.vms),
    )
    trouble: tuple[tuple[str, str, str, float], ...] = (
        ("podrun_pod_step_failures_total", "counter", "Steps of pods' lives on which podrun failed.", counted.failures),
        ("podrun_pods_in_trouble", "gauge", "Pods on which podrun fails now.", len(counted.pods)),
    )
    for name, kind, text, value in (*values, *trouble):
        yield Family(name, "counter" if kind == "counter" else "gauge", text, [Sample({}, value)])
