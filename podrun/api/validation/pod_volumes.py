"""The pod's volumes: one source each, names that are unique, and what is inside the sources that a node has itself."""

from __future__ import annotations

from collections.abc import Callable

from podrun.api.gotext import quote
from podrun.api.validation.amounts import ZERO, amount
from podrun.api.validation.field import (
    Causes,
    Path,
    choice,
    duplicate,
    each_invalid,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
)
from podrun.api.validation.names import dns_label, dns_subdomain
from podrun.api.validation.paths import descending, no_backsteps, not_reserved
from podrun.api.validation.pod_env import VOLUME_FIELDS, field_reference, resource_reference
from podrun.api.validation.pod_volumes_remote import REMOTE, iscsi_name_length
from podrun.api.validation.read import (
    Object,
    has,
    items,
    mapping,
    number,
    optional_mapping,
    optional_number,
    optional_text,
    size,
    text,
)
from podrun.api.validation.volume_claims import claim_template

HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
FILE_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
ODD_FIRST = {"gcePersistentDisk": "persistentDisk"}
ODD_SECOND = {"downwardAPI": "downwarAPI", "cephfs": "cephFS"}
"""Paths that Kubernetes spells unlike the field: of the source that is looked into, and of one too many."""
ONE_TYPE = "may not specify more than 1 volume type"


def volumes(listed: list[Object], pod_name: str, path: Path, *, is_pod: bool) -> tuple[dict[str, Object], Causes]:
    """The valid volumes by name, and the causes of the others.

    `pod_name` is empty in a template: then the names of claims made for ephemeral volumes are not known.
    """
    usable: dict[str, Object] = {}
    causes = []
    made_claims = {f"{pod_name}-{text(one, 'name')}" for one in listed if pod_name and has(one, "ephemeral")}
    for position, volume in enumerate(listed):
        here = path.at(position)
        name = text(volume, "name")
        found = list(source(volume, pod_name, here, is_pod=is_pod))
        if name:
            found += each_invalid(here.child("name"), name, dns_label(name))
        else:
            found.append(required(here.child("name")))
        if name in usable:
            found.append(duplicate(here.child("name"), name))
        if not found:
            usable[name] = volume
        claim = text(mapping(volume, "persistentVolumeClaim"), "claimName")
        if has(volume, "persistentVolumeClaim") and claim in made_claims:
            why = "must not reference a PVC that gets created for an ephemeral volume"
            found.append(invalid(here.child("persistentVolumeClaim", "claimName"), claim, why))
        causes += found
    return usable, iter(causes)


def source(volume: Object, pod_name: str, path: Path, *, is_pod: bool) -> Causes:
    """Exactly one source. Only the first one is looked into; the order is that of Kubernetes' API."""
    taken = False
    for kind, check in SOURCES.items():
        details = optional_mapping(volume, kind)
        if details is None:
            continue
        if taken:
            yield forbidden(path.child(ODD_SECOND.get(kind, kind)), ONE_TYPE)
        else:
            yield from check(details, path.child(ODD_FIRST.get(kind, kind)))
            if kind == "ephemeral":
                yield from made_claim(text(volume, "name"), pod_name, path)
            if kind == "image" and is_pod and not text(details, "reference"):
                yield required(path.child("image", "reference"))
        if kind == "iscsi":
            yield from iscsi_name_length(text(volume, "name"), details, path)
        taken = True
    if not taken:
        yield required(path, "must specify a volume type")


def made_claim(name: str, pod_name: str, path: Path) -> Causes:
    """The name of the claim that an ephemeral volume brings about."""
    claim = f"{pod_name}-{name}"
    if pod_name and name:
        for problem in dns_subdomain(claim):
            yield invalid(path.child("name"), name, f"PVC name {quote(claim)}: {problem}")


def empty_dir(details: Object, path: Path) -> Causes:
    limit = amount(details.get("sizeLimit"))
    if limit is not None and limit < ZERO:
        yield forbidden(path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity")


def host_path(details: Object, path: Path) -> Causes:
    if not text(details, "path"):
        yield required(path.child("path"))
        return
    yield from no_backsteps(text(details, "path"), path.child("path"))
    kind = optional_text(details, "type")
    if kind is not None and kind not in HOST_PATH_TYPES:
        yield not_supported(path.child("type"), kind, HOST_PATH_TYPES)


def git_repo(details: Object, path: Path) -> Causes:
    if not text(details, "repository"):
        yield required(path.child("repository"))
    yield from descending(text(details, "directory"), path.child("directory"))


def file_mode(details: Object, name: str, path: Path) -> Causes:
    mode = optional_number(details, name)
    if mode is not None and not 0 <= mode <= 0o777:
        yield invalid(path.child(name), mode, FILE_MODE)


def key_to_path(item: Object, path: Path) -> Causes:
    """One of the `items` of a ConfigMap or a Secret."""
    if not text(item, "key"):
        yield required(path.child("key"))
    if not text(item, "path"):
        yield required(path.child("path"))
    yield from not_reserved(text(item, "path"), path.child("path"))
    yield from file_mode(item, "mode", path)


def keyed_files(name_field: str) -> Callable[[Object, Path], Causes]:
    """The check of a `secret` or `configMap` volume, which differ in how they name their object."""

    def check(details: Object, path: Path) -> Causes:
        if not text(details, name_field):
            yield required(path.child(name_field))
        yield from file_mode(details, "defaultMode", path)
        for position, item in enumerate(items(details, "items")):
            yield from key_to_path(item, path.child("items").at(position))

    return check


def claim(details: Object, path: Path) -> Causes:
    if not text(details, "claimName"):
        yield required(path.child("claimName"))


def downward_api(details: Object, path: Path) -> Causes:
    yield from file_mode(details, "defaultMode", path)
    for item in items(details, "items"):
        yield from downward_file(item, path)


def downward_file(item: Object, path: Path) -> Causes:
    """One file of a downwardAPI volume. The path of its causes is that of the volume, as Kubernetes has it."""
    if not text(item, "path"):
        yield required(path.child("path"))
    yield from not_reserved(text(item, "path"), path.child("path"))
    field = optional_mapping(item, "fieldRef")
    resource = optional_mapping(item, "resourceFieldRef")
    if field is not None:
        yield from field_reference(field, VOLUME_FIELDS, path.child("fieldRef"))
        if resource is not None:
            yield invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif resource is not None:
        yield from resource_reference(resource, path.child("resourceFieldRef"), in_volume=True)
    else:
        yield required(path, "one of fieldRef and resourceFieldRef is required")
    yield from file_mode(item, "mode", path)


def projected(details: Object, path: Path) -> Causes:
    """Several sources in one volume, whose files may not collide.

    `clusterTrustBundle` and `podCertificate` are behind feature gates that are off in 1.36: such a source is dropped
    before it is checked, and an empty source is none that could be wrong.
    """
    yield from file_mode(details, "defaultMode", path)
    taken: set[str] = set()
    for position, one in enumerate(items(details, "sources")):
        here = path.child("sources").at(position)
        given = [kind for kind in PROJECTIONS if optional_mapping(one, kind) is not None]
        for kind in given:
            inner, inner_path = mapping(one, kind), here.child(kind)
            if kind == "serviceAccountToken":
                yield from account_token(inner, inner_path, path)
                continue
            if kind != "downwardAPI" and not text(inner, "name"):
                yield required(inner_path.child("name"))
            for index, item in enumerate(items(inner, "items")):
                if kind == "downwardAPI":
                    yield from downward_file(item, inner_path)
                else:
                    yield from key_to_path(item, inner_path.child("items").at(index))
                file = text(item, "path")
                if file and file in taken:
                    shown = file if kind == "downwardAPI" else text(inner, "name")
                    yield invalid(path, shown, "conflicting duplicate paths")
                taken.add(file)
        if len(given) > 1:
            yield forbidden(here, "may not specify more than 1 volume type per source")


PROJECTIONS = ("secret", "configMap", "downwardAPI", "serviceAccountToken")


def account_token(details: Object, path: Path, volume_path: Path) -> Causes:
    """A token of the pod's account: its life, and where it goes (told of the volume, as Kubernetes has it)."""
    seconds = number(details, "expirationSeconds")
    if seconds < 10 * 60:
        why = "may not specify a duration less than 10 minutes"
        yield invalid(path.child("expirationSeconds"), seconds, why)
    if seconds > 1 << 32:
        why = "may not specify a duration larger than 2^32 seconds"
        yield invalid(path.child("expirationSeconds"), seconds, why)
    if not text(details, "path"):
        yield required(volume_path.child("path"))
    else:
        yield from not_reserved(text(details, "path"), volume_path.child("path"))


def ephemeral(details: Object, path: Path) -> Causes:
    template = optional_mapping(details, "volumeClaimTemplate")
    if template is None:
        yield required(path.child("volumeClaimTemplate"))
    else:
        yield from claim_template(template, path.child("volumeClaimTemplate"))


def image(details: Object, path: Path) -> Causes:
    return choice(path.child("pullPolicy"), text(details, "pullPolicy"), PULL_POLICIES)


def csi(details: Object, path: Path) -> Causes:
    driver = text(details, "driver")
    if not driver:
        yield required(path.child("driver"))
    else:
        if size(driver) > 63:
            yield too_long(path.child("driver"), 63)
        yield from each_invalid(path.child("driver"), driver, dns_subdomain(driver.lower()))
    secret = optional_mapping(details, "nodePublishSecretRef")
    if secret is not None:
        name = text(secret, "name")
        if not name:
            yield required(path.child("nodePublishSecretRef", "name"))
        yield from each_invalid(path.child("name"), name, dns_subdomain(name) if name else [])


LOCAL: dict[str, Callable[[Object, Path], Causes]] = {
    "emptyDir": empty_dir,
    "hostPath": host_path,
    "gitRepo": git_repo,
    "secret": keyed_files("secretName"),
    "persistentVolumeClaim": claim,
    "downwardAPI": downward_api,
    "configMap": keyed_files("name"),
    "projected": projected,
    "csi": csi,
    "ephemeral": ephemeral,
    "image": image,
}

ORDER = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
]

SOURCES: dict[str, Callable[[Object, Path], Causes]] = {kind: (LOCAL | REMOTE)[kind] for kind in ORDER}
"""The sources in the order in which Kubernetes looks for them: only the first one given is checked."""
