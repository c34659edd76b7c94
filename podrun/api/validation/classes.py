"""Classes that pods name: PriorityClass and RuntimeClass."""

from __future__ import annotations

from podrun.api.validation.field import Causes, Path, choice, duplicate, each_invalid, forbidden, invalid, required
from podrun.api.validation.internal import internal
from podrun.api.validation.metadata import IMMUTABLE, METADATA, label_map, metadata_update, object_metadata
from podrun.api.validation.names import dns_label, dns_subdomain
from podrun.api.validation.pod_resources import overhead
from podrun.api.validation.pod_scheduling import tolerations
from podrun.api.validation.pods import PREEMPTION_POLICIES
from podrun.api.validation.read import (
    Object,
    flag,
    items,
    mapping,
    number,
    optional_mapping,
    optional_text,
    text,
    texts,
)

HIGHEST_OF_USERS = 1_000_000_000
SYSTEM_PREFIX = "system-"
SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


def priority_class(obj: Object) -> Causes:
    yield from object_metadata(obj, dns_subdomain, namespaced=False)
    name, value = text(mapping(obj, "metadata"), "name"), number(obj, "value")
    if name.startswith(SYSTEM_PREFIX):
        problem = not_of_the_system(name, value, is_default=flag(obj, "globalDefault"))
        if problem:
            why = f"priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: "
            yield forbidden(METADATA.child("name"), why + problem)
    elif value > HIGHEST_OF_USERS:
        yield forbidden("value", f"maximum allowed value of a user defined priority is {HIGHEST_OF_USERS}")
    policy = optional_text(obj, "preemptionPolicy")
    if policy is not None:
        yield from choice(Path("preemptionPolicy"), policy, PREEMPTION_POLICIES)


def not_of_the_system(name: str, value: int, *, is_default: bool) -> str:
    """Why a class is none of Kubernetes' own; empty when it is one of them."""
    known = SYSTEM_CLASSES.get(name)
    if known is None:
        return f"{name} is not a known system priority class"
    if known != value:
        return f"value of {name} PriorityClass must be {known}"
    return f"globalDefault of {name} PriorityClass must be false" if is_default else ""


def priority_class_update(new: Object, old: Object) -> Causes:
    yield from metadata_update(new, old)
    if number(new, "value") != number(old, "value"):
        yield forbidden("value", "may not be changed in an update.")
    policy = optional_text(new, "preemptionPolicy")
    if policy != optional_text(old, "preemptionPolicy"):
        yield invalid("preemptionPolicy", policy, IMMUTABLE)


def runtime_class(obj: Object) -> Causes:
    yield from object_metadata(obj, dns_subdomain, namespaced=False, kube_finalizers=False)
    handler = text(obj, "handler")
    if handler:
        yield from each_invalid("handler", handler, dns_label(handler))
    else:
        yield required("handler")
    extra = optional_mapping(obj, "overhead")
    if extra is not None:
        yield from overhead(mapping(extra, "podFixed"), Path("overhead"))
    scheduling = optional_mapping(obj, "scheduling")
    if scheduling is not None:
        yield from label_map(texts(scheduling, "nodeSelector"), Path("scheduling.nodeSelector"))
        yield from unique_tolerations(items(scheduling, "tolerations"), Path("scheduling.tolerations"))


def unique_tolerations(listed: list[Object], path: Path) -> Causes:
    yield from tolerations(listed, path)
    seen: set[tuple[str, ...]] = set()
    for position, toleration in enumerate(listed):
        key = tuple(text(toleration, name) for name in ("key", "operator", "value", "effect"))
        if key in seen:
            yield duplicate(path.at(position), internal("Toleration", toleration))
        seen.add(key)


def runtime_class_update(new: Object, old: Object) -> Causes:
    yield from runtime_class(new)
    yield from metadata_update(new, old, kube_finalizers=False)
    if text(new, "handler") != text(old, "handler"):
        yield invalid("handler", text(new, "handler"), IMMUTABLE)
