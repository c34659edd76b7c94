"""What a pod's fields are when nobody said (pkg/apis/core/v1/defaults.go and the `+default` marks of its types).

Every function fills in a fresh object in place. Two sorts of rules are kept apart, as in Kubernetes: those of every pod
spec (also in a PodTemplate), and those that only a Pod gets.
"""

from __future__ import annotations

from typing import Any

from podrun.api import resources
from podrun.api.imagename import default_pull_policy
from podrun.api.quantity import Quantity

Object = dict[str, Any]

MODE = 0o644
TOKEN_SECONDS = 3600
GRACE_SECONDS = 30

_VOLUME_POINTERS: dict[str, Object] = {
    "hostPath": {"type": ""},
    "secret": {"defaultMode": MODE},
    "configMap": {"defaultMode": MODE},
    "downwardAPI": {"defaultMode": MODE},
    "projected": {"defaultMode": MODE},
    "azureDisk": {"cachingMode": "ReadWrite", "fsType": "ext4", "readOnly": False, "kind": "Shared"},
}
_VOLUME_VALUES: dict[str, Object] = {
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_POD_SPEC: Object = {
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
}


def pod(obj: Object) -> None:
    """Fill in a Pod."""
    spec = obj["spec"]
    for container in (*all_of(spec, "containers"), *all_of(spec, "initContainers")):
        limits = (container.get("resources") or {}).get("limits")
        if limits:
            container["resources"]["requests"] = {**limits, **(container["resources"].get("requests") or {})}
    _pod_level_resources(obj)
    spec.setdefault("enableServiceLinks", True)
    if spec.get("hostNetwork"):
        for container in (*all_of(spec, "containers"), *all_of(spec, "initContainers")):
            for port in all_of(container, "ports"):
                fill(port, {"hostPort": port.get("containerPort")})
                if not port["hostPort"]:
                    del port["hostPort"]
    pod_spec(spec)
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1  # a negative one means "at once", which is no longer said that way
    _status(obj.get("status") or {})


def pod_spec(spec: Object) -> None:
    """Fill in the spec of a Pod or of a PodTemplate."""
    fill(spec, _POD_SPEC)
    spec.setdefault("terminationGracePeriodSeconds", GRACE_SECONDS)
    spec.setdefault("securityContext", {})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:  # the older name is kept as an alias
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    else:
        spec.pop("serviceAccount", None)
    for entry in all_of(spec, "volumes"):
        volume(entry)
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for entry in all_of(spec, group):
            container_defaults(entry)
    round_up(spec, "overhead")
    round_resources(spec)


def volume(entry: Object) -> None:
    """Fill in a volume; one of no type is an emptyDir."""
    if len(entry) == 1 and "name" in entry:
        entry["emptyDir"] = {}
    for kind, defaults in _VOLUME_POINTERS.items():
        if kind in entry:
            entry[kind].update({name: value for name, value in defaults.items() if name not in entry[kind]})
    for kind, defaults in _VOLUME_VALUES.items():
        if kind in entry:
            fill(entry[kind], defaults)
    image = entry.get("image")
    if image is not None:
        fill(image, {"pullPolicy": default_pull_policy(image.get("reference", ""))})
    _field_refs(entry.get("downwardAPI"))
    for source in all_of(entry.get("projected") or {}, "sources"):
        _field_refs(source.get("downwardAPI"))
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", TOKEN_SECONDS)
    claim = (entry.get("ephemeral") or {}).get("volumeClaimTemplate")
    if claim is not None:
        claim["spec"].setdefault("volumeMode", "Filesystem")
        round_resources(claim["spec"])


def container_defaults(entry: Object) -> None:
    """Fill in a container of any group."""
    fill(
        entry,
        {
            "imagePullPolicy": default_pull_policy(entry.get("image", "")),
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        },
    )
    for port in all_of(entry, "ports"):
        fill(port, {"protocol": "TCP"})
    for variable in all_of(entry, "env"):
        source = variable.get("valueFrom") or {}
        if "fieldRef" in source:
            fill(source["fieldRef"], {"apiVersion": "v1"})
        if "fileKeyRef" in source:
            source["fileKeyRef"].setdefault("optional", False)
    round_resources(entry)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = entry.get(name)
        if probe is not None:
            fill(probe, _PROBE)
            _http_get(probe)
            grpc = probe.get("grpc")
            if grpc is not None and grpc.get("service") is None:
                grpc["service"] = ""
    lifecycle = entry.get("lifecycle") or {}
    for hook in ("postStart", "preStop"):
        _http_get(lifecycle.get(hook) or {})


def fill(obj: Object, defaults: Object) -> None:
    """Set what is missing or empty (for fields that Go holds as plain values)."""
    for name, value in defaults.items():
        if not obj.get(name):
            obj[name] = value


def all_of(obj: Object, name: str) -> list[Object]:
    """The objects of a list field that may be missing or null."""
    return obj.get(name) or []


def round_up(obj: Object, name: str) -> None:
    """Round the quantities of a map up to thousandths."""
    for key, value in (obj.get(name) or {}).items():
        obj[name][key] = str(Quantity.of(value).round_up(-3))


def round_resources(owner: Object) -> None:
    """Round the requests and limits of a container, claim or pod spec up to thousandths."""
    listed = owner.get("resources")
    if listed:
        round_up(listed, "limits")
        round_up(listed, "requests")


def _http_get(handler: Object) -> None:
    if "httpGet" in handler:
        fill(handler["httpGet"], {"path": "/", "scheme": "HTTP"})


def _field_refs(source: Object | None) -> None:
    for item in all_of(source or {}, "items"):
        if "fieldRef" in item:
            fill(item["fieldRef"], {"apiVersion": "v1"})


def _status(status: Object) -> None:
    for group in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for entry in all_of(status, group):
            round_up(entry, "allocatedResources")
            round_resources(entry)
    round_up(status, "allocatedResources")
    round_resources(status)
    address = status.get("podIP")
    listed = all_of(status, "podIPs")
    if address and (not listed or listed[0].get("ip") != address):
        status["podIPs"] = [{"ip": address}]
    elif listed:
        status["podIP"] = listed[0]["ip"]


def _pod_level_resources(obj: Object) -> None:
    """Requests and limits of the pod as a whole, where some are given (KEP-2837)."""
    own = obj["spec"].get("resources")
    if not own or not (own.get("limits") or own.get("requests")):
        return
    requests, limits = dict(own.get("requests") or {}), dict(own.get("limits") or {})
    for name, total in resources.containers_total(obj, "limits").items():
        if name.startswith(resources.HUGEPAGES) and name not in requests:
            limits.setdefault(name, str(total))
    if limits:
        for name, total in resources.containers_total(obj, "requests").items():
            if resources.is_pod_level(name) and not name.startswith(resources.HUGEPAGES):
                requests.setdefault(name, str(total))
        for name, limit in limits.items():
            if resources.is_pod_level(name):
                requests.setdefault(name, limit)
    for what, made in (("requests", requests), ("limits", limits)):
        if made:
            own[what] = made
