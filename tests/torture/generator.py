"""Pods as nobody writes them and anybody may: valid, small, and of every kind of part that podrun knows."""

from __future__ import annotations

import random
from typing import Any

from tests.pods.living import FOREVER, Object, shell

ENDINGS = ("exit 0", "exit 3", "sleep 0.1; exit 0", "sleep 0.3; exit 7", "kill -9 $$", "echo x; exit 1")
LASTING = (FOREVER, FOREVER, "sleep 1000", "trap '' TERM; while :; do sleep 1; done", "sleep 1000 & sleep 1000 & wait")

SOURCES: tuple[Object, ...] = (
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1", "b": "2"}},
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hidden"}, "stringData": {"key": "s3cret"}},
)
"""What generated pods refer to."""


def volumes(r: random.Random) -> dict[str, Object]:
    """Some volumes by name."""
    kinds: dict[str, Object] = {
        "disk": {"emptyDir": {}},
        "memory": {"emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}},
        "config": {"configMap": {"name": "settings"}},
        "absent": {"configMap": {"name": "absent", "optional": True}},
        "secret": {"secret": {"secretName": "hidden", "defaultMode": 0o400}},
        "info": {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        "host": {"hostPath": {"path": "/usr/share", "type": "Directory"}},
        "mixed": {
            "projected": {
                "sources": [
                    {"configMap": {"name": "settings"}},
                    {"secret": {"name": "hidden"}},
                    {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
                ]
            }
        },
    }
    return {name: kinds[name] for name in r.sample(sorted(kinds), r.randint(0, 4))}


def container(r: random.Random, name: str, script: str, given: dict[str, Object], *, probes: bool = True) -> Object:
    """One container; `probes` where the kind of container may have some."""
    fields: dict[str, Any] = {}
    if mounts := [{"name": volume, "mountPath": f"/v/{volume}"} for volume in given if r.random() < 0.7]:
        fields["volumeMounts"] = mounts
    if r.random() < 0.3:
        fields["resources"] = {"limits": {"memory": "64Mi", "cpu": r.choice(("100m", "500m"))}}
    if r.random() < 0.3:
        fields["env"] = [
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}},
        ]
    if r.random() < 0.3:
        fields["securityContext"] = r.choice(
            (
                {"runAsUser": 1000, "runAsNonRoot": True},
                {"readOnlyRootFilesystem": True},
                {"capabilities": {"drop": ["ALL"]}, "allowPrivilegeEscalation": False},
                {"privileged": True},
                {"seccompProfile": {"type": "Unconfined"}},
            )
        )
    if r.random() < 0.15:
        fields |= {"stdin": True, "tty": r.random() < 0.5}
    if probes and r.random() < 0.3:
        probe = {"exec": {"command": [r.choice(("true", "false"))]}, "periodSeconds": 1}
        fields[r.choice(("readinessProbe", "livenessProbe", "startupProbe"))] = probe
    if probes and r.random() < 0.2:
        hook = {"exec": {"command": ["sh", "-c", r.choice(("true", "sleep 0.2", "false"))]}}
        fields["lifecycle"] = {r.choice(("postStart", "preStop")): hook}
    if r.random() < 0.05:
        fields["command"] = ["/no/such/program"]
        return {**shell(name), **fields}
    return shell(name, script, **fields)


def pod(r: random.Random, name: str) -> Object:
    """A valid pod."""
    given = volumes(r)
    policy = r.choice(("Always", "OnFailure", "Never"))
    spec: dict[str, Any] = {
        "restartPolicy": policy,
        "terminationGracePeriodSeconds": r.choice((0, 1, 1, 2)),
        "volumes": [{"name": volume, **source} for volume, source in given.items()],
        "containers": [
            container(r, f"c{n}", r.choice(LASTING if r.random() < 0.7 else ENDINGS), given)
            for n in range(r.randint(1, 3))
        ],
    }
    first = [container(r, f"i{n}", r.choice(ENDINGS), given, probes=False) for n in range(r.choice((0, 0, 0, 1, 2)))]
    if r.random() < 0.2:
        first.append({**container(r, "side", r.choice(LASTING), given), "restartPolicy": "Always"})
    if first:
        spec["initContainers"] = first
    kind = r.random()
    if kind < 0.1:
        spec["hostNetwork"] = True
    elif kind < 0.2:
        spec["hostUsers"] = False
    elif kind < 0.4:
        spec["shareProcessNamespace"] = True
    elif kind < 0.45:
        spec["hostPID"] = True
    if spec.get("hostUsers") is False:
        for each in (*spec["containers"], *spec.get("initContainers", ())):
            if each.get("securityContext", {}).get("privileged"):
                del each["securityContext"]
    if r.random() < 0.2 and not spec.get("hostNetwork"):
        spec["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": r.randint(20000, 29999)}]
    if r.random() < 0.1:
        spec["activeDeadlineSeconds"] = r.randint(1, 3)
    if r.random() < 0.2:
        spec["securityContext"] = {"fsGroup": 2000}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"made": "by-torture", "n": str(r.randint(0, 9))}},
        "spec": spec,
    }
