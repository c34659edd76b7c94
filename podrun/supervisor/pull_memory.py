"""What is remembered of image pulls, also by the next podrund: what failed lately, and whose secrets were needed.

Failures lie on a tmpfs beside the rest that is kept of pods. Which secrets an image was pulled with is kept with the
images, which outlive the machine's restart too: nobody is to have an image without asking, because podrund was
restarted (KEP-2535; the kubelet keeps records in image_manager/pulled).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from podrun.kernel import files
from podrun.lifecycle.observed import Backoff

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""(pod uid, image as the pod names it)"""
Secret = tuple[str, str]
"""(namespace, name)"""


class PullMemory:
    """Read once; each change is written at once (there are few: a pull that fails, or one that needs a secret)."""

    def __init__(self, failures: Path | None = None, secrets: Path | None = None) -> None:
        """Without files nothing outlives this process."""
        self._failures_file, self._secrets_file = failures, secrets
        self.backoffs: dict[Key, Backoff] = {}
        self.errors: dict[Key, str] = {}
        self.secrets: dict[str, set[Secret]] = {}
        """Image id -> the pull secrets one of which a pod must have."""
        _read(failures, self._take_failures)
        _read(secrets, self._take_secrets)

    def failed(self, key: Key, backoff: Backoff, error: str) -> None:
        """A pull has failed."""
        self.backoffs[key], self.errors[key] = backoff, error
        self._keep_failures()

    def hurry(self, uid: str) -> None:
        """Nothing of the pod waits any longer."""
        if gone := [key for key in self.backoffs if key[0] == uid]:
            for key in gone:
                del self.backoffs[key]
            self._keep_failures()

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        for key in [key for key in self.errors if key[0] == uid]:
            del self.errors[key]
        self.hurry(uid)

    def pulled(self, image_id: str, secrets: list[Secret]) -> None:
        """An image was pulled with these secrets, of which any will do; without any it is everybody's."""
        before = self.secrets.get(image_id, set())
        if secrets:
            self.secrets[image_id] = before | set(secrets)
        else:
            self.secrets.pop(image_id, None)
        if self.secrets.get(image_id, set()) != before:
            _write(self._secrets_file, {key: sorted(found) for key, found in self.secrets.items()})

    def _keep_failures(self) -> None:
        rows = [(*key, b.delay, b.updated, self.errors.get(key, "")) for key, b in self.backoffs.items()]
        _write(self._failures_file, rows)

    def _take_failures(self, rows: Any) -> None:
        for uid, reference, delay, updated, error in rows:
            self.backoffs[uid, reference], self.errors[uid, reference] = Backoff(delay, updated), error

    def _take_secrets(self, rows: Any) -> None:
        self.secrets = {image: {(namespace, name) for namespace, name in found} for image, found in rows.items()}


def _read(path: Path | None, take: Callable[[Any], None]) -> None:
    if path is None:
        return
    try:
        take(orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("%s cannot be read: %s", path, error)


def _write(path: Path | None, data: Any) -> None:
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(path, orjson.dumps(data))
    except OSError as error:
        log.warning("what is known of image pulls was not kept in %s: %s", path, error.strerror)
