"""What volumes ask the rest of podrun for: objects, tokens, images' files, the node's resources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from podrun.images.model import ImageError
from podrun.store.store import Store
from podrun.supervisor.needs import Images

Token = Callable[[str, str, str, int, tuple[str, str]], str]
"""(namespace, service account, audience or "", seconds, (pod name, pod uid)) -> signed token."""


class Lookup:
    """A podrun.volumes.model.ObjectLookup."""

    def __init__(self, store: Store, images: Images, token: Token, allocatable: Mapping[str, str]) -> None:
        self._store, self._images, self._token, self._allocatable = store, images, token, allocatable

    def get(self, resource: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """An object of the store."""
        return self._store.get(resource, namespace, name)

    def token(
        self, namespace: str, service_account: str, audience: str, expiration_seconds: int, pod: tuple[str, str]
    ) -> str:
        """A ServiceAccount token bound to the pod."""
        return self._token(namespace, service_account, audience, expiration_seconds, pod)

    def image_layers(self, reference: str) -> tuple[Path, ...]:
        """The layers of an image that is here; () where it is not."""
        try:
            image = self._images.get(reference)
        except ImageError:
            return ()
        return image.layers if image is not None else ()

    def allocatable(self) -> Mapping[str, str]:
        """What the node has to give."""
        return self._allocatable
