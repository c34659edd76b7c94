"""Definitions that the package of schemas lacks: the metrics API, and what `kubectl top` reads."""

from __future__ import annotations

from typing import Any

_META = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1."
_METRICS = "io.k8s.metrics.pkg.apis.metrics.v1beta1."


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _usage(description: str) -> dict[str, Any]:
    quantity = {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"}
    return {"type": "object", "description": description, "additionalProperties": quantity}


def _kind(kind: str) -> list[dict[str, str]]:
    return [{"group": "metrics.k8s.io", "version": "v1beta1", "kind": kind}]


_HEAD: dict[str, Any] = {
    "apiVersion": _text("The version of the API that this object is written in."),
    "kind": _text("The kind of this object."),
}
_MEASURED: dict[str, Any] = {
    "metadata": {"$ref": f"{_META}ObjectMeta", "description": "The object's metadata."},
    "timestamp": {"$ref": f"{_META}Time", "description": "When the usage was measured: the end of the window."},
    "window": {"$ref": f"{_META}Duration", "description": "The time over which the usage is an average."},
}


def _list(kind: str) -> dict[str, Any]:
    items = {"type": "array", "items": {"$ref": f"#/components/schemas/{_METRICS}{kind}"}}
    return {
        "type": "object",
        "description": f"A list of {kind}.",
        "required": ["items"],
        "properties": {
            **_HEAD,
            "metadata": {"$ref": f"{_META}ListMeta", "description": "The list's metadata."},
            "items": {**items, "description": "What was measured."},
        },
        "x-kubernetes-group-version-kind": _kind(f"{kind}List"),
    }


ADDED: dict[str, dict[str, Any]] = {
    "io.k8s.apimachinery.pkg.apis.meta.v1.Duration": {
        "type": "string",
        "description": "A length of time as Go writes it, e.g. 15s.",
    },
    f"{_METRICS}ContainerMetrics": {
        "type": "object",
        "description": "What a container used.",
        "required": ["name", "usage"],
        "properties": {
            "name": _text("The container's name in the pod's spec."),
            "usage": _usage("CPU in cores, averaged over the window, and the working set of memory in bytes."),
        },
    },
    f"{_METRICS}PodMetrics": {
        "type": "object",
        "description": "What a pod's containers used.",
        "required": ["timestamp", "window", "containers"],
        "properties": {
            **_HEAD,
            **_MEASURED,
            "containers": {
                "type": "array",
                "description": "The usage of each container.",
                "items": {"$ref": f"#/components/schemas/{_METRICS}ContainerMetrics"},
            },
        },
        "x-kubernetes-group-version-kind": _kind("PodMetrics"),
    },
    f"{_METRICS}NodeMetrics": {
        "type": "object",
        "description": "What a node used.",
        "required": ["timestamp", "window", "usage"],
        "properties": {
            **_HEAD,
            **_MEASURED,
            "usage": _usage("CPU in cores, averaged over the window, and the working set of memory in bytes."),
        },
        "x-kubernetes-group-version-kind": _kind("NodeMetrics"),
    },
    f"{_METRICS}PodMetricsList": _list("PodMetrics"),
    f"{_METRICS}NodeMetricsList": _list("NodeMetrics"),
}
