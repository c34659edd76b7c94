"""A timeline as a trace in Chrome's JSON format, which Perfetto and chrome://tracing open: a track for each lane.

The format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU (Trace Event Format).
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
_PROCESS = 1


def trace(timeline: Object) -> Object:
    """`{"traceEvents": [...]}`; times are microseconds after the pod's beginning."""
    lanes = list(dict.fromkeys(step["lane"] for step in timeline["steps"]))
    name = f"pod {timeline['namespace']}/{timeline['name']}"
    events: list[Object] = [_named("process_name", 0, name)]
    for number, lane in enumerate(lanes, start=1):
        events += [_named("thread_name", number, lane), _named("thread_sort_index", number, number, "sort_index")]
    for step in timeline["steps"]:
        event = {
            "name": step["name"],
            "cat": step["kind"],
            "pid": _PROCESS,
            "tid": lanes.index(step["lane"]) + 1,
            "ts": step["at"],
            "args": {"detail": step["detail"]},
        }
        events.append({**event, "ph": "X", "dur": step["took"]} if step["took"] else {**event, "ph": "i", "s": "t"})
    for milestone, at in timeline["milestones"].items():
        events.append({"name": milestone, "cat": "milestone", "ph": "i", "s": "p", "pid": _PROCESS, "tid": 0, "ts": at})
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": {"uid": timeline["uid"]}}


def _named(what: str, thread: int, value: str | int, key: str = "name") -> Object:
    return {"name": what, "ph": "M", "pid": _PROCESS, "tid": thread, "args": {key: value}}
