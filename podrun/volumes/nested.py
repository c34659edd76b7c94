"""Mount points inside volumes that only podrun writes: they must be there before the volume is mounted read-only."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from podrun.api.pod import Container, Pod


def mount_points(volume: str, pod: Pod) -> tuple[str, ...]:
    """Directories to make below the volume's root: where containers mount others inside it (getNestedMountpoints)."""
    found = {
        point
        for container in (*pod.spec.init_containers, *pod.spec.containers)
        for point in _of_container(volume, container)
    }
    return tuple(sorted(found))


def _of_container(volume: str, container: Container) -> Iterator[str]:
    mounted = sorted((posixpath.normpath(one.mount_path), one.name) for one in container.volume_mounts)
    for mine, name in mounted:
        if name != volume:
            continue
        previous = ""
        for path, _ in mounted:
            if not path.startswith(f"{mine}/") or (previous and path.startswith(f"{previous}/")):
                continue
            previous = path
            yield path.removeprefix(f"{mine}/")
