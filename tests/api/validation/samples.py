"""Objects that nothing is wrong with, ways to spoil them, and causes written as one line each."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from podrun.api.errors import Cause

Object = dict[str, Any]

GONE = object()
"""As a value: the field is taken out."""

CONTAINER: Object = {
    "name": "a",
    "image": "busybox:1.36",
    "imagePullPolicy": "IfNotPresent",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "resources": {},
}

POD: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "p",
        "namespace": "n",
        "uid": "u",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "resourceVersion": "7",
        "generation": 1,
    },
    "spec": {
        "containers": [CONTAINER],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
    },
    "status": {"phase": "Pending", "qosClass": "BestEffort"},
}


def named(kind: str, namespaced: bool = True, **fields: Any) -> Object:
    """A sound object of some kind."""
    meta = {"name": "x", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "7"}
    return {"kind": kind, "metadata": meta | ({"namespace": "n"} if namespaced else {}), **fields}


def changed(obj: Object, changes: Mapping[str, Any]) -> Object:
    """A copy of `obj` with each dotted path (numbers are positions in lists) set to its value."""
    made: Object = copy.deepcopy(obj)
    for path, value in changes.items():
        *parents, last = path.split("/") if "/" in path else path.split(".")
        here: Any = made
        for name in parents:
            here = here[int(name)] if isinstance(here, list) else here.setdefault(name, {})
        if isinstance(here, list):
            here[int(last) :] = [] if value is GONE else [value]
        elif value is GONE:
            here.pop(last, None)
        else:
            here[last] = copy.deepcopy(value)
    return made


def rows(table: Mapping[str, tuple[Any, ...]]) -> list[Any]:
    """Parameters of a test, each named by its sentence."""
    return [pytest.param(*values, id=sentence) for sentence, values in table.items()]


def container(**fields: Any) -> Object:
    """A container with more fields."""
    return CONTAINER | fields


def told(causes: Iterable[Cause]) -> list[str]:
    """Causes as `path: message`, sorted, since Kubernetes takes many of them from maps."""
    return sorted(f"{cause.field}: {cause.message}" for cause in causes)
