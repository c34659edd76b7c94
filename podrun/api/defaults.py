"""What the fields of an object are when nobody said, for every served kind; and the aliases kept for old clients.

`apply_defaults` does what happens to an object between the decoder and the validation in the API server: defaulting,
and the conversions to the internal form and back that clients can see (a Secret's stringData becomes data, an older
name of a field follows the newer one).
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import orjson

from podrun.api import defaults_pod
from podrun.api.defaults_pod import all_of, fill, round_up
from podrun.api.gvk import KindRef

Object = dict[str, Any]

RBAC = "rbac.authorization.k8s.io"
AFFINITY_SECONDS = 10800


def apply_defaults(kind: KindRef, obj: Object) -> Object:
    """`obj` (canonical, as the decoder gives it) with every default filled in; `obj` itself stays as it is."""
    rule = _RULES.get((kind.group, kind.kind))
    if rule is None:
        return obj
    made: Object = orjson.loads(orjson.dumps(obj))
    rule(made)
    return made


def _pod_template(obj: Object) -> None:
    defaults_pod.pod_spec(obj["template"]["spec"])


def _service(obj: Object) -> None:
    spec = obj["spec"]
    fill(spec, {"sessionAffinity": "None", "type": "ClusterIP"})
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if client.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}}
    for port in all_of(spec, "ports"):
        fill(port, {"protocol": "TCP", "targetPort": port.get("port", 0)})
    balanced = spec["type"] == "LoadBalancer"
    reachable = balanced or spec["type"] == "NodePort"
    if reachable or (spec["type"] == "ClusterIP" and spec.get("externalIPs")):
        fill(spec, {"externalTrafficPolicy": "Cluster"})
    if reachable or spec["type"] == "ClusterIP":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if balanced:
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        for ingress in all_of((obj.get("status") or {}).get("loadBalancer") or {}, "ingress"):
            if ingress.get("ip"):
                ingress.setdefault("ipMode", "VIP")


def _secret(obj: Object) -> None:
    fill(obj, {"type": "Opaque"})
    given = obj.pop("stringData", None)
    if given:
        texts = {name: base64.b64encode(text.encode()).decode("ascii") for name, text in given.items()}
        obj["data"] = {**(obj.get("data") or {}), **texts}


def _namespace(obj: Object) -> None:
    name = obj["metadata"].get("name")
    if name:
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name
    fill(obj["status"], {"phase": "Active"})


def _node(obj: Object) -> None:
    spec, status = obj["spec"], obj["status"]
    if "capacity" in status:
        status.setdefault("allocatable", dict(status["capacity"]))
    round_up(status, "capacity")
    round_up(status, "allocatable")
    first, listed = spec.get("podCIDR"), spec.get("podCIDRs") or []
    if first and listed[:1] != [first]:
        spec["podCIDRs"] = [first]
    elif listed:
        spec["podCIDR"] = listed[0]


def _endpoints(obj: Object) -> None:
    for subset in all_of(obj, "subsets"):
        for port in all_of(subset, "ports"):
            fill(port, {"protocol": "TCP"})


def _endpoint_slice(obj: Object) -> None:
    for port in all_of(obj, "ports"):
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def _binding(obj: Object) -> None:
    fill(obj["roleRef"], {"apiGroup": RBAC})
    for subject in all_of(obj, "subjects"):
        if subject.get("kind") in ("User", "Group"):
            fill(subject, {"apiGroup": RBAC})


def _priority_class(obj: Object) -> None:
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _runtime_class(obj: Object) -> None:
    round_up(obj.get("overhead") or {}, "podFixed")


def _token_request(obj: Object) -> None:
    if obj["spec"].get("expirationSeconds") is None:
        obj["spec"]["expirationSeconds"] = defaults_pod.TOKEN_SECONDS


_RULES: dict[tuple[str, str], Callable[[Object], None]] = {
    ("", "Pod"): defaults_pod.pod,
    ("", "PodTemplate"): _pod_template,
    ("", "Service"): _service,
    ("", "Secret"): _secret,
    ("", "Namespace"): _namespace,
    ("", "Node"): _node,
    ("", "Endpoints"): _endpoints,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    (RBAC, "RoleBinding"): _binding,
    (RBAC, "ClusterRoleBinding"): _binding,
    ("scheduling.k8s.io", "PriorityClass"): _priority_class,
    ("node.k8s.io", "RuntimeClass"): _runtime_class,
    ("authentication.k8s.io", "TokenRequest"): _token_request,
}
