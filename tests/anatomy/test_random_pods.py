"""Pods that nobody thought of: what `anatomy` says of them is what /proc says, asked in another way.

A generator makes pods of one to three containers with whatever a pod may share, limit and mount; each is opened and
held against nsenter, the groups' files and those of /proc. PODRUN_RANDOM_PODS says how many (200 before a release).
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from tests.harness import Podrun

HANDFUL = 20
COUNT = int(os.environ.get("PODRUN_RANDOM_PODS", "5"))
SEED = int(os.environ.get("PODRUN_SEED", "8"))
COMMANDS = (
    "sleep 1000",
    "sleep 1000 & sleep 1001",
    "(sleep 1000; true) & wait",
    "httpd -f -p {port} & sleep 1000",
)


def random_pod(chance: random.Random, number: int) -> dict[str, Any]:
    """A pod that starts on any machine."""
    volumes = [
        {"name": f"v{index}", "emptyDir": chance.choice([{}, {"medium": "Memory"}])}
        for index in range(chance.randint(0, 2))
    ]

    def container(name: str, port: int) -> dict[str, Any]:
        mounts = [
            {"name": v["name"], "mountPath": f"/m/{v['name']}", "readOnly": chance.random() < 0.3}
            for v in volumes
            if chance.random() < 0.7
        ]
        security: dict[str, Any] = {}
        if chance.random() < 0.4:
            security["runAsUser"] = chance.randint(1, 60000)
        if chance.random() < 0.4:
            security["readOnlyRootFilesystem"] = True
        if chance.random() < 0.4:
            security["capabilities"] = {"drop": chance.choice([["ALL"], ["CHOWN", "KILL"]])}
        made = {
            "name": name,
            "image": "busybox:1.36",
            "command": ["sh", "-c", chance.choice(COMMANDS).format(port=port)],
            "volumeMounts": mounts,
            "securityContext": security,
        }
        if chance.random() < 0.4:
            limits = {"memory": f"{chance.randint(16, 64)}Mi", "cpu": "500m"}
            made["resources"] = {"limits": limits, "requests": {"memory": "1Mi", "cpu": "1m"}}  # so that all have room
        return made

    spec: dict[str, Any] = {
        "terminationGracePeriodSeconds": 0,
        "volumes": volumes,
        "containers": [container(f"c{index}", 9000 + index) for index in range(chance.randint(1, 3))],
    }
    for option, share in (("shareProcessNamespace", 0.3), ("hostNetwork", 0.2), ("hostIPC", 0.2), ("hostPID", 0.1)):
        if chance.random() < share:
            spec[option] = True
    if spec.get("hostPID"):
        spec.pop("shareProcessNamespace", None)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"random-{number}"}, "spec": spec}


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _namespaces(pid: int) -> dict[str, int]:
    """By the inodes of what /proc/PID/ns leads to."""
    return {kind: os.stat(f"/proc/{pid}/ns/{kind}").st_ino for kind in os.listdir(f"/proc/{pid}/ns")}


def check_container(podrun: Podrun, opened: dict[str, Any], declared: dict[str, Any]) -> None:
    """One container's part of an anatomy against the kernel."""
    first = opened["processes"][0]
    found = _namespaces(first["pid"])
    assert {kind: found[kind] for kind in opened["namespaces"]} == opened["namespaces"]
    top = Path("/sys/fs/cgroup")
    files = [Path(f"{tree}{opened['cgroup']}/cgroup.procs") for tree in (top, *top.iterdir())]
    in_group = {int(pid) for file in files if file.exists() for pid in file.read_text().split()}
    assert {each["pid"] for each in opened["processes"] if each["state"] != "Z"} == in_group  # a zombie has left it
    for process in opened["processes"]:
        status = _status(process["pid"])
        assert process["parent"] == int(status["PPid"])
        assert process["inner_pid"] == int(status["NSpid"].split()[-1])
        assert process["user"] == int(status["Uid"].split()[1])
    bits = int(_status(first["pid"])["CapEff"], 16)
    assert len(opened["capabilities"]) == bin(bits).count("1")
    limits = declared.get("resources", {}).get("limits", {})
    assert opened["memory_limit"] == int(limits.get("memory", "0Mi").removesuffix("Mi")) << 20
    assert opened["cpu_limit"] == (500 if limits else 0)
    assert opened["read_only"] is bool(declared["securityContext"].get("readOnlyRootFilesystem"))
    inside = podrun.run("nsenter", f"--target={first['pid']}", "--mount", "--pid", "cat", "/proc/self/mounts")
    assert len(inside.stdout.splitlines()) == len(opened["mounts"])
    shown = {mount["target"]: mount["read_only"] for mount in opened["mounts"] if mount["volume"]}
    wanted = {mount["mountPath"]: mount["readOnly"] for mount in declared["volumeMounts"]}
    assert {target: only for target, only in shown.items() if target.startswith("/m/")} == wanted


def test_agrees_with_proc(module_podrun: Podrun) -> None:
    """In handfuls, for which any machine has room."""
    podrun = module_podrun
    made = [random_pod(random.Random(SEED * 1000 + number), number) for number in range(COUNT)]
    for start in range(0, COUNT, HANDFUL):
        manifests = made[start : start + HANDFUL]
        podrun.apply(*manifests)
        podrun.kubectl("wait", "--for=condition=Ready", "pods", "--all", "--timeout=50s")
        for manifest in manifests:
            check_pod(podrun, manifest)
        podrun.delete_pods()
    assert podrun.leaks() == {}


def check_pod(podrun: Podrun, manifest: dict[str, Any]) -> None:
    """One pod's anatomy against the kernel and its manifest."""
    opened = json.loads(podrun.podrun("anatomy", manifest["metadata"]["name"], "-o", "json"))
    containers = {each["name"]: each for each in opened["containers"]}
    spec = manifest["spec"]
    assert set(containers) == {"pause", *(each["name"] for each in spec["containers"])}
    for declared in spec["containers"]:
        check_container(podrun, containers[declared["name"]], declared)
    rows = [row for row in opened["namespaces"] if len(row["members"]) == len(containers)]
    shared = {row["type"] for row in rows}
    assert {"net", "ipc", "uts", "user"} <= shared
    assert ("pid" in shared) == bool(spec.get("shareProcessNamespace") or spec.get("hostPID"))
    hosts = {row["type"] for row in rows if row["host"]}
    assert ("net" in hosts, "ipc" in hosts) == (bool(spec.get("hostNetwork")), bool(spec.get("hostIPC")))
