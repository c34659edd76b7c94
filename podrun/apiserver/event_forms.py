"""Events have two forms, core v1 (stored) and events.k8s.io/v1, with the same content under other names."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

# events.k8s.io/v1 name -> core v1 name (pkg/apis/events/v1/conversion.go)
_NAMES = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_BACK = {core: new for new, core in _NAMES.items()}
# Structs and times that one form writes even when they are not set.
_ALWAYS_NEW: Object = {"eventTime": None, "regarding": {}}
_ALWAYS_CORE: Object = {
    "involvedObject": {},
    "source": {},
    "firstTimestamp": None,
    "lastTimestamp": None,
    "eventTime": None,
    "reportingComponent": "",
    "reportingInstance": "",
}


def to_events_group(event: Object) -> Object:
    """A stored event as events.k8s.io/v1 shows it."""
    shown: Object = {"kind": "Event", "apiVersion": "events.k8s.io/v1", "metadata": event["metadata"]}
    for name, value in event.items():
        if name not in shown:
            shown[_BACK.get(name, name)] = value
    for name in ("deprecatedFirstTimestamp", "deprecatedLastTimestamp"):
        shown.setdefault(name, None)
    for name, empty in _ALWAYS_NEW.items():
        shown.setdefault(name, empty)
    for name in ("reportingController", "reportingInstance", "note", "action"):
        if shown.get(name) == "":
            del shown[name]
    return shown


def to_core(event: Object) -> Object:
    """An events.k8s.io/v1 event as it is stored."""
    stored: Object = {"kind": "Event", "apiVersion": "v1", "metadata": event.get("metadata") or {}}
    for name, value in event.items():
        if name not in stored:
            stored[_NAMES.get(name, name)] = value
    for name, empty in _ALWAYS_CORE.items():
        stored.setdefault(name, empty)
    return stored
