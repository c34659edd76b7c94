"""The reasons of starts, of what stays ended, and of new sandboxes, read from the same observations as the decision."""

from __future__ import annotations

from podrun.api.pod import Container, Pod
from podrun.lifecycle import restart
from podrun.lifecycle.actions import Sort
from podrun.lifecycle.observed import ContainerSeen, ContainerState, Observed
from podrun.lifecycle.why import Does, Fact, Rule, Why


def why_sandbox(observed: Observed) -> Why:
    """Why a sandbox is made."""
    if not observed.sandboxes:
        return Why(Rule.NO_SANDBOX, Does.MAKE_SANDBOX)
    if sum(1 for sandbox in observed.sandboxes if sandbox.ready) > 1:
        return Why(Rule.SEVERAL_SANDBOXES, Does.MAKE_SANDBOX)
    return Why(Rule.NO_ADDRESS if observed.sandboxes[0].ready else Rule.SANDBOX_ENDED, Does.MAKE_SANDBOX)


def not_again(pod: Pod) -> Why:
    """Why no sandbox is made in place of one that has gone."""
    return Why(Rule.NOT_AGAIN, Does.END, facts={"policy": pod.spec.restart_policy})


def why_start(
    container: Container, pod: Pod, observed: Observed, sort: Sort, held: tuple[float, float] | None = None
) -> Why:
    """Why a container is started now, or, `held` by a back-off of so many seconds until then, is not yet."""
    name, seen = container.name, observed.latest(container.name)
    if seen is None or seen.state is ContainerState.CREATED:
        return Why(Rule.FIRST_START, Does.START, name, {"sort": sort})
    if seen.state is ContainerState.UNKNOWN:
        return Why(Rule.LOST, Does.RESTART, name)
    facts = _end(seen)
    if held is not None:
        waiting: dict[str, Fact] = {"restarts": seen.restart_count, "delay": held[0], "until": held[1]}
        return Why(Rule.IN_BACK_OFF, Does.WAIT, name, facts | waiting)
    if seen.id in observed.asked:
        return Why(Rule.ASKED_FOR, Does.START, name, facts)
    if sort == "init container" and restart.is_sidecar(container):
        return Why(Rule.SIDECAR_AGAIN, Does.START, name, facts)
    matching = restart.matching_rule(container, seen.exit_code) if container.restart_policy is not None else None
    if matching is not None:
        return Why(Rule.RULE_SAYS_AGAIN, Does.START, name, facts | {"action": matching.action})
    return Why(Rule.POLICY_SAYS_AGAIN, Does.START, name, facts | {"policy": _policy(container, pod)})


def why_not_again(container: Container, pod: Pod, seen: ContainerSeen) -> Why:
    """Why a container that has ended stays so."""
    if pod.metadata.deletion_timestamp:
        return Why(Rule.POD_IS_DELETED, Does.KEEP, container.name)
    rule = Rule.DONE if seen.exit_code == 0 else Rule.FAILED_FOR_GOOD
    return Why(rule, Does.KEEP, container.name, _end(seen) | {"policy": _policy(container, pod)})


def _policy(container: Container, pod: Pod) -> str:
    return container.restart_policy or pod.spec.restart_policy


def _end(seen: ContainerSeen) -> dict[str, Fact]:
    return {"exit_code": seen.exit_code, "reason": seen.reason, "ended": seen.finished_at}
