"""The volumes of pods, below one directory laid out as the kubelet's: `UID/volumes/kubernetes.io~empty-dir/NAME`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from podrun.api.pod import Pod, TokenSource, Volume
from podrun.volumes import atomic, empty_dir, host_path, image_volume, nested, payload, takedown, usage
from podrun.volumes.model import Object, ObjectLookup, PreparedVolume, Usage, VolumeError
from podrun.volumes.ownership import set_group
from podrun.volumes.payload import Payload, Unavailable
from podrun.volumes.tokens import Tokens

_DIRECTORIES = {
    "emptyDir": "kubernetes.io~empty-dir",
    "configMap": "kubernetes.io~configmap",
    "secret": "kubernetes.io~secret",
    "downwardAPI": "kubernetes.io~downward-api",
    "projected": "kubernetes.io~projected",
    "image": "kubernetes.io~image",
}
"""Volume types that have a directory of the pod, and the kubelet's name for it."""
_KEPT_UP_TO_DATE = frozenset({"configMap", "secret", "downwardAPI", "projected"})
_SECRET = frozenset({"secret", "downwardAPI", "projected"})
"""Never on a disk: these are in memory, as in a kubelet."""


def refusal(volume: Volume) -> str:
    """Why podrun cannot have a volume of this type at all; "" when it can."""
    if volume.kind in _DIRECTORIES or volume.kind == "hostPath":
        return ""
    if volume.kind == "gitRepo":
        return (
            "git-repo volume plugin has been disabled; if necessary, it may be re-enabled by enabling the feature-gate "
            "`GitRepoVolumeDriver`"
        )
    return (
        f"podrun has no {volume.kind} volumes, which need a cluster's storage: "
        f"use emptyDir, hostPath, configMap, secret, downwardAPI, projected or image"
    )


class Volumes:
    """Sets up, refreshes, measures and takes down the volumes of pods below `root`.

    Everything on disk is the truth: an instance has no memory of pods beyond the tokens it has handed out, so a new
    one (after a restart of podrund) goes on where the last one ended. All methods belong to the event loop's thread,
    except `usage`. Setting up takes well under a millisecond per volume, so it is done in place; taking down, whose
    time depends on what containers have written, is done in a thread.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tokens = Tokens()

    async def prepare(self, pod: Pod, lookup: ObjectLookup) -> dict[str, PreparedVolume]:
        """Every volume of the pod, by name; what is there already stays as it is (and is brought up to date).

        Raises VolumeError when some cannot be had, after all had their turn; what is there stays for the next try.
        """
        failures = [VolumeError(v.name, words) for v in pod.spec.volumes if (words := refusal(v))]
        if not failures:
            self._volumes_of(pod.uid).mkdir(parents=True, exist_ok=True, mode=0o750)
        made: dict[str, PreparedVolume] = {}
        for volume in pod.spec.volumes if not failures else ():
            try:
                made[volume.name] = self._prepare(volume, pod, lookup)
            except VolumeError as error:
                failures.append(error)
        _raise(failures)
        return made

    async def refresh(self, pod: Pod, lookup: ObjectLookup) -> frozenset[str]:
        """Bring configMap, secret, downwardAPI and projected volumes up to date; gives the names that changed.

        A volume that is not set up yet is left alone. Raises VolumeError as `prepare`, after all others had their
        turn; what could not be read keeps its old files.
        """
        changed = set()
        failures = []
        for volume in pod.spec.volumes:
            if volume.kind in _KEPT_UP_TO_DATE and self.path(pod.uid, volume).is_dir():
                try:
                    if self._write(volume, pod, lookup):
                        changed.add(volume.name)
                except VolumeError as error:
                    failures.append(error)
        _raise(failures)
        return frozenset(changed)

    def next_refresh(self, pod_uid: str) -> float | None:
        """When (seconds since the epoch) a token of the pod is due to be renewed by `refresh`; None: never."""
        return self._tokens.next_renewal(pod_uid)

    def usage(self, pod: Pod) -> list[Usage]:
        """What each emptyDir of the pod uses. Reads the disk: call it off the event loop."""
        found = []
        for volume in pod.spec.volumes:
            path = self.path(pod.uid, volume)
            if volume.empty_dir is None or not path.is_dir():
                continue
            in_memory = bool(volume.empty_dir.medium)
            used = usage.of_mount(path) if in_memory else usage.of_directory(path)
            found.append(Usage(volume.name, used, empty_dir.size_limit(volume.empty_dir), in_memory))
        return found

    async def teardown(self, pod_uid: str) -> None:
        """Unmount and remove everything of the pod, never following a link out. Harmless when nothing is there.

        Raises OSError when something holds on to it; what is left can be taken down later.
        """
        self._tokens.forget(pod_uid)
        directory = self._directory_of(pod_uid)
        if directory.exists():
            await asyncio.to_thread(takedown.remove, directory)

    def pods(self) -> list[str]:
        """The uids that have a directory here, for the caller to take down those it does not know."""
        return sorted(entry.name for entry in self.root.iterdir() if entry.is_dir()) if self.root.is_dir() else []

    def path(self, pod_uid: str, volume: Volume) -> Path:
        """Where the volume's root is, or will be."""
        if volume.host_path is not None:
            return Path(volume.host_path.path)
        return self._volumes_of(pod_uid) / _DIRECTORIES[volume.kind] / volume.name

    def _volumes_of(self, pod_uid: str) -> Path:
        return self._directory_of(pod_uid) / "volumes"

    def _directory_of(self, pod_uid: str) -> Path:
        if not pod_uid or "/" in pod_uid or pod_uid in (".", ".."):
            raise ValueError(f"not a uid: {pod_uid!r}")
        return self.root / pod_uid

    def _prepare(self, volume: Volume, pod: Pod, lookup: ObjectLookup) -> PreparedVolume:
        path = self.path(pod.uid, volume)
        try:
            if volume.host_path is not None:
                return PreparedVolume(volume.name, host_path.check(volume.host_path))
            path.parent.mkdir(exist_ok=True, mode=0o750)
            if volume.empty_dir is not None:
                empty_dir.set_up(path, volume.empty_dir, pod, lookup.allocatable())
                return PreparedVolume(volume.name, path)
            if volume.image is not None:
                layers = lookup.image_layers(volume.image.reference)
                image_volume.set_up(path, layers)
                return PreparedVolume(volume.name, path, read_only=True, layers=layers)
        except Unavailable as error:
            raise VolumeError(volume.name, str(error)) from None
        except OSError as error:
            raise VolumeError(volume.name, _words(error)) from error
        self._write(volume, pod, lookup)
        return PreparedVolume(volume.name, path, read_only=True)

    def _write(self, volume: Volume, pod: Pod, lookup: ObjectLookup) -> bool:
        """Make the files of a volume what they are to be; the directory is made only when its content is known."""
        path = self.path(pod.uid, volume)
        group = pod.spec.security_context.fs_group
        try:
            files = self._payload(volume, pod, lookup)
            if volume.kind in _SECRET:
                empty_dir.mount_tmpfs(path, empty_dir.node_memory(lookup.allocatable()), group)
            else:
                empty_dir.make_directory(path, group)
            for name in nested.mount_points(volume.name, pod):
                (path / name).mkdir(mode=0o755, parents=True, exist_ok=True)

            def give_to_group() -> None:
                if group is not None:
                    set_group(path, group, read_only=True)

            return atomic.write(path, files, give_to_group)
        except Unavailable as error:
            raise VolumeError(volume.name, str(error)) from None
        except OSError as error:
            raise VolumeError(volume.name, _words(error)) from error

    def _payload(self, volume: Volume, pod: Pod, lookup: ObjectLookup) -> Payload:
        namespace = pod.metadata.namespace

        def config_map(name: str) -> Object | None:
            return lookup.get("configmaps", namespace, name)

        def secret(name: str) -> Object | None:
            return lookup.get("secrets", namespace, name)

        def token(source: TokenSource) -> str:
            return self._tokens.get(pod, source, lookup)

        if (maps := volume.config_map) is not None:
            return payload.of_config_map(maps, config_map(maps.name), maps.default_mode)
        if volume.secret is not None:
            return payload.of_secret_volume(volume.secret, secret(volume.secret.secret_name))
        if volume.downward_api is not None:
            return payload.of_downward(volume.downward_api, pod, lookup.allocatable(), volume.downward_api.default_mode)
        if volume.projected is not None:
            sources = payload.Sources(config_map, secret, token, lookup.allocatable())
            return payload.of_projected(volume.projected.sources, pod, sources, volume.projected.default_mode)
        raise Unavailable(refusal(volume))


def _raise(failures: list[VolumeError]) -> None:
    """The first, which knows the others."""
    if failures:
        first, *others = failures
        first.others = tuple(others)
        raise first


def _words(error: OSError) -> str:
    """An error of the operating system as Go words it: `mkdir /x: permission denied`."""
    where = os.fspath(error.filename) if error.filename else ""
    return f"{where}: {(error.strerror or str(error)).lower()}".removeprefix(": ")
