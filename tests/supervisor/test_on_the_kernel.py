"""Pods in a real podrun, where fakes could be wrong: adoption, a dead sandbox, resizing, eviction, reloads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness import Podrun, wait_until

IMAGE = "busybox:1.36"
SLEEP = ["sleep", "1000"]


def pod(name: str, **spec: Any) -> dict[str, Any]:
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        container.setdefault("image", IMAGE)
    spec.setdefault("terminationGracePeriodSeconds", 1)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def ready(podrun: Podrun, *names: str) -> None:
    podrun.kubectl("wait", "--for=condition=Ready", *(f"pod/{name}" for name in names), "--timeout=30s")


def status(podrun: Podrun, name: str) -> dict[str, Any]:
    made: dict[str, Any] = podrun.get("pod", name)["status"]
    return made


def until(podrun: Podrun, name: str, true: Callable[[dict[str, Any]], Any], seconds: float = 30) -> dict[str, Any]:
    wait_until(
        lambda: bool(true(status(podrun, name))), seconds, f"pod {name} did not come to what was waited for", 0.1
    )
    return status(podrun, name)


def events(podrun: Podrun, name: str) -> dict[str, str]:
    listed = podrun.get("events", "--field-selector", f"involvedObject.name={name}")["items"]
    return {event["reason"]: event["message"] for event in listed}


def test_nothing_changes_for_a_pod_when_podrund_is_killed(new_podrun: Callable[..., Podrun]) -> None:
    podrun = new_podrun()
    probe = {"exec": {"command": ["test", "-f", "/tmp/ok"]}, "periodSeconds": 2}
    up = ["sh", "-c", "touch /tmp/ok; sleep 1000"]
    side = {"name": "s", "command": up, "restartPolicy": "Always", "startupProbe": probe}
    podrun.apply(pod("a", initContainers=[side], containers=[{"name": "a", "command": up, "readinessProbe": probe}]))
    ready(podrun, "a")
    before = status(podrun, "a")
    for _ in range(3):
        podrun.crash()
    assert status(podrun, "a") == before


def test_back_off_is_remembered_across_a_restart(new_podrun: Callable[..., Podrun]) -> None:
    podrun = new_podrun()
    podrun.apply(pod("c", containers=[{"name": "a", "command": ["false"]}]))
    until(podrun, "c", lambda s: s["containerStatuses"][0]["restartCount"] == 1)
    wait_until(lambda: "BackOff" in events(podrun, "c"), 5, "the second crash did not back off")
    podrun.crash()
    assert status(podrun, "c")["containerStatuses"][0]["restartCount"] == 1


def test_a_pod_whose_pause_died_gets_a_new_sandbox_and_another_address(podrun: Podrun) -> None:
    podrun.apply(
        pod("a", initContainers=[{"name": "i", "command": ["true"]}], containers=[{"name": "a", "command": SLEEP}])
    )
    ready(podrun, "a")
    address = status(podrun, "a")["podIP"]
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    pauses = [int(pid) for pid, parent, args in rows if int(parent) == podrun.spawner_pid and args.endswith("pause")]
    assert len(pauses) == 1
    os.kill(pauses[0], signal.SIGKILL)
    made = until(podrun, "a", lambda s: s["containerStatuses"][0]["restartCount"] == 1 and s["phase"] == "Running")
    assert made["podIP"] != address
    assert events(podrun, "a")["SandboxChanged"] == "Pod sandbox changed, it will be killed and re-created."


def test_resources_change_in_the_running_container(podrun: Podrun) -> None:
    resources = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}
    podrun.apply(pod("r", containers=[{"name": "a", "command": SLEEP, "resources": resources}]))
    ready(podrun, "r")
    wanted = {"requests": {"memory": "48Mi"}, "limits": {"memory": "96Mi"}}
    patch = json.dumps({"spec": {"containers": [{"name": "a", "resources": wanted}]}})
    podrun.kubectl("patch", "pod", "r", "--subresource", "resize", "-p", patch)
    limits = {"cpu": "200m", "memory": "96Mi"}
    made = until(podrun, "r", lambda s: s["containerStatuses"][0]["resources"]["limits"] == limits)
    assert made["containerStatuses"][0]["restartCount"] == 0
    files = "/sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes"
    shown = podrun.run("kubectl", "exec", "r", "--", "sh", "-c", f"cat {files} 2>/dev/null", check=False).stdout
    assert shown.strip() == str(96 << 20)
    assert "ResizeCompleted" in events(podrun, "r")


@pytest.mark.slow
def test_too_much_in_an_empty_dir_evicts_the_pod(podrun: Podrun) -> None:
    fill = ["sh", "-c", "dd if=/dev/zero of=/v/x bs=1M count=3; sleep 1000"]
    mounts = [{"name": "v", "mountPath": "/v"}]
    volumes = [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]
    podrun.apply(pod("e", containers=[{"name": "a", "command": fill, "volumeMounts": mounts}], volumes=volumes))
    made = until(podrun, "e", lambda s: s["phase"] == "Failed")
    assert (made["reason"], made["message"]) == ("Evicted", 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ')


@pytest.mark.slow
def test_a_disk_that_runs_out_evicts_pods_and_takes_no_more(new_podrun: Callable[..., Podrun]) -> None:
    podrun = new_podrun(config={"evictionHard": {"nodefs.available": "99.9%"}})
    podrun.apply(pod("first", containers=[{"name": "a", "command": SLEEP}]))
    made = until(podrun, "first", lambda s: s["phase"] == "Failed", seconds=40)
    assert made["reason"] == "Evicted"
    assert made["message"].startswith("The node was low on resource: ephemeral-storage. Threshold quantity: ")
    target = made["conditions"][0]
    assert (target["type"], target["reason"]) == ("DisruptionTarget", "TerminationByKubelet")
    node = podrun.get("nodes")["items"][0]
    assert {c["type"]: c["status"] for c in node["status"]["conditions"]}["DiskPressure"] == "True"
    assert [t["key"] for t in node["spec"]["taints"]] == ["node.kubernetes.io/disk-pressure"]
    podrun.apply(pod("second", containers=[{"name": "a", "command": SLEEP}]))
    waiting = until(podrun, "second", lambda s: s.get("conditions"))["conditions"][0]
    assert "had untolerated taint(s)" in waiting["message"]
    assert IMAGE in podrun.podrun("images", "ls"), "what podrun built stays"


def test_an_images_files_are_a_volume(podrun: Podrun) -> None:
    volumes = [{"name": "v", "image": {"reference": IMAGE}}]
    container = {"name": "a", "command": ["ls", "/v/bin/sh"], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    podrun.apply(pod("v", containers=[container], volumes=volumes, restartPolicy="Never"))
    assert until(podrun, "v", lambda s: s["phase"] in ("Succeeded", "Failed"))["phase"] == "Succeeded"


def test_a_changed_config_map_is_seen_within_a_second(podrun: Podrun) -> None:
    def config(value: str) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": value}}

    volumes = [{"name": "v", "configMap": {"name": "c"}}]
    container = {"name": "a", "command": SLEEP, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    podrun.apply(config("one"), pod("m", containers=[container], volumes=volumes))
    ready(podrun, "m")
    podrun.apply(config("two"))
    wait_until(lambda: podrun.kubectl("exec", "m", "--", "cat", "/v/k") == "two", 1.5, "the file did not change")
    podrun.kubectl("delete", "configmap", "c")


def test_a_pod_without_its_image_is_deleted_at_once(podrun: Podrun) -> None:
    podrun.apply(pod("n", containers=[{"name": "a", "image": "127.0.0.1:1/none:1"}]))
    until(podrun, "n", lambda s: s["containerStatuses"][0]["state"].get("waiting", {}).get("reason") == "ErrImagePull")
    podrun.kubectl("delete", "pod", "n", seconds=20)
