"""The reasons of decisions as sentences for people.

`tell` gives what the rule saw and what follows; `summary` a decision in a few words, for a timeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from podrun.lifecycle.actions import Actions
from podrun.lifecycle.backoff import duration
from podrun.lifecycle.why import Does, Fact, Rule, Why

Facts = Mapping[str, Fact]


def tell(why: Why, actions: Actions | None = None) -> str:
    """A sentence or two. `actions` is the decision that the reason belongs to, where more is to be said of it."""
    sentence = _SENTENCES[why.rule](why.about, why.facts)
    if why.does is Does.KILL:
        sentence += " It is killed, and its restart policy is Never: it stays so."
    elif why.does is Does.RESTART and why.rule is not Rule.RESTARTING_ALL:
        sentence += " It is killed and started again."
    return sentence


def summary(actions: Actions) -> str:
    """What is to be done, in a few words."""
    parts = []
    if actions.create_sandbox:
        again = f" (attempt {actions.attempt})" if actions.attempt else ""
        parts.append(f"make a sandbox{again}")
    elif actions.kill_pod:
        parts.append("end the pod's containers")
    parts += [f"kill {kill.name}" for kill in actions.kills]
    parts += [f"remove {reset.name}" for reset in actions.resets]
    parts += [f"start {start.name}" for start in actions.starts]
    parts += [f"hold {held.name} back" for held in actions.held]
    parts += [f"resize {name}" for name in actions.resizes]
    return ", ".join(parts) or "nothing to do"


def clock(seconds: Fact) -> str:
    """A moment as a time of day."""
    return datetime.fromtimestamp(float(seconds)).strftime("%H:%M:%S")


def _ended(facts: Facts) -> str:
    reason = f" ({facts['reason']})" if facts.get("reason") else ""
    when = f" at {clock(facts['ended'])}" if "ended" in facts else ""
    return f"ended with exit code {facts.get('exit_code')}{reason}{when}"


def _since(facts: Facts) -> str:
    return f" since {clock(facts['since'])}" if facts.get("since") else ""


def _back_off(name: str, facts: Facts) -> str:
    nth = int(facts["restarts"]) + 1
    wait = duration(float(facts["delay"]))
    return (
        f"Container {name} {_ended(facts)} and is to run again, but it has failed too often lately: before its "
        f"attempt {nth + 1} the back-off is {wait}, counted from its end, so it starts at {clock(facts['until'])}. "
        f"Each further failure doubles the back-off, up to its limit; ten good minutes end it."
    )


_SENTENCES: dict[Rule, Callable[[str, Facts], str]] = {
    Rule.NO_SANDBOX: lambda _, __: "The pod has no sandbox yet: one is made, with its namespaces and its address.",
    Rule.SANDBOX_ENDED: lambda _, __: (
        "The pod's sandbox has ended (pause is gone, and the namespaces with it): everything of it ends, and a new one "
        "is made."
    ),
    Rule.SEVERAL_SANDBOXES: lambda _, __: "The pod has several sandboxes at once: all end, and a new one is made.",
    Rule.NO_ADDRESS: lambda _, __: "The pod's sandbox has no address: it ends, and a new one is made.",
    Rule.NOT_AGAIN: lambda _, facts: (
        f"The pod's sandbox is gone, its containers have run, and its restartPolicy is {facts['policy']}: nothing is "
        f"made anew."
    ),
    Rule.ALL_DONE: lambda _, facts: (
        f"All regular containers have ended, and with restartPolicy {facts['policy']} none of them runs again: the pod "
        f"is done, and its sidecars end."
    ),
    Rule.INIT_FAILED: lambda name, facts: (
        f"Container {name} never starts: init container {facts['init']} has failed for good."
    ),
    Rule.RESTARTING_ALL: lambda _, __: (
        "A container's restart rule asked for RestartAllContainers: every attempt is removed, and the pod begins anew "
        "in its sandbox."
    ),
    Rule.FIRST_START: lambda name, facts: f"{str(facts['sort']).capitalize()} {name} has not run yet and is started.",
    Rule.SIDECAR_AGAIN: lambda name, facts: (
        f"Sidecar {name} {_ended(facts)}: a sidecar is always started again, whatever the pod's restartPolicy."
    ),
    Rule.POLICY_SAYS_AGAIN: lambda name, facts: (
        f"Container {name} {_ended(facts)}: its restart policy {facts['policy']} says that it is started again, now."
    ),
    Rule.RULE_SAYS_AGAIN: lambda name, facts: (
        f"Container {name} {_ended(facts)}: one of its restartPolicyRules speaks of this exit code ({facts['action']})."
    ),
    Rule.LOST: lambda name, _: f"The runtime does not know what became of container {name}.",
    Rule.IN_BACK_OFF: _back_off,
    Rule.RUNS: lambda name, facts: f"Container {name} runs{_since(facts)}.",
    Rule.MUST_END: lambda name, facts: (
        f"Init container {name} runs{_since(facts)}; everything after it waits until it has ended with exit code 0."
    ),
    Rule.STARTUP_UNDECIDED: lambda name, facts: (
        f"Sidecar {name} runs{_since(facts)}, but its startup probe has not passed yet: what comes after it waits."
    ),
    Rule.DONE: lambda name, facts: f"Container {name} {_ended(facts)}: its work is done, and it does not run again.",
    Rule.FAILED_FOR_GOOD: lambda name, facts: (
        f"Container {name} {_ended(facts)}, and its restart policy is {facts['policy']}: it does not run again."
    ),
    Rule.POD_IS_DELETED: lambda name, _: f"Container {name} has ended, and the pod is being deleted.",
    Rule.WAITS_FOR_INIT: lambda name, facts: f"Container {name} waits for init container {facts['init']}.",
    Rule.IMAGE_CHANGED: lambda name, _: f"The image of container {name} was changed in the pod's specification.",
    Rule.LIVENESS_FAILED: lambda name, _: (
        f"The liveness probe of container {name} has failed as often in a row as its failureThreshold says."
    ),
    Rule.STARTUP_FAILED: lambda name, _: (
        f"The startup probe of container {name} has failed as often in a row as its failureThreshold says."
    ),
    Rule.RESIZE_RESTARTS: lambda name, _: (
        f"The resources of container {name} were changed, and its resizePolicy is RestartContainer."
    ),
    Rule.RESIZE_IN_PLACE: lambda name, _: f"The resources of container {name} were changed: its limits follow.",
    Rule.ASKED_FOR: lambda name, _: f"An administrator wants another attempt of container {name}, now.",
}
