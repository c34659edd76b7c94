"""Whether a pod needs a new sandbox (pkg/kubelet/kuberuntime/util, PodSandboxChanged)."""

from __future__ import annotations

from dataclasses import dataclass

from podrun.api.pod import Pod
from podrun.lifecycle.observed import Observed


@dataclass(frozen=True, slots=True)
class SandboxNeed:
    """`missing`: a sandbox is to be made, as `attempt`; `id` is the one that is there, ready or dead."""

    missing: bool
    attempt: int
    id: str


def sandbox_need(pod: Pod, observed: Observed) -> SandboxNeed:
    """None yet, several at once, the newest dead, or one without the address it should have: make another."""
    if not observed.sandboxes:
        return SandboxNeed(True, 0, "")
    newest = observed.sandboxes[0]
    alive = sum(1 for sandbox in observed.sandboxes if sandbox.ready)
    usable = alive == 1 and newest.ready and (pod.spec.host_network or bool(newest.addresses))
    return SandboxNeed(not usable, newest.attempt + (0 if usable else 1), newest.id)
