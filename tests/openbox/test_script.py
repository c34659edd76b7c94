"""The script of a pod: clean for shellcheck, and, run where nothing of podrun is, a pod with the same anatomy."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from podrun.openbox.script.words import image_directory
from tests.harness import Podrun, wait_until

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "hand"},
    "spec": {
        "hostname": "by-hand",
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "securityContext": {"sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": "20000 30000"}]},
        "volumes": [
            {"name": "shelf", "emptyDir": {}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "words", "configMap": {"name": "words"}},
        ],
        "initContainers": [
            {
                "name": "first",
                "image": "busybox:1.36",
                "command": ["sh", "-c", "echo made by first > /shelf/note"],
                "volumeMounts": [{"name": "shelf", "mountPath": "/shelf"}],
            },
            {
                "name": "web",
                "image": "busybox:1.36",
                "restartPolicy": "Always",
                "command": ["sh", "-c", "httpd -p 8080 -h /shelf; exec sleep 1001"],
                "volumeMounts": [{"name": "shelf", "mountPath": "/shelf"}, {"name": "memory", "mountPath": "/m"}],
            },
        ],
        "containers": [
            {
                "name": "app",
                "image": "busybox:1.36",
                "command": ["sh", "-c", "cat /etc/words/greeting; exec sleep 1002"],
                "workingDir": "/tmp",
                "env": [{"name": "QUOTED", "value": 'it\'s "$HOME" and\nmore'}],
                "securityContext": {"runAsUser": 1234, "readOnlyRootFilesystem": True},
                "resources": {"limits": {"memory": "32Mi"}},
                "volumeMounts": [
                    {"name": "words", "mountPath": "/etc/words", "readOnly": True},
                    {"name": "shelf", "mountPath": "/s", "readOnly": True},
                    {"name": "shelf", "mountPath": "/below", "subPath": "deep/er"},
                ],
            }
        ],
    },
}
WORDS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "words"}, "data": {"greeting": "hello"}}


def _read(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def _inside(pid: int, *argv: str) -> str:
    """What a program of the host prints in a process's network, IPC and UTS namespaces."""
    words = ["nsenter", f"--target={pid}", "--net", "--ipc", "--uts", "--", *argv]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def _mounts(pid: int) -> set[tuple[str, str, bool]]:
    """(place, file system, read-only) of everything in a container's mount namespace."""
    found = set()
    for line in _read(pid, "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        found.add((fields[4], after.split(" ")[0], "ro" in fields[5].split(",")))
    return found


def _sleeper(seconds: int, among: Callable[[int], bool]) -> int:
    """The `sleep SECONDS` that a predicate picks."""
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")[:2]
            if words == [b"sleep", str(seconds).encode()] and among(int(name)):
                return int(name)
    return 0


def _below_root(pid: int, link: str) -> str:
    """Where a link of /proc/PID leads, as the process itself sees it."""
    root = os.readlink(f"/proc/{pid}/root").rstrip("/")
    return os.readlink(f"/proc/{pid}/{link}").removeprefix(root) or "/"


def facts(web: int, app: int) -> dict[str, Any]:
    """What a person would look at, of two containers' first processes."""
    kinds = ("net", "ipc", "uts", "pid", "mnt", "cgroup", "user")
    spaces = {pid: {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in kinds} for pid in (web, app)}
    status = {pid: dict(line.split(":\t") for line in _read(pid, "status").splitlines()) for pid in (web, app)}
    return {
        "shared": [kind for kind in kinds if spaces[web][kind] == spaces[app][kind]],
        "of the machine": [kind for kind in kinds if spaces[web][kind] == os.readlink(f"/proc/self/ns/{kind}")],
        "mounts": [_mounts(pid) for pid in (web, app)],
        "first of its PID namespace": [status[pid]["NSpid"].split()[-1] for pid in (web, app)],
        "users": [status[pid]["Uid"] for pid in (web, app)],
        "bounds": [status[pid]["CapBnd"] for pid in (web, app)],
        "working directory": [_below_root(pid, "cwd") for pid in (web, app)],
        "environment": [sorted(_read(pid, "environ").split("\0")) for pid in (web, app)],
        "hostname": _inside(web, "hostname"),
        "addresses": _inside(web, "ip", "-4", "-brief", "address", "show", "dev", "eth0").split()[2:],
        "routes": _inside(web, "ip", "route"),
        "port range": _inside(web, "cat", "/proc/sys/net/ipv4/ip_local_port_range"),
        "localhost": _inside(app, "curl", "-s", "http://127.0.0.1:8080/note"),
    }


@pytest.fixture(scope="module")
def script(module_podrun: Podrun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The pod's script in a directory with its image; the pod itself goes on."""
    podrun = module_podrun
    place = tmp_path_factory.mktemp("hand")
    podrun.apply(WORDS, POD)
    podrun.kubectl("wait", "--for=condition=Ready", "pod/hand", "--timeout=30s")
    (place / "pod.sh").write_text(podrun.podrun("shell-script", "hand"))
    podrun.podrun("images", "export", "busybox:1.36", place / "images" / image_directory("busybox:1.36"))
    yield place / "pod.sh"
    podrun.delete_pods()
    assert podrun.leaks() == {}


@pytest.fixture
def by_hand(script: Path) -> Iterator[Path]:
    """The script running in a network of its own; its working directory."""
    work = script.parent / "work"
    cgroup = f"pod-by-hand-{os.getpid()}/hand"
    environment = {**os.environ, "WORK": str(work), "IMAGES": str(script.parent / "images"), "CGROUP": cgroup}
    with (script.parent / "said").open("w") as said:
        process = subprocess.Popen(
            ["unshare", "--net", "--", "sh", str(script)], env=environment, stdout=said, stderr=said
        )
        try:
            wait_until(
                lambda: (work / "ready").exists() or process.poll() is not None,
                20,
                (script.parent / "said").read_text(),
            )
            assert process.poll() is None, (script.parent / "said").read_text()
            yield work
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
    assert not work.exists()
    assert list(Path("/sys/fs/cgroup").glob(f"*/{cgroup}")) == []


def test_is_clean_for_shellcheck(script: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", "--shell=sh", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_builds_the_same_pod(module_podrun: Podrun, by_hand: Path) -> None:
    """`/sys` and groups aside: the machine's own names are in them."""
    theirs = [_sleeper(seconds, module_podrun.owns) for seconds in (1001, 1002)]
    wait_until(lambda: _ours(1001, module_podrun) > 0 and _ours(1002, module_podrun) > 0, 20, _logs(by_hand))
    ours = [_ours(seconds, module_podrun) for seconds in (1001, 1002)]
    wait_until(lambda: facts(*ours)["localhost"] == "made by first\n", 10, "nothing answers on localhost")
    expected, made = facts(*theirs), facts(*ours)
    # chroot needs three capabilities, which stay in the bounds; they are among the pod's own here.
    assert made == expected
    assert made["shared"] == ["net", "ipc", "uts", "user"]
    assert made["localhost"] == "made by first\n"
    assert (by_hand / "app" / "log").read_text() == "hello\n"


def _ours(seconds: int, podrun: Podrun) -> int:
    return _sleeper(seconds, lambda pid: not podrun.owns(pid))


def _logs(work: Path) -> str:
    return "".join(path.read_text() for path in work.glob("*/log")) + (work.parent / "said").read_text()


def test_a_pod_that_has_not_begun_has_no_plan(module_podrun: Podrun) -> None:
    waits = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "waits"}}
    spec = {"schedulingGates": [{"name": "x/y"}], "containers": [{"name": "a", "image": "busybox:1.36"}]}
    module_podrun.apply({**waits, "spec": spec})
    done = module_podrun.run("podrun", "shell-script", "waits", check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "podrun: pod waits: it has no sandbox, so that there is no plan of it\n",
    )
