"""The rows of every other kind, as the API server prints them (pkg/printers/internalversion)."""

from __future__ import annotations

from typing import Any

from podrun.api.printers_pod import NONE, Since
from podrun.api.quantity import ZERO, Quantity

Object = dict[str, Any]
Cells = list[Any]

MOST_LISTED = 3
"""Addresses and ports beyond so many are counted only."""

_ROLE_PREFIX = "node-role.kubernetes.io/"
_ROLE_LABEL = "kubernetes.io/role"


def pod_template(obj: Object, since: Since) -> Cells:
    template = obj.get("template") or {}
    containers = (template.get("spec") or {}).get("containers") or ()
    names = ",".join(one.get("name", "") for one in containers)
    images = ",".join(one.get("image", "") for one in containers)
    return [_name(obj), names, images, format_labels((template.get("metadata") or {}).get("labels"))]


def service(obj: Object, since: Since) -> Cells:
    spec = obj.get("spec") or {}
    cluster = (spec.get("clusterIPs") or [NONE])[0]
    ports = ",".join(_port(one) for one in spec.get("ports") or ())
    kind = spec.get("type", "")
    return [
        _name(obj),
        kind,
        cluster,
        _external(obj, kind),
        ports or NONE,
        _age(obj, since),
        format_labels(spec.get("selector")),
    ]


def _port(port: Object) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port', 0)}{node}/{port.get('protocol', '')}"


def _external(obj: Object, kind: str) -> str:
    spec = obj.get("spec") or {}
    external = list(spec.get("externalIPs") or ())
    if kind in ("ClusterIP", "NodePort"):
        return ",".join(external) or NONE
    if kind == "LoadBalancer":
        ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        found = sorted({one.get("ip") or one.get("hostname") or "" for one in ingress} - {""})
        return ",".join(found + external) or "<pending>"
    return spec.get("externalName", "") if kind == "ExternalName" else "<unknown>"


def endpoints(obj: Object, since: Since) -> Cells:
    subsets = obj.get("subsets") or ()
    found = []
    for subset in subsets:
        addresses = [one.get("ip", "") for one in subset.get("addresses") or ()]
        if not subset.get("ports"):
            found += addresses
        for port in subset.get("ports") or ():
            found += [f"{_bracketed(address)}:{port.get('port', 0)}" for address in addresses]
    return [_name(obj), _some(found) if subsets else NONE, _age(obj, since)]


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _some(found: list[str], otherwise: str = "") -> str:
    """The first few of a list, and how many more there are."""
    listed = ",".join(found[:MOST_LISTED])
    more = len(found) - MOST_LISTED
    return f"{listed} + {more} more..." if more > 0 else listed or otherwise


def endpoint_slice(obj: Object, since: Since) -> Cells:
    ports = []
    for port in obj.get("ports") or ():
        number = port.get("port")
        ports.append(str(number) if number is not None else port.get("name", "*"))
    addresses = [address for one in obj.get("endpoints") or () for address in one.get("addresses") or ()]
    kind = obj.get("addressType", "")
    return [_name(obj), kind, _some(ports, "<unset>"), _some(addresses, "<unset>"), _age(obj, since)]


def node(obj: Object, since: Since) -> Cells:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    info = status.get("nodeInfo") or {}
    ready = next((one for one in reversed(status.get("conditions") or ()) if one.get("type") == "Ready"), None)
    state = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    if spec.get("unschedulable"):
        state += ",SchedulingDisabled"
    labels = obj["metadata"].get("labels") or {}
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    roles = (roles | {labels.get(_ROLE_LABEL, "")}) - {""}
    kernel = info.get("kernelVersion") or "<unknown>"
    if info.get("architecture"):
        kernel += f" ({info['architecture']})"
    addresses: dict[str, str] = {}
    for one in status.get("addresses") or ():
        addresses.setdefault(one.get("type", ""), one.get("address", ""))
    return [
        _name(obj),
        state,
        ",".join(sorted(roles)) or NONE,
        _age(obj, since),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or "<unknown>",
        kernel,
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def event(obj: Object, since: Since) -> Cells:
    """An Event of either group."""
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    first_time = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
    last_time = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    first = since(first_time)
    last = since(last_time) if last_time else first
    count = obj.get("count") or obj.get("deprecatedCount") or 1
    series = obj.get("series")
    if series is not None:
        last, count = since(series.get("lastObservedTime")), series.get("count", 0)
    target = about.get("kind", "").lower()
    if about.get("name"):
        target += f"/{about['name']}"
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return [
        last,
        obj.get("type", ""),
        obj.get("reason", ""),
        target,
        about.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        (obj.get("message") or obj.get("note") or "").strip(),
        first,
        count,
        _name(obj),
    ]


def namespace(obj: Object, since: Since) -> Cells:
    return [_name(obj), (obj.get("status") or {}).get("phase", ""), _age(obj, since)]


def secret(obj: Object, since: Since) -> Cells:
    return [_name(obj), obj.get("type", ""), len(obj.get("data") or ()), _age(obj, since)]


def config_map(obj: Object, since: Since) -> Cells:
    return [_name(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), _age(obj, since)]


def service_account(obj: Object, since: Since) -> Cells:
    return [_name(obj), _age(obj, since)]


def lease(obj: Object, since: Since) -> Cells:
    return [_name(obj), (obj.get("spec") or {}).get("holderIdentity") or "", _age(obj, since)]


def priority_class(obj: Object, since: Since) -> Cells:
    policy = obj.get("preemptionPolicy") or ""
    return [_name(obj), obj.get("value", 0), bool(obj.get("globalDefault")), _age(obj, since), policy]


def runtime_class(obj: Object, since: Since) -> Cells:
    return [_name(obj), obj.get("handler", ""), _age(obj, since)]


def binding(obj: Object, since: Since) -> Cells:
    """A RoleBinding or ClusterRoleBinding."""
    role, subjects = obj.get("roleRef") or {}, obj.get("subjects") or ()
    users = [one.get("name", "") for one in subjects if one.get("kind") == "User"]
    groups = [one.get("name", "") for one in subjects if one.get("kind") == "Group"]
    accounts = [
        f"{one.get('namespace', '')}/{one.get('name', '')}" for one in subjects if one.get("kind") == "ServiceAccount"
    ]
    reference = f"{role.get('kind', '')}/{role.get('name', '')}"
    return [_name(obj), reference, _age(obj, since), ", ".join(users), ", ".join(groups), ", ".join(accounts)]


def metrics(obj: Object, since: Since) -> Cells:
    """PodMetrics, whose containers are added up, or NodeMetrics."""
    used = [one.get("usage") or {} for one in obj.get("containers") or (obj,)]
    totals = [sum((Quantity.of(one.get(name)) for one in used), ZERO) for name in ("cpu", "memory")]
    cpu, memory = totals[0], Quantity(totals[1].nano, "BinarySI")
    return [_name(obj), str(cpu), str(memory), obj.get("window", "")]


def format_labels(labels: dict[str, str] | None) -> str:
    """`a=1,b=2`, sorted; `<none>` for none."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def _name(obj: Object) -> str:
    return str(obj["metadata"].get("name", ""))


def _age(obj: Object, since: Since) -> str:
    return since(obj["metadata"].get("creationTimestamp"))
