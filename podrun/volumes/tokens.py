"""ServiceAccount tokens on volumes: asked for once, renewed when they have lived most of their time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from podrun.api.pod import Pod, TokenSource
from podrun.volumes.model import ObjectLookup

_RENEW_AFTER = 0.8
"""Of a token's lifetime (the kubelet's token manager)."""
_LONGEST = 24 * 3600.0
"""Seconds after which a token is renewed however long it lives."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: float


class Tokens:
    """The tokens of pods, by pod, audience and lifetime. A new instance asks for new ones; the old stay valid."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._held: dict[str, dict[tuple[str, int], _Token]] = {}

    def get(self, pod: Pod, source: TokenSource, lookup: ObjectLookup) -> str:
        """The pod's token; raises whatever the lookup raises when there is none to be had."""
        held = self._held.setdefault(pod.uid, {})
        key = (source.audience, source.expiration_seconds)
        token = held.get(key)
        now = self._clock()
        if token is None or token.renew_at <= now:
            text = lookup.token(
                pod.metadata.namespace,
                pod.spec.service_account_name or "default",
                source.audience,
                source.expiration_seconds,
                (pod.metadata.name, pod.uid),
            )
            token = held[key] = _Token(text, now + min(_RENEW_AFTER * source.expiration_seconds, _LONGEST))
        return token.text

    def next_renewal(self, pod_uid: str) -> float | None:
        """When the first of the pod's tokens is due; seconds since the epoch."""
        return min((token.renew_at for token in self._held.get(pod_uid, {}).values()), default=None)

    def forget(self, pod_uid: str) -> None:
        """The pod is gone."""
        self._held.pop(pod_uid, None)
