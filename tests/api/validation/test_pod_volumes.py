"""Volumes of every type."""

from __future__ import annotations

from typing import Any

import pytest

from podrun.api.validation import validate_create
from tests.api.validation.samples import POD, changed, rows, told

V = "spec.volumes[0]."
MODE = "must be a number between 0 and 0777 (octal), both inclusive"


def volume(**source: Any) -> dict[str, Any]:
    return {"spec.volumes": [{"name": "v"} | source]}


def projected(*sources: Any) -> dict[str, Any]:
    return volume(projected={"sources": list(sources), "defaultMode": 420})


def claim(**spec: Any) -> dict[str, Any]:
    full = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return volume(ephemeral={"volumeClaimTemplate": {"spec": full | spec}})


LOCAL = {
    "a volume has a type": (volume(), ["spec.volumes[0]: Required value: must specify a volume type"]),
    "a volume has one type": (
        volume(emptyDir={}, hostPath={}, downwardAPI={}),
        [
            V + "downwarAPI: Forbidden: may not specify more than 1 volume type",
            V + "hostPath: Forbidden: may not specify more than 1 volume type",
        ],
    ),
    "two volumes have two names": (
        {"spec.volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]},
        ['spec.volumes[1].name: Duplicate value: "v"'],
    ),
    "a size is not negative": (
        volume(emptyDir={"sizeLimit": "-1"}),
        [V + "emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity"],
    ),
    "a path of the host is of a known type": (
        volume(hostPath={"path": "/x", "type": "Pipe"}),
        [
            V + 'hostPath.type: Unsupported value: "Pipe": supported values: "", "BlockDevice", "CharDevice", '
            '"Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"'
        ],
    ),
    "a secret's files stay inside": (
        volume(secret={"defaultMode": 0o1000, "items": [{"key": "k", "path": "..k", "mode": -1}]}),
        [
            V + f"secret.defaultMode: Invalid value: 512: {MODE}",
            V + f"secret.items[0].mode: Invalid value: -1: {MODE}",
            V + "secret.items[0].path: Invalid value: \"..k\": must not start with '..'",
            V + "secret.secretName: Required value",
        ],
    ),
    "a file of the downward API is of one thing": (
        volume(downwardAPI={"items": [{"path": "f"}]}),
        [V + "downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"],
    ),
    "a container's resource says whose": (
        volume(downwardAPI={"items": [{"path": "f", "resourceFieldRef": {"resource": "limits.cpu"}}]}),
        [V + "downwardAPI.resourceFieldRef.containerName: Required value"],
    ),
    "files of two sources do not collide": (
        projected(
            {"configMap": {"name": "c", "items": [{"key": "a", "path": "f"}]}},
            {"downwardAPI": {"items": [{"path": "f", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}]}},
        ),
        [V + 'projected: Invalid value: "f": conflicting duplicate paths'],
    ),
    "a source is one thing": (
        projected({"configMap": {"name": "c"}, "secret": {"name": "s"}}),
        [V + "projected.sources[0]: Forbidden: may not specify more than 1 volume type per source"],
    ),
    "a token lives ten minutes or more": (
        projected({"serviceAccountToken": {"path": "../t", "expirationSeconds": 599}}),
        [
            V + "projected.path: Invalid value: \"../t\": must not contain '..'",
            V + "projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 599: may not specify a "
            "duration less than 10 minutes",
        ],
    ),
    "a token is of an account": (
        projected({"serviceAccountToken": {"path": "t", "expirationSeconds": 600}}) | {"spec.serviceAccountName": ""},
        [
            V + "projected.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is "
            "not set"
        ],
    ),
    "an image is named": (
        volume(image={"pullPolicy": "Always"}),
        [V + "image.reference: Required value"],
    ),
}

CLAIMS = {
    "a claim that is made along is fine": (claim(), []),
    "a claim says how it is mounted and how large it is": (
        claim(accessModes=[], resources={}),
        [
            V + "ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required",
            V + "ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
        ],
    ),
    "one pod at a time means no other mode": (
        claim(accessModes=["ReadWriteOncePod", "ReadWriteOnce"]),
        [
            V + "ephemeral.volumeClaimTemplate.spec.accessModes: Forbidden: may not use ReadWriteOncePod with other "
            "access modes"
        ],
    ),
    "a template has no name": (
        volume(
            ephemeral={
                "volumeClaimTemplate": {
                    "metadata": {"name": "x", "uid": "y", "labels": {"a": "b"}},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
                }
            }
        ),
        [
            V + "ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set",
            V + "ephemeral.volumeClaimTemplate.metadata.uID: Forbidden: cannot be set",
        ],
    ),
    "a claim that is made along is not used by another volume": (
        {
            "spec.volumes": [
                *claim()["spec.volumes"],
                {"name": "w", "persistentVolumeClaim": {"claimName": "p-v"}},
            ]
        },
        [
            'spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: "p-v": must not reference a PVC that gets '
            "created for an ephemeral volume"
        ],
    ),
}

REMOTE = {
    "nfs": (
        volume(nfs={"server": "s", "path": "x"}),
        [V + 'nfs.path: Invalid value: "x": must be an absolute path'],
    ),
    "a disk of Google has a path of its own": (
        volume(gcePersistentDisk={"partition": 300}),
        [
            V + "persistentDisk.partition: Invalid value: 300: must be between 1 and 255, inclusive",
            V + "persistentDisk.pdName: Required value",
        ],
    ),
    "iscsi": (
        volume(iscsi={"targetPortal": "x" * 70, "iqn": "qqn", "lun": 256, "initiatorName": "iqn.x"}),
        [
            V + 'iscsi.initiatorname: Invalid value: "iqn.x": must be valid format',
            V + 'iscsi.iqn: Invalid value: "qqn": must be valid format starting with iqn, eui, or naa',
            V + "iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
            V + 'name: Invalid value: "v": Total length of <volume name>:<iscsi.targetPortal> must be under 64 '
            "characters if iscsi.initiatorName is specified.",
        ],
    ),
    "a name of iscsi": (
        volume(iscsi={"targetPortal": "x:1", "iqn": "iqn.2001-04.com.example:storage.disk1", "lun": 0}),
        [],
    ),
    "fc": (
        volume(fc={"targetWWNs": ["a"], "wwids": ["b"]}),
        [
            V + "fc.lun: Required value: lun is required if targetWWNs is specified",
            V + 'fc.targetWWNs: Invalid value: ["a"]: targetWWNs and wwids can not be specified simultaneously',
        ],
    ),
    "flexVolume": (
        volume(flexVolume={"driver": "d", "options": {"x.k8s.io/y": ""}}),
        [
            V + 'flexVolume.options[x.k8s.io/y]: Invalid value: "x.k8s.io/y": kubernetes.io and k8s.io namespaces are '
            "reserved"
        ],
    ),
    "quobyte": (
        volume(quobyte={"registry": "a:1,b", "volume": "v"}),
        [
            V
            + 'quobyte.registry: Invalid value: "a:1,b": must be a host:port pair or multiple pairs separated by commas'
        ],
    ),
    "azureDisk": (
        volume(azureDisk={"diskName": "d", "diskURI": "u", "kind": "Managed", "cachingMode": "All"}),
        [
            V + 'azureDisk.cachingMode: Unsupported value: "All": supported values: "None", "ReadOnly", "ReadWrite"',
            V + 'azureDisk.diskURI: Unsupported value: "u": supported values: "/subscriptions/{sub-id}/resourcegroups/'
            '{group-name}/providers/microsoft.compute/disks/{disk-id}"',
        ],
    ),
    "csi": (
        volume(csi={"driver": "D_", "nodePublishSecretRef": {}}),
        [
            V + 'csi.driver: Invalid value: "D_": a lowercase RFC 1123 subdomain must consist of lower case '
            "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. "
            "'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])"
            "?)*')",
            V + "csi.nodePublishSecretRef.name: Required value",
        ],
    ),
    "rbd": (volume(rbd={}), [V + "rbd.image: Required value", V + "rbd.monitors: Required value"]),
}


@pytest.mark.parametrize(("changes", "expected"), rows(LOCAL | CLAIMS | REMOTE))
def test_volumes(changes: dict[str, Any], expected: list[str]) -> None:
    assert told(validate_create("Pod", changed(POD, changes))) == sorted(expected)
