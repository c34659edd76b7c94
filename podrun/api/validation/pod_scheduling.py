"""Where a pod may run: affinity, tolerations, topology spread, gates."""

from __future__ import annotations

from podrun.api.validation.field import (
    Causes,
    Path,
    duplicate,
    each_invalid,
    forbidden,
    invalid,
    not_supported,
    required,
)
from podrun.api.validation.metadata import label_name, label_selector
from podrun.api.validation.names import dns_label, dns_subdomain, label_value, qualified_name
from podrun.api.validation.read import (
    Object,
    items,
    mapping,
    number,
    optional_mapping,
    optional_number,
    optional_text,
    strings,
    text,
    texts,
)

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
SPREAD_ACTIONS = ("DoNotSchedule", "ScheduleAnyway")
INCLUSION_POLICIES = ("Honor", "Ignore")
WEIGHT = "must be in the range 1-100"
NO_SELECTOR = "must not be specified when labelSelector is not set"


def affinity(rules: Object, path: Path) -> Causes:
    nodes = optional_mapping(rules, "nodeAffinity")
    if nodes is not None:
        yield from node_affinity(nodes, path.child("nodeAffinity"))
    for name in ("podAffinity", "podAntiAffinity"):
        pods = optional_mapping(rules, name)
        if pods is not None:
            yield from pod_affinity(pods, path.child(name))


def node_affinity(rules: Object, path: Path) -> Causes:
    required_nodes = optional_mapping(rules, REQUIRED)
    if required_nodes is not None:
        here = path.child(REQUIRED, "nodeSelectorTerms")
        terms = items(required_nodes, "nodeSelectorTerms")
        if not terms:
            yield required(here, "must have at least one node selector term")
        for position, term in enumerate(terms):
            yield from node_selector_term(term, here.at(position))
    for position, preferred in enumerate(items(rules, PREFERRED)):
        here = path.child(PREFERRED).at(position)
        yield from weight(preferred, here)
        # a preference for a label that no node can have does no harm, so its values are not checked
        yield from node_selector_term(mapping(preferred, "preference"), here.child("preference"), check_values=False)


def weight(preferred: Object, path: Path) -> Causes:
    value = number(preferred, "weight")
    if not 1 <= value <= 100:
        yield invalid(path.child("weight"), value, WEIGHT)


def node_selector_term(term: Object, path: Path, *, check_values: bool = True) -> Causes:
    for position, requirement in enumerate(items(term, "matchExpressions")):
        yield from node_requirement(requirement, path.child("matchExpressions").at(position), check_values)
    for position, requirement in enumerate(items(term, "matchFields")):
        yield from node_field_requirement(requirement, path.child("matchFields").at(position))


def node_requirement(requirement: Object, path: Path, check_values: bool) -> Causes:
    operator, values, key = text(requirement, "operator"), strings(requirement, "values"), text(requirement, "key")
    here = path.child("values")
    if operator in ("In", "NotIn"):
        if not values:
            yield required(here, "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield forbidden(here, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            yield required(here, "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        yield invalid(path.child("operator"), operator, "not a valid selector operator")
    yield from label_name(key, path.child("key"))
    for position, value in enumerate(values if check_values else ()):
        yield from each_invalid(here.at(position), value, label_value(value))


def node_field_requirement(requirement: Object, path: Path) -> Causes:
    """A requirement on a field of the node; the only one there is, is its name."""
    operator, values, key = text(requirement, "operator"), strings(requirement, "values"), text(requirement, "key")
    if operator not in ("In", "NotIn"):
        yield invalid(path.child("operator"), operator, "not a valid selector operator")
    elif len(values) != 1:
        why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield required(path.child("values"), why)
    if key != "metadata.name":
        yield invalid(path.child("key"), key, "not a valid field selector key")
        return
    for position, value in enumerate(values):
        yield from each_invalid(path.child("values").at(position), value, dns_subdomain(value))


def pod_affinity(rules: Object, path: Path) -> Causes:
    for position, term in enumerate(items(rules, REQUIRED)):
        yield from pod_affinity_term(term, path.child(REQUIRED).at(position))
    for position, preferred in enumerate(items(rules, PREFERRED)):
        here = path.child(PREFERRED).at(position)
        yield from weight(preferred, here)
        yield from pod_affinity_term(mapping(preferred, "podAffinityTerm"), here.child("podAffinityTerm"))


def pod_affinity_term(term: Object, path: Path) -> Causes:
    selector = optional_mapping(term, "labelSelector")
    yield from label_selector(selector, path.child("labelSelector"))
    yield from label_selector(optional_mapping(term, "namespaceSelector"), path.child("namespaceSelector"))
    for namespace in strings(term, "namespaces"):
        yield from each_invalid(path.child("namespace"), namespace, dns_label(namespace))
    yield from label_keys(strings(term, "matchLabelKeys"), strings(term, "mismatchLabelKeys"), selector, path)
    topology_key = text(term, "topologyKey")
    if not topology_key:
        yield required(path.child("topologyKey"), "can not be empty")
    yield from label_name(topology_key, path.child("topologyKey"))


def label_keys(match: list[str], mismatch: list[str], selector: Object | None, path: Path) -> Causes:
    """`matchLabelKeys` and `mismatchLabelKeys`: label names, of which the selector and the other list have none."""
    for name, keys in (("matchLabelKeys", match), ("mismatchLabelKeys", mismatch)):
        if keys and selector is None:
            yield forbidden(path.child(name), NO_SELECTOR)
            continue
        for position, key in enumerate(keys):
            yield from label_name(key, path.child(name).at(position))
    if selector is not None:
        positions = {key: position for position, key in enumerate(match)}
        selected = set(texts(selector, "matchLabels"))
        for expression in items(selector, "matchExpressions"):
            key = text(expression, "key")
            # the server has added one expression for each of the keys: a second one is the author's
            if key in positions and key in selected:
                why = "exists in both matchLabelKeys and labelSelector"
                yield invalid(path.at(positions[key]), key, why)
            selected.add(key)
    for position, key in enumerate(match):
        if key in mismatch:
            why = "exists in both matchLabelKeys and mismatchLabelKeys"
            yield invalid(path.child("matchLabelKeys").at(position), key, why)


def tolerations(listed: list[Object], path: Path) -> Causes:
    for position, toleration in enumerate(listed):
        here = path.at(position)
        key, operator = text(toleration, "key"), text(toleration, "operator")
        value, effect = text(toleration, "value"), text(toleration, "effect")
        if key:
            yield from label_name(key, here.child("key"))
        elif operator != "Exists":
            why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            yield invalid(here.child("operator"), operator, why)
        if optional_number(toleration, "tolerationSeconds") is not None and effect != "NoExecute":
            yield invalid(here.child("effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
        yield from toleration_operator(operator, value, here.child("operator"))
        if effect:
            yield from taint_effect(effect, here.child("effect"))


def toleration_operator(operator: str, value: str, path: Path) -> Causes:
    if operator in ("Equal", ""):
        problems = label_value(value)
        if problems:
            yield invalid(path, value, ";".join(problems))
    elif operator == "Exists":
        if value:
            yield invalid(path, value, "value must be empty when `operator` is 'Exists'")
    elif operator in ("Lt", "Gt"):
        # comparing values is behind a gate that is off in 1.36, but the answer already names the operators
        yield not_supported(path, operator, ("Equal", "Exists", "Lt", "Gt"))
    else:
        yield not_supported(path, operator, ("Equal", "Exists"))


def taint_effect(effect: str, path: Path) -> Causes:
    if effect not in TAINT_EFFECTS:
        yield not_supported(path, effect, TAINT_EFFECTS)


def topology_spread(constraints: list[Object], path: Path) -> Causes:
    for position, constraint in enumerate(constraints):
        here = path.at(position)
        action, topology_key = text(constraint, "whenUnsatisfiable"), text(constraint, "topologyKey")
        skew = number(constraint, "maxSkew")
        if skew <= 0:
            yield invalid(here.child("maxSkew"), skew, "must be greater than zero")
        if not topology_key:
            yield required(here.child("topologyKey"), "can not be empty")
        if action not in SPREAD_ACTIONS:
            yield not_supported(here.child("whenUnsatisfiable"), action, SPREAD_ACTIONS)
        later = [(text(one, "topologyKey"), text(one, "whenUnsatisfiable")) for one in constraints[position + 1 :]]
        if (topology_key, action) in later:
            yield duplicate(here.child("{topologyKey, whenUnsatisfiable}"), f"{{{topology_key}, {action}}}")
        yield from min_domains(optional_number(constraint, "minDomains"), action, here.child("minDomains"))
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            policy = optional_text(constraint, name)
            if policy is not None and policy not in INCLUSION_POLICIES:
                yield not_supported(here.child(name), policy, INCLUSION_POLICIES)
        selector = optional_mapping(constraint, "labelSelector")
        yield from label_keys(strings(constraint, "matchLabelKeys"), [], selector, here)
        yield from label_selector(selector, here.child("labelSelector"))


def min_domains(value: int | None, action: str, path: Path) -> Causes:
    if value is None:
        return
    if value <= 0:
        yield invalid(path, value, "must be greater than zero")
    if action != "DoNotSchedule":
        why = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        yield invalid(path, value, why)


def scheduling_gates(gates: list[Object], path: Path) -> Causes:
    seen: set[str] = set()
    for position, gate in enumerate(gates):
        name = text(gate, "name")
        yield from each_invalid(path.at(position), name, qualified_name(name))
        if name in seen:
            yield duplicate(path.at(position), name)
        seen.add(name)


def readiness_gates(gates: list[Object], path: Path) -> Causes:
    for position, gate in enumerate(gates):
        name = text(gate, "conditionType")
        yield from each_invalid(path.at(position).child("conditionType"), name, qualified_name(name))
