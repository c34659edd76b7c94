"""Containers: names, images, environment, ports, mounts, restart rules."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.validation import validate_create
from tests.api.validation.samples import CONTAINER, POD, changed, container, rows, told

EMPTY_DIR = {"name": "v", "emptyDir": {}}
C = "spec.containers.0."
P = "spec.containers[0]."


def mounting(**mount: Any) -> dict[str, Any]:
    """A pod whose container mounts its emptyDir in some way."""
    return {"spec.volumes": [EMPTY_DIR], C + "volumeMounts": [{"name": "v", "mountPath": "/v"} | mount]}


BASICS = {
    "a plain pod is fine": ({}, []),
    "a pod has a container": ({"spec.containers": []}, ["spec.containers: Required value"]),
    "a container has a name and an image": (
        {C + "name": "", C + "image": ""},
        [P + "image: Required value", P + "name: Required value"],
    ),
    "an image has no white space around it": (
        {C + "image": " a"},
        [P + 'image: Invalid value: " a": must not have leading or trailing whitespace'],
    ),
    "two containers have two names": (
        {"spec.containers": [CONTAINER, CONTAINER]},
        ['spec.containers[1].name: Duplicate value: "a"'],
    ),
    "an init container has a name of its own": (
        {"spec.initContainers": [CONTAINER]},
        ['spec.initContainers[0].name: Duplicate value: "a"'],
    ),
    "a pull policy is one of three": (
        {C + "imagePullPolicy": "Often"},
        [P + 'imagePullPolicy: Unsupported value: "Often": supported values: "Always", "IfNotPresent", "Never"'],
    ),
    "ephemeral containers come later": (
        {"spec.ephemeralContainers": [container(name="d")]},
        ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
    ),
}

PORTS = {
    "a port has a number": (
        {C + "ports": [{"protocol": "TCP"}]},
        [P + "ports[0].containerPort: Required value"],
    ),
    "a number of a port fits in 16 bits": (
        {C + "ports": [{"containerPort": 70000, "protocol": "TCP"}]},
        [P + "ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"],
    ),
    "two ports have two names": (
        {
            C + "ports": [
                {"name": "x", "containerPort": 1, "protocol": "TCP"},
                {"name": "x", "containerPort": 2, "protocol": "TCP"},
            ]
        },
        [P + 'ports[1].name: Duplicate value: "x"'],
    ),
    "a port of the host is taken once for each address": (
        {
            C + "ports": [
                {"containerPort": 1, "hostPort": 8, "protocol": "TCP"},
                {"containerPort": 2, "hostPort": 8, "protocol": "TCP", "hostIP": "10.0.0.1"},
                {"containerPort": 3, "hostPort": 8, "protocol": "TCP"},
            ]
        },
        [P + 'ports[2].hostPort: Duplicate value: "TCP//8"'],
    ),
    "in the host's network both numbers are one": (
        {"spec.hostNetwork": True, C + "ports": [{"containerPort": 1, "hostPort": 8, "protocol": "TCP"}]},
        [P + "ports[0].hostPort: Invalid value: 8: must match `containerPort` when `hostNetwork` is true"],
    ),
}

ENVIRONMENT = {
    "a variable has a name": ({C + "env": [{"value": "x"}]}, [P + "env[0].name: Required value"]),
    "a variable comes from one place": (
        {
            C + "env": [
                {
                    "name": "X",
                    "valueFrom": {
                        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"},
                        "secretKeyRef": {"name": "s", "key": "k"},
                    },
                }
            ]
        },
        [P + 'env[0].valueFrom: Invalid value: "": may not have more than one field specified at a time'],
    ),
    "a variable has a value or comes from somewhere": (
        {C + "env": [{"name": "X", "value": "1", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
        [P + 'env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
    ),
    "one label can be a variable": (
        {
            C + "env": [
                {"name": "X", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['a/b']"}}}
            ]
        },
        [],
    ),
    "a name has no subscript": (
        {
            C + "env": [
                {"name": "X", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name['a']"}}}
            ]
        },
        [
            P + "env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.name['a']\": error converting "
            "fieldPath: field label does not support subscript: metadata.name['a']"
        ],
    ),
    "a field that is none": (
        {C + "env": [{"name": "X", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.colour"}}}]},
        [
            P + 'env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.colour": error converting fieldPath: '
            "field label not supported: spec.colour"
        ],
    ),
    "memory is divided by whole units": (
        {C + "env": [{"name": "X", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "3"}}}]},
        [
            P + 'env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.memory": only divisor\'s values 1, '
            "1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the memory resource"
        ],
    ),
    "a resource that is none": (
        {C + "env": [{"name": "X", "valueFrom": {"resourceFieldRef": {"resource": "limits.gpu"}}}]},
        [
            P + 'env[0].valueFrom.resourceFieldRef.resource: Unsupported value: "limits.gpu": supported values: '
            '"limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", '
            '"requests.memory"'
        ],
    ),
    "a file with variables is in an emptyDir": (
        {
            "spec.volumes": [{"name": "v", "hostPath": {"path": "/x"}}],
            C + "env": [
                {"name": "X", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "f", "key": "K"}}},
                {"name": "Y", "valueFrom": {"fileKeyRef": {"volumeName": "w", "path": "../f", "key": ""}}},
            ],
        },
        [
            P
            + 'env[0].valueFrom.fileKeyRef.volumeName: Invalid value: "v": referenced volume must be of type emptyDir',
            P + "env[1].valueFrom.fileKeyRef.key: Required value",
            P + "env[1].valueFrom.fileKeyRef.path: Invalid value: \"../f\": must not contain '..'",
            P + 'env[1].valueFrom.fileKeyRef.volumeName: Not found: "w"',
        ],
    ),
    "a source of many variables is one of two": (
        {C + "envFrom": [{"prefix": "A="}, {"secretRef": {}}]},
        [
            P + 'envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`',
            P + 'envFrom[0].prefix: Invalid value: "A=": a valid environment variable name must consist only of '
            "printable ASCII characters other than '='",
            P + "envFrom[1].secretRef.name: Required value",
        ],
    ),
}

MOUNTS = {
    "a mount is of a volume": (
        {C + "volumeMounts": [{"name": "w", "mountPath": "/w"}]},
        [P + 'volumeMounts[0].name: Not found: "w"'],
    ),
    "a part of a volume is below it": (
        mounting(subPath="../x"),
        [P + "volumeMounts.subPath: Invalid value: \"../x\": must not contain '..'"],
    ),
    "a part is named in one way": (
        mounting(subPath="a", subPathExpr="b"),
        [P + 'volumeMounts[0].subPathExpr: Invalid value: "b": subPathExpr and subPath are mutually exclusive'],
    ),
    "only a privileged container mounts for the host": (
        mounting(mountPropagation="Bidirectional"),
        [
            P + "volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to "
            "privileged containers"
        ],
    ),
    "a privileged container mounts for the host": (
        mounting(mountPropagation="Bidirectional") | {C + "securityContext": {"privileged": True}},
        [],
    ),
    "read-only to the bottom is read-only": (
        mounting(recursiveReadOnly="Enabled"),
        [P + "volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true"],
    ),
    "a device is a claim": (
        {"spec.volumes": [EMPTY_DIR], C + "volumeDevices": [{"name": "v", "devicePath": "/dev/../x"}]},
        [
            P + "volumeDevices[0].devicePath: Invalid value: \"/dev/../x\": can not contain backsteps ('..')",
            P + 'volumeDevices[0].name: Invalid value: "v": can only use volume source type of PersistentVolumeClaim '
            "or Ephemeral for block mode",
        ],
    ),
}

RESTARTS = {
    "rules need a policy": (
        {C + "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]},
        [P + "restartPolicy: Required value: must specify restartPolicy when restart rules are used"],
    ),
    "an init container's rules are not looked into without a policy": (
        {"spec.initContainers": [container(name="i", restartPolicyRules=[{"action": "Explode"}])]},
        [
            "spec.initContainers[0].restartPolicy: Required value: must specify restartPolicy when restart rules "
            "are used"
        ],
    ),
    "a rule is about exit codes": (
        {C + "restartPolicy": "Never", C + "restartPolicyRules": [{"action": "Restart"}]},
        [P + "restartPolicyRules[0].exitCodes: Required value: must be specified"],
    ),
    "codes are in or not in a list of 255": (
        {
            C + "restartPolicy": "Never",
            C + "restartPolicyRules": [
                {"action": "RestartAllContainers", "exitCodes": {"operator": "Is", "values": list(range(256))}}
            ],
        },
        [
            P + 'restartPolicyRules[0].exitCodes.operator: Unsupported value: "Is": supported values: "In", "NotIn"',
            P + "restartPolicyRules[0].exitCodes.values: Too many: 256: must have at most 255 items",
        ],
    ),
    "a sidecar may have probes": (
        {
            "spec.initContainers": [
                container(
                    name="s",
                    restartPolicy="Always",
                    livenessProbe={"exec": {"command": ["true"]}, "successThreshold": 1},
                )
            ]
        },
        [],
    ),
    "an init container that ends has no probes": (
        {"spec.initContainers": [container(name="i", readinessProbe={}, lifecycle={})]},
        [
            f"spec.initContainers[0].{field}: Forbidden: may not be set for init containers without "
            "restartPolicy=Always"
            for field in ("lifecycle", "readinessProbe")
        ],
    ),
    "an init container that ends is not restarted for more memory": (
        {
            "spec.initContainers": [
                container(name="i", resizePolicy=[{"resourceName": "memory", "restartPolicy": "RestartContainer"}])
            ]
        },
        [
            'spec.initContainers[0].resizePolicy[0].restartPolicy: Invalid value: "RestartContainer": must not be '
            "set to "
            "'RestartContainer' for non-sidecar initContainers"
        ],
    ),
}


@pytest.mark.parametrize(("changes", "expected"), rows(BASICS | PORTS | ENVIRONMENT | MOUNTS | RESTARTS))
def test_containers(changes: dict[str, Any], expected: list[str]) -> None:
    assert told(validate_create("Pod", changed(POD, changes))) == sorted(expected)
