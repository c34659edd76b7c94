"""Volumes that need something outside the node: disks of clouds, network file systems.

podrun cannot mount them, but it refuses the same manifests as Kubernetes does.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from podrun.api.validation.field import Causes, Path, each_invalid, invalid, not_supported, required
from podrun.api.validation.names import between, dns_label
from podrun.api.validation.read import (
    Object,
    flag,
    has,
    number,
    optional_mapping,
    optional_number,
    optional_text,
    size,
    strings,
    text,
    texts,
)

Check = Callable[[Object, Path], Causes]

INITIATORS = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9.-]+)(:[^,;*&$|\s]+)$", re.ASCII),
    "eui": re.compile(r"^eui.[A-Za-z0-9]{16}$", re.ASCII),
    "naa": re.compile(r"^naa.[A-Za-z0-9]{32}$", re.ASCII),
}
HOST_PORT_PAIRS = "must be a host:port pair or multiple pairs separated by commas"
MANAGED_DISK = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
BLOB_DISK = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"


def needs(*fields: str) -> Check:
    """The check of a source that only needs some strings."""

    def check(details: Object, path: Path) -> Causes:
        return (required(path.child(name)) for name in fields if not text(details, name))

    return check


def needs_lists(*fields: str) -> Check:
    """The check of a source that needs some lists or strings."""

    def check(details: Object, path: Path) -> Causes:
        return (required(path.child(name)) for name in fields if not (strings(details, name) or text(details, name)))

    return check


def disk(name_field: str) -> Check:
    """A disk of a cloud, perhaps one of its partitions."""

    def check(details: Object, path: Path) -> Causes:
        if not text(details, name_field):
            yield required(path.child(name_field))
        partition = number(details, "partition")
        if not 0 <= partition <= 255:
            yield invalid(path.child("partition"), partition, between(1, 255))

    return check


def nfs(details: Object, path: Path) -> Causes:
    yield from needs("server", "path")(details, path)
    if not text(details, "path").startswith("/"):
        yield invalid(path.child("path"), text(details, "path"), "must be an absolute path")


def iscsi(details: Object, path: Path) -> Causes:
    yield from needs("targetPortal", "iqn")(details, path)
    iqn, initiator = text(details, "iqn"), optional_text(details, "initiatorName")
    if iqn:
        yield from iscsi_name(iqn, path.child("iqn"))
    lun = number(details, "lun")
    if not 0 <= lun <= 255:
        yield invalid(path.child("lun"), lun, between(0, 255))
    with_chap = flag(details, "chapAuthDiscovery") or flag(details, "chapAuthSession")
    if with_chap and not has(details, "secretRef"):
        yield required(path.child("secretRef"))
    if initiator is not None:
        yield from iscsi_name(initiator, path.child("initiatorname"))


def iscsi_name(name: str, path: Path) -> Causes:
    form = INITIATORS.get(name[:3])
    if form is None:
        yield invalid(path, name, "must be valid format starting with iqn, eui, or naa")
    elif not form.search(name):
        yield invalid(path, name, "must be valid format")


def iscsi_name_length(volume: str, details: Object, path: Path) -> Causes:
    """The name under which an iSCSI session with an initiator of its own is known."""
    if has(details, "initiatorName") and size(f"{volume}:{text(details, 'targetPortal')}") > 64:
        why = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if "
        yield invalid(path.child("name"), volume, f"{why}iscsi.initiatorName is specified.")


def flocker(details: Object, path: Path) -> Causes:
    name, uuid = text(details, "datasetName"), text(details, "datasetUUID")
    if not name and not uuid:
        yield required(path, "one of datasetName and datasetUUID is required")
    if name and uuid:
        yield invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in name:
        yield invalid(path.child("datasetName"), name, "must not contain '/'")


def cinder(details: Object, path: Path) -> Causes:
    yield from needs("volumeID")(details, path)
    yield from named_secret(details, path)


def named_secret(details: Object, path: Path) -> Causes:
    secret = optional_mapping(details, "secretRef")
    if secret is not None and not text(secret, "name"):
        yield required(path.child("secretRef", "name"))


def quobyte(details: Object, path: Path) -> Causes:
    registry = text(details, "registry")
    if not registry:
        yield required(path.child("registry"), HOST_PORT_PAIRS)
    elif size(text(details, "tenant")) >= 65:
        yield required(path.child("tenant"), "must be a UUID and may not exceed a length of 64 characters")
    else:
        for pair in registry.split(","):
            if not is_host_and_port(pair):
                yield invalid(path.child("registry"), registry, HOST_PORT_PAIRS)
    yield from needs("volume")(details, path)


def is_host_and_port(pair: str) -> bool:
    """Whether Go's net.SplitHostPort would take it: one colon, or an address in brackets before the last one."""
    host, colon, _ = pair.rpartition(":")
    if not colon:
        return False
    if host.startswith("["):
        return host.endswith("]") and "[" not in host[1:] and "]" not in host[1:-1]
    return not set(host) & set(":[]")


def fibre_channel(details: Object, path: Path) -> Causes:
    targets, wwids = strings(details, "targetWWNs"), strings(details, "wwids")
    here = path.child("targetWWNs")
    if not targets and not wwids:
        yield required(here, "must specify either targetWWNs or wwids, but not both")
    if targets and wwids:
        yield invalid(here, targets, "targetWWNs and wwids can not be specified simultaneously")
    lun = optional_number(details, "lun")
    if targets and lun is None:
        yield required(path.child("lun"), "lun is required if targetWWNs is specified")
    elif targets and lun is not None and not 0 <= lun <= 255:
        yield invalid(path.child("lun"), lun, between(0, 255))


def flex_volume(details: Object, path: Path) -> Causes:
    yield from needs("driver")(details, path)
    for key in texts(details, "options"):
        domain = f".{key.partition('/')[0].lower()}"
        if domain.endswith((".kubernetes.io", ".k8s.io")):
            why = "kubernetes.io and k8s.io namespaces are reserved"
            yield invalid(path.child("options").key(key), key, why)


def azure_disk(details: Object, path: Path) -> Causes:
    yield from needs("diskName", "diskURI")(details, path)
    caching, kind, uri = optional_text(details, "cachingMode"), optional_text(details, "kind"), text(details, "diskURI")
    modes, kinds = ("None", "ReadOnly", "ReadWrite"), ("Dedicated", "Managed", "Shared")
    if caching is not None and caching not in modes:
        yield not_supported(path.child("cachingMode"), caching, modes)
    if kind is not None and kind not in kinds:
        yield not_supported(path.child("kind"), kind, kinds)
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        yield not_supported(path.child("diskURI"), uri, (MANAGED_DISK,))
    if kind not in (None, "Managed") and not uri.startswith("https://"):
        yield not_supported(path.child("diskURI"), uri, (BLOB_DISK,))


def storage_os(details: Object, path: Path) -> Causes:
    name, namespace = text(details, "volumeName"), text(details, "volumeNamespace")
    if name:
        yield from each_invalid(path.child("volumeName"), name, dns_label(name))
    else:
        yield required(path.child("volumeName"))
    if namespace:
        yield from each_invalid(path.child("volumeNamespace"), namespace, dns_label(namespace))
    yield from named_secret(details, path)


REMOTE: dict[str, Check] = {
    "gcePersistentDisk": disk("pdName"),
    "awsElasticBlockStore": disk("volumeID"),
    "nfs": nfs,
    "iscsi": iscsi,
    "glusterfs": needs("endpoints", "path"),
    "flocker": flocker,
    "rbd": needs_lists("monitors", "image"),
    "cinder": cinder,
    "cephfs": needs_lists("monitors"),
    "quobyte": quobyte,
    "fc": fibre_channel,
    "flexVolume": flex_volume,
    "azureFile": needs("secretName", "shareName"),
    "vsphereVolume": needs("volumePath"),
    "photonPersistentDisk": needs("pdID"),
    "portworxVolume": needs("volumeID"),
    "azureDisk": azure_disk,
    "storageos": storage_os,
    "scaleIO": needs("gateway", "system", "volumeName"),
}
