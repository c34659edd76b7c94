"""What lies on the host: files that only root reads, secrets that are told nowhere, doors with a guard."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import PROJECT, Podrun
from tests.pods.living import Object, Pods, pod, shell

SECRET = "correct-horse-battery-staple"
ENCODED = base64.b64encode(SECRET.encode()).decode()


def secret(name: str, kind: str = "Opaque", **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "stringData": data}


@pytest.fixture(scope="module")
def kept(module_podrun: Podrun) -> Iterator[Pods]:
    """A daemon that has had to do with a secret: as a file, as a variable, as a password, in calls that failed."""
    pods = Pods(module_podrun)
    login = json.dumps({"auths": {"127.0.0.1:1": {"username": "u", "password": SECRET}}})
    pods.create(secret("s", password=SECRET))
    pods.create(secret("login", "kubernetes.io/dockerconfigjson", **{".dockerconfigjson": login}))
    volumes: list[Object] = [{"name": "v", "secret": {"secretName": "s"}}]
    mounts = [{"name": "v", "mountPath": "/v"}]
    variable = [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}}]
    pods.run(pod("good", shell(env=variable, volumeMounts=mounts), volumes=volumes))
    assert pods.sh("good", "cat /v/password; echo $PASSWORD") == SECRET * 2 + "\n"
    pods.create(pod("bad-command", {**shell(env=variable), "command": ["/missing", "$(PASSWORD)"]}))
    pods.create(pod("bad-path", shell(env=variable, workingDir="/dev/null"), volumes=volumes))
    pods.create(pod("bad-pull", {"name": "a", "image": "127.0.0.1:1/x:1"}, imagePullSecrets=[{"name": "login"}]))
    for name, reason in (("bad-command", "Failed"), ("bad-path", "Failed"), ("bad-pull", "Failed")):
        pods.event(name, reason)
    pods.exec("good", "/missing", SECRET[:4])
    module_podrun.crash()
    yield pods
    module_podrun.delete_pods()


@pytest.mark.parametrize(
    "command",
    [
        "podrun doctor",
        "podrun ps",
        "podrun anatomy good",
        "podrun anatomy good -o json",
        "kubectl describe pods",
        "kubectl get pods -o yaml",
        "kubectl describe secrets",
        "kubectl get secrets",
        "kubectl get events -o yaml",
        "kubectl get --raw /metrics",
        "kubectl get --raw /api/v1/nodes/$(hostname)/proxy/metrics",
    ],
)
def test_a_secret_is_told_by_no_command(kept: Pods, command: str) -> None:
    done = kept.podrun.run("bash", "-c", command, check=False)
    said = done.stdout + done.stderr
    assert said
    assert SECRET not in said
    assert ENCODED not in said


def test_a_secret_is_in_no_log_and_no_file_but_the_database(kept: Pods) -> None:
    """Its volume is in memory; /run may hold it for root, as records of what is to be started anew."""
    top = kept.podrun.root
    found = set()
    for where, _, names in os.walk(top):
        for path in (Path(where, name) for name in names):
            if not path.is_symlink() and path.is_file() and "/images/" not in str(path):
                content = path.read_bytes()
                if SECRET.encode() in content or ENCODED.encode() in content:
                    found.add(path)
    for path in found:
        reachable = all(parent.stat().st_mode & 0o001 for parent in path.parents if parent.is_relative_to(top / "var"))
        assert not (path.stat().st_mode & 0o077 and reachable), f"others read {path}"
        assert not path.is_relative_to(top / "var/log"), path
    assert any(path.name.startswith("podrun.db") for path in found)  # what is looked for can be found
    assert SECRET not in kept.podrun.log()


def test_files_that_only_root_reads(kept: Pods) -> None:
    layout = kept.podrun.layout
    secret_files = [layout.kubeconfig, layout.database, layout.api_socket, *layout.pki.glob("*.key")]
    secret_files += [path for path in layout.state.glob("podrun.db*") if path.is_file()]
    for path in secret_files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for directory in (layout.pki, layout.spawner_run, layout.images, layout.run / "runtime/containers"):
        assert stat.S_IMODE(directory.stat().st_mode) & 0o077 == 0, directory
    for log in layout.logs.rglob("*.log"):
        assert stat.S_IMODE(log.stat().st_mode) & 0o007 == 0, log


def test_nothing_listens_where_it_need_not(kept: Pods) -> None:
    """No abstract unix socket (CVE-2020-15257), and the API on the addresses that it says only."""
    unix = kept.podrun.run("cat", "/proc/net/unix").stdout
    assert "podrun" in unix
    assert not [line for line in unix.splitlines() if " @" in line]
    listening = kept.podrun.run("ss", "-Hltn").stdout.split()
    assert {word for word in listening[3::5] if word.endswith((":6443", ":443"))} <= {
        "127.0.0.1:6443",
        "10.96.0.1:6443",
    }


def test_the_unit_hardens_without_what_pods_would_inherit() -> None:
    """systemd.exec(5): a mount namespace would hide mounts from the host, a filter would bind privileged pods too."""
    text = (PROJECT / "scripts/quickstart").read_text()
    unit = dict(
        line.split("=", 1) for line in text.split("unit_text() {")[1].split("EOF")[1].splitlines() if "=" in line
    )
    assert {"UMask": "0077", "KeyringMode": "private"}.items() <= unit.items()
    inherited = (
        "Private",
        "Protect",
        "ReadOnly",
        "ReadWrite",
        "Inaccessible",
        "Restrict",
        "SystemCall",
        "Lock",
        "Memory",
    )
    assert not [name for name in unit if name.startswith(inherited)]
