"""How a container uses the pod's volumes: `volumeMounts` and `volumeDevices`.

Some causes carry the path of the list instead of that of its element (`volumeMounts.subPath`): that is how Kubernetes
says it.
"""

from __future__ import annotations

from podrun.api.validation.field import Causes, Path, forbidden, invalid, not_found, not_supported, required
from podrun.api.validation.paths import descending
from podrun.api.validation.read import Object, flag, has, items, mapping, optional_text, text

PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
RECURSIVE_READ_ONLY = ("Disabled", "Enabled", "IfPossible")


def mounts_and_devices(container: Object, volumes: dict[str, Object], path: Path) -> Causes:
    """`volumeMounts` and `volumeDevices` of one container; `volumes` are the pod's valid ones by name."""
    mounts, devices = items(container, "volumeMounts"), items(container, "volumeDevices")
    device_paths = {text(device, "name"): text(device, "devicePath") for device in devices}
    mount_paths = {text(mount, "name"): text(mount, "mountPath") for mount in mounts}
    privileged = flag(mapping(container, "securityContext"), "privileged")
    yield from volume_mounts(mounts, device_paths, volumes, path.child("volumeMounts"), privileged=privileged)
    yield from volume_devices(devices, mount_paths, volumes, path.child("volumeDevices"))


def volume_mounts(
    mounts: list[Object], devices: dict[str, str], volumes: dict[str, Object], path: Path, *, privileged: bool
) -> Causes:
    seen: set[str] = set()
    for position, mount in enumerate(mounts):
        here = path.at(position)
        name, mount_path = text(mount, "name"), text(mount, "mountPath")
        if not name:
            yield required(here.child("name"))
        if name not in volumes:
            yield not_found(here.child("name"), name)
        if not mount_path:
            yield required(here.child("mountPath"))
        if mount_path in seen:
            yield invalid(here.child("mountPath"), mount_path, "must be unique")
        seen.add(mount_path)
        if name in devices:
            yield invalid(here.child("name"), name, "must not already exist in volumeDevices")
        if mount_path in devices.values():
            why = "must not already exist as a path in volumeDevices"
            yield invalid(here.child("mountPath"), mount_path, why)
        yield from sub_paths(mount, here, path)
        yield from propagation(mount, path.child("mountPropagation"), privileged=privileged)
        yield from recursive_read_only(mount, path.child("recursiveReadOnly"))


def sub_paths(mount: Object, here: Path, path: Path) -> Causes:
    sub_path, expression = text(mount, "subPath"), text(mount, "subPathExpr")
    if sub_path:
        yield from descending(sub_path, path.child("subPath"))
    if expression:
        if sub_path:
            yield invalid(here.child("subPathExpr"), expression, "subPathExpr and subPath are mutually exclusive")
        yield from descending(expression, path.child("subPathExpr"))


def propagation(mount: Object, path: Path, *, privileged: bool) -> Causes:
    value = optional_text(mount, "mountPropagation")
    if value is None:
        return
    if value not in PROPAGATIONS:
        yield not_supported(path, value, PROPAGATIONS)
    if value == "Bidirectional" and not privileged:
        yield forbidden(path, "Bidirectional mount propagation is available only to privileged containers")


def recursive_read_only(mount: Object, path: Path) -> Causes:
    value = optional_text(mount, "recursiveReadOnly")
    if value is None or value == "Disabled":
        return
    if value not in RECURSIVE_READ_ONLY:
        yield not_supported(path, value, RECURSIVE_READ_ONLY)
        return
    if not flag(mount, "readOnly"):
        yield forbidden(path, "may only be specified when readOnly is true")
    if optional_text(mount, "mountPropagation") not in (None, "None"):
        yield forbidden(path, "may only be specified when mountPropagation is None or not specified")


def volume_devices(devices: list[Object], mounts: dict[str, str], volumes: dict[str, Object], path: Path) -> Causes:
    names: set[str] = set()
    device_paths: set[str] = set()
    for position, device in enumerate(devices):
        here = path.at(position)
        name, device_path = text(device, "name"), text(device, "devicePath")
        volume = volumes.get(name)
        if not name:
            yield required(here.child("name"))
        if name in names:
            yield invalid(here.child("name"), name, "must be unique")
        if volume is None:
            yield not_found(here.child("name"), name)
        elif not has(volume, "persistentVolumeClaim") and not has(volume, "ephemeral"):
            why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            yield invalid(here.child("name"), name, why)
        if not device_path:
            yield required(here.child("devicePath"))
        if device_path in device_paths:
            yield invalid(here.child("devicePath"), device_path, "must be unique")
        if ".." in device_path.split("/"):
            yield invalid(here.child("devicePath"), device_path, "can not contain backsteps ('..')")
        else:
            device_paths.add(device_path)
        if name in mounts:
            yield invalid(here.child("name"), name, "must not already exist in volumeMounts")
        if device_path in mounts.values():
            why = "must not already exist as a path in volumeMounts"
            yield invalid(here.child("devicePath"), device_path, why)
        if name:
            names.add(name)
