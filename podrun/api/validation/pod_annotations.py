"""Annotations that mean something to a pod: seccomp and AppArmor of old, mirror pods, the cost of deletion."""

from __future__ import annotations

import json
import re

from podrun.api.gotext import quote
from podrun.api.validation.field import Causes, Path, forbidden, invalid
from podrun.api.validation.paths import descending
from podrun.api.validation.pod_scheduling import tolerations
from podrun.api.validation.read import Object, mapping, optional_mapping, optional_text, text, texts

MIRROR = "kubernetes.io/config.mirror"
TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerations"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
APPARMOR_CONTAINER = "container.apparmor.security.beta.kubernetes.io/"
LOCALHOST = "localhost/"
DELETION_COSTS = re.compile("0|[1-9][0-9]*|-[0-9]+")

Containers = list[tuple[Object, Path]]


def pod_annotations(values: dict[str, str], spec: Object, containers: Containers, path: Path) -> Causes:
    if MIRROR in values and not text(spec, "nodeName"):
        yield invalid(path.key(MIRROR), values[MIRROR], "must set spec.nodeName if mirror pod annotation is set")
    if values.get(TOLERATIONS):
        yield from tolerations_of_old(values[TOLERATIONS], path)
    cost = values.get(DELETION_COST)
    if cost is not None and not is_deletion_cost(cost):
        yield invalid(path.key(DELETION_COST), cost, "must be a 32bit integer")
    for key, value in values.items():
        if key == SECCOMP_POD or key.startswith(SECCOMP_CONTAINER):
            yield from seccomp_name(value, path.child(key))
    names = {text(container, "name") for container, _ in containers}
    for key, value in values.items():
        if key.startswith(APPARMOR_CONTAINER):
            name = key.removeprefix(APPARMOR_CONTAINER)
            if name not in names:
                yield invalid(path.key(key), name, "container not found")
            if value not in ("", "runtime/default", "unconfined") and not value.startswith(LOCALHOST):
                yield invalid(path.key(key), value, f"invalid AppArmor profile name: {quote(value)}")


def tolerations_of_old(value: str, path: Path) -> Causes:
    try:
        listed = json.loads(value)
    except (ValueError, RecursionError):
        listed = None
    if listed is None or not isinstance(listed, list):
        kind = {str: "string", dict: "object", bool: "bool", int: "number", float: "number"}.get(type(listed))
        why = (
            f"json: cannot unmarshal {kind} into Go value of type []core.Toleration"
            if kind
            else "invalid character looking for beginning of value"
        )
        yield invalid(path, TOLERATIONS, why)
        return
    yield from tolerations([one if isinstance(one, dict) else {} for one in listed], path.child(TOLERATIONS))


def is_deletion_cost(value: str) -> bool:
    """Whether this is a 32-bit integer; only a negative one may have leading zeros."""
    if not DELETION_COSTS.fullmatch(value):
        return False
    digits = value.lstrip("-0")
    return len(digits) <= 10 and -(2**31) <= int(value[0].strip("0123456789") + (digits or "0")) < 2**31


def seccomp_name(value: str, path: Path) -> Causes:
    if value in ("runtime/default", "docker/default", "unconfined"):
        return
    if value.startswith(LOCALHOST):
        yield from descending(value.removeprefix(LOCALHOST), path)
    else:
        yield invalid(path, value, "must be a valid seccomp profile")


def annotations_match_fields(values: dict[str, str], spec: Object, containers: Containers, path: Path) -> Causes:
    """Where an annotation of old and its field are both given, they say the same."""
    context = mapping(spec, "securityContext")
    profile = optional_mapping(context, "seccompProfile")
    if profile is not None and SECCOMP_POD in values:
        here = path.child("securityContext", "seccompProfile")
        yield from seccomp_matches(values[SECCOMP_POD], profile, here)
    for container, container_path in containers:
        own = optional_mapping(mapping(container, "securityContext"), "seccompProfile")
        annotation = values.get(SECCOMP_CONTAINER + text(container, "name"))
        if own is not None and annotation is not None:
            yield from seccomp_matches(annotation, own, container_path.child("securityContext", "seccompProfile"))
    if text(mapping(spec, "os"), "name") == "windows":
        return
    of_pod = optional_mapping(context, "appArmorProfile")
    for container, container_path in containers:
        own = optional_mapping(mapping(container, "securityContext"), "appArmorProfile") or of_pod
        annotation = values.get(APPARMOR_CONTAINER + text(container, "name"))
        if own is not None and annotation is not None:
            yield from apparmor_matches(annotation, own, container_path.child("securityContext", "appArmorProfile"))


def seccomp_matches(annotation: str, profile: Object, path: Path) -> Causes:
    return profile_matches(annotation, profile, path, ("runtime/default", "docker/default"), "seccomp")


def apparmor_matches(annotation: str, profile: Object, path: Path) -> Causes:
    return profile_matches(annotation, profile, path, ("runtime/default",), "apparmor")


def profile_matches(annotation: str, profile: Object, path: Path, default: tuple[str, ...], what: str) -> Causes:
    kind, why = text(profile, "type"), f"{what} type in annotation and field must match"
    expected = {"Unconfined": ("unconfined",), "RuntimeDefault": default}.get(kind)
    if expected is not None and annotation not in expected:
        yield forbidden(path.child("type"), why)
    elif kind == "Localhost":
        if not annotation.startswith(LOCALHOST):
            yield forbidden(path.child("type"), why)
        elif annotation.removeprefix(LOCALHOST) != optional_text(profile, "localhostProfile"):
            yield forbidden(path.child("localhostProfile"), f"{what} profile in annotation and field must match")


def annotation_updates(new: dict[str, str], old: dict[str, str], path: Path) -> Causes:
    """Annotations that stay what they were when the pod was made."""
    for key, value in old.items():
        if new.get(key) == value:
            continue
        if key.startswith(APPARMOR_CONTAINER):
            yield forbidden(path.key(key), "may not remove or update AppArmor annotations")
        if key == MIRROR:
            yield forbidden(path.key(key), "may not remove or update mirror pod annotation")
    for key in new.keys() - old.keys():
        if key.startswith(APPARMOR_CONTAINER):
            yield forbidden(path.key(key), "may not add AppArmor annotations")
        if key == MIRROR:
            yield forbidden(path.key(key), "may not add mirror pod annotation")


def annotations_of(obj: Object) -> dict[str, str]:
    return texts(mapping(obj, "metadata"), "annotations")
