"""Why a decision is what it is, as data: the rule that spoke, about what, and the observations it spoke from.

A decision names one reason for the pod's sandbox or its end (about ""), and one for each container it looked at. Words
are made of them elsewhere, for whoever asks; here is nothing but names and plain values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Fact = str | int | float | bool
"""Times are seconds since the epoch, durations seconds."""


class Does(StrEnum):
    """What the rule makes of the pod or container."""

    KEEP = "keep"
    WAIT = "wait"
    START = "start"
    KILL = "kill"
    RESTART = "restart"
    MAKE_SANDBOX = "make-sandbox"
    END = "end"


class Rule(StrEnum):
    """The rules, each with the facts that it gives."""

    NO_SANDBOX = "no-sandbox"
    SANDBOX_ENDED = "sandbox-ended"
    SEVERAL_SANDBOXES = "several-sandboxes"
    NO_ADDRESS = "no-address"
    NOT_AGAIN = "not-again"
    """The sandbox is gone, and nothing is to run once more: policy"""
    ALL_DONE = "all-done"
    """policy"""
    INIT_FAILED = "init-failed"
    """container"""
    RESTARTING_ALL = "restarting-all"

    FIRST_START = "first-start"
    """sort"""
    SIDECAR_AGAIN = "sidecar-again"
    """exit_code"""
    POLICY_SAYS_AGAIN = "policy-says-again"
    """exit_code, reason, policy"""
    RULE_SAYS_AGAIN = "rule-says-again"
    """exit_code, action"""
    LOST = "lost"
    """The runtime does not know what became of it."""
    IN_BACK_OFF = "in-back-off"
    """exit_code, reason, restarts, delay, until"""

    RUNS = "runs"
    """since"""
    MUST_END = "must-end"
    """An init container that runs: all after it waits for its end. since"""
    STARTUP_UNDECIDED = "startup-undecided"
    """A sidecar's startup probe holds back those after it."""
    DONE = "done"
    """exit_code, policy"""
    FAILED_FOR_GOOD = "failed-for-good"
    """exit_code, reason, policy"""
    POD_IS_DELETED = "pod-is-deleted"
    WAITS_FOR_INIT = "waits-for-init"
    """init"""

    IMAGE_CHANGED = "image-changed"
    """was, wanted"""
    LIVENESS_FAILED = "liveness-failed"
    STARTUP_FAILED = "startup-failed"
    RESIZE_RESTARTS = "resize-restarts"
    RESIZE_IN_PLACE = "resize-in-place"
    ASKED_FOR = "asked-for"
    """An administrator wants it restarted."""


@dataclass(frozen=True, slots=True)
class Why:
    """One reason."""

    rule: Rule
    does: Does
    about: str = ""
    """A container's name; "" is the pod."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
