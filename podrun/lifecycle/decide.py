"""The decision about a pod that is to run: which containers to kill, to start and to hold back.

The rules of computePodActions and doBackOff (pkg/kubelet/kuberuntime/kuberuntime_manager.go). Termination of a whole
pod is another topic (`termination`), and so is its status (`status`). Beside what is to be done stands why
(`why`): each rule says its name and what it looked at where it speaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from podrun.api.pod import Container, Pod
from podrun.lifecycle import backoff, init_containers, resize, restart
from podrun.lifecycle.actions import Actions, Held, Kill, KillReason, Reset, Sort, Start
from podrun.lifecycle.backoff import BackoffPolicy
from podrun.lifecycle.observed import Backoff, ContainerSeen, ContainerState, Observed, Verdict
from podrun.lifecycle.reasons import not_again, why_not_again, why_sandbox, why_start
from podrun.lifecycle.sandbox import SandboxNeed, sandbox_need
from podrun.lifecycle.why import Does, Rule, Why


def decide(
    pod: Pod, observed: Observed, *, restarting_all: bool = False, policy: BackoffPolicy = backoff.CRASH_LOOP
) -> Actions:
    """What to do now for a pod that is neither deleted nor ended.

    `restarting_all` says that the published status has AllContainersRestarting (KEP-5532).
    """
    need = sandbox_need(pod, observed)
    if restarting_all:
        why = Why(Rule.RESTARTING_ALL, Does.RESTART)
        return Actions(sandbox_id=need.id, attempt=need.attempt, resets=_resets(pod, observed), whys=(why,))
    if need.missing:
        return _anew(pod, observed, need, policy)
    ephemeral = [c for c in pod.spec.ephemeral_containers if observed.latest(c.name) is None]
    init = init_containers.plan(pod, observed)
    starts: list[tuple[Container, Sort]] = [(c, "ephemeral container") for c in ephemeral]
    starts += [(c, "init container") for c in init.starts]
    whys = [*init.whys]
    if init.failed or not init.initialized:
        undone = [why.about for why in whys if why.rule not in (Rule.DONE, Rule.RUNS)] + [c.name for c in init.starts]
        rule, does = (Rule.INIT_FAILED, Does.END) if init.failed else (Rule.WAITS_FOR_INIT, Does.WAIT)
        whys += [Why(rule, does, c.name, {"init": undone[0] if undone else ""}) for c in pod.spec.containers]
        return _with_backoff(
            pod,
            observed,
            need,
            policy,
            kill_pod=init.failed,
            kills=init.kills,
            starts=starts,
            resizes=init.resizes,
            whys=whys,
        )
    kills, regular, resizes, kept = _regular(pod, observed, whys)
    if not kept and not regular:
        # Sidecars must not keep a pod alive whose containers are all done.
        starts = [(c, sort) for c, sort in starts if sort != "init container"]
        whys.insert(0, Why(Rule.ALL_DONE, Does.END, facts={"policy": pod.spec.restart_policy}))
        kills = (*init.kills, *kills)
        return _with_backoff(pod, observed, need, policy, kill_pod=True, kills=kills, starts=starts, whys=whys)
    starts += [(c, "container") for c in regular]
    return _with_backoff(
        pod,
        observed,
        need,
        policy,
        kills=(*init.kills, *kills),
        starts=starts,
        resizes=(*init.resizes, *resizes),
        whys=whys,
    )


def _anew(pod: Pod, observed: Observed, need: SandboxNeed, policy: BackoffPolicy) -> Actions:
    """A new sandbox: everything of the old one ends, and the pod begins with its first init container."""
    over = Actions(kill_pod=True, sandbox_id=need.id, attempt=need.attempt, whys=(not_again(pod),))
    if pod.spec.restart_policy == "Never" and need.attempt != 0 and observed.containers:
        return over
    regular = [c for c in pod.spec.containers if not _done_once(c, pod, observed)]
    if not regular and init_containers.any_created(pod, observed):
        return over
    starts: list[tuple[Container, Sort]] = (
        [(pod.spec.init_containers[0], "init container")]
        if pod.spec.init_containers
        else [(c, "container") for c in regular]
    )
    first = starts[0][0].name if pod.spec.init_containers else ""
    waiting = [Why(Rule.WAITS_FOR_INIT, Does.WAIT, c.name, {"init": first}) for c in regular if first]
    whys = [why_sandbox(observed), *waiting]
    return _with_backoff(pod, observed, need, policy, kill_pod=True, starts=starts, whys=whys)


def _done_once(container: Container, pod: Pod, observed: Observed) -> bool:
    """Under OnFailure, whether the container has succeeded and so needs no new sandbox."""
    if (container.restart_policy or pod.spec.restart_policy) != "OnFailure":
        return False
    seen = observed.latest(container.name)
    return seen is not None and seen.state is ContainerState.EXITED and seen.exit_code == 0


def _regular(
    pod: Pod, observed: Observed, whys: list[Why]
) -> tuple[tuple[Kill, ...], list[Container], tuple[str, ...], int]:
    """(kills, containers to start, containers to resize in place, how many go on running); the reasons go to `whys`."""
    kills: list[Kill] = []
    starts: list[Container] = []
    resizes: list[str] = []
    kept = 0
    for container in pod.spec.containers:
        seen = observed.latest(container.name)
        if seen is None or seen.state is not ContainerState.RUNNING:
            if restart.should_run(container, pod, observed):
                starts.append(container)
                if seen is not None and seen.state is ContainerState.UNKNOWN:
                    message = 'Container is in "unknown" state, try killing it before restart'
                    kills.append(Kill(seen.id, seen.name, message))
                    whys.append(Why(Rule.LOST, Does.RESTART, seen.name))
            elif seen is not None:
                whys.append(why_not_again(container, pod, seen))
            continue
        why = _why_kill(container, seen, observed)
        if why is None:
            match resize.step(container, pod, seen):
                case resize.Step.RESTART:
                    kills.append(Kill(seen.id, seen.name, f"Container {container.name} resize requires restart"))
                    starts.append(container)
                    whys.append(Why(Rule.RESIZE_RESTARTS, Does.RESTART, container.name))
                    continue
                case resize.Step.IN_PLACE:
                    resizes.append(container.name)
                    whys.append(Why(Rule.RESIZE_IN_PLACE, Does.KEEP, container.name))
                case resize.Step.NONE:
                    whys.append(Why(Rule.RUNS, Does.KEEP, container.name, {"since": seen.started_at}))
            kept += 1
            continue
        message, reason, always, rule = why
        again = always or restart.restarts_when_killed(container, pod)
        whys.append(Why(rule, Does.RESTART if again else Does.KILL, container.name))
        if again:
            message += ", will be restarted"
            starts.append(container)
        kills.append(Kill(seen.id, seen.name, message, reason))
    return tuple(kills), starts, tuple(resizes), kept


def _why_kill(
    container: Container, seen: ContainerSeen, observed: Observed
) -> tuple[str, KillReason, bool, Rule] | None:
    """(message, reason, restart whatever the policy, the rule) for a running container that has to end."""
    name = container.name
    if seen.spec_image != container.image:
        return f"Container {name} definition changed", KillReason.UNKNOWN, True, Rule.IMAGE_CHANGED
    if seen.id in observed.asked:
        return f"Container {name} was asked to restart", KillReason.UNKNOWN, True, Rule.ASKED_FOR
    if observed.verdicts.liveness.get(seen.id) is Verdict.FAILURE:
        return f"Container {name} failed liveness probe", KillReason.LIVENESS_PROBE, False, Rule.LIVENESS_FAILED
    if observed.verdicts.startup.get(seen.id) is Verdict.FAILURE:
        return f"Container {name} failed startup probe", KillReason.STARTUP_PROBE, False, Rule.STARTUP_FAILED
    return None


def _resets(pod: Pod, observed: Observed) -> tuple[Reset, ...]:
    """Every attempt goes: regular containers, then init ones; those that asked for it last (getContainersToReset)."""
    sources: list[Reset] = []
    targets: list[Reset] = []
    for group in (pod.spec.containers, pod.spec.init_containers):
        for container in group:
            for seen in observed.containers:
                if seen.name != container.name:
                    continue
                ended = seen.state is ContainerState.EXITED
                asked = ended and restart.asks_restart_all(container, seen.exit_code)
                (sources if asked else targets).append(Reset(seen.id, seen.name, kill=not ended))
    return (*targets, *sources)


def _with_backoff(
    pod: Pod,
    observed: Observed,
    need: SandboxNeed,
    policy: BackoffPolicy,
    *,
    kill_pod: bool = False,
    kills: tuple[Kill, ...] = (),
    starts: Iterable[tuple[Container, Sort]] = (),
    resizes: tuple[str, ...] = (),
    whys: Iterable[Why] = (),
) -> Actions:
    """The decision, with each start allowed or held back by what its last attempt's end and its back-off say.

    What is killed now has not ended yet; it starts again at once (the kubelet looks at the exited attempts only).
    """
    allowed: list[Start] = []
    held: list[Held] = []
    entries: dict[str, Backoff] = {}
    because = {why.about: why for why in whys}
    for container, sort in starts:
        ended = _last_exit(container, observed)
        if ended is not None:
            entry_key = backoff.key(pod, container)
            entry = observed.backoffs.get(entry_key)
            until = backoff.waits_until(entry, ended, policy)
            if entry is not None and until is not None and observed.now < until and not _asked(container, observed):
                held.append(Held(container.name, sort, backoff.crash_loop_message(entry.delay, container, pod), until))
                because[container.name] = why_start(container, pod, observed, sort, (entry.delay, until))
                continue
            entries[entry_key] = backoff.grown(entry, ended, observed.now, policy)
        because.setdefault(container.name, why_start(container, pod, observed, sort))
        allowed.append(Start(container.name, sort))
    return Actions(
        kill_pod=kill_pod,
        create_sandbox=need.missing,
        sandbox_id=need.id,
        attempt=need.attempt,
        kills=kills,
        starts=tuple(allowed),
        held=tuple(held),
        backoffs=_frozen(entries),
        resizes=resizes,
        wake_at=min((h.until for h in held), default=None),
        whys=tuple(because.values()),
    )


def _asked(container: Container, observed: Observed) -> bool:
    """Whether an administrator wants another attempt without waiting."""
    seen = observed.latest(container.name)
    return seen is not None and seen.id in observed.asked


def _last_exit(container: Container, observed: Observed) -> float | None:
    """When the newest attempt that has exited did so."""
    for seen in observed.containers:
        if seen.name == container.name and seen.state is ContainerState.EXITED:
            return seen.ended
    return None


def _frozen(entries: dict[str, Backoff]) -> Mapping[str, Backoff]:
    return entries
