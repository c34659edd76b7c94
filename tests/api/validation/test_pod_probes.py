"""Probes, hooks and the signal that stops."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.validation import validate_create
from podrun.api.validation.pod_probes import LINUX_SIGNALS
from tests.api.validation.samples import POD, changed, rows, told

C = "spec.containers.0."
P = "spec.containers[0]."
TIMES = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def probe(role: str, **fields: Any) -> dict[str, Any]:
    return {C + role: TIMES | {"exec": {"command": ["true"]}} | fields}


TABLE = {
    "a probe has a handler": (
        {C + "livenessProbe": TIMES},
        [P + "livenessProbe: Required value: must specify a handler type"],
    ),
    "a probe has one handler, and only the first is looked into": (
        probe("livenessProbe", httpGet={"port": 0}),
        [P + "livenessProbe.httpGet: Forbidden: may not specify more than 1 handler type"],
    ),
    "a probe's counters are not negative": (
        probe("readinessProbe", periodSeconds=-1, failureThreshold=-2),
        [
            P + "readinessProbe.failureThreshold: Invalid value: -2: must be greater than or equal to 0",
            P + "readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
        ],
    ),
    "readiness may ask for two successes": (probe("readinessProbe", successThreshold=2), []),
    "a start succeeds once": (
        probe("startupProbe", successThreshold=2),
        [P + "startupProbe.successThreshold: Invalid value: 2: must be 1"],
    ),
    "readiness ends nothing, so it has no grace": (
        probe("readinessProbe", terminationGracePeriodSeconds=0),
        [
            P + "readinessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0",
            P + "readinessProbe.terminationGracePeriodSeconds: Invalid value: 0: must not be set for readinessProbes",
        ],
    ),
    "a request goes somewhere": (
        {C + "livenessProbe": TIMES | {"httpGet": {"scheme": "ftp", "httpHeaders": [{"name": "a:"}]}}},
        [
            P + 'livenessProbe.httpGet.httpHeaders: Invalid value: "a:": a valid HTTP header must consist of '
            "alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
            P + "livenessProbe.httpGet.path: Required value",
            P + "livenessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
            P + 'livenessProbe.httpGet.scheme: Unsupported value: "ftp": supported values: "HTTP", "HTTPS"',
        ],
    ),
    "a port may have a name": ({C + "livenessProbe": TIMES | {"tcpSocket": {"port": "http"}}}, []),
    "a hook may sleep as long as the grace period": ({C + "lifecycle": {"preStop": {"sleep": {"seconds": 30}}}}, []),
    "but not longer": (
        {C + "lifecycle": {"preStop": {"sleep": {"seconds": 31}}}},
        [
            P + "lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than "
            "terminationGracePeriodSeconds (30)"
        ],
    ),
    "a signal needs an operating system": (
        {C + "lifecycle": {"stopSignal": "SIGUSR1"}},
        [P + "lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`"],
    ),
    "a signal of the system is fine": (
        {"spec.os": {"name": "linux"}, C + "lifecycle": {"stopSignal": "SIGRTMIN+3"}},
        [],
    ),
    "Windows has two signals": (
        {"spec.os": {"name": "windows"}, C + "lifecycle": {"stopSignal": "SIGHUP"}},
        [P + 'lifecycle.stopSignal: Unsupported value: "SIGHUP": supported values: "SIGKILL", "SIGTERM"'],
    ),
}


@pytest.mark.parametrize(("changes", "expected"), rows(TABLE))
def test_probes_and_hooks(changes: dict[str, Any], expected: list[str]) -> None:
    assert told(validate_create("Pod", changed(POD, changes))) == sorted(expected)


def test_linux_has_65_signals() -> None:
    assert len(LINUX_SIGNALS) == len(set(LINUX_SIGNALS)) == 65
