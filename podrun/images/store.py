"""The images of this machine: what is here, and every way in and out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from podrun.images.model import Credentials, Image, Limits, OnProgress, ignore_progress


class ImageStore:
    """A content-addressed store below one directory; safe to use from several processes at once.

    All methods belong to the event loop's thread; what takes time is done in child processes and threads.
    """

    def __init__(
        self,
        root: Path,
        *,
        mirrors: Mapping[str, Sequence[str]] | None = None,
        limits: Limits = Limits(),
    ) -> None:
        """`mirrors` gives, for a registry (`docker.io`), the addresses to ask before it, in order."""

    def get(self, reference: str) -> Image | None:
        """The image a pod means by `reference` (also by id or digest); ImageError InvalidImageName."""
        raise NotImplementedError

    def list(self) -> list[Image]:
        """Every image, by name."""
        raise NotImplementedError

    async def load(self, path: Path, on_progress: OnProgress = ignore_progress) -> list[Image]:
        """Take in a `docker save` file, an OCI archive or an OCI directory; gives what it held."""
        raise NotImplementedError

    async def pull(
        self,
        reference: str,
        credentials: Sequence[Credentials] = (),
        on_progress: OnProgress = ignore_progress,
    ) -> Image:
        """Get the image from its registry; pulls of one image at once become one. Each of `credentials` is tried."""
        raise NotImplementedError

    async def build(self, recipe: Path, on_progress: OnProgress = ignore_progress) -> list[Image]:
        """Make what a recipe (images/NAME.yaml) says; an unchanged recipe is answered from the store."""
        raise NotImplementedError

    async def remove(self, reference: str) -> bool:
        """Forget a name (or, by id, an image with all its names); gives whether it was here."""
        raise NotImplementedError

    async def garbage_collect(self, in_use: Collection[str]) -> int:
        """Remove layers that no image names and images not `in_use` (ids) that have no name; gives bytes freed."""
        raise NotImplementedError
