"""What Prometheus scrapes of a node: the kubelet's own endpoints, under /api/v1/nodes/NAME/proxy.

    metrics             how many pods and containers run
    metrics/resource    CPU and memory of node, pods and containers (pkg/kubelet/metrics/collectors/resource_metrics.go)
    metrics/cadvisor    the same and more under cAdvisor's names and labels: container="" is the pod's own group, id="/"
                        the machine

Everything is read when it is asked for. Only the Node that is this machine has them.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podrun.api.quantity import Quantity
from podrun.apiserver.exposition import Family
from podrun.apiserver.usage import machine_reading
from podrun.runtime.model import ContainerStatus, SandboxStatus, State
from podrun.runtime.service import RuntimeService, Statistics

Object = dict[str, Any]

_NANO = 1e9


@dataclass(frozen=True, slots=True)
class MeasuredPod:
    """A pod with what it and each of its running containers uses."""

    sandbox: SandboxStatus
    used: Statistics
    containers: tuple[tuple[ContainerStatus, Statistics], ...]

    @property
    def labels(self) -> dict[str, str]:
        return {"namespace": self.sandbox.config.namespace, "pod": self.sandbox.config.name}


def kubelet(runtime: RuntimeService, node: Object) -> Iterable[Family]:
    """metrics: the kubelet about itself."""
    name = Family("kubelet_node_name", "gauge", "[ALPHA] The node's name. The count is always 1.")
    name.add(1, node=node["metadata"]["name"])
    pods = Family("kubelet_running_pods", "gauge", "[BETA] Number of pods that have a running pod sandbox")
    pods.add(sum(sandbox.ready for sandbox in runtime.sandboxes()))
    containers = Family("kubelet_running_containers", "gauge", "[BETA] Number of containers currently running")
    for state, count in sorted(Counter(str(status.state) for status in runtime.containers()).items()):
        containers.add(count, container_state=state)
    return [name, pods, containers]


def resource(runtime: RuntimeService, node: Object) -> Iterable[Family]:
    """metrics/resource: what autoscalers and metrics-server read."""
    machine = machine_reading()
    families = _Families()
    families.counter(
        "node_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the node in core-seconds"
    ).add(machine.cpu_ns / _NANO, machine.time)
    families.gauge("node_memory_working_set_bytes", "[STABLE] Current working set of the node in bytes").add(
        machine.memory, machine.time
    )
    pod_cpu = families.counter(
        "pod_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the pod in core-seconds"
    )
    pod_memory = families.gauge("pod_memory_working_set_bytes", "[STABLE] Current working set of the pod in bytes")
    cpu = families.counter(
        "container_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the container in core-seconds"
    )
    memory = families.gauge(
        "container_memory_working_set_bytes", "[STABLE] Current working set of the container in bytes"
    )
    start = families.gauge(
        "container_start_time_seconds", "[STABLE] Start time of the container since unix epoch in seconds"
    )
    for pod in measured_pods(runtime):
        pod_cpu.add(pod.used.cpu_ns / _NANO, pod.used.time, **pod.labels)
        pod_memory.add(pod.used.memory_working_set, pod.used.time, **pod.labels)
        for status, used in pod.containers:
            labels = {"container": status.config.name, **pod.labels}
            cpu.add(used.cpu_ns / _NANO, used.time, **labels)
            memory.add(used.memory_working_set, used.time, **labels)
            start.add(status.started_at, None, **labels)
    families.gauge(
        "resource_scrape_error", "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise"
    ).add(0)
    return families.made


def cadvisor(runtime: RuntimeService, node: Object) -> Iterable[Family]:
    """metrics/cadvisor: what dashboards of containers are made of."""
    families = _Families()
    cpu = families.counter("container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds.")
    usage = families.gauge(
        "container_memory_usage_bytes",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
    )
    working_set = families.gauge("container_memory_working_set_bytes", "Current working set in bytes.")
    threads = families.gauge("container_threads", "Number of threads running inside the container")
    start = families.gauge("container_start_time_seconds", "Start time of the container since unix epoch in seconds.")
    limit = families.gauge("container_spec_memory_limit_bytes", "Memory limit for the container.")
    quota = families.gauge("container_spec_cpu_quota", "CPU quota of the container.")
    period = families.gauge("container_spec_cpu_period", "CPU period of the container.")

    def measured(used: Statistics, labels: dict[str, str]) -> None:
        cpu.add(used.cpu_ns / _NANO, used.time, cpu="total", **labels)
        usage.add(used.memory_usage, used.time, **labels)
        working_set.add(used.memory_working_set, used.time, **labels)
        threads.add(used.pids, used.time, **labels)

    machine = machine_reading()
    root = {"container": "", "id": "/", "image": "", "name": "", "namespace": "", "pod": ""}
    cpu.add(machine.cpu_ns / _NANO, machine.time, cpu="total", **root)
    working_set.add(machine.memory, machine.time, **root)
    for pod in measured_pods(runtime):
        # pause is in the pod's own group or, on v2, in a leaf of it.
        above, name, _ = _group_of(pod.sandbox.pid).partition(f"/pod{pod.sandbox.config.pod_uid}")
        own = {"container": "", "id": above + name, "image": "", "name": "", **pod.labels}
        measured(pod.used, own)
        start.add(pod.sandbox.created_at, None, **own)
        if pod.sandbox.addresses:
            _add_network(families, pod.sandbox.pid, own)
        for status, used in pod.containers:
            config = status.config
            labels = {"container": config.name, "id": _group_of(status.pid), "image": config.image, "name": status.id}
            labels |= pod.labels
            measured(used, labels)
            start.add(status.started_at, None, **labels)
            limit.add(config.resources.memory_limit or 0, None, **labels)
            if config.resources.cpu_quota_us is not None:
                quota.add(config.resources.cpu_quota_us, None, **labels)
                period.add(config.resources.cpu_period_us, None, **labels)
    return [*families.made, *_machine(node)]


ENDPOINTS: dict[str, Callable[[RuntimeService, Object], Iterable[Family]]] = {
    "metrics": kubelet,
    "metrics/resource": resource,
    "metrics/cadvisor": cadvisor,
}
"""What is served, by its path below the node's proxy."""


class _Families:
    def __init__(self) -> None:
        self._by_name: dict[str, Family] = {}

    @property
    def made(self) -> list[Family]:
        return list(self._by_name.values())

    def counter(self, name: str, text: str) -> Family:
        return self._by_name.setdefault(name, Family(name, "counter", text))

    def gauge(self, name: str, text: str) -> Family:
        return self._by_name.setdefault(name, Family(name, "gauge", text))


def measured_pods(runtime: RuntimeService) -> Iterator[MeasuredPod]:
    """Every pod with a sandbox that lives, and what runs in it."""
    running: dict[str, list[tuple[ContainerStatus, Statistics]]] = {}
    for status in runtime.containers():
        used = runtime.container_statistics(status.id) if status.state is State.RUNNING else None
        if used is not None:
            running.setdefault(status.sandbox_id, []).append((status, used))
    for sandbox in sorted(runtime.sandboxes(), key=lambda one: (one.config.namespace, one.config.name)):
        total = runtime.sandbox_statistics(sandbox.id) if sandbox.ready else None
        if total is not None:
            containers = sorted(running.get(sandbox.id, ()), key=lambda one: one[0].config.name)
            yield MeasuredPod(sandbox, total, tuple(containers))


def _group_of(pid: int) -> str:
    """The cgroup of a process: that of v1's memory controller, else of v2; "" where the process is gone."""
    with contextlib.suppress(OSError):
        lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
        groups = {controllers: path for _, controllers, path in lines}
        return groups.get("memory") or groups.get("", "")
    return ""


_NETWORK = (
    ("container_network_receive_bytes_total", "Cumulative count of bytes received", 0),
    ("container_network_receive_packets_total", "Cumulative count of packets received", 1),
    ("container_network_receive_errors_total", "Cumulative count of errors encountered while receiving", 2),
    ("container_network_receive_packets_dropped_total", "Cumulative count of packets dropped while receiving", 3),
    ("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", 8),
    ("container_network_transmit_packets_total", "Cumulative count of packets transmitted", 9),
    ("container_network_transmit_errors_total", "Cumulative count of errors encountered while transmitting", 10),
    ("container_network_transmit_packets_dropped_total", "Cumulative count of packets dropped while transmitting", 11),
)
"""Name, meaning and column of /proc/net/dev (proc_net(5))."""


def _add_network(families: _Families, pid: int, labels: dict[str, str]) -> None:
    """The counters of a pod's interfaces but loopback; `pid` is a process in its network namespace."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]:
            interface, _, rest = line.partition(":")
            if interface.strip() == "lo":
                continue
            values = rest.split()
            for name, text, column in _NETWORK:
                families.counter(name, text).add(int(values[column]), None, interface=interface.strip(), **labels)


def _machine(node: Object) -> Iterable[Family]:
    status = node.get("status") or {}
    info, capacity = status.get("nodeInfo") or {}, status.get("capacity") or {}
    labels = {"boot_id": "bootID", "machine_id": "machineID", "system_uuid": "systemUUID"}
    named = {label: str(info.get(key, "")) for label, key in labels.items()}
    for name, text, key in (
        ("machine_cpu_cores", "Number of logical CPU cores.", "cpu"),
        ("machine_memory_bytes", "Amount of memory installed on the machine.", "memory"),
    ):
        family = Family(name, "gauge", text)
        family.add(Quantity.of(capacity.get(key)).value(), None, **named)
        yield family
