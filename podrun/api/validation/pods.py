"""Pods and templates of pods: what a new one must be."""

from __future__ import annotations

from podrun.api.validation.field import (
    NOWHERE,
    Causes,
    Path,
    choice,
    duplicate,
    each_invalid,
    forbidden,
    invalid,
    not_supported,
    required,
)
from podrun.api.validation.internal import internal
from podrun.api.validation.metadata import METADATA, annotation_map, label_map, metadata_update, object_metadata
from podrun.api.validation.names import between, dns_label, dns_subdomain
from podrun.api.validation.pod_annotations import (
    MIRROR,
    annotations_match_fields,
    annotations_of,
    pod_annotations,
)
from podrun.api.validation.pod_containers import (
    Surroundings,
    containers,
    ephemeral_containers,
    init_containers,
    trimmed_image,
    visited,
)
from podrun.api.validation.pod_env import file_volumes
from podrun.api.validation.pod_network import (
    dns_config,
    host_aliases,
    host_network_ports,
    hostname_override,
    hostnames,
)
from podrun.api.validation.pod_resources import overhead, pod_resources
from podrun.api.validation.pod_scheduling import (
    affinity,
    readiness_gates,
    scheduling_gates,
    tolerations,
    topology_spread,
)
from podrun.api.validation.pod_security import hosts_users, pod_security_context
from podrun.api.validation.pod_volumes import volumes
from podrun.api.validation.pod_windows import host_process, linux_pod, windows_pod
from podrun.api.validation.read import (
    Object,
    has,
    items,
    mapping,
    optional_flag,
    optional_mapping,
    optional_number,
    optional_text,
    text,
    texts,
)

SPEC = Path("spec")
TEMPLATE = Path("template")
ANNOTATIONS = METADATA.child("annotations")
POD_RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
PREEMPTION_POLICIES = ("PreemptLowerPriority", "Never")
SYSTEMS = ("linux", "windows")
LONGEST_DEADLINE = 2**31 - 1


def pod(obj: Object) -> Causes:
    """A new pod."""
    spec = mapping(obj, "spec")
    yield from pod_metadata_and_spec(obj)
    if items(spec, "ephemeralContainers"):
        yield forbidden(SPEC.child("ephemeralContainers"), "cannot be set on create")
    if text(spec, "nodeName") and items(spec, "schedulingGates"):
        yield forbidden(SPEC.child("nodeName"), "cannot be set until all schedulingGates have been cleared")
    yield from annotations_match_fields(annotations_of(obj), spec, visited(spec, SPEC), SPEC)


def pod_metadata_and_spec(obj: Object) -> Causes:
    """What must hold of a pod at any time."""
    spec = mapping(obj, "spec")
    yield from object_metadata(obj, dns_subdomain)
    yield from pod_annotations(annotations_of(obj), spec, visited(spec, SPEC), ANNOTATIONS)
    yield from pod_spec(spec, SPEC, mapping(obj, "metadata"))
    if not text(spec, "serviceAccountName"):
        yield from tokens_without_account(spec)
    for kind in ("containers", "initContainers"):
        for position, container in enumerate(items(spec, kind)):
            yield from trimmed_image(container, SPEC.child(kind).at(position))


def tokens_without_account(spec: Object) -> Causes:
    for position, volume in enumerate(items(spec, "volumes")):
        path = SPEC.child("volumes").at(position).child("projected", "sources")
        for index, source in enumerate(items(mapping(volume, "projected"), "sources")):
            if has(source, "serviceAccountToken"):
                why = "must not be specified when serviceAccountName is not set"
                yield forbidden(path.at(index).child("serviceAccountToken"), why)


def pod_template(obj: Object) -> Causes:
    """A PodTemplate."""
    yield from object_metadata(obj, dns_subdomain)
    yield from template(mapping(obj, "template"), TEMPLATE)


def pod_template_update(new: Object, old: Object) -> Causes:
    yield from metadata_update(new, old)
    yield from template(mapping(new, "template"), TEMPLATE)


def template(obj: Object, path: Path) -> Causes:
    """A template of pods: a pod's spec without a pod."""
    meta, spec = mapping(obj, "metadata"), mapping(obj, "spec")
    here, values = path.child("spec"), texts(meta, "annotations")
    yield from label_map(texts(meta, "labels"), path.child("labels"))
    yield from annotation_map(values, path.child("annotations"))
    yield from pod_annotations(values, spec, visited(spec, here), path.child("annotations"))
    yield from pod_spec(spec, here, None)
    yield from annotations_match_fields(values, spec, visited(spec, here), here)
    if items(spec, "ephemeralContainers"):
        yield forbidden(here.child("ephemeralContainers"), "ephemeral containers not allowed in pod template")


def pod_spec(spec: Object, path: Path, meta: Object | None) -> Causes:
    """`spec` of a pod, or of a template when there is no metadata of a pod."""
    is_pod = meta is not None
    grace = optional_number(spec, "terminationGracePeriodSeconds")
    if grace is None:
        yield required(path.child("terminationGracePeriodSeconds"))
    pod_name = text(meta or {}, "name")
    usable, causes = volumes(items(spec, "volumes"), pod_name, path.child("volumes"), is_pod=is_pod)
    yield from causes
    claims = [text(claim, "name") for claim in items(spec, "resourceClaims") if text(claim, "name")]
    yield from resource_claims(items(spec, "resourceClaims"), meta or {}, path.child("resourceClaims"))
    system = optional_mapping(spec, "os")
    os_name = None if system is None else text(system, "name")
    host_users = optional_flag(spec, "hostUsers") is not False
    around = Surroundings(usable, claims, grace, os_name, text(spec, "restartPolicy"), host_users)
    regular = items(spec, "containers")
    yield from containers(regular, around, path.child("containers"))
    yield from init_containers(items(spec, "initContainers"), regular, around, path.child("initContainers"))
    yield from ephemeral_containers(spec, around, path.child("ephemeralContainers"))
    yield from pod_resources(spec, os_name, claims, path.child("resources"))
    yield from host_network_ports(spec, path, is_pod=is_pod)
    yield from choice(path.child("restartPolicy"), text(spec, "restartPolicy"), POD_RESTART_POLICIES)
    yield from choice(path.child("dnsPolicy"), text(spec, "dnsPolicy"), DNS_POLICIES)
    yield from label_map(texts(spec, "nodeSelector"), path.child("nodeSelector"))
    yield from pod_security_context(mapping(spec, "securityContext"), spec, path.child("securityContext"))
    rules = optional_mapping(spec, "affinity")
    if rules is not None:
        yield from affinity(rules, path.child("affinity"))
    yield from dns_config(spec, path.child("dnsConfig"))
    yield from readiness_gates(items(spec, "readinessGates"), path.child("readinessGates"))
    yield from scheduling_gates(items(spec, "schedulingGates"), path.child("schedulingGates"))
    constraints = items(spec, "topologySpreadConstraints")
    yield from topology_spread(constraints, path.child("topologySpreadConstraints"))
    everyone = visited(spec, path)
    yield from host_process(spec, everyone, path)
    yield from hosts_users(spec, everyone, path)
    yield from hostname_override(spec, path)
    yield from references(spec, path)
    yield from hostnames(spec, path)
    yield from tolerations(items(spec, "tolerations"), path.child("tolerations"))
    yield from host_aliases(items(spec, "hostAliases"), path.child("hostAliases"))
    yield from classes(spec, path)
    if has(spec, "overhead"):
        yield from overhead(mapping(spec, "overhead"), path.child("overhead"))
    yield from operating_system(spec, os_name, everyone, path)
    yield from file_volumes(everyone, items(spec, "volumes"))


def resource_claims(claims: list[Object], meta: Object, path: Path) -> Causes:
    """`resourceClaims`: named, each by one of two ways to a claim."""
    seen: set[str] = set()
    for position, claim in enumerate(claims):
        if MIRROR in texts(meta, "annotations"):
            yield forbidden(NOWHERE, "static pods do not support resource claims")
            continue
        here, name = path.at(position), text(claim, "name")
        if not name:
            yield required(here.child("name"))
        elif name in seen:
            yield duplicate(here.child("name"), name)
        else:
            yield from each_invalid(here.child("name"), name, dns_label(name))
            seen.add(name)
        ways = [way for way in CLAIM_WAYS if optional_text(claim, way) is not None]
        shown = internal("PodResourceClaim", claim)
        if len(ways) > 1:
            why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            yield invalid(here, shown, why)
        if not ways:
            yield invalid(here, shown, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")
        for way in ways:
            yield from each_invalid(here.child(way), text(claim, way), dns_subdomain(text(claim, way)))


CLAIM_WAYS = ("resourceClaimName", "resourceClaimTemplateName")


def references(spec: Object, path: Path) -> Causes:
    """The account, the node, and the time that the pod has."""
    for name in ("serviceAccountName", "nodeName"):
        value = text(spec, name)
        if value:
            yield from each_invalid(path.child(name), value, dns_subdomain(value))
    deadline = optional_number(spec, "activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= LONGEST_DEADLINE:
        yield invalid(path.child("activeDeadlineSeconds"), deadline, between(1, LONGEST_DEADLINE))


def classes(spec: Object, path: Path) -> Causes:
    """The classes that the pod names, and its right to push others away."""
    priority_class, runtime_class = text(spec, "priorityClassName"), optional_text(spec, "runtimeClassName")
    if priority_class:
        yield from each_invalid(path.child("priorityClassName"), priority_class, dns_subdomain(priority_class))
    if runtime_class is not None:
        yield from each_invalid(path.child("runtimeClassName"), runtime_class, dns_subdomain(runtime_class))
    preemption = optional_text(spec, "preemptionPolicy")
    if preemption is not None:
        yield from choice(path.child("preemptionPolicy"), preemption, PREEMPTION_POLICIES)


def operating_system(spec: Object, os_name: str | None, everyone: list[tuple[Object, Path]], path: Path) -> Causes:
    if os_name is None:
        return
    if not os_name:
        yield required(path.child("os", "name"))
    elif os_name not in SYSTEMS:
        yield not_supported(path.child("os"), os_name, SYSTEMS)
    elif os_name == "linux":
        yield from linux_pod(spec, everyone, path)
    else:
        yield from windows_pod(spec, everyone, path)
