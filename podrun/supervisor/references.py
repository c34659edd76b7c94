"""Which ConfigMaps and Secrets a pod is made from."""

from __future__ import annotations

from collections.abc import Iterator

from podrun.api.pod import Container, Pod


def uses(pod: Pod, resource: str, name: str) -> bool:
    """Whether the pod's volumes or variables come from this object ("configmaps" or "secrets", in its namespace)."""
    return any(used == (resource, name) for used in _all(pod))


def _all(pod: Pod) -> Iterator[tuple[str, str]]:
    spec = pod.spec
    for volume in spec.volumes:
        if volume.config_map is not None:
            yield "configmaps", volume.config_map.name
        if volume.secret is not None:
            yield "secrets", volume.secret.secret_name
        for part in volume.projected.sources if volume.projected is not None else ():
            if part.config_map is not None:
                yield "configmaps", part.config_map.name
            if part.secret is not None:
                yield "secrets", part.secret.name
    for container in (*spec.containers, *spec.init_containers, *spec.ephemeral_containers):
        yield from _of_container(container)
    for pull_secret in spec.image_pull_secrets:
        yield "secrets", pull_secret.name


def _of_container(container: Container) -> Iterator[tuple[str, str]]:
    for source in container.env_from:
        if source.config_map_ref is not None:
            yield "configmaps", source.config_map_ref.name
        if source.secret_ref is not None:
            yield "secrets", source.secret_ref.name
    for variable in container.env:
        if variable.value_from is None:
            continue
        if variable.value_from.config_map_key_ref is not None:
            yield "configmaps", variable.value_from.config_map_key_ref.name
        if variable.value_from.secret_key_ref is not None:
            yield "secrets", variable.value_from.secret_key_ref.name
