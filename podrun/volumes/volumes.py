"""The volumes of pods, below one directory laid out as the kubelet's: `UID/volumes/kubernetes.io~empty-dir/NAME`."""

from __future__ import annotations

from pathlib import Path

from podrun.api.pod import Pod
from podrun.volumes.model import ObjectLookup, PreparedVolume, Usage


class Volumes:
    """Sets up, refreshes, measures and takes down the volumes of pods below `root`.

    Everything on disk is the truth: an instance has no memory of pods beyond the tokens it has handed out, so a new
    one (after a restart of podrund) goes on where the last one ended.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    async def prepare(self, pod: Pod, lookup: ObjectLookup) -> dict[str, PreparedVolume]:
        """Every volume of the pod, by name; what is there already stays as it is (and is brought up to date).

        Raises VolumeError for the first one that cannot be had; the others stay for the next try.
        """
        raise NotImplementedError

    async def refresh(self, pod: Pod, lookup: ObjectLookup) -> frozenset[str]:
        """Bring configMap, secret, downwardAPI and projected volumes up to date; gives the names that changed.

        Raises VolumeError as `prepare`; what could not be read keeps its old files.
        """
        raise NotImplementedError

    def next_refresh(self, pod_uid: str) -> float | None:
        """When (seconds since the epoch) a token of the pod is due to be renewed by `refresh`; None: never."""
        raise NotImplementedError

    def usage(self, pod: Pod) -> list[Usage]:
        """What each emptyDir of the pod uses. Reads the disk: call it off the event loop."""
        raise NotImplementedError

    async def teardown(self, pod_uid: str) -> None:
        """Unmount and remove everything of the pod, never following a link out of it. Harmless when there is nothing."""
        raise NotImplementedError

    def pods(self) -> list[str]:
        """The uids that have a directory here, for the caller to take down those it does not know."""
        raise NotImplementedError
