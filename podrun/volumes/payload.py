"""What the files of configMap, secret, downwardAPI and projected volumes hold: pure.

Rules and sentences: the kubelet's MakePayload and CollectData (pkg/volume/{configmap,secret,downwardapi,projected}).
"""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from podrun.api.pod import ConfigMapSource, DownwardSource, KeyToPath, Pod, ProjectedPart, SecretSource, TokenSource
from podrun.lifecycle.downward import FieldUnknown, Surroundings, field_value, resource_value
from podrun.volumes.model import Object

_DEFAULT_MODE = 0o644


@dataclass(frozen=True, slots=True)
class File:
    """One file of a volume."""

    content: bytes
    mode: int
    owner: int | None = None
    """uid; None leaves it root's."""


Payload = dict[str, File]
"""Relative path -> file."""


class Unavailable(ValueError):
    """The volume's content cannot be had; the sentence is the kubelet's."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where content comes from."""

    config_map: Callable[[str], Object | None]
    secret: Callable[[str], Object | None]
    token: Callable[[TokenSource], str]
    allocatable: Mapping[str, str]


def of_config_map(source: ConfigMapSource, obj: Object | None, default_mode: int | None) -> Payload:
    """Files of a ConfigMap; `obj` is None when there is none of that name."""
    if obj is None and not source.optional:
        raise Unavailable(f'configmap "{source.name}" not found')
    obj = obj or {}
    content = {key: text.encode() for key, text in (obj.get("data") or {}).items()}
    content |= {key: base64.b64decode(text) for key, text in (obj.get("binaryData") or {}).items()}
    return _project(
        content, source.items, default_mode, source.optional, "configmap references non-existent config key"
    )


def of_secret(
    name: str, items: tuple[KeyToPath, ...], optional: bool, obj: Object | None, default_mode: int | None
) -> Payload:
    """Files of a Secret; `obj` is None when there is none of that name."""
    if obj is None and not optional:
        raise Unavailable(f'secret "{name}" not found')
    content = {key: base64.b64decode(text) for key, text in ((obj or {}).get("data") or {}).items()}
    return _project(content, items, default_mode, optional, "references non-existent secret key")


def _project(
    content: Mapping[str, bytes],
    items: tuple[KeyToPath, ...],
    default_mode: int | None,
    optional: bool,
    complaint: str,
) -> Payload:
    mode = _DEFAULT_MODE if default_mode is None else default_mode
    if not items:
        return {key: File(value, mode) for key, value in content.items()}
    payload = {}
    for item in items:
        if item.key in content:
            payload[item.path] = File(content[item.key], mode if item.mode is None else item.mode)
        elif not optional:
            raise Unavailable(f"{complaint}: {item.key}")
    return payload


def of_downward(source: DownwardSource, pod: Pod, allocatable: Mapping[str, str], default_mode: int | None) -> Payload:
    """Fields and resources of the pod."""
    around = Surroundings(allocatable=allocatable)
    mode = _DEFAULT_MODE if default_mode is None else default_mode
    payload = {}
    for item in source.items:
        text = ""
        if item.field_ref is not None:
            try:
                text = field_value(pod, item.field_ref.field_path, around)
            except FieldUnknown as error:
                raise Unavailable(str(error)) from None
        elif (ref := item.resource_field_ref) is not None:
            container = pod.container(ref.container_name)
            if container is None:
                raise Unavailable(f"container {ref.container_name} not found")
            text = resource_value(pod, container, ref, around)
        file = File(text.encode(), mode if item.mode is None else item.mode)
        payload[posixpath.normpath(item.path)] = file
    return payload


def of_projected(parts: Iterable[ProjectedPart], pod: Pod, sources: Sources, default_mode: int | None) -> Payload:
    """Several sources in one directory, later ones over earlier ones; every failing source is named."""
    payload: Payload = {}
    failures: list[str] = []
    for part in parts:
        try:
            payload |= _part(part, pod, sources, default_mode)
        except Unavailable as error:
            failures.append(str(error))
    if failures:
        distinct = list(dict.fromkeys(failures))
        raise Unavailable(distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]")
    return payload


def _part(part: ProjectedPart, pod: Pod, sources: Sources, default_mode: int | None) -> Payload:
    if part.config_map is not None:
        return of_config_map(part.config_map, sources.config_map(part.config_map.name), default_mode)
    if part.secret is not None:
        ref = part.secret
        return of_secret(ref.name, ref.items, ref.optional, sources.secret(ref.name), default_mode)
    if part.downward_api is not None:
        return of_downward(part.downward_api, pod, sources.allocatable, default_mode)
    if part.service_account_token is not None:
        source = part.service_account_token
        mode = _DEFAULT_MODE if default_mode is None else default_mode
        owner = common_user(pod)
        # A token is for its reader alone where the reader is known; an fsGroup then adds the group's bit.
        if owner is not None or pod.spec.security_context.fs_group is not None:
            mode = 0o600
        return {source.path: File(sources.token(source).encode(), mode, owner)}
    kind = next((name for name in ("cluster_trust_bundle", "pod_certificate") if getattr(part, name) is not None), "")
    raise Unavailable(f"podrun cannot project {kind or 'this source'}: it is issued by a cluster")


def of_secret_volume(source: SecretSource, obj: Object | None) -> Payload:
    """Files of a secret volume."""
    return of_secret(source.secret_name, source.items, source.optional, obj, source.default_mode)


def common_user(pod: Pod) -> int | None:
    """The uid that every container of the pod runs as, if the specification says one (pkg/volume/util, FsUserFrom)."""
    users = {
        own if (own := container.security_context.run_as_user) is not None else pod.spec.security_context.run_as_user
        for container in (*pod.spec.init_containers, *pod.spec.containers, *pod.spec.ephemeral_containers)
    }
    return users.pop() if len(users) == 1 else None
