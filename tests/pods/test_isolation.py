"""What a container may do and see: users, capabilities, seccomp, masked paths, resources, devices."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.harness import Podrun, wait_until
from tests.pods.living import Object, Pods, container_status, once, pod, shell, state

DEFAULT_CAPABILITIES = 0x00000000A80425FB
"""containerd's fourteen."""


def secured(name: str, **context: object) -> Object:
    """A pod whose one container has this securityContext."""
    return pod(name, shell(securityContext=context))


def status_of(pods: Pods, name: str) -> dict[str, str]:
    """/proc/self/status of an exec'd process: what it has got, by the kernel's own words."""
    lines = pods.sh(name, "cat /proc/self/status").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


class TestPrivileges:
    def test_the_default(self, pods: Pods) -> None:
        pods.run(pod("p"))
        first = Path(f"/proc/{pods.pid('p')}/status").read_text()
        for status in (first, pods.sh("p", "cat /proc/self/status")):
            assert f"CapEff:\t{DEFAULT_CAPABILITIES:016x}" in status
            assert f"CapBnd:\t{DEFAULT_CAPABILITIES:016x}" in status
            assert "CapAmb:\t0000000000000000" in status
            assert "Seccomp:\t2" in status
            assert "NoNewPrivs:\t0" in status

    def test_capabilities_dropped_and_added(self, pods: Pods) -> None:
        pods.run(secured("p", capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}))
        assert int(status_of(pods, "p")["CapEff"], 16) == 1 << 10
        assert "Operation not permitted" in pods.exec("p", "chown", "1", "/tmp").stderr

    def test_no_new_privileges(self, pods: Pods) -> None:
        pods.run(secured("p", allowPrivilegeEscalation=False))
        assert status_of(pods, "p")["NoNewPrivs"] == "1"

    def test_a_user_who_is_not_root_has_no_effective_capabilities(self, pods: Pods) -> None:
        pods.run(secured("p", runAsUser=1000))
        status = status_of(pods, "p")
        assert int(status["CapEff"], 16) == 0
        assert int(status["CapBnd"], 16) == DEFAULT_CAPABILITIES

    def test_privileged(self, pods: Pods) -> None:
        pods.run(secured("p", privileged=True))
        status = status_of(pods, "p")
        ours = re.search(r"CapBnd:\t(\w+)", Path("/proc/self/status").read_text())
        assert ours is not None
        assert status["CapEff"] == ours[1]
        assert status["Seccomp"] == "0"
        pods.sh("p", "mkdir /m && mount -t tmpfs none /m && umount /m")
        assert pods.sh("p", "test -e /dev/kmsg && echo devices") == "devices\n"

    def test_seccomp_refuses_what_containers_do_not_need(self, pods: Pods) -> None:
        pods.run(secured("p"))
        assert "Operation not permitted" in pods.exec("p", "unshare", "-m", "true").stderr

    def test_seccomp_unconfined(self, pods: Pods) -> None:
        pods.run(secured("p", seccompProfile={"type": "Unconfined"}))
        assert status_of(pods, "p")["Seccomp"] == "0"

    def test_run_as_non_root_with_roots_image(self, pods: Pods) -> None:
        pods.create(secured("p", runAsNonRoot=True))
        now = pods.until("p", lambda now: state(now).get("reason") == "CreateContainerConfigError")
        assert state(now)["message"].startswith("container has runAsNonRoot and image will run as root (pod: ")


class TestUsers:
    def test_ids_and_groups(self, pods: Pods) -> None:
        context = {"runAsUser": 1000, "runAsGroup": 3000, "supplementalGroups": [4000], "fsGroup": 2000}
        pods.run(pod("p", securityContext=context))
        assert pods.sh("p", "id -u; id -g; id -G") == "1000\n3000\n3000 2000 4000\n"

    def test_the_images_user(self, pods: Pods) -> None:
        pods.run(pod("p", {"name": "a", "image": "bookstore/catalog:dev"}))
        owner = Path(f"/proc/{pods.pid('p')}").stat()
        assert (owner.st_uid, owner.st_gid) == (65532, 65532)

    def test_groups_of_the_images_file(self, pods: Pods) -> None:
        pods.run(secured("p"))
        assert pods.sh("p", "id -G") == "0 10\n"  # root is in wheel there


class TestFiles:
    def test_masked_and_read_only_paths(self, pods: Pods) -> None:
        pods.run(pod("p"))
        assert pods.sh("p", "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c") == "0\n"
        assert "Read-only file system" in pods.exec("p", "sh", "-c", "echo 1 > /proc/sys/kernel/panic").stderr
        assert pods.exec("p", "touch", "/sys/x").returncode != 0

    def test_read_only_root(self, pods: Pods) -> None:
        pods.run(secured("p", readOnlyRootFilesystem=True))
        assert "Read-only file system" in pods.exec("p", "touch", "/x").stderr
        pods.sh("p", "touch /dev/shm/x")

    def test_the_root_is_the_containers_own(self, pods: Pods) -> None:
        pods.run(pod("p", shell("a"), shell("b")))
        pods.sh("p", "echo mine > /etc/passwd; touch /x", "a")
        assert pods.exec("p", "ls", "/x", container="b").returncode != 0
        assert "root:x:0:0" in pods.sh("p", "cat /etc/passwd", "b")

    def test_devices(self, pods: Pods) -> None:
        pods.run(pod("p"))
        said = pods.sh("p", "cd /dev; ls").split()
        assert {"null", "zero", "full", "random", "urandom", "tty", "pts", "shm", "mqueue", "fd", "stdin"} <= set(said)
        assert pods.sh("p", "head -c 3 /dev/zero | wc -c; echo x > /dev/null; stat -c %a /dev/shm") == "3\n1777\n"
        denied = pods.exec("p", "sh", "-c", "mknod /tmp/disk b 8 0 && cat /tmp/disk")
        assert "Operation not permitted" in denied.stderr or "Permission denied" in denied.stderr

    def test_no_descriptor_leaks_in(self, pods: Pods) -> None:
        pods.run(pod("p", shell("a", "exec sleep 1000")))
        assert sorted(path.name for path in Path(f"/proc/{pods.pid('p')}/fd").iterdir()) == ["0", "1", "2"]

    def test_the_host_is_not_reached_through_proc(self, pods: Pods) -> None:
        pods.run(pod("p", shareProcessNamespace=True))
        assert pods.exec("p", "ls", "/proc/1/root/etc").returncode != 0  # pause's root is empty

    def test_its_own_cgroup_is_the_root_it_sees(self, pods: Pods) -> None:
        pods.run(pod("p"))
        paths = [line.split(":", 2)[2] for line in pods.sh("p", "cat /proc/1/cgroup").splitlines()]
        assert not [path for path in paths if "podrun" in path or "burstable" in path]


def cgroup_file(pods: Pods, name: str, v2: str, v1: str) -> str:
    """What a controller's file of container `a` holds, on whichever version of cgroups that controller is."""
    lines = Path(f"/proc/{pods.pid(name)}/cgroup").read_text().splitlines()
    for number, controllers, path in (line.split(":", 2) for line in lines):
        for base, file in ((Path("/sys/fs/cgroup"), v2), (Path("/sys/fs/cgroup/unified"), v2)):
            if number == "0" and (base / path[1:] / file).exists():
                return (base / path[1:] / file).read_text().strip()
        for controller in controllers.split(","):
            if controller and v1.startswith(f"{controller}."):
                found = Path("/sys/fs/cgroup", controller, path[1:], v1)
                if found.exists():
                    return found.read_text().strip()
    raise AssertionError(f"neither {v2} nor {v1}: {lines}")


def may_lower_oom_scores() -> bool:
    """Whether root may: a kernel or a sandbox around the machine can forbid it."""
    return subprocess.run(["sh", "-c", "echo -1 > /proc/self/oom_score_adj"], stderr=subprocess.DEVNULL).returncode == 0


class TestResources:
    def test_limits_are_the_kernels(self, pods: Pods) -> None:
        pods.run(pod("p", shell(resources={"limits": {"cpu": "250m", "memory": "64Mi"}})))
        assert cgroup_file(pods, "p", "memory.max", "memory.limit_in_bytes") == str(64 << 20)
        assert cgroup_file(pods, "p", "cpu.max", "cpu.cfs_quota_us").split()[0] == "25000"
        assert pods.get("p")["status"]["qosClass"] == "Guaranteed"

    def test_requests_are_shares(self, pods: Pods) -> None:
        pods.run(pod("p", shell(resources={"requests": {"cpu": "500m"}})))
        assert cgroup_file(pods, "p", "cpu.weight", "cpu.shares") in ("20", "512", "59")

    @pytest.mark.parametrize("policy", ["Never", "Always"])
    def test_too_much_memory_is_told(self, pods: Pods, policy: str) -> None:
        hog = "exec tail /dev/zero"
        pods.create(pod("hog", shell("a", hog, resources={"limits": {"memory": "16Mi"}}), restartPolicy=policy))
        if policy == "Never":
            assert state(pods.finished("hog"))["reason"] == "OOMKilled"
            assert state(pods.get("hog"))["exitCode"] == 137
        else:
            now = pods.until("hog", lambda now: container_status(now)["restartCount"] >= 1)
            assert container_status(now)["lastState"]["terminated"]["reason"] == "OOMKilled"

    def test_oom_score(self, pods: Pods) -> None:
        pods.run(pod("cheap"))
        limits = {"limits": {"cpu": "100m", "memory": "32Mi"}}
        pods.run(pod("dear", shell(resources=limits)))
        assert pods.sh("cheap", "cat /proc/1/oom_score_adj") == "1000\n"
        score = pods.sh("dear", "cat /proc/1/oom_score_adj").strip()
        assert score == "-997" or (score == "0" and not may_lower_oom_scores())

    def test_a_node_too_small_is_an_event(self, pods: Pods) -> None:
        pods.create(pod("giant", shell(resources={"requests": {"memory": "900Gi"}})))
        said = pods.event("giant", "FailedScheduling")
        assert said.startswith("0/1 nodes are available: 1 Insufficient memory.")
        assert pods.get("giant")["status"]["conditions"][0]["reason"] == "Unschedulable"

    def test_a_resize_in_place(self, pods: Pods, podrun: Podrun) -> None:
        pods.run(pod("p", shell(resources={"limits": {"cpu": "100m", "memory": "32Mi"}})))
        more = {"limits": {"memory": "48Mi"}, "requests": {"memory": "48Mi"}}
        patch = {"spec": {"containers": [{"name": "a", "resources": more}]}}
        podrun.kubectl("patch", "pod", "p", "--subresource=resize", "-p", json.dumps(patch))
        wait_until(
            lambda: cgroup_file(pods, "p", "memory.max", "memory.limit_in_bytes") == str(48 << 20), 5, "no new limit"
        )
        assert container_status(pods.get("p"))["restartCount"] == 0


def test_environment(pods: Pods) -> None:
    env = [
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
        {"name": "JOINED", "value": "$(NAME)-$(MISSING)-$$(NAME)"},
    ]
    pods.run(pod("p", shell(env=env, resources={"limits": {"memory": "64Mi"}})))
    said = pods.sh("p", 'echo "$NAME $ADDRESS $LIMIT $JOINED $HOSTNAME $HOME"')
    assert said == f"p {pods.address('p')} {64 << 20} p-$(MISSING)-$(NAME) p /root\n"


def test_arguments_take_variables(pods: Pods) -> None:
    container = {"name": "a", "image": "busybox:1.36", "env": [{"name": "WHO", "value": "world"}]}
    container |= {"command": ["echo"], "args": ["hello", "$(WHO)", "$$(WHO)"]}
    assert pods.output(pod("p", container, restartPolicy="Never")) == "hello world $(WHO)\n"


def test_a_termination_message(pods: Pods) -> None:
    pods.create(once("written", "echo because > /dev/termination-log; exit 1"))
    fallback = shell("a", "echo last words; exit 1", terminationMessagePolicy="FallbackToLogsOnError")
    pods.create(pod("said", fallback, restartPolicy="Never"))
    assert state(pods.finished("written"))["message"] == "because\n"
    assert state(pods.finished("said"))["message"] == "last words\n"


def test_a_terminal_for_the_first_process(pods: Pods) -> None:
    pods.run(pod("p", shell("a", "tty; stty size; echo done; exec sleep 1000", stdin=True, tty=True)))
    pods.logged("p", "done")
    assert pods.log("p").splitlines()[0].startswith("/dev/")
