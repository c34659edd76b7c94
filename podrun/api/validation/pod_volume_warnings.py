"""Volumes of a pod that will not be what they seem: types without a driver, files on top of each other."""

from __future__ import annotations

from collections.abc import Iterator

from podrun.api.gotext import quote
from podrun.api.validation.amounts import amount
from podrun.api.validation.field import Path
from podrun.api.validation.pod_volumes import PROJECTIONS
from podrun.api.validation.read import Object, has, items, mapping, optional_mapping, text

GONE = {
    "photonPersistentDisk": ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    "gitRepo": ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    "scaleIO": ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    "flocker": ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    "storageos": ("storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    "quobyte": ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    "glusterfs": ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    "cephfs": ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    "rbd": ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
}
"""Fields, how their warnings call them, and since when they do nothing."""

Files = list[tuple[str, str]]
"""Paths of files in a volume, and where each comes from."""


def volume_warnings(volumes: list[Object], path: Path) -> Iterator[str]:
    for position, volume in enumerate(volumes):
        for kind, (shown, why) in GONE.items():
            if has(volume, kind):
                yield f"{path.at(position).child(shown)}: {why}"
        template = optional_mapping(mapping(volume, "ephemeral"), "volumeClaimTemplate")
        storage = amount(mapping(mapping(mapping(template or {}, "spec"), "resources"), "requests").get("storage"))
        if storage is not None and storage.milli_value() % 1000:
            here = path.at(position).child("ephemeral", "volumeClaimTemplate", "spec", "resources", "requests")
            why = f"fractional byte value {quote(str(storage))} is invalid, must be an integer"
            yield f"{here.key('storage')}: {why}"
    for volume in volumes:
        yield from overlap_warnings(volume)


def claim_warnings(spec: Object, path: Path) -> Iterator[str]:
    """Of a pod that will wait for ever, in words of our own: what it says itself is that its claim is not found."""
    if spec.get("schedulerName", "default-scheduler") != "default-scheduler":
        return
    for position, volume in enumerate(items(spec, "volumes")):
        for kind in ("persistentVolumeClaim", "ephemeral"):
            if has(volume, kind):
                yield (
                    f"{path.at(position).child(kind)}: podrun has no storage to claim, so that this pod stays Pending; "
                    "use emptyDir, hostPath, configMap, secret, downwardAPI, projected or image"
                )


def overlap_warnings(volume: Object) -> Iterator[str]:
    """Files of one volume that hide each other or need the other to be a directory."""
    name = quote(text(volume, "name"))
    for kind, title, name_field in (
        ("configMap", "ConfigMap", "name"),
        ("secret", "Secret", "secretName"),
        ("downwardAPI", "DownwardAPI", ""),
    ):
        details = mapping(volume, kind)
        what = f"{title} {quote(text(details, name_field))}" if name_field else title
        files = [(text(item, "path"), "") for item in items(details, "items")]
        for overlap in overlaps(files):
            yield f"volume {name} ({what}): overlapping paths: {overlap}"
    files = []
    for source in items(mapping(volume, "projected"), "sources"):
        if not any(has(source, kind) for kind in PROJECTIONS):
            yield f"volume {name} (Projected) has no sources provided"
        files += projected_files(source)
    for overlap in overlaps(files):
        yield f"volume {name} (Projected): overlapping paths: {overlap}"


def projected_files(source: Object) -> Files:
    for kind, title in (("configMap", "ConfigMap"), ("secret", "Secret"), ("downwardAPI", "DownwardAPI")):
        details = mapping(source, kind)
        if items(details, "items"):
            what = title if kind == "downwardAPI" else f"{title} {quote(text(details, 'name'))}"
            return [(text(item, "path"), what) for item in items(details, "items")]
    token = optional_mapping(source, "serviceAccountToken")
    return [(text(token, "path"), "ServiceAccountToken")] if token is not None else []


def overlaps(files: Files) -> Iterator[str]:
    """Each file that overlaps an earlier one, with that one."""
    seen: Files = []
    for path, source in files:
        current = (path.rstrip("/"), source)
        for other in seen:
            if current[0] and other[0] and overlap(current[0], other[0]):
                yield f"{shown(current)} with {shown(other)}"
        seen.append(current)


def overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def shown(file: tuple[str, str]) -> str:
    path, source = file
    return f"{quote(path)} ({source})" if source else quote(path)
