"""From a Service and its pods to the Endpoints and EndpointSlices that Kubernetes' three controllers would write.

Pure: objects in, contents out. Names, uids and versions of what is stored are the business of `endpoints.py`.

    selector, pods ──> endpoints_of()  one Endpoints (pkg/controller/endpoint)
                  └──> slices_of()     slices of at most 100 endpoints with equal ports (staging/k8s.io/endpointslice)
    Endpoints by hand ──> mirrored()   slices of the same content (pkg/controller/endpointslicemirroring)

A pod that is not Ready stays in both, marked so; one that ends stays in the slices only (serving and terminating);
one that has ended, or has no address yet, is in neither.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from podrun.controllers.slices import SERVICE_NAME

Object = dict[str, Any]

SLICE_CONTROLLER = "endpointslice-controller.k8s.io"
MIRROR_CONTROLLER = "endpointslicemirroring-controller.k8s.io"
ENDPOINTS_CONTROLLER = "endpoint-controller"
SLICE_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"
ENDPOINTS_MANAGED_BY = "endpoints.kubernetes.io/managed-by"
HEADLESS = "service.kubernetes.io/headless"
LAST_CHANGE = "endpoints.kubernetes.io/last-change-trigger-time"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
LEADER = "control-plane.alpha.kubernetes.io/leader"
MOST_IN_SLICE = 100
MOST_MIRRORED = 1000
"""Of one subset; what is beyond is left out."""


def is_selected(service: Object, labels: Mapping[str, str] | None) -> bool:
    """Whether a pod with these labels belongs to the Service; one without a selector has no pods."""
    selector = service["spec"].get("selector")
    if not selector:
        return False
    labels = labels or {}
    return all(labels.get(key) == value for key, value in selector.items())


def is_managed(service: Object) -> bool:
    """Whether its endpoints come from pods."""
    return service["spec"].get("selector") is not None and service["spec"].get("type") != "ExternalName"


def concern(pod: Object) -> tuple[Any, ...]:
    """Everything of a pod that endpoints depend on: two pods with equal concerns have equal endpoints."""
    spec, status, metadata = pod["spec"], pod.get("status") or {}, pod["metadata"]
    return (
        metadata.get("labels"),
        metadata["uid"],
        "deletionTimestamp" in metadata,
        status.get("podIPs"),
        status.get("phase") in ("Succeeded", "Failed"),
        is_ready(pod),
        spec.get("hostname"),
        spec.get("subdomain"),
        spec.get("nodeName"),
    )


def is_ready(pod: Object) -> bool:
    """The pod's Ready condition."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def endpoints_of(service: Object, pods: Iterable[Object]) -> list[Object]:
    """The `subsets` of the Service's Endpoints, from the pods of its namespace."""
    spec = service["spec"]
    unready_too = bool(spec.get("publishNotReadyAddresses"))
    offers: dict[tuple[Any, ...], dict[tuple[str, str], tuple[Object, bool]]] = {}
    ports: dict[tuple[Any, ...], Object | None] = {}
    for pod in _members(service, pods):
        if "deletionTimestamp" in pod["metadata"] and not unready_too:
            continue
        ready = unready_too or is_ready(pod)
        for address in _addresses(service, pod):
            entry = _endpoint_address(service, pod, address)
            for port in _endpoint_ports(service, pod):
                key = tuple(sorted((port or {}).items()))
                ports[key] = port
                offers.setdefault(key, {})[(address, pod["metadata"]["uid"])] = (entry, ready)
    return _packed(offers, ports)


def _packed(
    offers: Mapping[tuple[Any, ...], Mapping[tuple[str, str], tuple[Object, bool]]],
    ports: Mapping[tuple[Any, ...], Object | None],
) -> list[Object]:
    """One subset for all ports that the same addresses offer, equally ready (endpoints.RepackSubsets)."""
    groups: dict[frozenset[tuple[tuple[str, str], bool]], list[tuple[Any, ...]]] = {}
    for key, addresses in offers.items():
        group = frozenset((who, ready) for who, (_, ready) in addresses.items())
        groups.setdefault(group, []).append(key)
    subsets = []
    for keys in groups.values():
        members = sorted(
            offers[keys[0]].items(), key=lambda item: (ipaddress.ip_address(item[0][0]).packed, item[0][1])
        )
        subset: Object = {
            "addresses": [entry for _, (entry, ready) in members if ready],
            "notReadyAddresses": [entry for _, (entry, ready) in members if not ready],
            "ports": sorted(filter(None, (ports[key] for key in keys)), key=_port_order),
        }
        subsets.append({name: value for name, value in subset.items() if value})
    return sorted(subsets, key=lambda subset: [_port_order(port) for port in subset.get("ports", ())])


def endpoints_labels(service: Object) -> dict[str, str]:
    """The labels of the Service's Endpoints."""
    labels = {**(service["metadata"].get("labels") or {}), ENDPOINTS_MANAGED_BY: ENDPOINTS_CONTROLLER}
    return _with_headless(service, labels)


def slices_of(service: Object, pods: Iterable[Object]) -> list[Object]:
    """The contents (addressType, endpoints, ports) of the Service's slices: one without endpoints where it has none."""
    made = []
    members = _members(service, pods)
    for family in service["spec"].get("ipFamilies") or ["IPv4"]:
        groups: dict[tuple[Any, ...], tuple[list[Object], list[Object]]] = {}
        for pod in members:
            addresses = [ip for ip in _pod_addresses(pod) if _family(ip) == family]
            if addresses:
                ports = [port for port in _slice_ports(service, pod) if port]
                key = tuple(tuple(sorted(port.items())) for port in ports)
                groups.setdefault(key, (ports, []))[1].append(_endpoint(service, pod, addresses[:1]))
        for ports, found in groups.values():
            begins = range(0, len(found), MOST_IN_SLICE)
            made += [_slice(family, found[begin : begin + MOST_IN_SLICE], ports) for begin in begins]
        if not groups:
            made.append(_slice(family, [], []))
    return made


def slice_labels(service: Object) -> dict[str, str]:
    """The labels of the Service's slices."""
    own = {SERVICE_NAME: service["metadata"]["name"], SLICE_MANAGED_BY: SLICE_CONTROLLER}
    return _with_headless(service, {**(service["metadata"].get("labels") or {}), **own})


def is_mirrored(endpoints: Object) -> bool:
    """Whether Endpoints made by hand are to be shown as slices too."""
    metadata = endpoints["metadata"]
    skipped = (metadata.get("labels") or {}).get(SKIP_MIRROR) == "true"
    return not skipped and LEADER not in (metadata.get("annotations") or {})


def mirrored(endpoints: Object) -> list[Object]:
    """The contents of the slices for Endpoints made by hand."""
    groups: dict[tuple[Any, ...], tuple[str, list[Object], list[Object]]] = {}
    for subset in endpoints.get("subsets") or ():
        ports = [
            {"name": port.get("name", ""), **{k: port[k] for k in ("port", "protocol", "appProtocol") if k in port}}
            for port in sorted(subset.get("ports") or (), key=_port_order)
        ]
        listed = [(one, True) for one in subset.get("addresses") or ()]
        listed += [(one, False) for one in subset.get("notReadyAddresses") or ()]
        for address, ready in listed[:MOST_MIRRORED]:
            family = _family(address["ip"])
            key = (family, *(tuple(sorted(port.items())) for port in ports))
            kept = {key: address[key] for key in ("hostname", "nodeName", "targetRef") if address.get(key)}
            made = {"addresses": [address["ip"]], "conditions": {"ready": ready}, **kept}
            groups.setdefault(key, (family, [], ports))[1].append(made)
    return [_slice(*group) for group in groups.values()]


def mirror_labels(endpoints: Object) -> dict[str, str]:
    """The labels of mirrored slices."""
    own = {SERVICE_NAME: endpoints["metadata"]["name"], SLICE_MANAGED_BY: MIRROR_CONTROLLER}
    return {**(endpoints["metadata"].get("labels") or {}), **own}


def mirror_annotations(endpoints: Object) -> dict[str, str]:
    """The annotations of mirrored slices."""
    given = endpoints["metadata"].get("annotations") or {}
    return {key: value for key, value in given.items() if key not in (LAST_CHANGE, LAST_APPLIED)}


def owner_reference(kind: str, owner: Object) -> Object:
    """The reference of a slice to the Service, or the Endpoints, that it goes with."""
    metadata = owner["metadata"]
    return {
        "apiVersion": "v1",
        "kind": kind,
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _slice(family: str, endpoints: Sequence[Object], ports: Sequence[Object]) -> Object:
    # Go writes an empty list of either as null.
    return {"addressType": family, "endpoints": list(endpoints) or None, "ports": list(ports) or None}


def _members(service: Object, pods: Iterable[Object]) -> list[Object]:
    return [
        pod
        for pod in pods
        if is_selected(service, pod["metadata"].get("labels"))
        and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        and _pod_addresses(pod)
    ]


def _pod_addresses(pod: Object) -> list[str]:
    status = pod.get("status") or {}
    listed = [one["ip"] for one in status.get("podIPs") or ()]
    return listed or ([status["podIP"]] if status.get("podIP") else [])


def _family(ip: str) -> str:
    return "IPv6" if ":" in ip else "IPv4"


def _addresses(service: Object, pod: Object) -> list[str]:
    """The one address of a pod that Endpoints name: of the Service's first family."""
    family = (service["spec"].get("ipFamilies") or ["IPv4"])[0]
    return [ip for ip in _pod_addresses(pod) if _family(ip) == family][:1]


def _endpoint_address(service: Object, pod: Object, ip: str) -> Object:
    made: Object = {"ip": ip}
    if hostname := _hostname(service, pod):
        made["hostname"] = hostname
    if node := pod["spec"].get("nodeName"):
        made["nodeName"] = node
    return {**made, "targetRef": _target(pod)}


def _endpoint(service: Object, pod: Object, addresses: list[str]) -> Object:
    serving, terminating = is_ready(pod), "deletionTimestamp" in pod["metadata"]
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    made: Object = {
        "addresses": addresses,
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
    }
    if hostname := _hostname(service, pod):
        made["hostname"] = hostname
    made["targetRef"] = _target(pod)
    if node := pod["spec"].get("nodeName"):
        made["nodeName"] = node
    return made


def _target(pod: Object) -> Object:
    metadata = pod["metadata"]
    return {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}


def _hostname(service: Object, pod: Object) -> str:
    """The name of its own that a pod has under the headless Service that is its subdomain."""
    spec = pod["spec"]
    return str(spec.get("hostname") or "") if spec.get("subdomain") == service["metadata"]["name"] else ""


def _slice_ports(service: Object, pod: Object) -> Iterable[Object]:
    for port in service["spec"].get("ports") or ():
        number = target_port(pod, port)
        if number is not None:
            made: Object = {"name": port.get("name", ""), "protocol": port.get("protocol", "TCP"), "port": number}
            yield made | ({"appProtocol": port["appProtocol"]} if port.get("appProtocol") else {})


def _endpoint_ports(service: Object, pod: Object) -> Iterable[Object | None]:
    """Ports as Endpoints have them; one None for a headless Service that has none, which still names addresses."""
    if not service["spec"].get("ports"):
        return [None] if service["spec"].get("clusterIP") == "None" else []
    return [{key: value for key, value in port.items() if value != ""} for port in _slice_ports(service, pod)]


def target_port(pod: Object, port: Object) -> int | None:
    """The number of a Service's port in a pod: a name is looked up among the ports of its containers and sidecars."""
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    sidecars = [one for one in pod["spec"].get("initContainers") or () if one.get("restartPolicy") == "Always"]
    for container in (*pod["spec"]["containers"], *sidecars):
        for one in container.get("ports") or ():
            if one.get("name") == target and one.get("protocol", "TCP") == port.get("protocol", "TCP"):
                return int(one["containerPort"])
    return None


def _with_headless(service: Object, labels: dict[str, str]) -> dict[str, str]:
    if service["spec"].get("clusterIP", "") in ("", "None"):
        return {**labels, HEADLESS: ""}
    return {key: value for key, value in labels.items() if key != HEADLESS}


def _port_order(port: Object) -> tuple[str, int, str]:
    return port.get("name", ""), port.get("port", 0), port.get("protocol", "TCP")
