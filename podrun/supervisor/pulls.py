"""Having a container's image: the pull policy, back-off, credentials and Events (pkg/kubelet/images)."""

from __future__ import annotations

from collections.abc import Sequence

from podrun.api.pod import Pod
from podrun.images.credentials import of_secrets
from podrun.images.model import Credentials, Image, ImageError, Reason, Source
from podrun.images.reference import parse
from podrun.kernel.clock import since_boot
from podrun.lifecycle import backoff
from podrun.store.store import Store
from podrun.supervisor.needs import Clock, Images, NotStarted
from podrun.supervisor.options import Options
from podrun.supervisor.pull_memory import PullMemory
from podrun.supervisor.recorder import Recorder


class Pulls:
    """`ensure` gives an image or says why not; what failed lately is not asked for again too soon."""

    def __init__(
        self,
        images: Images,
        store: Store,
        recorder: Recorder,
        options: Options,
        clock: Clock = since_boot,
        memory: PullMemory | None = None,
    ) -> None:
        self._images, self._store, self._recorder, self._clock = images, store, recorder, clock
        self._policy = options.image_pull
        self._memory = memory or PullMemory()

    def get(self, reference: str) -> Image | None:
        """What is here of that name; raises ImageError for what is no name."""
        return self._images.get(reference)

    def hurry(self, pod: Pod) -> None:
        """Wait no longer before the pod's images are asked for again."""
        self._memory.hurry(pod.uid)

    def wait_left(self, pod: Pod, reference: str) -> float:
        """Seconds until an image whose pull failed may be asked for again; 0 where it may be now."""
        entry = self._memory.backoffs.get((pod.uid, reference))
        return max(entry.updated + entry.delay - self._clock(), 0.0) if entry is not None else 0.0

    def forget(self, pod: Pod) -> None:
        """Drop what is remembered of a pod that is gone."""
        self._memory.forget(pod.uid)

    async def ensure(self, pod: Pod, reference: str, policy: str, container: str = "") -> Image:
        """The image of a container (or, with "", of an image volume). Raises NotStarted.

        What podrun built itself is asked of no registry, whatever the policy: it stands for what no machine without
        one could pull, until an explicit pull replaces it.
        """
        try:
            self._images.get(reference)
        except ImageError as error:
            self._tell(pod, container, "Warning", "InspectFailed", error.message)
            raise NotStarted(Reason.INVALID_NAME, error.message) from error
        if (image := self.at_hand(pod, reference, policy)) is not None:
            message = f'Container image "{reference}" already present on machine and can be accessed by the pod'
            self._tell(pod, container, "Normal", "Pulled", message)
            return image
        if policy == "Never":
            message = f'Container image "{reference}" is not present with pull policy of Never'
            self._tell(pod, container, "Warning", "ErrImageNeverPull", message)
            raise NotStarted(Reason.NEVER_PULL, message)
        return await self._pull(pod, reference, container)

    def at_hand(self, pod: Pod, reference: str, policy: str) -> Image | None:
        """What `ensure` would give without a pull; None where it would pull or refuse. Tells nobody."""
        try:
            image = self._images.get(reference)
        except ImageError:
            return None
        if image is None or (policy == "Always" and image.source is not Source.BUILT):
            return None
        return image if self._accessible(pod, image) else None

    def _tell(self, pod: Pod, container: str, kind: str, reason: str, message: str) -> None:
        self._recorder.pod(pod, kind, reason, message, container=container)

    async def _pull(self, pod: Pod, reference: str, container: str) -> Image:
        key = (pod.uid, reference)
        now = self._clock()
        entry = self._memory.backoffs.get(key)
        if entry is not None and now - entry.updated <= self._policy.forget and now < entry.updated + entry.delay:
            message = f'Back-off pulling image "{reference}"'
            self._tell(pod, container, "Normal", "BackOff", message)
            before = self._memory.errors.get(key)
            raise NotStarted("ImagePullBackOff", f"{message}: {before}" if before else message)
        self._memory.errors.pop(key, None)
        self._tell(pod, container, "Normal", "Pulling", f'Pulling image "{reference}"')
        started = self._clock()
        secrets, credentials = self._credentials(pod, reference)
        try:
            image = await self._images.pull(reference, credentials)
        except ImageError as error:
            self._tell(pod, container, "Warning", "Failed", f'Failed to pull image "{reference}": {error.message}')
            now = self._clock()
            reason, message = _shown(reference, error)
            self._memory.failed(key, backoff.grown(entry, now, now, self._policy), f"{reason}: {message}")
            raise NotStarted(reason, message) from error
        took = _go_milliseconds(self._clock() - started)
        self._tell(
            pod,
            container,
            "Normal",
            "Pulled",
            f'Successfully pulled image "{reference}" in {took} ({took} including waiting). '
            f"Image size: {image.size} bytes.",
        )
        self._memory.pulled(image.id, secrets)
        return image

    def _accessible(self, pod: Pod, image: Image) -> bool:
        """An image that was pulled with a secret is for pods that have it (KEP-2535); preloaded ones are for all."""
        needed = self._memory.secrets.get(image.id)
        if image.source is not Source.PULLED or not needed:
            return True
        return bool(needed & set(self._secrets(pod)))

    def _secrets(self, pod: Pod) -> list[tuple[str, str]]:
        return [(pod.metadata.namespace, ref.name) for ref in pod.spec.image_pull_secrets]

    def _credentials(self, pod: Pod, reference: str) -> tuple[list[tuple[str, str]], tuple[Credentials, ...]]:
        """(pull secrets that have a log-in for the image, those log-ins); the machine's own the image store has."""
        image = parse(reference)
        used: list[tuple[str, str]] = []
        found: tuple[Credentials, ...] = ()
        for namespace, name in self._secrets(pod):
            secret = self._store.get("secrets", namespace, name)
            own = of_secrets([secret], image) if secret is not None else ()
            if own:
                used.append((namespace, name))
                found += own
        return used, found


def _shown(reference: str, error: ImageError) -> tuple[str, str]:
    """Reason and message of the waiting state (evalCRIPullErr)."""
    if error.reason is Reason.REGISTRY_UNAVAILABLE:
        return str(error.reason), f"image pull failed for {reference} because the registry is unavailable: {error}"
    return str(Reason.PULL), error.message


def _go_milliseconds(seconds: float) -> str:
    return backoff.duration(int(seconds * 1000) / 1000) if seconds >= 0.001 else "0s"


def references(pod: Pod) -> Sequence[str]:
    """Every image that a pod names: those are in use."""
    spec = pod.spec
    groups = (*spec.containers, *spec.init_containers, *spec.ephemeral_containers)
    return [c.image for c in groups] + [v.image.reference for v in spec.volumes if v.image is not None]
