"""hostUsers: false: root in the pod is nobody on the host, for its whole life, whatever is restarted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import Podrun
from tests.pods.living import FOREVER, Pods, pod, shell

FIRST, LENGTH = 65536, 65536


@pytest.fixture(autouse=True)
def kernel() -> None:
    release = os.uname().release.split(".")
    if (int(release[0]), int(release[1])) < (6, 3):
        pytest.skip("tmpfs cannot be idmapped before Linux 6.3")


def test_root_in_the_pod_is_nobody_on_the_host(pods: Pods) -> None:
    pods.run(pod("p", hostUsers=False))
    pid = pods.pid("p")
    assert Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", str(FIRST), str(LENGTH)]
    assert os.stat(f"/proc/{pid}").st_uid == FIRST
    assert pods.sh("p", "id -u; cat /proc/self/uid_map").split() == ["0", "0", str(FIRST), str(LENGTH)]


def test_each_pod_has_a_range_of_its_own_and_gives_it_back(pods: Pods) -> None:
    for name in ("one", "two"):
        pods.run(pod(name, hostUsers=False))
    firsts = [int(pods.sh(name, "cat /proc/self/uid_map").split()[1]) for name in ("one", "two")]
    assert sorted(firsts) == [FIRST, FIRST + LENGTH]
    pods.delete("one")
    pods.run(pod("three", hostUsers=False))
    assert int(pods.sh("three", "cat /proc/self/uid_map").split()[1]) == firsts[0]


def test_files_in_volumes_have_the_owners_that_the_pod_sees(pods: Pods, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    pods.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s"},
            "stringData": {"key": "text"},
        }
    )
    script = (
        "touch /host/root /disk/root /memory/root && cat /secret/key && echo && "
        "stat -c '%n %u:%g' /host/root /disk/root /memory/root /secret/key /disk; "
        "cat /var/run/secrets/kubernetes.io/serviceaccount/token | wc -l"
    )
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("host", "disk", "memory", "secret")]
    pods.create(
        pod(
            "p",
            shell("a", f"{script}; {FOREVER}", volumeMounts=mounts),
            hostUsers=False,
            securityContext={"fsGroup": 2000},
            volumes=[
                {"name": "host", "hostPath": {"path": str(tmp_path)}},
                {"name": "disk", "emptyDir": {}},
                {"name": "memory", "emptyDir": {"medium": "Memory"}},
                {"name": "secret", "secret": {"secretName": "s"}},
            ],
        )
    )
    pods.ready("p")
    pods.logged("p", "/disk 0:2000")
    assert pods.log("p").splitlines()[:6] == [
        "text",
        "/host/root 0:0",
        "/disk/root 0:2000",
        "/memory/root 0:2000",
        "/secret/key 0:2000",
        "/disk 0:2000",
    ]
    assert (tmp_path / "root").stat().st_uid == 0
    uid = pods.get("p")["metadata"]["uid"]
    kept = pods.podrun.layout.pods / uid
    assert (kept / "volumes/kubernetes.io~empty-dir/disk/root").stat().st_uid == 0
    mapping = [{"hostId": FIRST, "containerId": 0, "length": LENGTH}]
    assert json.loads((kept / "userns").read_text()) == {"uidMappings": mapping, "gidMappings": mapping}


def test_probes_logs_and_debug_containers_work_inside(pods: Pods) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}
    script = f"touch /tmp/ready; echo ready > /dev/stdout; {FOREVER}"
    pods.run(pod("p", shell("a", script, readinessProbe=probe), hostUsers=False))
    assert pods.log("p") == "ready\n"
    shown = pods.podrun.kubectl(
        "debug", "p", "--image=busybox:1.36", "--target=a", "--profile=general", "--attach=false", "-c", "debug",
        "--", "sh", "-c", "cat /proc/1/cmdline; id -u; cat /proc/self/uid_map",
    )  # fmt: skip
    assert "error" not in shown.lower()
    pods.logged("p", f"{FIRST}", container="debug")


def test_capabilities_hold_inside_only(pods: Pods) -> None:
    context = {"privileged": True}
    script = (
        "ip link add d0 type veth && mount -t tmpfs none /tmp && echo inside; (date -s 2030-01-01; mknod /n b 7 0) 2>&1"
    )
    obj = pod("p", shell("a", script, securityContext=context), hostUsers=False, restartPolicy="Never")
    said = pods.output(obj)
    assert said.startswith("inside\n")
    assert said.count("not permitted") == 2


def test_the_range_outlives_podrund(new_podrun: Callable[..., Podrun]) -> None:
    podrun = new_podrun()
    pods = Pods(podrun)
    pods.run(pod("p", hostUsers=False))
    before = pods.pid("p")
    podrun.crash()
    pods.run(pod("q", hostUsers=False))
    assert pods.pid("p") == before
    assert pods.sh("p", "cat /proc/self/uid_map").split()[1] == str(FIRST)
    assert pods.sh("q", "cat /proc/self/uid_map").split()[1] == str(FIRST + LENGTH)
