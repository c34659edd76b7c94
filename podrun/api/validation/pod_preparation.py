"""What the API server itself writes into a new pod before it looks at it (pkg/registry/core/pod/strategy.go).

Status, generation and qosClass are not set here: they need no rule but `pod_qos.qos_class`.
"""

from __future__ import annotations

from typing import NamedTuple

from podrun.api.validation.field import Path
from podrun.api.validation.gates import CONTAINER_LISTS, without_disabled_fields
from podrun.api.validation.metadata import METADATA
from podrun.api.validation.pod_annotations import APPARMOR_CONTAINER, LOCALHOST
from podrun.api.validation.pod_scheduling import PREFERRED, REQUIRED
from podrun.api.validation.pod_security import apparmor_profile
from podrun.api.validation.pod_warnings import NO_APPARMOR
from podrun.api.validation.read import Object, items, mapping, optional_mapping, strings, text, texts


class Prepared(NamedTuple):
    """A pod as it is validated and stored, and the warnings that arose on the way."""

    object: Object
    warnings: list[str]


def prepare_create(kind: str, obj: Object) -> Prepared:
    """A new object, decoded and with its defaults, as it goes on to validation.

    Fields behind gates that are off are dropped. In a Pod, `matchLabelKeys` and `mismatchLabelKeys` become requirements
    of their selectors, and AppArmor annotations become fields.
    """
    made = without_disabled_fields(kind, obj)
    if kind != "Pod" or not isinstance(made.get("spec"), dict):
        return Prepared(made, [])
    labels = texts(mapping(made, "metadata"), "labels")
    spec = with_apparmor_fields(with_label_keys(made["spec"], labels), texts(mapping(made, "metadata"), "annotations"))
    return Prepared(made if spec.object is made["spec"] else made | {"spec": spec.object}, spec.warnings)


def with_label_keys(spec: Object, labels: dict[str, str]) -> Object:
    """The spec with its label keys written into its selectors (KEP-3633, KEP-3243)."""
    changed: Object = {}
    rules = mapping(spec, "affinity")
    terms = {name: pod_rules(mapping(rules, name), labels) for name in ("podAffinity", "podAntiAffinity")}
    replaced = {name: new for name, new in terms.items() if new is not mapping(rules, name) and new}
    if replaced:
        changed["affinity"] = rules | replaced
    constraints = items(spec, "topologySpreadConstraints")
    if constraints:
        changed["topologySpreadConstraints"] = [selector_with_keys(one, labels) for one in constraints]
    return spec | changed if changed else spec


def pod_rules(rules: Object, labels: dict[str, str]) -> Object:
    changed: Object = {}
    if items(rules, REQUIRED):
        changed[REQUIRED] = [selector_with_keys(term, labels) for term in items(rules, REQUIRED)]
    if items(rules, PREFERRED):
        changed[PREFERRED] = [
            one | {"podAffinityTerm": selector_with_keys(mapping(one, "podAffinityTerm"), labels)}
            for one in items(rules, PREFERRED)
        ]
    return rules | changed if changed else rules


def selector_with_keys(term: Object, labels: dict[str, str]) -> Object:
    """The term with one requirement for each label key that the pod has; a missing selector stays missing."""
    selector = optional_mapping(term, "labelSelector")
    added = [
        {"key": key, "operator": operator, "values": [labels[key]]}
        for name, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))
        for key in strings(term, name)
        if key in labels
    ]
    if selector is None or not added:
        return term
    return term | {"labelSelector": selector | {"matchExpressions": items(selector, "matchExpressions") + added}}


def with_apparmor_fields(spec: Object, annotations: dict[str, str]) -> Prepared:
    """The spec with the profiles that only annotations name, and a warning for each of these."""
    if text(mapping(spec, "os"), "name") == "windows" or not any(
        key.startswith(APPARMOR_CONTAINER) for key in annotations
    ):
        return Prepared(spec, [])
    of_pod = optional_mapping(mapping(spec, "securityContext"), "appArmorProfile")
    warnings: list[str] = []
    changed: Object = {}
    for kind in CONTAINER_LISTS:
        listed = []
        for container in items(spec, kind):
            key = APPARMOR_CONTAINER + text(container, "name")
            context = mapping(container, "securityContext")
            if key not in annotations or optional_mapping(context, "appArmorProfile") is not None:
                listed.append(container)
                continue
            profile = profile_of_annotation(annotations[key])
            if profile is None or profile != of_pod:
                warnings.append(f"{METADATA.child('annotations').key(key)}: {NO_APPARMOR}")
            if profile is not None and profile != of_pod:
                container = container | {"securityContext": context | {"appArmorProfile": profile}}
            listed.append(container)
        if listed:
            changed[kind] = listed
    return Prepared(spec | changed, warnings)


def profile_of_annotation(value: str) -> Object | None:
    """The AppArmor profile that an annotation names; None when it names none that is valid."""
    kinds = {"unconfined": "Unconfined", "runtime/default": "RuntimeDefault"}
    if value in kinds:
        return {"type": kinds[value]}
    if not value.startswith(LOCALHOST):
        return None
    profile: Object = {"type": "Localhost", "localhostProfile": value.removeprefix(LOCALHOST)}
    return None if any(apparmor_profile(profile, Path(""))) else profile
