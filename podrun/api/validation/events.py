"""Events, of the core group and of events.k8s.io, which is strict where the old one is not.

An Event of events.k8s.io is checked in the form of the core group, to whose fields Kubernetes' messages refer
(`regarding` is `involvedObject`, `note` is `message`); `core_form` gives that form.
"""

from __future__ import annotations

from typing import Any

from podrun.api.validation.equality import same
from podrun.api.validation.field import Causes, Path, each_invalid, invalid, required
from podrun.api.validation.internal import internal
from podrun.api.validation.metadata import IMMUTABLE, metadata_update, object_metadata
from podrun.api.validation.names import dns_subdomain, qualified_name
from podrun.api.validation.read import Object, has, mapping, number, optional_mapping, size, text

LIMITS = {"reportingInstance": 128, "action": 128, "reason": 128, "message": 1024}
NEW_NAMES = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
OTHER_NAMESPACE = "does not match event.namespace"


def is_strict(obj: Object) -> bool:
    return text(obj, "apiVersion") == "events.k8s.io/v1"


def core_form(obj: Object) -> Object:
    """The Event with the field names of the core group."""
    if not is_strict(obj):
        return obj
    return {NEW_NAMES.get(name, name): value for name, value in obj.items()}


def event(obj: Object) -> Causes:
    one = core_form(obj)
    yield from sense(one, strict=is_strict(obj))
    if not is_strict(obj):
        return
    yield from object_metadata(one, dns_subdomain)
    yield from series(one)
    if not has(one, "eventTime"):
        yield required("eventTime")
    if text(one, "type") not in ("Normal", "Warning"):
        yield invalid("type", "", f"has invalid value: {text(one, 'type')}")
    source = mapping(one, "source")
    given = {
        "firstTimestamp": has(one, "firstTimestamp"),
        "lastTimestamp": has(one, "lastTimestamp"),
        "count": number(one, "count") != 0,
        "source": bool(text(source, "component") or text(source, "host")),
    }
    for name in given:
        if given[name]:
            yield invalid(name, "", "needs to be unset")


def sense(one: Object, *, strict: bool) -> Causes:
    """What every Event must have: an object in its own namespace, and a complete reporter in the new form."""
    namespace = text(mapping(one, "metadata"), "namespace")
    of_object = text(mapping(one, "involvedObject"), "namespace")
    path = Path("involvedObject.namespace")
    if not has(one, "eventTime"):
        if of_object != namespace and (of_object or namespace != "default"):
            yield invalid(path, of_object, OTHER_NAMESPACE)
    else:
        if not of_object and namespace not in ("default", "kube-system"):
            yield invalid(path, of_object, OTHER_NAMESPACE)
        yield from reporter(one, "reportingController" if strict else "reportingComponent")
    yield from each_invalid("namespace", namespace, dns_subdomain(namespace))


def reporter(one: Object, controller_field: str) -> Causes:
    controller = text(one, "reportingComponent")
    if not controller:
        yield required(controller_field)
    yield from each_invalid(controller_field, controller, qualified_name(controller))
    for name, limit in LIMITS.items():
        value = text(one, name)
        if not value and name != "message":
            yield required(name)
        if size(value) > limit:
            yield invalid(name, "", f"can have at most {limit} characters")


def series(one: Object) -> Causes:
    given = optional_mapping(one, "series")
    if given is None:
        return
    if number(given, "count") < 2:
        yield invalid("series.count", "", "should be at least 2")
    if not has(given, "lastObservedTime"):
        yield required("series.lastObservedTime")


def event_update(new: Object, old: Object) -> Causes:
    one, before = core_form(new), core_form(old)
    yield from sense(one, strict=is_strict(new))
    if not is_strict(new):
        return
    yield from metadata_update(one, before)
    if not same(one.get("series"), before.get("series")):
        yield from series(one)
    for name in FIXED:
        # `reportingController` is how the internal type and its message call it
        field = "reportingComponent" if name == "reportingController" else name
        if not same(one.get(field), before.get(field), field):
            yield invalid(name, shown(name, one.get(field)), IMMUTABLE)


FIXED = (
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "reason",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingController",
    "reportingInstance",
)


def shown(name: str, value: Any) -> Any:
    """A value of an Event as a message shows it."""
    if name in ("involvedObject", "related") and isinstance(value, dict):
        return internal("ObjectReference", value)
    if name == "source":
        return internal("EventSource", value if isinstance(value, dict) else {})
    if value is None and name in ("reason", "message", "type", "action", "reportingController", "reportingInstance"):
        return ""
    return 0 if value is None and name == "count" else value
