"""Profiles of the machine, sysctls, groups, image volumes, resizes, rules: as a kubelet does and tells them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness import wait_until
from tests.pods.living import Object, Pods, container_status, once, pod, shell, state

TOO_OLD = "hostUsers: false needs Linux 6.3"


def waits_for(pods: Pods, obj: Object, reason: str) -> str:
    """The message of a container that waits for that reason."""
    pods.create(obj)
    name = obj["metadata"]["name"]
    return str(state(pods.until(name, lambda now: state(now).get("reason") == reason))["message"])


def rejected(pods: Pods, obj: Object) -> tuple[str, str]:
    """Reason and message of a pod that the node does not take."""
    pods.create(obj)
    status = pods.finished(obj["metadata"]["name"])["status"]
    assert status["phase"] == "Failed"
    return status["reason"], status["message"]


class TestSeccomp:
    def test_a_profile_of_the_machine(self, pods: Pods) -> None:
        directory = pods.podrun.layout.state / "seccomp/profiles"
        directory.mkdir(parents=True, exist_ok=True)
        calls = [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]
        content = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": calls})
        (directory / "no-mkdir.json").write_text(content)
        profile = {"type": "Localhost", "localhostProfile": "profiles/no-mkdir.json"}
        said = pods.output(once("p", "mkdir /x 2>&1; true", securityContext={"seccompProfile": profile}))
        assert said == "mkdir: can't create directory '/x': Operation not permitted\n"

    def test_a_profile_that_is_missing_is_told_until_it_comes(self, pods: Pods) -> None:
        profile = {"type": "Localhost", "localhostProfile": "late.json"}
        file = pods.podrun.layout.state / "seccomp/late.json"
        said = waits_for(pods, once("p", "true", securityContext={"seccompProfile": profile}), "CreateContainerError")
        words = f'cannot load seccomp profile "{file}": open {file}: no such file or directory'
        assert said == f"failed to create containerd container: {words}"
        file.parent.mkdir(exist_ok=True)
        file.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        assert pods.finished("p", seconds=30)["status"]["phase"] == "Succeeded"


@pytest.mark.skipif(Path("/sys/module/apparmor/parameters/enabled").exists(), reason="the kernel has AppArmor")
@pytest.mark.parametrize("profile", [{"type": "RuntimeDefault"}, {"type": "Localhost", "localhostProfile": "x"}])
def test_apparmor_is_refused_where_the_kernel_has_none(pods: Pods, profile: Object) -> None:
    context = {"appArmorProfile": profile}
    assert rejected(pods, pod("p", shell(securityContext=context))) == (
        "AppArmor",
        "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host",
    )


def test_an_unsafe_sysctl_is_refused(pods: Pods) -> None:
    context = {"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}
    assert rejected(pods, pod("p", securityContext=context)) == (
        "SysctlForbidden",
        'Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted',
    )


@pytest.mark.parametrize(("policy", "groups"), [("Strict", "0,1234"), ("Merge", "0,10,1234")])
def test_the_images_own_groups_are_joined_unless_the_policy_is_strict(pods: Pods, policy: str, groups: str) -> None:
    context = {"supplementalGroups": [1234], "supplementalGroupsPolicy": policy}
    said = pods.output(once("p", "id -G | tr ' ' '\\n' | sort -n | paste -sd , -", securityContext=context))
    assert said == f"{groups}\n"


def image_pod(name: str, script: str, mount: Object | None = None, **spec: Any) -> Object:
    """A pod with the files of an image at /v."""
    image = {"reference": "busybox:1.36", "pullPolicy": "IfNotPresent"}
    mounts = [{"name": "v", "mountPath": "/v", **(mount or {})}]
    container = shell("a", script, volumeMounts=mounts)
    return pod(name, container, restartPolicy="Never", volumes=[{"name": "v", "image": image}], **spec)


class TestImageVolumes:
    def test_are_the_images_files_and_read_only(self, pods: Pods) -> None:
        said = pods.output(image_pod("p", "ls -d /v/bin/sh; touch /v/x 2>&1 | grep -o Read-only"))
        assert said == "/v/bin/sh\nRead-only\n"

    def test_may_be_a_part_of_the_image(self, pods: Pods) -> None:
        assert pods.output(image_pod("p", "ls -d /v/sh", {"subPath": "bin"})) == "/v/sh\n"
        said = waits_for(pods, image_pod("q", "true", {"subPath": "nothing"}), "CreateContainerConfigError")
        assert said == 'failed to prepare subPath for volumeMount "v" of container "a"'

    def test_belong_to_root_in_a_user_namespace_too(self, pods: Pods) -> None:
        node = pods.call("GET", "/api/v1/nodes")["items"][0]
        if not node["status"]["runtimeHandlers"][0]["features"]["userNamespaces"]:
            pytest.skip(TOO_OLD)
        assert pods.output(image_pod("p", "stat -c %u:%g /v /v/bin/sh", hostUsers=False)) == "0:0\n0:0\n"

    def test_that_are_missing_keep_only_their_containers_waiting(self, pods: Pods) -> None:
        obj = image_pod("p", "true")
        obj["spec"]["volumes"][0]["image"] = {"reference": "localhost:1/none:1", "pullPolicy": "Never"}
        obj["spec"]["containers"].append(shell("b"))
        pods.create(obj)
        pods.until(
            "p", lambda now: state(now).get("reason") == "ErrImageNeverPull" and state(now, "b")["is"] == "running"
        )
        words = 'Container image "localhost:1/none:1" is not present with pull policy of Never'
        assert state(pods.get("p"))["message"] == words


@pytest.mark.parametrize(("wanted", "told"), [("Enabled", "Enabled"), ("IfPossible", "Enabled"), (None, "Disabled")])
def test_how_far_a_mount_is_read_only_is_told(pods: Pods, tmp_path: Path, wanted: str | None, told: str) -> None:
    mount = {"name": "v", "mountPath": "/v", "readOnly": True}
    if wanted is not None:
        mount["recursiveReadOnly"] = wanted
    obj = pod("p", shell(volumeMounts=[mount]), volumes=[{"name": "v", "hostPath": {"path": str(tmp_path)}}])
    (status,) = [m for m in container_status(pods.run(obj))["volumeMounts"] if m["name"] == "v"]
    assert status == {"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": told}


def test_following_a_log_goes_on_where_it_is_rotated(pods: Pods) -> None:
    text = "x" * 100  # with what the log adds 14.7 MB in all, of which a file takes 10 MiB: it is rotated once
    script = f"sleep 0.5; i=0; while [ $i -lt 100000 ]; do echo $i {text}; i=$((i+1)); done"
    pods.create(once("p", script))
    obj = pods.until("p", lambda now: state(now)["is"] == "running")
    followed = pods.podrun.shell("kubectl logs -f p | cut -d' ' -f1 | sha256sum")
    assert followed == pods.podrun.shell("seq 0 99999 | sha256sum")
    directory = pods.podrun.layout.logs / f"default_p_{obj['metadata']['uid']}" / "a"
    rotated, current = sorted(directory.iterdir(), key=lambda path: -len(path.name))
    assert current.name == "0.log"
    assert rotated.name.startswith("0.log.")
    assert 10 << 20 <= rotated.stat().st_size < 14 << 20


def test_a_key_of_a_file_becomes_a_variable(pods: Pods) -> None:
    def variable(name: str, key: str, **more: object) -> Object:
        return {"name": name, "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "env", "key": key, **more}}}

    writer = shell(
        "i", "printf \"# made\\nK='two words'\\n\" > /v/env", volumeMounts=[{"name": "v", "mountPath": "/v"}]
    )
    variables = [variable("A", "K"), variable("B", "MISSING", optional=True)]
    obj = pod(
        "p",
        shell("a", 'echo "$A/$B"', env=variables),
        initContainers=[writer],
        volumes=[{"name": "v", "emptyDir": {}}],
        restartPolicy="Never",
    )
    assert pods.output(obj) == "two words/\n"


def test_a_rule_restarts_a_container_that_is_never_restarted_otherwise(pods: Pods) -> None:
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    script = "if [ -e /v/x ]; then exit 3; fi; touch /v/x; exit 42"
    container = shell(
        "a", script, restartPolicy="Never", restartPolicyRules=rules, volumeMounts=[{"name": "v", "mountPath": "/v"}]
    )
    pods.create(pod("p", container, volumes=[{"name": "v", "emptyDir": {}}], restartPolicy="Never"))
    status = container_status(pods.finished("p"))
    assert (status["restartCount"], status["state"]["terminated"]["exitCode"]) == (1, 3)
    assert status["lastState"]["terminated"]["exitCode"] == 42


def test_a_resize_that_needs_a_restart_restarts_that_container_only(pods: Pods) -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    sizes = {"requests": {"memory": "32Mi"}, "limits": {"memory": "32Mi"}}
    pods.run(pod("p", shell("a", resources=sizes, resizePolicy=policy), shell("b", resources=sizes)))
    larger = {"requests": {"memory": "64Mi"}, "limits": {"memory": "64Mi"}}
    body = {"spec": {"containers": [{"name": name, "resources": larger} for name in "ab"]}}
    pods.call("PATCH", pods.path("pods", "p") + "/resize", body, "application/strategic-merge-patch+json")
    wait_until(lambda: any(e["reason"] == "ResizeCompleted" for e in pods.events("p")), 20, "the resize did not end")
    now = pods.get("p")
    assert [container_status(now, name)["restartCount"] for name in "ab"] == [1, 0]
    assert [container_status(now, name)["resources"] for name in "ab"] == [larger, larger]
    assert pods.event("p", "Killing") == "Container a resize requires restart"
