"""What kubectl changes: create, apply, edit, patch, label, replace, diff, delete, and how it waits."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml

from tests.harness import HarnessError, Podrun, wait_until
from tests.pods.living import Pods, container_status, once, pod, shell

CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1"}}


@pytest.fixture(autouse=True)
def _no_settings(podrun: Podrun) -> None:
    podrun.kubectl("delete", "cm", "settings", "other", "--ignore-not-found")


def apply(podrun: Podrun, *objects: dict, words: tuple[str, ...] = ()) -> str:
    """What kubectl apply prints of these manifests, as one YAML file of several documents."""
    return podrun.kubectl("apply", "-f", "-", *words, input=yaml.safe_dump_all(objects))


def refused(podrun: Podrun, obj: dict, *words: str) -> str:
    """What kubectl apply says when it must not work."""
    failed = podrun.run("kubectl", "apply", "-f", "-", *words, input=json.dumps(obj), check=False)
    assert failed.returncode == 1, failed.stdout
    return failed.stderr


class TestApply:
    def test_created_unchanged_configured(self, podrun: Podrun) -> None:
        assert apply(podrun, CONFIG) == "configmap/settings created\n"
        assert apply(podrun, CONFIG) == "configmap/settings unchanged\n"
        assert apply(podrun, {**CONFIG, "data": {"a": "2"}}) == "configmap/settings configured\n"
        assert podrun.get("cm", "settings")["data"] == {"a": "2"}

    def test_removes_what_left_the_manifest_and_keeps_what_others_added(self, podrun: Podrun) -> None:
        apply(podrun, {**CONFIG, "data": {"a": "1", "b": "2"}})
        podrun.kubectl("patch", "cm", "settings", "-p", '{"data":{"c":"3"}}')
        apply(podrun, CONFIG)
        assert podrun.get("cm", "settings")["data"] == {"a": "1", "c": "3"}

    def test_several_documents_and_lists(self, podrun: Podrun) -> None:
        other = {**CONFIG, "metadata": {"name": "other"}}
        assert apply(podrun, CONFIG, other) == "configmap/settings created\nconfigmap/other created\n"
        both = {"apiVersion": "v1", "kind": "List", "items": [CONFIG, other]}
        assert apply(podrun, both) == "configmap/settings unchanged\nconfigmap/other unchanged\n"

    def test_a_directory(self, podrun: Podrun, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text(yaml.safe_dump(CONFIG))
        (tmp_path / "b.json").write_text(json.dumps({**CONFIG, "metadata": {"name": "other"}}))
        assert podrun.kubectl("apply", "-f", tmp_path) == "configmap/settings created\nconfigmap/other created\n"

    def test_a_kustomization(self, podrun: Podrun, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text(yaml.safe_dump(CONFIG))
        (tmp_path / "kustomization.yaml").write_text("resources: [a.yaml]\nnameSuffix: -k\n")
        assert podrun.kubectl("apply", "-k", tmp_path) == "configmap/settings-k created\n"
        podrun.kubectl("delete", "-k", tmp_path)

    def test_an_unknown_field_is_refused(self, podrun: Podrun) -> None:
        obj = pod("odd", shell(comand=["x"]), restartpolicy="Never")
        assert refused(podrun, obj) == (
            'Error from server (BadRequest): error when creating "STDIN": Pod in version "v1" cannot be handled as a '
            'Pod: strict decoding error: unknown field "spec.containers[0].comand", unknown field '
            '"spec.restartpolicy"\n'
        )

    def test_an_unknown_field_is_warned_of(self, podrun: Podrun) -> None:
        done = podrun.run("kubectl", "apply", "--validate=warn", "-f", "-", input=json.dumps(pod("odd", nodename="x")))
        assert done.stderr == 'Warning: unknown field "spec.nodename"\n'

    def test_a_field_of_the_wrong_type(self, podrun: Podrun) -> None:
        assert "cannot unmarshal string into Go struct field PodSpec.spec.terminationGracePeriodSeconds" in refused(
            podrun, pod("odd", terminationGracePeriodSeconds="long")
        )

    def test_a_value_that_is_not_valid(self, podrun: Podrun) -> None:
        assert refused(podrun, pod("Not_A_Name", shell("a", image=""))).startswith(
            'The Pod "Not_A_Name" is invalid: \n* metadata.name: Invalid value: "Not_A_Name": a lowercase RFC 1123 '
        )

    def test_a_change_that_a_pod_does_not_allow(self, podrun: Podrun, pods: Pods) -> None:
        apply(podrun, pod("fixed"))
        said = refused(podrun, pod("fixed", shell("a", "sleep 5")))
        assert 'The Pod "fixed" is invalid: spec: Forbidden: pod updates may not change fields other than' in said

    def test_a_namespace_that_is_not_there(self, podrun: Podrun) -> None:
        obj = {**CONFIG, "metadata": {"name": "settings", "namespace": "nowhere"}}
        assert refused(podrun, obj) == (
            'Error from server (NotFound): error when creating "STDIN": namespaces "nowhere" not found\n'
        )

    def test_on_the_server_without_a_write(self, podrun: Podrun) -> None:
        assert apply(podrun, CONFIG, words=("--dry-run=server",)) == "configmap/settings created (server dry run)\n"
        assert podrun.kubectl("get", "cm", "settings", "--ignore-not-found") == ""

    def test_prune_by_label(self, podrun: Podrun) -> None:
        label = {"labels": {"set": "one"}}
        first = {**CONFIG, "metadata": {"name": "settings", **label}}
        second = {**CONFIG, "metadata": {"name": "other", **label}}
        apply(podrun, first, second)
        words = ("--prune", "-l", "set=one", "--prune-allowlist=core/v1/ConfigMap")
        assert apply(podrun, first, words=words) == "configmap/settings unchanged\nconfigmap/other pruned\n"

    def test_server_side_with_a_conflict(self, podrun: Podrun) -> None:
        server = ("--server-side", "--field-manager=one")
        assert apply(podrun, CONFIG, words=server) == "configmap/settings serverside-applied\n"
        changed = {**CONFIG, "data": {"a": "2"}}
        said = refused(podrun, changed, "--server-side", "--field-manager=two")
        assert 'conflict with "one": .data.a' in said
        apply(podrun, changed, words=("--server-side", "--field-manager=two", "--force-conflicts"))
        assert podrun.get("cm", "settings")["data"] == {"a": "2"}


class TestCreate:
    def test_twice(self, podrun: Podrun) -> None:
        text = json.dumps(CONFIG)
        assert podrun.kubectl("create", "-f", "-", input=text) == "configmap/settings created\n"
        failed = podrun.run("kubectl", "create", "-f", "-", input=text, check=False)
        assert failed.stderr == (
            'Error from server (AlreadyExists): error when creating "STDIN": configmaps "settings" already exists\n'
        )

    def test_a_generated_name(self, podrun: Podrun) -> None:
        obj = pod("x", metadata={"generateName": "batch-"})
        del obj["metadata"]["name"]
        said = podrun.kubectl("create", "-f", "-", "-o", "name", input=json.dumps(obj))
        assert said.startswith("pod/batch-")
        assert len(said.strip()) == len("pod/batch-") + 5

    def test_run_writes_the_manifest_without_a_server(self, podrun: Podrun) -> None:
        said = podrun.kubectl("run", "x", "--image=busybox:1.36", "--dry-run=client", "-o", "yaml")
        assert yaml.safe_load(said)["spec"]["containers"][0]["image"] == "busybox:1.36"


class TestChange:
    def test_patch_of_three_types(self, podrun: Podrun, pods: Pods) -> None:
        pods.create(pod("p", shell("a"), shell("b"), metadata={"labels": {"x": "1", "y": "2"}}))
        image = '{"spec":{"containers":[{"name":"b","image":"busybox:latest"}]}}'
        podrun.kubectl("patch", "pod", "p", "-p", image)
        podrun.kubectl("patch", "pod", "p", "--type=merge", "-p", '{"metadata":{"labels":{"x":null}}}')
        label = {"path": "/metadata/labels/y"}
        replace = [{"op": "test", **label, "value": "2"}, {"op": "replace", **label, "value": "3"}]
        podrun.kubectl("patch", "pod", "p", "--type=json", "-p", json.dumps(replace))
        now = pods.get("p")
        assert [one["image"] for one in now["spec"]["containers"]] == ["busybox:1.36", "busybox:latest"]
        assert now["metadata"]["labels"] == {"y": "3"}

    def test_a_patch_that_changes_nothing(self, podrun: Podrun) -> None:
        apply(podrun, CONFIG)
        said = podrun.kubectl("patch", "cm", "settings", "-p", json.dumps({"data": CONFIG["data"]}))
        assert said == "configmap/settings patched (no change)\n"

    def test_a_json_patch_whose_test_fails(self, podrun: Podrun, pods: Pods) -> None:
        pods.create(pod("p"))
        patch = '[{"op":"test","path":"/metadata/name","value":"q"}]'
        failed = podrun.run("kubectl", "patch", "pod", "p", "--type=json", "-p", patch, check=False)
        assert failed.stderr.startswith(
            "The request is invalid: the server rejected our request due to an error in our request"
        )

    def test_a_new_image_restarts_the_container(self, podrun: Podrun, pods: Pods) -> None:
        pods.run(pod("renewed", shell("a"), shell("b")))
        podrun.kubectl("set", "image", "pod/renewed", "a=busybox:latest")
        now = pods.until("renewed", lambda now: container_status(now, "a")["restartCount"] == 1)
        assert container_status(now, "b")["restartCount"] == 0
        assert "definition changed, will be restarted" in pods.event("renewed", "Killing")

    def test_label_and_annotate(self, podrun: Podrun, pods: Pods) -> None:
        pods.create(pod("p"))
        assert podrun.kubectl("label", "pod", "p", "a=1", "b=2") == "pod/p labeled\n"
        assert podrun.kubectl("label", "pod", "p", "a=1") == "pod/p not labeled\n"
        failed = podrun.run("kubectl", "label", "pod", "p", "a=2", check=False)
        assert "'a' already has a value (1), and --overwrite is false" in failed.stderr
        podrun.kubectl("label", "pods", "--all", "b-")
        podrun.kubectl("annotate", "pod", "p", "note=here")
        meta = pods.get("p")["metadata"]
        assert (meta["labels"], meta["annotations"]) == ({"a": "1"}, {"note": "here"})

    def test_edit(self, podrun: Podrun, tmp_path: Path) -> None:
        apply(podrun, CONFIG)
        editor = tmp_path / "editor"
        editor.write_text('#!/bin/sh\nsed -i \'s/a: "1"/a: "7"/\' "$1"\n')
        editor.chmod(0o755)
        said = podrun.run("env", f"KUBE_EDITOR={editor}", "kubectl", "edit", "cm", "settings").stdout
        assert said == "configmap/settings edited\n"
        assert podrun.get("cm", "settings")["data"] == {"a": "7"}

    def test_replace_and_its_conflict(self, podrun: Podrun) -> None:
        apply(podrun, CONFIG)
        before = podrun.get("cm", "settings")
        assert (
            podrun.kubectl("replace", "-f", "-", input=json.dumps({**CONFIG, "data": {}}))
            == "configmap/settings replaced\n"
        )
        failed = podrun.run("kubectl", "replace", "-f", "-", input=json.dumps(before), check=False)
        assert failed.stderr.startswith(
            'Error from server (Conflict): error when replacing "STDIN": Operation cannot be fulfilled on configmaps '
            '"settings": the object has been modified; please apply your changes to the latest version and try again'
        )

    def test_replace_by_force_makes_another_pod(self, podrun: Podrun, pods: Pods) -> None:
        before = pods.run(pod("p"))["metadata"]["uid"]
        said = podrun.kubectl("replace", "--force", "-f", "-", input=json.dumps(pod("p", shell("a", "sleep 9"))))
        assert said.splitlines()[-1] == "pod/p replaced"
        assert pods.get("p")["metadata"]["uid"] != before

    def test_diff(self, podrun: Podrun) -> None:
        apply(podrun, CONFIG)
        same = podrun.run("kubectl", "diff", "-f", "-", input=json.dumps(CONFIG), check=False)
        assert (same.returncode, same.stdout) == (0, "")
        differs = podrun.run(
            "kubectl", "diff", "-f", "-", input=json.dumps({**CONFIG, "data": {"a": "2"}}), check=False
        )
        assert differs.returncode == 1
        assert '-  a: "1"\n+  a: "2"\n' in differs.stdout


class TestDelete:
    def test_by_name_label_file_and_all(self, podrun: Podrun, pods: Pods) -> None:
        for name in ("a", "b", "c", "d"):
            pods.create(pod(name, metadata={"labels": {"pair": "yes" if name in "bc" else "no"}}))
        pods.ready("a", "b", "c", "d")
        assert podrun.kubectl("delete", "pod", "a") == 'pod "a" deleted from default namespace\n'
        said = podrun.kubectl("delete", "pods", "-l", "pair=yes")
        assert said.count("deleted") == 2
        assert podrun.kubectl("delete", "-f", "-", input=json.dumps(pod("d"))).startswith('pod "d" deleted')
        assert podrun.run("kubectl", "delete", "pods", "--all").stdout == "No resources found\n"

    def test_what_is_not_there(self, podrun: Podrun) -> None:
        failed = podrun.run("kubectl", "delete", "pod", "ghost", check=False)
        assert failed.stderr == 'Error from server (NotFound): pods "ghost" not found\n'
        assert podrun.kubectl("delete", "pod", "ghost", "--ignore-not-found") == ""

    def test_a_program_that_heeds_term_is_gone_at_once(self, podrun: Podrun, pods: Pods) -> None:
        pods.run(pod("kind", terminationGracePeriodSeconds=30))
        began = time.monotonic()
        podrun.kubectl("delete", "pod", "kind")
        assert time.monotonic() - began < 2

    def test_with_a_grace_of_its_own(self, podrun: Podrun, pods: Pods) -> None:
        pods.run(pod("deaf", shell("a", "trap '' TERM; while :; do sleep 1; done"), terminationGracePeriodSeconds=30))
        began = time.monotonic()
        podrun.kubectl("delete", "pod", "deaf", "--grace-period=2")
        assert 1.9 < time.monotonic() - began < 4

    @pytest.mark.parametrize("words", [("--now",), ("--force",), ("--force", "--grace-period=0")])
    def test_at_once(self, podrun: Podrun, pods: Pods, words: tuple[str, ...]) -> None:
        pods.run(pod("deaf", shell("a", "trap '' TERM; while :; do sleep 1; done"), terminationGracePeriodSeconds=30))
        pid = pods.pid("deaf")
        began = time.monotonic()
        podrun.kubectl("delete", "pod", "deaf", *words)
        assert time.monotonic() - began < 3
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 3, "its process goes on")

    def test_a_shorter_grace_later_cuts_the_wait(self, podrun: Podrun, pods: Pods) -> None:
        pods.run(pod("deaf", shell("a", "trap '' TERM; while :; do sleep 1; done"), terminationGracePeriodSeconds=30))
        podrun.kubectl("delete", "pod", "deaf", "--wait=false")
        assert pods.get("deaf")["metadata"]["deletionGracePeriodSeconds"] == 30
        began = time.monotonic()
        podrun.kubectl("delete", "pod", "deaf", "--grace-period=1")
        assert time.monotonic() - began < 3

    @pytest.mark.slow
    def test_takes_the_whole_grace_of_a_shell_that_ignores_term(self, podrun: Podrun, pods: Pods) -> None:
        pods.run(pod("deaf", shell("a", "while :; do sleep 1; done"), terminationGracePeriodSeconds=30))
        began = time.monotonic()
        podrun.kubectl("delete", "pod", "deaf")
        assert 29.9 < time.monotonic() - began < 32

    def test_a_finalizer_holds_it(self, podrun: Podrun, pods: Pods) -> None:
        pods.run(pod("held", metadata={"finalizers": ["example.com/wait"]}))
        podrun.kubectl("delete", "pod", "held", "--wait=false")
        now = pods.finished("held")
        assert now["metadata"]["deletionTimestamp"]
        podrun.kubectl("patch", "pod", "held", "-p", '{"metadata":{"finalizers":null}}')
        pods.gone("held", 5)

    def test_a_namespace_takes_its_pods_along(self, podrun: Podrun) -> None:
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "short"}}
        obj = pod("p", metadata={"namespace": "short"})
        apply(podrun, space, obj)
        podrun.kubectl("wait", "-n", "short", "--for=condition=Ready", "pod/p", "--timeout=10s")
        podrun.kubectl("delete", "ns", "short", "--timeout=20s")
        assert podrun.kubectl("get", "pods", "-A", "-o", "name") == ""

    def test_the_namespaces_of_the_system_stay(self, podrun: Podrun) -> None:
        failed = podrun.run("kubectl", "delete", "ns", "default", check=False)
        assert 'namespaces "default" is forbidden: this namespace may not be deleted' in failed.stderr


class TestWait:
    def test_for_a_condition_a_path_and_the_end(self, podrun: Podrun, pods: Pods) -> None:
        pods.create(pod("p", shell("a", "sleep 0.3; exit 0"), restartPolicy="Never"))
        assert podrun.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=10s") == "pod/p condition met\n"
        podrun.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/p", "--timeout=10s")
        podrun.kubectl("delete", "pod", "p", "--wait=false")
        podrun.kubectl("wait", "--for=delete", "pod/p", "--timeout=10s")

    def test_in_vain(self, podrun: Podrun, pods: Pods) -> None:
        pods.create(once("p", "sleep 0.1"))
        pods.finished("p")
        failed = podrun.run("kubectl", "wait", "--for=condition=Ready", "pod/p", "--timeout=1s", check=False)
        assert (failed.returncode, failed.stderr) == (1, "error: timed out waiting for the condition on pods/p\n")

    def test_for_one_that_comes_later(self, podrun: Podrun, pods: Pods) -> None:
        import threading

        later = threading.Timer(0.3, lambda: pods.create(pod("late")))
        later.start()
        podrun.kubectl("wait", "--for=create", "pod/late", "--timeout=10s")
        later.join()
        with pytest.raises(HarnessError):
            podrun.kubectl("wait", "--for=condition=Ready", "pod/never", "--timeout=1s")
