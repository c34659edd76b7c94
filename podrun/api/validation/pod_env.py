"""The environment of a container: `env` and `envFrom`, and the references to fields that volumes use too."""

from __future__ import annotations

from podrun.api.validation.amounts import amount
from podrun.api.validation.field import Causes, Path, each_invalid, invalid, not_found, not_supported, required
from podrun.api.validation.names import (
    NameCheck,
    as_prefix,
    config_key,
    dns_label,
    dns_subdomain,
    env_name,
    qualified_name,
)
from podrun.api.validation.paths import no_backsteps
from podrun.api.validation.read import Object, has, items, mapping, optional_mapping, text

ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
KNOWN_FIELDS = {*ENV_FIELDS, *VOLUME_FIELDS, "spec.restartPolicy", "spec.schedulerName", "status.phase"}
RESOURCE_FIELDS = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
HUGE_PAGE_FIELDS = ("limits.hugepages-", "requests.hugepages-")
CPU_DIVISORS = frozenset({"1m", "1"})
BYTE_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def environment(variables: list[Object], path: Path) -> Causes:
    """`env`: names, and exactly one source where `valueFrom` is given."""
    for position, variable in enumerate(variables):
        here = path.at(position)
        name = text(variable, "name")
        if name:
            yield from each_invalid(here.child("name"), name, env_name(name))
        else:
            yield required(here.child("name"))
        source = optional_mapping(variable, "valueFrom")
        if source is not None:
            yield from value_source(source, text(variable, "value"), here.child("valueFrom"))


def value_source(source: Object, value: str, path: Path) -> Causes:
    given = [name for name in SOURCES if optional_mapping(source, name) is not None]
    if "fieldRef" in given:
        yield from field_reference(mapping(source, "fieldRef"), ENV_FIELDS, path.child("fieldRef"))
    if "resourceFieldRef" in given:
        here = path.child("resourceFieldRef")
        yield from resource_reference(mapping(source, "resourceFieldRef"), here, in_volume=False)
    for name in ("configMapKeyRef", "secretKeyRef"):
        if name in given:
            yield from key_reference(mapping(source, name), path.child(name))
    if "fileKeyRef" in given:
        yield from file_reference(mapping(source, "fileKeyRef"), path.child("fileKeyRef"))
    if not given:
        listing = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        yield invalid(path, "", f"must specify one of: {listing}")
    elif value:
        yield invalid(path, "", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        yield invalid(path, "", "may not have more than one field specified at a time")


def subscripted(field_path: str) -> tuple[str, str] | None:
    """`metadata.labels['a']` as (`metadata.labels`, `a`); None without a subscript."""
    head, opening, tail = field_path.partition("['")
    return (head, tail[:-2]) if head and opening and field_path.endswith("']") and len(tail) >= 2 else None


def field_reference(reference: Object, supported: tuple[str, ...], path: Path) -> Causes:
    """A `fieldRef`: one of the `supported` fields, or one label or annotation by its key."""
    version, field_path = text(reference, "apiVersion"), text(reference, "fieldPath")
    here = path.child("fieldPath")
    parts = subscripted(field_path)
    if not version:
        yield required(path.child("apiVersion"))
    elif not field_path:
        yield required(here)
    elif version != "v1":
        yield invalid(here, field_path, f"error converting fieldPath: unsupported pod version: {version}")
    elif parts:
        if parts[0] == "metadata.annotations":
            yield from each_invalid(path, parts[1].lower(), qualified_name(parts[1].lower()))
        elif parts[0] == "metadata.labels":
            yield from each_invalid(path, parts[1], qualified_name(parts[1]))
        else:
            why = f"error converting fieldPath: field label does not support subscript: {field_path}"
            yield invalid(here, field_path, why)
    else:
        # Clients of old say spec.host for spec.nodeName.
        known = "spec.nodeName" if field_path == "spec.host" else field_path
        if known not in KNOWN_FIELDS:
            yield invalid(here, field_path, f"error converting fieldPath: field label not supported: {field_path}")
        elif known not in supported:
            yield not_supported(here, known, supported)


def resource_reference(reference: Object, path: Path, *, in_volume: bool) -> Causes:
    """A `resourceFieldRef`; in a volume it must say of which container."""
    resource = text(reference, "resource")
    if in_volume and not text(reference, "containerName"):
        yield required(path.child("containerName"))
    elif not resource:
        yield required(path.child("resource"))
    elif resource not in RESOURCE_FIELDS and not resource.startswith(HUGE_PAGE_FIELDS):
        yield not_supported(path.child("resource"), resource, RESOURCE_FIELDS)
    divisor = amount(reference.get("divisor"))
    if divisor is None or divisor == amount("0"):
        return
    why = divisor_problem(resource, str(divisor))
    if why:
        yield invalid(path.child("divisor"), resource, why)


def divisor_problem(resource: str, divisor: str) -> str:
    kind = resource.partition(".")[2] if resource in RESOURCE_FIELDS else ""
    what = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}.get(kind, "")
    if resource.startswith(HUGE_PAGE_FIELDS):
        what = "hugepages"
    if kind == "cpu" and divisor not in CPU_DIVISORS:
        return "only divisor's values 1m and 1 are supported with the cpu resource"
    if what and divisor not in BYTE_DIVISORS:
        return f"only divisor's values {', '.join(BYTE_DIVISORS)} are supported with the {what} resource"
    return ""


def key_reference(reference: Object, path: Path) -> Causes:
    """A key of a ConfigMap or of a Secret."""
    name, key = text(reference, "name"), text(reference, "key")
    yield from each_invalid(path.child("name"), name, dns_subdomain(name))
    if key:
        yield from each_invalid(path.child("key"), key, config_key(key))
    else:
        yield required(path.child("key"))


def file_reference(reference: Object, path: Path) -> Causes:
    """A variable out of a file of an emptyDir (KEP-3721)."""
    key, volume, file = text(reference, "key"), text(reference, "volumeName"), text(reference, "path")
    if key:
        yield from each_invalid(path.child("key"), key, env_name(key))
    else:
        yield required(path.child("key"))
    if volume:
        yield from each_invalid(path.child("volumeName"), volume, dns_label(volume))
    else:
        yield required(path.child("volumeName"))
    if file:
        yield from no_backsteps(file, path.child("path"))
    else:
        yield required(path.child("path"))


def environment_sources(sources: list[Object], path: Path) -> Causes:
    """`envFrom`: a prefix, and either a ConfigMap or a Secret. What is wrong with the choice is told of the list."""
    name_check: NameCheck = as_prefix(dns_subdomain)
    for position, source in enumerate(sources):
        here = path.at(position)
        prefix = text(source, "prefix")
        if prefix:
            yield from each_invalid(here.child("prefix"), prefix, env_name(prefix))
        given = [name for name in ("configMapRef", "secretRef") if optional_mapping(source, name) is not None]
        for kind in given:
            name = text(mapping(source, kind), "name")
            if name:
                yield from each_invalid(here.child(kind, "name"), name, name_check(name))
            else:
                yield required(here.child(kind, "name"))
        if not given:
            yield invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            yield invalid(path, "", "may not have more than one field specified at a time")


def file_volumes(containers: list[tuple[Object, Path]], volumes: list[Object]) -> Causes:
    """A `fileKeyRef` reads from an emptyDir of the pod."""
    by_name = {text(volume, "name"): volume for volume in volumes}
    for container, path in containers:
        for position, variable in enumerate(items(container, "env")):
            reference = optional_mapping(mapping(variable, "valueFrom"), "fileKeyRef")
            if reference is None:
                continue
            here = path.child("env").at(position).child("valueFrom", "fileKeyRef", "volumeName")
            name = text(reference, "volumeName")
            if name not in by_name:
                yield not_found(here, name)
            elif not has(by_name[name], "emptyDir"):
                yield invalid(here, name, "referenced volume must be of type emptyDir")
