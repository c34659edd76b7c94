"""Objects as a metav1.Table: the columns of every served kind and their descriptions, as the API server prints them.

`kubectl get` asks for this form and shows what it gets. Columns of priority 1 are for `-o wide`; the server always
sends them. A kind without columns of its own has a name and a time of creation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from podrun.api import printers_kinds as rows
from podrun.api.errors import bad_request
from podrun.api.gotext import quote
from podrun.api.gvk import KindRef
from podrun.api.humantime import human_duration
from podrun.api.names import parse_time
from podrun.api.printers_pod import Since, pod_cells, pod_row_conditions
from podrun.api.schema import shared

Object = dict[str, Any]

_CORE = "io.k8s.api.core.v1."
_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


class _Column(NamedTuple):
    """A column: `about` is a description, or the definition and field whose description it has."""

    name: str
    about: str | tuple[str, str]
    type: str = "string"
    priority: int = 0
    format: str = ""


class _Printer(NamedTuple):
    columns: tuple[_Column, ...]
    cells: Callable[[Object, Since], list[Any]]


_NAME = _Column("Name", (_META, "name"), format="name")
_AGE = _Column("Age", (_META, "creationTimestamp"))


def _core(kind: str, field: str) -> tuple[str, str]:
    return f"{_CORE}{kind}", field


def _wide(name: str, about: str | tuple[str, str]) -> _Column:
    return _Column(name, about, priority=1)


_EVENT = _Printer(
    (
        _Column("Last Seen", _core("Event", "lastTimestamp")),
        _Column("Type", _core("Event", "type")),
        _Column("Reason", _core("Event", "reason")),
        _Column("Object", _core("Event", "involvedObject")),
        _wide("Subobject", _core("ObjectReference", "fieldPath")),
        _wide("Source", _core("Event", "source")),
        _Column("Message", _core("Event", "message")),
        _wide("First Seen", _core("Event", "firstTimestamp")),
        _wide("Count", _core("Event", "count")),
        _Column("Name", (_META, "name"), priority=1, format="name"),
    ),
    rows.event,
)


def _binding(where: str) -> _Printer:
    reach = "reference a Role in the current namespace or" if where == "roleBinding" else "only reference"
    role = (
        f"RoleRef can {reach} a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer "
        "must return an error."
    )
    subjects = [_wide(name, f"{name} in the {where}") for name in ("Users", "Groups", "ServiceAccounts")]
    return _Printer((_NAME, _Column("Role", role), _AGE, *subjects), rows.binding)


_METRICS = _Printer(
    (
        _NAME,
        _Column("Cpu", "CPU in cores, averaged over the window."),
        _Column("Memory", "The working set of memory in bytes."),
        _Column("Window", "The time over which the usage is an average.", format="duration"),
    ),
    rows.metrics,
)


_PRINTERS: dict[tuple[str, str], _Printer] = {
    ("", "Pod"): _Printer(
        (
            _NAME,
            _Column("Ready", "The aggregate readiness state of this pod for accepting traffic."),
            _Column("Status", "The aggregate status of the containers in this pod."),
            _Column(
                "Restarts",
                "The number of times the containers in this pod have been restarted and when the last container in "
                "this pod has restarted.",
            ),
            _AGE,
            _wide("IP", _core("PodStatus", "podIP")),
            _wide("Node", _core("PodSpec", "nodeName")),
            _wide("Nominated Node", _core("PodStatus", "nominatedNodeName")),
            _wide("Readiness Gates", _core("PodSpec", "readinessGates")),
        ),
        pod_cells,
    ),
    ("", "PodTemplate"): _Printer(
        (
            _NAME,
            _Column("Containers", "Names of each container in the template."),
            _Column("Images", "Images referenced by each container in the template."),
            _Column("Pod Labels", "The labels for the pod template."),
        ),
        rows.pod_template,
    ),
    ("", "Service"): _Printer(
        (
            _NAME,
            _Column("Type", _core("ServiceSpec", "type")),
            _Column("Cluster-IP", _core("ServiceSpec", "clusterIP")),
            _Column("External-IP", _core("ServiceSpec", "externalIPs")),
            _Column("Port(s)", _core("ServiceSpec", "ports")),
            _AGE,
            _wide("Selector", _core("ServiceSpec", "selector")),
        ),
        rows.service,
    ),
    ("", "Endpoints"): _Printer((_NAME, _Column("Endpoints", _core("Endpoints", "subsets")), _AGE), rows.endpoints),
    ("", "Node"): _Printer(
        (
            _NAME,
            _Column("Status", "The status of the node"),
            _Column("Roles", "The roles of the node"),
            _AGE,
            _Column("Version", _core("NodeSystemInfo", "kubeletVersion")),
            _wide("Internal-IP", _core("NodeStatus", "addresses")),
            _wide("External-IP", _core("NodeStatus", "addresses")),
            _wide("OS-Image", _core("NodeSystemInfo", "osImage")),
            _wide("Kernel-Version", _core("NodeSystemInfo", "kernelVersion")),
            _wide("Container-Runtime", _core("NodeSystemInfo", "containerRuntimeVersion")),
        ),
        rows.node,
    ),
    ("", "Event"): _EVENT,
    ("events.k8s.io", "Event"): _EVENT,
    ("", "Namespace"): _Printer((_NAME, _Column("Status", "The status of the namespace"), _AGE), rows.namespace),
    ("", "Secret"): _Printer(
        (_NAME, _Column("Type", _core("Secret", "type")), _Column("Data", _core("Secret", "data")), _AGE), rows.secret
    ),
    ("", "ServiceAccount"): _Printer((_NAME, _AGE), rows.service_account),
    ("", "ConfigMap"): _Printer((_NAME, _Column("Data", _core("ConfigMap", "data")), _AGE), rows.config_map),
    ("rbac.authorization.k8s.io", "RoleBinding"): _binding("roleBinding"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _binding("clusterRoleBinding"),
    ("coordination.k8s.io", "Lease"): _Printer(
        (_NAME, _Column("Holder", ("io.k8s.api.coordination.v1.LeaseSpec", "holderIdentity")), _AGE), rows.lease
    ),
    ("scheduling.k8s.io", "PriorityClass"): _Printer(
        (
            _NAME,
            _Column("Value", ("io.k8s.api.scheduling.v1.PriorityClass", "value"), "integer"),
            _Column("Global-Default", ("io.k8s.api.scheduling.v1.PriorityClass", "globalDefault"), "boolean"),
            _AGE,
            _Column("PreemptionPolicy", ("io.k8s.api.scheduling.v1.PriorityClass", "preemptionPolicy")),
        ),
        rows.priority_class,
    ),
    ("metrics.k8s.io", "NodeMetrics"): _METRICS,
    ("metrics.k8s.io", "PodMetrics"): _METRICS,
    ("node.k8s.io", "RuntimeClass"): _Printer((_NAME, _Column("Handler", ""), _AGE), rows.runtime_class),
    ("discovery.k8s.io", "EndpointSlice"): _Printer(
        (
            _NAME,
            _Column("AddressType", ("io.k8s.api.discovery.v1.EndpointSlice", "addressType")),
            _Column("Ports", ("io.k8s.api.discovery.v1.EndpointSlice", "ports")),
            _Column("Endpoints", ("io.k8s.api.discovery.v1.EndpointSlice", "endpoints")),
            _AGE,
        ),
        rows.endpoint_slice,
    ),
}


def _default_cells(obj: Object, since: Since) -> list[Any]:
    meta = obj["metadata"]
    return [meta.get("name", ""), meta.get("creationTimestamp") or "0001-01-01T00:00:00Z"]


_DEFAULT = _Printer((_NAME, _Column("Created At", (_META, "creationTimestamp"), "date")), _default_cells)

INCLUDE_OBJECT = ("", "None", "Metadata", "Object")


def check_include_object(value: str) -> None:
    """Refuse an `includeObject` parameter that is none of the above; raises ApiError 400."""
    if value not in INCLUDE_OBJECT:
        why = f"includeObject: Invalid value: {quote(value)}: must be 'Metadata', 'Object', 'None', or empty"
        raise bad_request(f"Unable to convert to Table as requested: {why}")


def table(
    kind: KindRef,
    objects: Iterable[Object],
    *,
    now: float,
    list_metadata: Object,
    include_object: str = "Metadata",
    columns: bool = True,
) -> Object:
    """A Table of `objects` of one kind.

    `now` is in seconds since the epoch; `list_metadata` is the list's (or, for one object, its resourceVersion);
    `include_object` says what each row carries; `columns` is False for the later events of a watch.
    """
    printer = _PRINTERS.get((kind.group, kind.kind), _DEFAULT)

    def since(time: str | None) -> str:
        return human_duration(now - parse_time(time)) if time else "<unknown>"

    is_pod = printer.cells is pod_cells
    made = []
    for obj in objects:
        row: Object = {"cells": printer.cells(obj, since)}
        conditions = pod_row_conditions(obj) if is_pod else []
        if conditions:
            row["conditions"] = conditions
        row["object"] = _row_object(obj, include_object)
        made.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_metadata,
        "columnDefinitions": _column_definitions(kind.group, kind.kind) if columns else None,
        "rows": made,
    }


def partial_metadata(obj: Object) -> Object:
    """Only the metadata of an object, as its own kind."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def _row_object(obj: Object, include_object: str) -> Object | None:
    if include_object == "None":
        return None
    return obj if include_object == "Object" else partial_metadata(obj)


@lru_cache(maxsize=64)
def _column_definitions(group: str, kind: str) -> tuple[Object, ...]:
    made = []
    for column in _PRINTERS.get((group, kind), _DEFAULT).columns:
        about = column.about if isinstance(column.about, str) else _description(*column.about)
        made.append(
            {
                "name": column.name,
                "type": column.type,
                "format": column.format,
                "description": about,
                "priority": column.priority,
            }
        )
    return tuple(made)


def _description(definition: str, field: str) -> str:
    text: str = shared().definition(definition)["properties"][field].get("description", "")
    return text
