"""Objects in protobuf form, read back to what they were."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.defaults import apply_defaults
from podrun.api.gvk import KindRef
from podrun.api.protobuf import read_body
from podrun.api.protobuf_writing import write_list, write_object
from tests.api.test_protobuf import f

METADATA = {
    "name": "a",
    "namespace": "n",
    "uid": "u",
    "resourceVersion": "7",
    "creationTimestamp": "2026-01-02T03:04:05Z",
    "labels": {"b": "2", "a": "1"},
    "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "o", "uid": "x", "controller": True}],
    "managedFields": [{"manager": "m", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {}}}],
}
CONTAINER = {
    "name": "a",
    "image": "i",
    "command": ["sh", "-c", "ä"],
    "ports": [{"containerPort": 80, "name": "http"}],
    "env": [{"name": "E", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k", "optional": True}}}],
    "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
    "livenessProbe": {"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 3},
    "readinessProbe": {"tcpSocket": {"port": 80}},
    "securityContext": {"runAsUser": -1, "privileged": False},
}
OBJECTS: tuple[tuple[KindRef, dict[str, Any]], ...] = (
    (KindRef("", "v1", "ConfigMap"), {"data": {"z": "1", "a": ""}, "binaryData": {"b": "AAEC"}, "immutable": True}),
    (KindRef("", "v1", "Secret"), {"data": {"a": "MQ=="}, "type": "Opaque"}),
    (
        KindRef("", "v1", "Pod"),
        {
            "spec": {"containers": [CONTAINER], "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "podIP": "10.0.0.1"},
        },
    ),
    (
        KindRef("coordination.k8s.io", "v1", "Lease"),
        {"spec": {"holderIdentity": "h", "leaseDurationSeconds": 15, "renewTime": "2026-01-02T03:04:05.123456Z"}},
    ),
    (KindRef("scheduling.k8s.io", "v1", "PriorityClass"), {"value": -5, "preemptionPolicy": "Never"}),
)


@pytest.mark.parametrize(("kind", "fields"), OBJECTS)
def test_an_object_is_read_back_as_it_was(kind: KindRef, fields: dict[str, Any]) -> None:
    obj = apply_defaults(kind, {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": METADATA, **fields})
    read = read_body(write_object(kind, obj), kind)
    assert read.value == {name: value for name, value in obj.items() if value != {}}
    assert read.kind == kind


def test_a_list() -> None:
    kind = KindRef("", "v1", "ConfigMap")
    objects = [{"metadata": {"name": name}} for name in "ab"]
    written = write_list(
        kind, "ConfigMapList", objects, {"resourceVersion": "9", "continue": "t", "remainingItemCount": 2}
    )
    items = b"".join(f(2, f(1, f(1, name))) for name in "ab")
    head = f(1, f(2, "9") + f(3, "t") + f(4, 2))
    assert written == b"k8s\0" + f(1, f(1, "v1") + f(2, "ConfigMapList")) + f(2, head + items) + f(3, "") + f(4, "")
