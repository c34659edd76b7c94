"""Whether a container that has ended runs again: the pod's policy, the container's own, and its rules."""

from __future__ import annotations

from podrun.api.pod import Container, Pod, RestartRule
from podrun.lifecycle.observed import ContainerState, Observed

RESTART_ALL = "RestartAllContainers"
RESTARTING_ALL = "RestartingAllContainers"
"""Reason of containers that such a restart removed (KEP-5532)."""


def is_sidecar(container: Container) -> bool:
    """A native sidecar: an init container that restarts always (KEP-753). Only meaningful for init containers."""
    return container.restart_policy == "Always"


def sidecars(pod: Pod) -> tuple[Container, ...]:
    """The pod's native sidecars, in order of start."""
    return tuple(c for c in pod.spec.init_containers if is_sidecar(c))


def matching_rule(container: Container, exit_code: int) -> RestartRule | None:
    """The first rule that speaks of this exit code (KEP-5307)."""
    for rule in container.restart_policy_rules:
        if rule.exit_codes is None:
            continue
        if (exit_code in rule.exit_codes.values) == (rule.exit_codes.operator == "In"):
            return rule
    return None


def restarts_after(container: Container, pod: Pod, exit_code: int) -> bool:
    """Whether the container is run again after this exit: its first matching rule, else its policy, else the pod's."""
    if container.restart_policy is not None and matching_rule(container, exit_code) is not None:
        return True
    policy = container.restart_policy or pod.spec.restart_policy
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def restarts_when_killed(container: Container, pod: Pod) -> bool:
    """Whether a container that is killed for a failed probe comes back: rules need an exit code, so only policies count
    (kuberuntime_manager.go, computePodActions)."""
    return (container.restart_policy or pod.spec.restart_policy) != "Never"


def should_run(container: Container, pod: Pod, observed: Observed) -> bool:
    """Whether a container that is not running is to be started (container/helpers.go, ShouldContainerBeRestarted)."""
    if pod.metadata.deletion_timestamp:
        return False
    seen = observed.latest(container.name)
    if seen is None or seen.state in (ContainerState.UNKNOWN, ContainerState.CREATED):
        return True
    if seen.state is ContainerState.RUNNING:
        return False
    if seen.id in observed.asked:
        return True
    return restarts_after(container, pod, seen.exit_code)


def may_restart_all(pod: Pod) -> bool:
    """Whether some container has a rule that restarts the whole pod in place."""
    return any(
        rule.action == RESTART_ALL
        for container in (*pod.spec.init_containers, *pod.spec.containers)
        for rule in container.restart_policy_rules
    )


def asks_restart_all(container: Container, exit_code: int) -> bool:
    """Whether this exit restarts the whole pod in place."""
    rule = matching_rule(container, exit_code)
    return rule is not None and rule.action == RESTART_ALL
