"""What a pod's manifest says that it probably did not mean to say."""

from __future__ import annotations

from collections.abc import Iterator

from podrun.api.gotext import quote
from podrun.api.validation.addresses import spelling_warnings
from podrun.api.validation.amounts import amounts
from podrun.api.validation.field import Path
from podrun.api.validation.names import label_value
from podrun.api.validation.node_labels import DEPRECATED
from podrun.api.validation.pod_annotations import APPARMOR_CONTAINER, SECCOMP_CONTAINER, SECCOMP_POD
from podrun.api.validation.pod_containers import visited
from podrun.api.validation.pod_scheduling import PREFERRED, REQUIRED
from podrun.api.validation.pod_volume_warnings import claim_warnings, volume_warnings
from podrun.api.validation.read import (
    Object,
    has,
    items,
    mapping,
    number,
    optional_number,
    strings,
    text,
    texts,
)

BYTES = ("memory", "ephemeral-storage")
ANNOTATIONS_OF_OLD = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
NO_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
NO_APPARMOR = 'deprecated since v1.30; use the "appArmorProfile" field instead'
MATCHES_NOTHING = "a null labelSelector results in matching no pod"


def pod_spec_warnings(obj: Object, path: Path) -> Iterator[str]:
    """Warnings for a pod, whose `path` is empty, or for a template at `path`."""
    spec, here = mapping(obj, "spec"), path.child("spec")
    annotations, notes = texts(mapping(obj, "metadata"), "annotations"), path.child("metadata", "annotations")
    yield from node_label_warnings(spec, here)
    for key, why in ANNOTATIONS_OF_OLD.items():
        if key in annotations:
            yield f"{notes.key(key)}: {why}"
    yield from volume_warnings(items(spec, "volumes"), here.child("volumes"))
    if not path:
        yield from claim_warnings(spec, here.child("volumes"))
    yield from repeated(items(spec, "hostAliases"), "ip", here.child("hostAliases"))
    yield from repeated(items(spec, "imagePullSecrets"), "name", here.child("imagePullSecrets"))
    for position, secret in enumerate(items(spec, "imagePullSecrets")):
        if not text(secret, "name"):
            yield f'{here.child("imagePullSecrets").at(position).child("name")}: invalid empty name ""'
    yield from fractions(spec, "overhead", here)
    context = mapping(spec, "securityContext")
    if SECCOMP_POD in annotations and not has(context, "seccompProfile"):
        yield f"{notes.key(SECCOMP_POD)}: {NO_SECCOMP}"
    containers = visited(spec, here)
    for container, container_path in containers:
        yield from profile_warnings(container, context, annotations, notes, is_template=bool(path))
        for kind in ("limits", "requests"):
            yield from fractions(mapping(container, "resources"), kind, container_path.child("resources"))
        yield from hidden_variables(items(container, "env"), container_path.child("env"))
    yield from port_warnings(containers)
    yield from port_name_warnings(containers)
    if (optional_number(spec, "terminationGracePeriodSeconds") or 0) < 0:
        why = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{here.child('terminationGracePeriodSeconds')}: {why}"
    yield from pod_affinity_warnings(mapping(spec, "affinity"), here.child("affinity"))
    for position, value in enumerate(strings(mapping(spec, "dnsConfig"), "nameservers")):
        yield from spelling_warnings(here.child("dnsConfig", "nameservers").at(position), value)
    for position, alias in enumerate(items(spec, "hostAliases")):
        yield from spelling_warnings(here.child("hostAliases").at(position).child("ip"), text(alias, "ip"))


def node_label_warnings(spec: Object, path: Path) -> Iterator[str]:
    """Labels of nodes that have been replaced, in selectors, affinity and topology."""
    for key in texts(spec, "nodeSelector"):
        if key in DEPRECATED:
            yield f"{path.child('nodeSelector').key(key)}: {DEPRECATED[key]}"
    nodes, here = mapping(mapping(spec, "affinity"), "nodeAffinity"), path.child("affinity", "nodeAffinity")
    for position, term in enumerate(items(mapping(nodes, REQUIRED), "nodeSelectorTerms")):
        yield from term_warnings(term, here.child(REQUIRED, "nodeSelectorTerms").at(position), check_values=False)
    for position, preferred in enumerate(items(nodes, PREFERRED)):
        term_path = here.child(PREFERRED).at(position).child("preference")
        yield from term_warnings(mapping(preferred, "preference"), term_path, check_values=True)
    for position, constraint in enumerate(items(spec, "topologySpreadConstraints")):
        here, key = path.child("topologySpreadConstraints").at(position), text(constraint, "topologyKey")
        if key in DEPRECATED:
            yield f"{here.child('topologyKey')}: {key} is {DEPRECATED[key]}"
        if not has(constraint, "labelSelector"):
            yield f"{here.child('labelSelector')}: {MATCHES_NOTHING}"


def term_warnings(term: Object, path: Path, *, check_values: bool) -> Iterator[str]:
    for position, expression in enumerate(items(term, "matchExpressions")):
        here, key = path.child("matchExpressions").at(position), text(expression, "key")
        if key in DEPRECATED:
            yield f"{here.child('key')}: {key} is {DEPRECATED[key]}"
        for index, value in enumerate(strings(expression, "values") if check_values else ()):
            for problem in label_value(value):
                yield f"{here.child('values').at(index)}: {value} is invalid, {problem}"


def repeated(listed: list[Object], field: str, path: Path) -> Iterator[str]:
    seen: set[str] = set()
    for position, one in enumerate(listed):
        value = text(one, field)
        if value in seen:
            yield f"{path.at(position).child(field)}: duplicate {field} {quote(value)}"
        seen.add(value)


def fractions(holder: Object, kind: str, path: Path) -> Iterator[str]:
    """Parts of a byte."""
    values = amounts(holder, kind)
    for name in BYTES:
        if name in values and values[name].milli_value() % 1000:
            shown = quote(str(values[name]))
            yield f"{path.child(kind).key(name)}: fractional byte value {shown} is invalid, must be an integer"


def profile_warnings(
    container: Object, pod_context: Object, annotations: dict[str, str], path: Path, *, is_template: bool
) -> Iterator[str]:
    """Annotations for seccomp and AppArmor that no field stands beside."""
    context, name = mapping(container, "securityContext"), text(container, "name")
    seccomp, apparmor = SECCOMP_CONTAINER + name, APPARMOR_CONTAINER + name
    if seccomp in annotations and not has(context, "seccompProfile"):
        yield f"{path.key(seccomp)}: {NO_SECCOMP}"
    has_profile = has(context, "appArmorProfile") or has(pod_context, "appArmorProfile")
    if is_template and apparmor in annotations and not has_profile:
        yield f"{path.key(apparmor)}: {NO_APPARMOR}"


def hidden_variables(variables: list[Object], path: Path) -> Iterator[str]:
    """A variable that takes the place of an earlier one without using its value."""
    seen: set[str] = set()
    for position, variable in enumerate(variables):
        name, value = text(variable, "name"), text(variable, "value")
        reference = f"$({name})"
        hides = has(variable, "valueFrom") or value == reference or reference not in value
        if name in seen and hides:
            why = f"hides previous definition of {quote(name)}, which may be dropped when using apply"
            yield f"{path.at(position)}: {why}"
        seen.add(name)


def port_warnings(containers: list[tuple[Object, Path]]) -> Iterator[str]:
    """The same port twice, in one container or in two of the pod."""
    known: dict[tuple[int, str], list[tuple[Path, str, int]]] = {}
    for container, path in containers:
        for position, port in enumerate(items(container, "ports")):
            here, host_ip, host_port = path.child("ports").at(position), text(port, "hostIP"), number(port, "hostPort")
            if host_ip and not host_port:
                yield f"{here}: hostIP set without hostPort: {go_port(port)}"
            others = known.setdefault((number(port, "containerPort"), text(port, "protocol")), [])
            for other, other_ip, other_port in others:
                if (host_ip, host_port) == (other_ip, other_port):
                    yield f"{here}: duplicate port definition with {other}"
                elif not host_port or not other_port:
                    yield f"{here}: overlapping port definition with {other}"
                elif host_port == other_port and bool(host_ip) != bool(other_ip):
                    yield f"{here}: dangerously ambiguous port definition with {other}"
            others.append((here, host_ip, host_port))


def go_port(port: Object) -> str:
    """A port as Go's `%+v` writes the internal type."""
    head = f"Name:{text(port, 'name')} HostPort:{number(port, 'hostPort')}"
    middle = f"ContainerPort:{number(port, 'containerPort')} Protocol:{text(port, 'protocol')}"
    return f"{{{head} {middle} HostIP:{text(port, 'hostIP')}}}"


def port_name_warnings(containers: list[tuple[Object, Path]]) -> Iterator[str]:
    known: dict[str, Path] = {}
    for container, path in containers:
        for position, port in enumerate(items(container, "ports")):
            name, here = text(port, "name"), path.child("ports").at(position)
            if name and name in known:
                other = known[name]
                why = f"services and probes that select ports by name will use {other}"
                yield f"{here}: duplicate port name {quote(name)} with {other}, {why}"
            elif name:
                known[name] = here


def pod_affinity_warnings(rules: Object, path: Path) -> Iterator[str]:
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = mapping(rules, kind)
        for position, term in enumerate(items(terms, REQUIRED)):
            if not has(term, "labelSelector"):
                yield f"{path.child(kind, REQUIRED).at(position).child('labelSelector')}: {MATCHES_NOTHING}"
        for position, preferred in enumerate(items(terms, PREFERRED)):
            if not has(mapping(preferred, "podAffinityTerm"), "labelSelector"):
                here = path.child(kind, PREFERRED).at(position).child("podAffinityTerm", "labelSelector")
                yield f"{here}: {MATCHES_NOTHING}"
