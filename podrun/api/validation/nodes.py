"""Nodes."""

from __future__ import annotations

import json
import re

from podrun.api.gotext import quote
from podrun.api.validation.addresses import block, is_dual_stack
from podrun.api.validation.amounts import amounts
from podrun.api.validation.field import Causes, Path, duplicate, forbidden, invalid, required
from podrun.api.validation.internal import internal
from podrun.api.validation.metadata import METADATA, label_name, metadata_update, object_metadata
from podrun.api.validation.names import dns_subdomain, label_value
from podrun.api.validation.pod_resources import quantity_value
from podrun.api.validation.pod_scheduling import taint_effect
from podrun.api.validation.read import Object, items, mapping, optional_number, size, strings, text, texts

STATUS = Path("status")
POD_BLOCKS = Path("spec.podCIDRs")
TAINTS_OF_OLD = "scheduler.alpha.kubernetes.io/taints"
FEATURE = re.compile(r"[A-Z][a-zA-Z0-9]*(/[a-zA-Z][a-zA-Z0-9]*)*")
FEATURE_RULE = (
    "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or "
    "MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
)


def node(obj: Object) -> Causes:
    spec, status = mapping(obj, "spec"), mapping(obj, "status")
    yield from object_metadata(obj, dns_subdomain, namespaced=False)
    yield from node_annotations(obj)
    # Kubernetes tells of taints as if they were metadata
    yield from taints(items(spec, "taints"), METADATA.child("taints"))
    yield from node_resources(status)
    swap = optional_number(mapping(mapping(status, "nodeInfo"), "swap"), "capacity")
    if swap is not None and swap <= 0:
        yield invalid(METADATA.child("nodeSwapStatus", "capacity"), swap, "must be greater than zero")
    yield from declared_features(status)
    blocks = strings(spec, "podCIDRs")
    for position, value in enumerate(blocks):
        yield from block(POD_BLOCKS.at(position), value)
    if len(blocks) > 2 or (len(blocks) == 2 and not is_dual_stack(blocks)):
        yield invalid(POD_BLOCKS, blocks, "may specify no more than one CIDR for each IP family")


def node_annotations(obj: Object) -> Causes:
    """Taints as they were written before they had a field."""
    value = texts(mapping(obj, "metadata"), "annotations").get(TAINTS_OF_OLD)
    if not value:
        return
    path = METADATA.child("annotations")
    try:
        listed = json.loads(value)
    except (ValueError, RecursionError) as error:
        yield invalid(path, TAINTS_OF_OLD, str(error))
        return
    if isinstance(listed, list):
        yield from taints([one if isinstance(one, dict) else {} for one in listed], path.child(TAINTS_OF_OLD))


def taints(listed: list[Object], path: Path) -> Causes:
    seen: set[tuple[str, str]] = set()
    for position, taint in enumerate(listed):
        here, key, effect = path.at(position), text(taint, "key"), text(taint, "effect")
        yield from label_name(key, here.child("key"))
        problems = label_value(text(taint, "value"))
        if problems:
            yield invalid(here.child("value"), text(taint, "value"), ";".join(problems))
        if effect:
            yield from taint_effect(effect, here.child("effect"))
        else:
            yield required(here.child("effect"))
        if (key, effect) in seen:
            yield duplicate(here, internal("Taint", taint), "taints must be unique by key and effect pair")
        seen.add((key, effect))


def node_resources(status: Object) -> Causes:
    for kind in ("capacity", "allocatable"):
        for name, value in amounts(status, kind).items():
            yield from quantity_value(name, value, STATUS.child(kind, name))


def declared_features(status: Object) -> Causes:
    """What the node says it can do (KEP-5328), sorted and each once."""
    path, features = STATUS.child("declaredFeatures"), strings(status, "declaredFeatures")
    for position, feature in enumerate(features):
        named = f"invalid feature name {quote(feature)}"
        if size(feature) > 253:
            yield invalid(path.at(position), feature, f"{named}: must be no more than 253 characters")
        elif not FEATURE.fullmatch(feature):
            yield invalid(path.at(position), feature, f"{named}: {FEATURE_RULE}")
        following = features[position + 1] if position + 1 < len(features) else None
        if following == feature:
            yield duplicate(path.at(position + 1), following)
        elif following is not None and feature > following:
            yield invalid(path.at(position + 1), following, "list must be sorted alphabetically")


def node_update(new: Object, old: Object) -> Causes:
    yield from node(new)
    yield from node_status_update(new, old)


def node_status_update(new: Object, old: Object) -> Causes:
    yield from metadata_update(new, old)
    yield from node_annotations(new)
    spec, stored, status = mapping(new, "spec"), mapping(old, "spec"), mapping(new, "status")
    yield from node_resources(status)
    yield from declared_features(status)
    seen: list[Object] = []
    for position, address in enumerate(items(status, "addresses")):
        shown = internal("NodeAddress", address)
        if shown in seen:
            yield duplicate(STATUS.child("addresses").at(position), shown)
        seen.append(shown)
    yield from set_once(spec, stored)
    yield from taints(items(spec, "taints"), METADATA.child("taints"))
    if text(spec, "externalID") != text(stored, "externalID"):
        yield forbidden("spec.externalID", "may not be updated")


def set_once(spec: Object, stored: Object) -> Causes:
    """Fields that are given a value once."""
    why = 'node updates may not change {} except from "" to valid'
    new, old = strings(spec, "podCIDRs"), strings(stored, "podCIDRs")
    if old and len(new) != len(old):
        yield forbidden(POD_BLOCKS, why.format("podCIDR"))
    elif old:
        for one, other in zip(new, old, strict=True):
            if one != other:
                yield forbidden(POD_BLOCKS, why.format("podCIDR"))
    if text(stored, "providerID") and text(spec, "providerID") != text(stored, "providerID"):
        yield forbidden("spec.providerID", why.format("providerID"))
