"""The containers of a pod: regular, init and ephemeral ones."""

from __future__ import annotations

from dataclasses import dataclass

from podrun.api.validation.field import (
    Causes,
    Path,
    choice,
    duplicate,
    each_invalid,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
    too_many,
)
from podrun.api.validation.names import dns_label
from podrun.api.validation.pod_env import environment, environment_sources
from podrun.api.validation.pod_mounts import mounts_and_devices
from podrun.api.validation.pod_network import container_ports, host_port_conflicts
from podrun.api.validation.pod_probes import probes_and_lifecycle
from podrun.api.validation.pod_resources import container_resources, resize_policy
from podrun.api.validation.pod_security import container_security_context
from podrun.api.validation.pod_volumes import PULL_POLICIES
from podrun.api.validation.read import Object, has, items, mapping, optional_mapping, optional_text, text

MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
RESTART_POLICIES = ("Always", "Never", "OnFailure")
RULE_ACTIONS = ("Restart", "RestartAllContainers")
EXIT_CODE_OPERATORS = ("In", "NotIn")
RULES = 20
EXIT_CODES = 255
PROBES_AND_HOOKS = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
NOT_FOR_EPHEMERAL = (
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a container's rules need to know of its pod."""

    volumes: dict[str, Object]
    """The valid volumes by name."""
    claims: list[str]
    """The names of the resource claims."""
    grace: int | None
    """The termination grace period in seconds; None when it is missing, which is told elsewhere."""
    os_name: str | None
    """The operating system; None when the pod does not tell."""
    restart_policy: str
    host_users: bool
    """Whether the pod shares the host's user namespace."""


def common(container: Object, pod: Surroundings, path: Path) -> Causes:
    """The rules of every container."""
    name = text(container, "name")
    if name:
        yield from each_invalid(path.child("name"), name, dns_label(name))
    else:
        yield required(path.child("name"))
    if not text(container, "image"):
        yield required(path.child("image"))
    yield from choice(
        path.child("terminationMessagePolicy"), text(container, "terminationMessagePolicy"), MESSAGE_POLICIES
    )
    yield from container_ports(items(container, "ports"), path.child("ports"))
    yield from environment(items(container, "env"), path.child("env"))
    yield from environment_sources(items(container, "envFrom"), path.child("envFrom"))
    yield from mounts_and_devices(container, pod.volumes, path)
    yield from choice(path.child("imagePullPolicy"), text(container, "imagePullPolicy"), PULL_POLICIES)
    yield from container_resources(mapping(container, "resources"), pod.claims, path.child("resources"))
    yield from resize_policy(items(container, "resizePolicy"), pod.restart_policy, path.child("resizePolicy"))
    context = optional_mapping(container, "securityContext")
    yield from container_security_context(context, path.child("securityContext"), host_users=pod.host_users)


def containers(listed: list[Object], pod: Surroundings, path: Path) -> Causes:
    """The regular containers: at least one."""
    if not listed:
        yield required(path)
        return
    names: set[str] = set()
    for position, container in enumerate(listed):
        here = path.at(position)
        yield from common(container, pod, here)
        name = text(container, "name")
        if name in names:
            yield duplicate(here.child("name"), name)
        names.add(name)
        yield from probes_and_lifecycle(container, pod.grace, pod.os_name, here)
        yield from restart_rules(container, here)
    yield from host_port_conflicts(listed, path)


def init_containers(listed: list[Object], regular: list[Object], pod: Surroundings, path: Path) -> Causes:
    """Containers that run before the regular ones, or start before them and stay (sidecars)."""
    names = {text(container, "name") for container in regular}
    for position, container in enumerate(listed):
        here = path.at(position)
        name = text(container, "name")
        stays = text(container, "restartPolicy") == "Always"
        yield from common(container, pod, here)
        yield from restart_rules(container, here, is_init=True)
        if name in names:
            yield duplicate(here.child("name"), name)
        elif name:
            names.add(name)
        # init containers run one after another, so only a container's own ports can collide
        yield from host_port_conflicts([container], path)
        if stays:
            yield from probes_and_lifecycle(container, pod.grace, pod.os_name, here)
            continue
        for field in PROBES_AND_HOOKS:
            if has(container, field):
                yield forbidden(here.child(field), "may not be set for init containers without restartPolicy=Always")
        for index, policy in enumerate(items(container, "resizePolicy")):
            if text(policy, "restartPolicy") == "RestartContainer":
                why = "must not be set to 'RestartContainer' for non-sidecar initContainers"
                field_path = here.child("resizePolicy").at(index).child("restartPolicy")
                yield invalid(field_path, "RestartContainer", why)


def restart_rules(container: Object, path: Path, *, is_init: bool = False) -> Causes:
    """A container's own restart policy and the rules by exit code before it (KEP-5307, KEP-5532)."""
    policy, rules = optional_text(container, "restartPolicy"), items(container, "restartPolicyRules")
    if policy is None:
        if not rules:
            return
        yield required(path.child("restartPolicy"), "must specify restartPolicy when restart rules are used")
        if is_init:
            return
    elif policy not in RESTART_POLICIES:
        yield not_supported(path.child("restartPolicy"), policy, RESTART_POLICIES)
    here = path.child("restartPolicyRules")
    if len(rules) > RULES:
        yield too_many(here, len(rules), RULES)
    for position, rule in enumerate(rules):
        rule_path = here.at(position)
        if text(rule, "action") not in RULE_ACTIONS:
            yield not_supported(rule_path.child("action"), text(rule, "action"), RULE_ACTIONS)
        codes = optional_mapping(rule, "exitCodes")
        if codes is None:
            yield required(rule_path.child("exitCodes"), "must be specified")
            continue
        if text(codes, "operator") not in EXIT_CODE_OPERATORS:
            operator_path = rule_path.child("exitCodes", "operator")
            yield not_supported(operator_path, text(codes, "operator"), EXIT_CODE_OPERATORS)
        values = codes.get("values")
        if isinstance(values, list) and len(values) > EXIT_CODES:
            yield too_many(rule_path.child("exitCodes", "values"), len(values), EXIT_CODES)


def ephemeral_containers(spec: Object, pod: Surroundings, path: Path) -> Causes:
    """Containers added to a running pod to look into it: nothing that the pod could depend on."""
    others = {text(container, "name") for kind in ("containers", "initContainers") for container in items(spec, kind)}
    names = set(others)
    for position, container in enumerate(items(spec, "ephemeralContainers")):
        here = path.at(position)
        name, target = text(container, "name"), text(container, "targetContainerName")
        yield from common(container, pod, here)
        yield from trimmed_image(container, here)
        if name in names:
            yield duplicate(here.child("name"), name)
        names.add(name)
        if target and target not in others:
            yield not_found(here.child("targetContainerName"), target)
        for field in NOT_FOR_EPHEMERAL:
            unset: tuple[object, ...] = (None, [], {}) if field == "resources" else (None, [])
            if container.get(field) not in unset:
                yield forbidden(here.child(field), "cannot be set for an Ephemeral Container")
        for index, mount in enumerate(items(container, "volumeMounts")):
            for field in ("subPath", "subPathExpr"):
                if text(mount, field):
                    mount_path = here.child("volumeMounts").at(index).child(field)
                    yield forbidden(mount_path, "cannot be set for an Ephemeral Container")


def trimmed_image(container: Object, path: Path) -> Causes:
    """In a pod, unlike in a template, an image has no white space around it."""
    image = text(container, "image")
    if image != image.strip():
        yield invalid(path.child("image"), image, "must not have leading or trailing whitespace")


def visited(spec: Object, path: Path) -> list[tuple[Object, Path]]:
    """All containers with their paths: init containers, regular ones, ephemeral ones."""
    return [
        (container, path.child(kind).at(position))
        for kind in ("initContainers", "containers", "ephemeralContainers")
        for position, container in enumerate(items(spec, kind))
    ]
