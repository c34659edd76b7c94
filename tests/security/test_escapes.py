"""Every way out of `inside`, tried by root in a default container, in one with `hostUsers: false`, and, as the control
that shows that an attempt can succeed at all, in a privileged container in the host's namespaces."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable, Mapping

import pytest

from tests.harness import PROJECT
from tests.pods.living import Object, Pods
from tests.security import image
from tests.security.conftest import OWN_USERS, Host, attacker, waiting
from tests.security.inside import WAYS

PRIVILEGED = {"hostNetwork": True, "hostPID": True, "hostIPC": True}
SCRATCH = {"name": "scratch", "mountPath": "/scratch"}

Outcomes = Mapping[str, dict[str, str]]


@pytest.fixture(scope="module")
def outcomes(attackers: Pods, host: Host) -> Callable[[str], Outcomes]:
    """By pod and way. The first question about a pod makes it, and one call there tries everything."""
    environment = [*host.environment(), {"name": "SCRATCH", "value": "/scratch"}]
    pods: dict[str, tuple[Object, Object]] = {
        "default": ({}, {}),
        "users": ({}, {"hostUsers": False}),
        "control": ({"privileged": True}, PRIVILEGED),
    }

    @functools.cache
    def outcomes_of(name: str) -> Outcomes:
        context, spec = pods[name]
        container = attacker(env=environment, volumeMounts=[SCRATCH], securityContext=context)
        attackers.run(waiting(name, container, volumes=[{"name": "scratch", "emptyDir": {}}], **spec))
        wanted = [way for way, entry in WAYS.items() if entry.open_when_privileged] if name == "control" else []
        said = attackers.exec(name, image.PYTHON, "-m", "tests.security.inside", *wanted)
        lines = [json.loads(line) for line in said.stdout.splitlines()]
        assert lines, said.stderr
        return {line["way"]: line for line in lines}

    return outcomes_of


def _try_here(way: str) -> dict[str, str]:
    """The attempt by the machine's own root: a sandbox around it, or its kernel, may hold what podrun need not."""
    command = [sys.executable, "-m", "tests.security.inside", way]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT)
    found: dict[str, str] = json.loads(said.stdout)
    return found


@pytest.mark.parametrize("way", WAYS)
def test_held_in_a_default_container(outcomes: Callable[[str], Outcomes], way: str) -> None:
    assert outcomes("default")[way]["outcome"] == "held", outcomes("default")[way]["why"]


@OWN_USERS
@pytest.mark.parametrize("way", WAYS)
def test_held_with_users_of_its_own(outcomes: Callable[[str], Outcomes], way: str) -> None:
    assert outcomes("users")[way]["outcome"] == "held", outcomes("users")[way]["why"]


@pytest.mark.parametrize("way", [name for name, entry in WAYS.items() if entry.open_when_privileged])
def test_the_attempt_succeeds_where_it_may(outcomes: Callable[[str], Outcomes], way: str) -> None:
    if outcomes("control")[way]["outcome"] == "held" and _try_here(way)["outcome"] == "held":
        pytest.skip(f"this machine's own root may not either: {outcomes('control')[way]['why']}")
    assert outcomes("control")[way]["outcome"] == "reached", outcomes("control")[way]["why"]
