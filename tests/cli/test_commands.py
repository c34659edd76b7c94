"""The commands against a daemon: what they print, and with which code they end."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from podrun.cli.errors import FAILED, NOT_ROOT, OK, TIMED_OUT
from tests.harness import AS_NOBODY, Podrun, nobody_may_run_podrun
from tests.images.archives import Entry, docker_save, tar_of

BOOKSTORE = Path(__file__).resolve().parents[2] / "examples/bookstore/raw-manifests/02-catalog-pod-sidecar.yaml"

NEVER = {"exec": {"command": ["false"]}, "periodSeconds": 1}
"""A readiness probe that does not pass."""


def _pod(name: str, *command: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "app", "image": "busybox:1.36", "command": list(command), **spec.pop("container", {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container], **spec}}


def _play(podrun: Podrun, manifest: object, *options: str) -> subprocess.CompletedProcess[str]:
    return podrun.run("podrun", "play", *options, "-", input=json.dumps(manifest), check=False)


class TestPlay:
    def test_says_what_is_ready_and_where(self, podrun: Podrun) -> None:
        done = podrun.run("podrun", "play", BOOKSTORE)
        assert done.stdout.startswith("pod/catalog created\npod/catalog is Ready after ")
        assert ": 2 containers at 10.244." in done.stdout

    def test_playing_again_changes_nothing_and_says_so(self, podrun: Podrun) -> None:
        podrun.podrun("play", BOOKSTORE)
        before = podrun.get("pod", "catalog")["metadata"]["resourceVersion"]
        assert podrun.podrun("play", BOOKSTORE).startswith("pod/catalog unchanged\n")
        assert podrun.get("pod", "catalog")["metadata"]["resourceVersion"] == before

    def test_after_kubectl_apply_too(self, podrun: Podrun) -> None:
        podrun.kubectl("apply", "-f", BOOKSTORE)
        podrun.kubectl("wait", "--for=condition=Ready", "pod/catalog")
        podrun.podrun("play", BOOKSTORE)
        assert podrun.podrun("play", BOOKSTORE).startswith("pod/catalog unchanged\n")

    def test_a_pod_that_ends_is_done(self, podrun: Podrun) -> None:
        done = _play(podrun, _pod("brief", "true", restartPolicy="Never", container={"readinessProbe": NEVER}))
        assert done.returncode == OK
        assert "pod/brief has succeeded after" in done.stdout

    def test_a_pod_that_fails_shows_its_last_words(self, podrun: Podrun) -> None:
        command = ("sh", "-c", "echo the disk is full; exit 3")
        done = _play(podrun, _pod("failing", *command, restartPolicy="Never", container={"readinessProbe": NEVER}))
        assert done.returncode == FAILED
        assert "pod/failing: container app ended with exit code 3 (Error)" in done.stderr
        assert "the disk is full" in done.stderr

    def test_a_missing_image_is_named_with_the_event(self, podrun: Podrun) -> None:
        done = _play(podrun, _pod("lost", "true", container={"image": "nowhere:1", "imagePullPolicy": "Never"}))
        assert done.returncode == FAILED
        assert "ErrImageNeverPull" in done.stderr
        assert "nowhere:1" in done.stderr

    def test_what_takes_too_long_is_said(self, podrun: Podrun) -> None:
        done = _play(podrun, _pod("slow", "sleep", "100", container={"readinessProbe": NEVER}), "--timeout", "2")
        assert done.returncode == TIMED_OUT
        assert "pod/slow is not Ready after 2 s: not ready yet: app" in done.stderr
        assert "Readiness probe failed" in done.stderr

    def test_an_unknown_field_is_refused_by_name(self, podrun: Podrun) -> None:
        done = _play(podrun, _pod("typo", "true", restartPolcy="Never"))
        assert done.returncode == FAILED
        assert "spec.restartPolcy: field not declared in schema" in done.stderr or "spec.restartPolcy" in done.stderr
        assert podrun.run("kubectl", "get", "pod", "typo", check=False).returncode == 1

    def test_a_wrong_value_is_refused_by_field(self, podrun: Podrun) -> None:
        done = _play(podrun, _pod("Upper_Case", "true"))
        assert done.returncode == FAILED
        assert "metadata.name: Invalid value" in done.stderr

    def test_what_cannot_be_changed_has_a_way_out(self, podrun: Podrun) -> None:
        assert _play(podrun, _pod("fixed", "sleep", "100", terminationGracePeriodSeconds=1)).returncode == OK
        changed = _pod("fixed", "sleep", "200", terminationGracePeriodSeconds=1)
        done = _play(podrun, changed)
        assert done.returncode == FAILED
        assert "podrun play --replace" in done.stderr
        done = _play(podrun, changed, "--replace")
        assert done.returncode == OK
        assert done.stdout.startswith("pod/fixed deleted\npod/fixed created\n")

    def test_a_kind_that_is_not_served(self, podrun: Podrun) -> None:
        done = _play(podrun, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}})
        assert done.returncode == FAILED
        assert "podrun does not serve Deployment of apps/v1" in done.stderr

    def test_several_objects_and_a_namespace_of_their_own(self, podrun: Podrun) -> None:
        settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "words"}, "data": {"word": "hello"}}
        reading = [{"name": "WORD", "valueFrom": {"configMapKeyRef": {"name": "words", "key": "word"}}}]
        pod = _pod("speaker", "sh", "-c", "echo $WORD", restartPolicy="Never", container={"env": reading})
        podrun.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
        listed = {"apiVersion": "v1", "kind": "List", "items": [settings, pod]}
        done = _play(podrun, listed, "-n", "team")
        assert done.returncode == OK, done.stderr
        assert done.stdout.splitlines()[:2] == ["configmap/words created", "pod/speaker created"]
        assert podrun.kubectl("logs", "-n", "team", "speaker") == "hello\n"


class TestPs:
    def test_lists_every_namespace_with_addresses(self, podrun: Podrun) -> None:
        assert podrun.podrun("ps") == "no pods\n"
        podrun.podrun("play", BOOKSTORE)
        head, row = podrun.podrun("ps").splitlines()
        assert head.split() == ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP"]
        assert row.split()[:5] == ["default", "catalog", "2/2", "Running", "0"]
        assert "NOMINATED NODE" in podrun.podrun("ps", "-o", "wide")
        assert [each["metadata"]["name"] for each in json.loads(podrun.podrun("ps", "-o", "json"))["items"]] == [
            "catalog"
        ]
        assert podrun.podrun("ps", "-n", "kube-system") == "no pods in kube-system\n"
        assert podrun.podrun("ps", "-l", "app=other") == "no pods\n"


class TestAnatomy:
    def test_names_who_shares_what(self, podrun: Podrun) -> None:
        podrun.podrun("play", BOOKSTORE)
        opened = json.loads(podrun.podrun("anatomy", "catalog", "-o", "json"))
        members = {row["type"]: row["members"] for row in opened["namespaces"] if len(row["members"]) > 1}
        everyone = ["pause", "log-sidecar", "catalog"]
        assert {kind: members[kind] for kind in ("net", "ipc", "uts")} == dict.fromkeys(("net", "ipc", "uts"), everyone)
        own = [row for row in opened["namespaces"] if row["type"] in ("pid", "mnt") and "catalog" in row["members"]]
        assert [row["members"] for row in own] == [["catalog"], ["catalog"]]
        assert all(isinstance(row["inode"], int) for row in opened["namespaces"])
        assert opened["containers"][2]["processes"][0]["listens"] == [8080]

    def test_shared_processes_are_shown_as_shared(self, podrun: Podrun) -> None:
        assert _play(podrun, _pod("open", "sleep", "100", shareProcessNamespace=True)).returncode == OK
        opened = json.loads(podrun.podrun("anatomy", "open", "-o", "json"))
        assert [row["members"] for row in opened["namespaces"] if row["type"] == "pid"] == [["pause", "app"]]
        assert "shared: processes" in podrun.podrun("anatomy", "open")

    def test_a_pod_that_is_not_there(self, podrun: Podrun) -> None:
        done = podrun.run("podrun", "anatomy", "nobody", check=False)
        assert (done.returncode, done.stderr.splitlines()[0]) == (FAILED, "podrun: there is no pod nobody in default")


class TestImages:
    def test_a_stand_in_is_labelled(self, podrun: Podrun) -> None:
        rows = {line.split()[0]: line for line in podrun.podrun("images", "ls").splitlines()}
        assert "built (a stand-in; a pull replaces it)" in rows["busybox:1.36"]
        assert "stand-in" not in rows["bookstore/catalog:dev"]

    def test_removed_and_told_when_it_was_not_there(self, new_podrun: Callable[..., Podrun]) -> None:
        podrun = new_podrun()
        assert podrun.podrun("images", "rm", "toolbox") == "removed toolbox\n"
        done = podrun.run("podrun", "images", "rm", "toolbox", check=False)
        assert (done.returncode, done.stderr) == (FAILED, "podrun: there is no image toolbox\n")
        assert "toolbox" not in podrun.podrun("images", "ls")

    def test_a_saved_image_is_loaded_and_listed(self, new_podrun: Callable[..., Podrun], tmp_path: Path) -> None:
        podrun = new_podrun()
        layer = tar_of([Entry("greeting", content=b"hello\n")])
        archive = docker_save(tmp_path / "app.tar", {("app:dev",): [layer]})
        assert podrun.podrun("images", "load", archive).startswith("app:dev ")
        assert "loaded" in next(line for line in podrun.podrun("images", "ls").splitlines() if "app:dev" in line)
        listed = json.loads(podrun.podrun("images", "ls", "-o", "json"))
        assert [each["source"] for each in listed if "docker.io/library/app:dev" in each["references"]] == ["loaded"]

    @pytest.mark.parametrize(("content", "said"), [(b"not a tar", "junk.tar"), (None, "missing.tar")])
    def test_what_is_no_archive_is_refused(
        self, podrun: Podrun, tmp_path: Path, content: bytes | None, said: str
    ) -> None:
        if content is not None:
            (tmp_path / said).write_bytes(content)
        done = podrun.run("podrun", "images", "load", tmp_path / said, check=False)
        assert done.returncode == FAILED
        assert said in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_pull_that_cannot_be_says_why(self, podrun: Podrun) -> None:
        done = podrun.run("podrun", "images", "pull", "127.0.0.1:1/app:1", check=False)
        assert done.returncode == FAILED
        assert "127.0.0.1:1" in done.stderr
        assert "Traceback" not in done.stderr


class TestKubeconfigAndKubectl:
    def test_printed_and_where_it_is(self, podrun: Podrun) -> None:
        assert podrun.podrun("kubeconfig") == podrun.kubeconfig.read_text()
        assert podrun.podrun("kubeconfig", "--path") == f"{podrun.kubeconfig}\n"
        assert podrun.kubeconfig.stat().st_mode & 0o777 == 0o600

    def test_kubectl_is_the_bundled_one_and_ends_as_it_ends(self, podrun: Podrun) -> None:
        assert "default" in podrun.podrun("kubectl", "get", "namespaces")
        assert podrun.run("podrun", "kubectl", "get", "pod", "nobody", check=False).returncode == 1
        assert "kubectl controls the Kubernetes cluster manager" in podrun.podrun("kubectl", "-h")


class TestDoctor:
    def test_this_machine_is_fit(self, podrun: Podrun) -> None:
        done = podrun.run("podrun", "doctor")
        assert "MISSING" not in done.stdout
        for part in ("Linux", "overlay works", "nftables", "cgroups:", "GiB free"):
            assert part in done.stdout

    def test_a_missing_tool_is_named_with_what_to_do(self, podrun: Podrun, tmp_path: Path) -> None:
        for name in ("podrun", "unshare", "sh", "mount", "touch", "ip", "modprobe"):
            if found := shutil.which(name, path=podrun.environment()["PATH"]):
                (tmp_path / name).symlink_to(found)
        done = podrun.run("env", f"PATH={tmp_path}", "podrun", "doctor", "-q", check=False)
        assert done.returncode == 5
        assert "MISSING  nft is not installed" in done.stdout
        assert "apt-get install nftables" in done.stdout


class TestReset:
    def test_leaves_no_trace(self, new_podrun: Callable[..., Podrun]) -> None:
        podrun = new_podrun()
        assert podrun.run("cat", "/proc/sys/net/ipv4/ip_forward").stdout == "1\n"
        podrun.podrun("play", BOOKSTORE)
        memory = {"volumes": [{"name": "m", "emptyDir": {"medium": "Memory"}}]}
        mounts = {"volumeMounts": [{"name": "m", "mountPath": "/m"}]}
        assert _play(podrun, _pod("memory", "sleep", "100", container=mounts, **memory)).returncode == OK
        said = podrun.podrun("reset", "--yes")
        assert said == "podrun is gone: no process, mount, link, rule, cgroup or file is left\n"
        left = podrun.inventory()
        assert (left["processes"], left["cgroups"]) == (set(), set())
        assert left["links"] == {"lo", "eth0@world", "world@eth0"}  # the test machine's own
        assert not [line for line in left["mounts"] if str(podrun.root) in line]
        assert podrun.run("nft", "list", "ruleset").stdout == ""
        assert podrun.run("cat", "/proc/sys/net/ipv4/ip_forward").stdout == "0\n"
        assert [path for path in podrun.root.rglob("*") if path.is_file() and ".kube" not in path.parts] == []

    def test_is_harmless_where_there_is_nothing(self, new_podrun: Callable[..., Podrun]) -> None:
        podrun = new_podrun()
        podrun.podrun("reset", "--yes")
        assert podrun.podrun("reset", "--yes").startswith("podrun is gone")

    def test_asks_first(self, podrun: Podrun) -> None:
        done = podrun.run("podrun", "reset", input="n\n", check=False)
        assert done.returncode == FAILED
        assert "nothing was done" in done.stdout
        assert podrun.podrun("ps") == "no pods\n"


@pytest.mark.skipif(not nobody_may_run_podrun(), reason="nobody else than root reaches this folder")
@pytest.mark.parametrize("command", ["ps", "play -", "anatomy x", "images ls", "doctor", "reset --yes", "daemon"])
def test_somebody_who_is_not_root_is_told_so(podrun: Podrun, command: str) -> None:
    podrun.root.chmod(0o755)
    done = podrun.run(*AS_NOBODY, "podrun", *command.split(), input=json.dumps(_pod("x", "true")), check=False)
    assert done.returncode == NOT_ROOT
    assert "sudo" in done.stderr
