"""Volumes as containers see them: the whole house, the real kernel, the real kubectl."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.harness import Podrun, wait_until


def pod(
    name: str, volumes: list[dict[str, Any]], containers: dict[str, list[dict[str, Any]]], **spec: Any
) -> dict[str, Any]:
    """A pod whose containers sleep; `containers` gives each one's volumeMounts."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "volumes": volumes,
            "containers": [
                {"name": key, "image": "busybox:1.36", "command": ["sleep", "1000"], "volumeMounts": mounts}
                for key, mounts in containers.items()
            ],
            **spec,
        },
    }


def config(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def start(podrun: Podrun, manifest: dict[str, Any]) -> None:
    podrun.apply(manifest)
    podrun.kubectl("wait", "--for=condition=Ready", f"pod/{manifest['metadata']['name']}", "--timeout=20s")


def sh(podrun: Podrun, name: str, container: str, command: str) -> str:
    return podrun.kubectl("exec", name, "-c", container, "--", "sh", "-c", command)


def events(podrun: Podrun, name: str, reason: str) -> list[str]:
    listed = podrun.get("events", f"--field-selector=involvedObject.name={name},reason={reason}")
    return [item["message"] for item in listed["items"]]


def test_two_containers_share_an_empty_dir_on_disk_and_in_memory(podrun: Podrun) -> None:
    mounts = [{"name": "d", "mountPath": "/d"}, {"name": "m", "mountPath": "/m"}]
    volumes = [{"name": "d", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "5Mi"}}]
    start(podrun, pod("shared", volumes, {"a": mounts, "b": mounts}))
    sh(podrun, "shared", "a", "echo disk > /d/x; echo memory > /m/x")
    assert sh(podrun, "shared", "b", "cat /d/x /m/x") == "disk\nmemory\n"
    assert sh(podrun, "shared", "b", "df -k /m | tail -1 | awk '{print $1, $2}'") == "tmpfs 5120\n"


def test_a_changed_config_map_is_seen_by_a_running_container(podrun: Podrun) -> None:
    podrun.apply(config("c", k="old"))
    start(podrun, pod("reader", [{"name": "c", "configMap": {"name": "c"}}], {"a": [{"name": "c", "mountPath": "/c"}]}))
    assert sh(podrun, "reader", "a", "cat /c/k; touch /c/x 2>&1 || true") == "old" + (
        "touch: /c/x: Read-only file system\n"
    )
    podrun.apply(config("c", k="new"))
    wait_until(lambda: sh(podrun, "reader", "a", "cat /c/k") == "new", 5.0, "the change is not seen")


def test_the_service_account_and_the_downward_api_are_files(podrun: Podrun) -> None:
    items = [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "memory", "resourceFieldRef": {"containerName": "a", "resource": "limits.memory", "divisor": "1Mi"}},
    ]
    manifest = pod("me", [{"name": "p", "downwardAPI": {"items": items}}], {"a": [{"name": "p", "mountPath": "/p"}]})
    manifest["spec"]["containers"][0]["resources"] = {"limits": {"memory": "64Mi"}}
    start(podrun, manifest)
    assert sh(podrun, "me", "a", "cat /p/labels; echo; cat /p/memory") == 'app="me"\n64'
    podrun.kubectl("label", "pod", "me", "more=yes")
    wait_until(lambda: 'more="yes"' in sh(podrun, "me", "a", "cat /p/labels"), 5.0, "the label is not seen")
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert sh(podrun, "me", "a", f"cat {account}/namespace") == "default"
    assert sh(podrun, "me", "a", f"cat {account}/token").count(".") == 2
    assert "BEGIN CERTIFICATE" in sh(podrun, "me", "a", f"cat {account}/ca.crt")


def test_an_fs_group_lets_a_user_in(podrun: Podrun) -> None:
    podrun.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "x"}})
    volumes = [{"name": "e", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "s", "defaultMode": 0o440}}]
    mounts = [{"name": "e", "mountPath": "/e"}, {"name": "s", "mountPath": "/s"}]
    context = {"runAsUser": 1234, "runAsGroup": 1234, "fsGroup": 5678}
    start(podrun, pod("group", volumes, {"a": mounts}, securityContext=context))
    assert sh(podrun, "group", "a", "echo x > /e/x && stat -c '%u %g' /e/x && cat /s/k") == "1234 5678\nx"


def test_a_sub_path_and_a_volume_inside_a_volume(podrun: Podrun) -> None:
    podrun.apply(config("conf", **{"app.conf": "hello"}))
    volumes = [{"name": "c", "configMap": {"name": "conf"}}, {"name": "e", "emptyDir": {}}]
    mounts = [
        {"name": "c", "mountPath": "/etc/app"},
        {"name": "e", "mountPath": "/etc/app/cache"},
        {"name": "c", "mountPath": "/etc/one.conf", "subPath": "app.conf"},
        {"name": "e", "mountPath": "/data", "subPath": "a/b"},
    ]
    start(podrun, pod("nested", volumes, {"a": mounts}))
    command = (
        "cat /etc/app/app.conf /etc/one.conf; touch /etc/app/cache/x /data/y; ls /etc/app/cache /etc/app/cache/a/b"
    )
    assert sh(podrun, "nested", "a", command) == "hellohello/etc/app/cache:\na\nx\n\n/etc/app/cache/a/b:\ny\n"


def test_an_image_is_a_volume(podrun: Podrun) -> None:
    volumes = [{"name": "i", "image": {"reference": "bookstore/catalog:dev", "pullPolicy": "IfNotPresent"}}]
    start(podrun, pod("withimage", volumes, {"a": [{"name": "i", "mountPath": "/image"}]}))
    assert sh(podrun, "withimage", "a", "ls /image; touch /image/x 2>&1 || true") == (
        "catalog\ntouch: /image/x: Read-only file system\n"
    )


WAITING = [
    ("configMap", {"configMap": {"name": "absent"}}, 'configmap "absent" not found'),
    ("secret", {"secret": {"secretName": "absent"}}, 'secret "absent" not found'),
    ("hostPath", {"hostPath": {"path": "/etc", "type": "File"}}, "hostPath type check failed: /etc is not a file"),
]


@pytest.mark.parametrize(("name", "source", "why"), [(row[0].lower(), *row[1:]) for row in WAITING])
def test_what_cannot_be_mounted_is_an_event_and_the_pod_waits(
    podrun: Podrun, name: str, source: dict[str, Any], why: str
) -> None:
    podrun.apply(pod(name, [{"name": "v", **source}], {"a": [{"name": "v", "mountPath": "/v"}]}))
    wait_until(lambda: bool(events(podrun, name, "FailedMount")), 10.0, "there is no event")
    assert events(podrun, name, "FailedMount") == [f'MountVolume.SetUp failed for volume "v" : {why}']
    status = podrun.get("pod", name)["status"]
    assert status["phase"] == "Pending"
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}


def test_a_pod_goes_on_when_what_it_waits_for_comes(podrun: Podrun) -> None:
    podrun.apply(
        pod("late", [{"name": "v", "configMap": {"name": "later"}}], {"a": [{"name": "v", "mountPath": "/v"}]})
    )
    wait_until(lambda: bool(events(podrun, "late", "FailedMount")), 10.0, "there is no event")
    podrun.apply(config("later", k="v"))
    podrun.kubectl("wait", "--for=condition=Ready", "pod/late", "--timeout=20s")


def test_volumes_survive_a_crash_of_podrund(podrun: Podrun) -> None:
    volumes = [{"name": "d", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory"}}]
    start(podrun, pod("stays", volumes, {"a": [{"name": n, "mountPath": f"/{n}"} for n in "dm"]}))
    sh(podrun, "stays", "a", "echo 1 > /d/x; echo 2 > /m/x")
    podrun.crash()
    assert sh(podrun, "stays", "a", "cat /d/x /m/x") == "1\n2\n"
    status = podrun.get("pod", "stays")["status"]["containerStatuses"][0]
    assert json.dumps(status["restartCount"]) == "0"
