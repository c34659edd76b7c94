"""Validation never fails, whatever it is given: it only finds causes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podrun.api.errors import Cause
from podrun.api.validation import prepare_create, validate_create, validate_update, warnings
from podrun.api.validation.rules import KINDS, POSTED
from tests.api.validation.samples import POD, Object, changed, container
from tests.api.validation.test_other_kinds import BINDING, EVENT, NEW_EVENT, NODE, ROLE, SERVICE, SLICE

RICH_POD = changed(
    POD,
    {
        "metadata.labels": {"a": "b"},
        "metadata.ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "o", "uid": "1", "controller": True}],
        "spec.initContainers": [container(name="s", restartPolicy="Always")],
        "spec.ephemeralContainers": [container(name="d", targetContainerName="a")],
        "spec.containers.0.ports": [{"containerPort": 80, "protocol": "TCP", "name": "x"}],
        "spec.containers.0.env": [
            {"name": "X", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['a']"}}}
        ],
        "spec.containers.0.resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "hugepages-2Mi": "2Mi"}},
        "spec.containers.0.livenessProbe": {"httpGet": {"path": "/", "port": "x", "scheme": "HTTP"}},
        "spec.containers.0.securityContext": {"windowsOptions": {"runAsUserName": "a\\b"}, "procMount": "Default"},
        "spec.volumes": [
            {"name": "v", "projected": {"sources": [{"secret": {"name": "s", "items": [{"key": "k", "path": "p"}]}}]}},
            {"name": "w", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}},
        ],
        "spec.tolerations": [{"key": "k", "operator": "Exists"}],
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms": [
            {"matchExpressions": [{"key": "k", "operator": "In", "values": ["v"]}]}
        ],
        "spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "labelSelector": {"matchLabels": {}}}],
        "spec.dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["a"], "options": [{"name": "b"}]},
        "status.podIPs": [{"ip": "10.0.0.1"}],
        "status.containerStatuses": [{"name": "a", "state": {"terminated": {"exitCode": 0}}}],
    },
)
SEEDS = {"Pod": [RICH_POD], "Service": [SERVICE], "Event": [EVENT, NEW_EVENT], "Role": [ROLE]} | {
    one["kind"]: [one] for one in (BINDING, NODE, SLICE)
}
SUBRESOURCES = ("", "status", "resize", "ephemeralcontainers", "finalize")

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["", "..", "/a", "a/b/c", "1e5", "-0", "x" * 300, "1.1.1.1/8", "::1", "metadata.labels['']"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything inside `value`."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, inner in inside:
        found.append((*path, key))
        found += places(inner, (*path, key))
    return found


@st.composite
def spoiled(draw: st.DrawFn, kind: str) -> Object:
    """A sound object of the kind with some of its parts replaced by anything."""
    made = copy.deepcopy(draw(st.sampled_from(SEEDS.get(kind, [{"kind": kind, "metadata": {"name": "x"}}]))))
    for _ in range(draw(st.integers(0, 4))):
        path = draw(st.sampled_from(places(made)))
        here: Any = made
        for key in path[:-1]:
            here = here[key]
        here[path[-1]] = draw(values)
    return made


def everything_about(kind: str, new: Object, old: Object) -> list[Cause]:
    prepare_create(kind, new)
    for text in [*warnings(kind, new), *warnings(kind, new, old)]:
        assert isinstance(text, str)
    updates = [cause for name in SUBRESOURCES for cause in validate_update(kind, new, old, name)]
    return validate_create(kind, new) + updates


@pytest.mark.parametrize("kind", [*KINDS, *POSTED])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_nothing_raises_and_nothing_changes(kind: str, data: st.DataObject) -> None:
    new, old = data.draw(spoiled(kind)), data.draw(spoiled(kind))
    before = copy.deepcopy((new, old))
    causes = everything_about(kind, new, old)
    assert (new, old) == before
    assert all(cause.reason and cause.message and isinstance(cause.field, str) for cause in causes)
    assert everything_about(kind, new, old) == causes


@settings(max_examples=100, deadline=None)
@given(values, values)
def test_an_object_of_anything(spec: Any, meta: Any) -> None:
    for kind in KINDS:
        made = {"metadata": meta, "spec": spec, "status": spec, "data": spec, "rules": spec, "template": spec}
        everything_about(kind, made, made)
