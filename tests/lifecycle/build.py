"""Pods and observations in few words, for tables of rules."""

from __future__ import annotations

from typing import Any

from podrun.api.pod import Pod
from podrun.lifecycle.observed import (
    ContainerSeen,
    ContainerState,
    Observed,
    SandboxSeen,
    StartFailure,
    Verdict,
    Verdicts,
)

NOW = 1_000_000.0


def pod(*names: str, init: list[Any] | None = None, meta: dict[str, Any] | None = None, **spec: Any) -> Pod:
    """A pod with containers of these names; `init` are init containers as on the wire, or their names."""
    made = {
        "containers": spec.pop("containers", None) or [{"name": name, "image": "i"} for name in names or ("a",)],
        "initContainers": [{"image": "i", **(c if isinstance(c, dict) else {"name": c})} for c in init or ()],
        **spec,
    }
    return Pod.of(
        {"metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1, **(meta or {})}, "spec": made}
    )


def side(name: str, **more: Any) -> dict[str, Any]:
    """A native sidecar."""
    return {"name": name, "restartPolicy": "Always", **more}


def running(name: str, *, id: str = "", restarts: int = 0, **more: Any) -> ContainerSeen:
    return ContainerSeen(
        id or f"{name}{restarts}",
        name,
        "s0",
        ContainerState.RUNNING,
        restarts,
        NOW - 50,
        NOW - 50,
        spec_image="i",
        **more,
    )


def exited(name: str, code: int = 0, *, ago: float = 5.0, restarts: int = 0, reason: str = "") -> ContainerSeen:
    return ContainerSeen(
        f"{name}{restarts}",
        name,
        "s0",
        ContainerState.EXITED,
        restarts,
        NOW - 50,
        NOW - 50,
        NOW - ago,
        code,
        reason or ("Completed" if code == 0 else "Error"),
        spec_image="i",
    )


SANDBOX = SandboxSeen("s0", 0, True, NOW - 60, ("10.244.0.2",))


def seen(
    *containers: ContainerSeen,
    sandbox: SandboxSeen | None = SANDBOX,
    liveness: dict[str, Verdict] | None = None,
    readiness: dict[str, Verdict] | None = None,
    startup: dict[str, Verdict] | None = None,
    failures: dict[str, StartFailure] | None = None,
    **more: Any,
) -> Observed:
    """What is observed; containers newest first."""
    return Observed(
        more.pop("now", NOW),
        (sandbox,) if sandbox is not None else (),
        containers,
        Verdicts(liveness or {}, readiness or {}, startup or {}),
        failures or {},
        **more,
    )
