"""Probes and lifecycle hooks: what they do, when, and the signal that stops a container."""

from __future__ import annotations

from typing import Any

from podrun.api.validation.field import Causes, Path, each_invalid, forbidden, invalid, not_supported, required
from podrun.api.validation.metadata import NOT_NEGATIVE
from podrun.api.validation.names import http_header_name, port_name, port_number
from podrun.api.validation.read import (
    Object,
    items,
    mapping,
    number,
    optional_mapping,
    optional_number,
    optional_text,
    strings,
    text,
)

SCHEMES = ("HTTP", "HTTPS")
PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
COUNTERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
PLAIN_SIGNALS = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM "
    "TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ"
)
LINUX_SIGNALS = tuple(
    sorted(
        [f"SIG{name}" for name in PLAIN_SIGNALS.split()]
        + ["SIGRTMIN", "SIGRTMAX"]
        + [f"SIGRTMIN+{offset}" for offset in range(1, 16)]
        + [f"SIGRTMAX-{offset}" for offset in range(1, 15)]
    )
)
WINDOWS_SIGNALS = ("SIGKILL", "SIGTERM")


def probes_and_lifecycle(container: Object, grace: int | None, os_name: str | None, path: Path) -> Causes:
    """Of a container that may have them: a regular one, or an init container that keeps running.

    `grace` is the pod's termination grace period in seconds, `os_name` its operating system where it tells.
    """
    lifecycle = optional_mapping(container, "lifecycle")
    if lifecycle is not None:
        yield from hooks(lifecycle, grace, os_name, path.child("lifecycle"))
    for role in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = optional_mapping(container, role)
        if probe is None:
            continue
        here = path.child(role)
        yield from timing(probe, here)
        if role == "readinessProbe":
            grace_of_probe = optional_number(probe, "terminationGracePeriodSeconds")
            if grace_of_probe is not None:
                why = "must not be set for readinessProbes"
                yield invalid(here.child("terminationGracePeriodSeconds"), grace_of_probe, why)
        elif number(probe, "successThreshold") != 1:
            yield invalid(here.child("successThreshold"), number(probe, "successThreshold"), "must be 1")


def timing(probe: Object, path: Path) -> Causes:
    """What every probe must have right: one handler, and counters that are not negative."""
    yield from handler(probe, PROBE_HANDLERS, None, path)
    for name in COUNTERS:
        if number(probe, name) < 0:
            yield invalid(path.child(name), number(probe, name), NOT_NEGATIVE)
    grace = optional_number(probe, "terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        yield invalid(path.child("terminationGracePeriodSeconds"), grace, "must be greater than 0")


def handler(action: Object, kinds: tuple[str, ...], grace: int | None, path: Path) -> Causes:
    """Exactly one of the `kinds` of handlers. Only the first that is given is looked into."""
    given = [kind for kind in kinds if optional_mapping(action, kind) is not None]
    if not given:
        yield required(path, "must specify a handler type")
        return
    here, details = path.child(given[0]), mapping(action, given[0])
    match given[0]:
        case "exec":
            if not strings(details, "command"):
                yield required(here.child("command"))
        case "httpGet":
            yield from http_get(details, here)
        case "tcpSocket":
            yield from port(details.get("port"), here.child("port"))
        case "grpc":
            yield from port(number(details, "port"), here.child("port"))
        case "sleep":
            seconds = number(details, "seconds")
            if grace is not None and not 0 <= seconds <= grace:
                why = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
                yield invalid(here, seconds, why)
    for kind in given[1:]:
        yield forbidden(path.child(kind), "may not specify more than 1 handler type")


def http_get(action: Object, path: Path) -> Causes:
    if not text(action, "path"):
        yield required(path.child("path"))
    yield from port(action.get("port"), path.child("port"))
    if text(action, "scheme") not in SCHEMES:
        yield not_supported(path.child("scheme"), text(action, "scheme"), SCHEMES)
    for header in items(action, "httpHeaders"):
        name = text(header, "name")
        yield from each_invalid(path.child("httpHeaders"), name, http_header_name(name))


def port(value: Any, path: Path) -> Causes:
    """A port by number or by name; absent is the number 0."""
    if isinstance(value, str):
        yield from each_invalid(path, value, port_name(value))
    else:
        plain = value if isinstance(value, int) and not isinstance(value, bool) else 0
        yield from each_invalid(path, plain, port_number(plain))


def hooks(lifecycle: Object, grace: int | None, os_name: str | None, path: Path) -> Causes:
    for name in ("postStart", "preStop"):
        hook = optional_mapping(lifecycle, name)
        if hook is not None:
            yield from handler(hook, HOOK_HANDLERS, grace, path.child(name))
    signal = optional_text(lifecycle, "stopSignal")
    if signal is not None:
        yield from stop_signal(signal, os_name, path.child("stopSignal"))


def stop_signal(signal: str, os_name: str | None, path: Path) -> Causes:
    """A stop signal is one of the signals of the pod's operating system, which must be told."""
    supported = {"linux": LINUX_SIGNALS, "windows": WINDOWS_SIGNALS}.get(os_name or "")
    if os_name is None:
        yield forbidden(path, "may not be set for containers with empty `spec.os.name`")
    elif supported is not None and signal not in supported:
        yield not_supported(path, signal, supported)
