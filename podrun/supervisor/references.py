"""Which ConfigMaps and Secrets a pod is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from podrun.api.pod import Container, Pod


def uses(pod: Pod, resource: str, name: str) -> bool:
    """Whether the pod's volumes or variables come from this object ("configmaps" or "secrets", in its namespace)."""
    return any(used == (resource, name) for used in _all(pod))


def are_there(pod: Pod, get: Callable[[str, str, str], object | None]) -> bool:
    """Whether the pod's volumes are of kinds made from objects, and all of those are there, whole.

    `get` is the store's. Keys chosen one by one may be missing, paths of the host be something else: then it is not
    known before it is tried.
    """
    for volume in pod.spec.volumes:
        if volume.kind not in ("emptyDir", "configMap", "secret", "downwardAPI", "projected"):
            return False
        if (volume.config_map and volume.config_map.items) or (volume.secret and volume.secret.items):
            return False
    return all(get(resource, pod.metadata.namespace, name) is not None for resource, name in _of_volumes(pod))


def _all(pod: Pod) -> Iterator[tuple[str, str]]:
    yield from _of_volumes(pod)
    for container in (*pod.spec.containers, *pod.spec.init_containers, *pod.spec.ephemeral_containers):
        yield from _of_container(container)
    for pull_secret in pod.spec.image_pull_secrets:
        yield "secrets", pull_secret.name


def _of_volumes(pod: Pod) -> Iterator[tuple[str, str]]:
    for volume in pod.spec.volumes:
        if volume.config_map is not None:
            yield "configmaps", volume.config_map.name
        if volume.secret is not None:
            yield "secrets", volume.secret.secret_name
        for part in volume.projected.sources if volume.projected is not None else ():
            if part.config_map is not None:
                yield "configmaps", part.config_map.name
            if part.secret is not None:
                yield "secrets", part.secret.name


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
