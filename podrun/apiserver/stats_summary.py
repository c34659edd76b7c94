"""stats/summary of a node: counters of the machine, its pods and their containers (kubelet/pkg/apis/stats/v1alpha1).

Rates are left out, which the form allows: they would need a reading before this one.
"""

from __future__ import annotations

from typing import Any

from podrun.api.names import rfc3339
from podrun.apiserver.node_metrics import measured_pods
from podrun.apiserver.usage import machine_reading
from podrun.runtime.service import RuntimeService, Statistics

Object = dict[str, Any]


def summary(runtime: RuntimeService, node: Object) -> Object:
    """The Summary of the machine that podrun runs on; `node` is its Node."""
    machine = machine_reading()
    time = rfc3339(machine.time)
    capacity = {
        "nodeName": node["metadata"]["name"],
        "startTime": node["metadata"].get("creationTimestamp"),
        "cpu": {"time": time, "usageCoreNanoSeconds": machine.cpu_ns},
        "memory": {"time": time, "workingSetBytes": machine.memory},
    }
    pods = []
    for pod in measured_pods(runtime):
        config = pod.sandbox.config
        containers = [
            {"name": status.config.name, "startTime": rfc3339(status.started_at), **_used(used)}
            for status, used in pod.containers
        ]
        pods.append(
            {
                "podRef": {"name": config.name, "namespace": config.namespace, "uid": config.pod_uid},
                "startTime": rfc3339(pod.sandbox.created_at),
                "containers": containers,
                **_used(pod.used),
                "process_stats": {"process_count": pod.used.pids},
            }
        )
    return {"node": capacity, "pods": pods}


def _used(used: Statistics) -> Object:
    time = rfc3339(used.time)
    return {
        "cpu": {"time": time, "usageCoreNanoSeconds": used.cpu_ns},
        "memory": {"time": time, "usageBytes": used.memory_usage, "workingSetBytes": used.memory_working_set},
    }
