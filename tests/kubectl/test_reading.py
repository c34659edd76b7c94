"""What kubectl shows: get in all its forms, describe, explain, events, discovery, and who one is."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from tests.harness import Podrun
from tests.pods.living import Pods, once, pod, running, shell


@pytest.fixture(scope="module")
def shelf(module_podrun: Podrun) -> Podrun:
    """A daemon with three pods in two namespaces, for everything that only reads."""
    pods = Pods(module_podrun)
    module_podrun.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "annex"}})
    labels = {"labels": {"app": "web", "tier": "front"}}
    pods.create(pod("web", shell("app", ports=[{"name": "http", "containerPort": 80}]), shell("side"), metadata=labels))
    pods.create(once("done", "echo bye", metadata={"labels": {"app": "batch"}}))
    Pods(module_podrun, "annex").create(pod("web"))
    pods.ready("web")
    pods.finished("done")
    Pods(module_podrun, "annex").ready("web")
    return module_podrun


def columns(line: str) -> list[str]:
    return re.split(r" {2,}", line.strip())


class TestGet:
    def test_a_table(self, shelf: Podrun) -> None:
        head, done, web = shelf.kubectl("get", "pods").splitlines()
        assert columns(head) == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
        assert columns(done)[:4] == ["done", "0/1", "Completed", "0"]
        assert columns(web)[:4] == ["web", "2/2", "Running", "0"]
        assert re.fullmatch(r"\d+s", columns(web)[4])

    def test_wide(self, shelf: Podrun) -> None:
        head, row = shelf.kubectl("get", "pod", "web", "-o", "wide").splitlines()
        assert columns(head)[5:] == ["IP", "NODE", "NOMINATED NODE", "READINESS GATES"]
        assert re.fullmatch(r"10\.244\.\d+\.\d+", columns(row)[5])
        assert columns(row)[7:] == ["<none>", "<none>"]

    def test_all_namespaces(self, shelf: Podrun) -> None:
        rows = [columns(line)[:2] for line in shelf.kubectl("get", "pods", "-A", "--no-headers").splitlines()]
        assert rows == [["annex", "web"], ["default", "done"], ["default", "web"]]

    @pytest.mark.parametrize("form", ["json", "yaml"])
    def test_the_whole_object(self, shelf: Podrun, form: str) -> None:
        obj = yaml.safe_load(shelf.kubectl("get", "pod", "web", "-o", form))
        assert obj["kind"] == "Pod"
        assert obj["apiVersion"] == "v1"
        assert obj["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"
        assert "managedFields" not in obj["metadata"]

    def test_a_list_of_objects(self, shelf: Podrun) -> None:
        found = json.loads(shelf.kubectl("get", "pods", "-o", "json"))
        assert found["kind"] == "List"
        assert [item["metadata"]["name"] for item in found["items"]] == ["done", "web"]

    def test_managed_fields_when_asked(self, shelf: Podrun) -> None:
        obj = json.loads(shelf.kubectl("get", "ns", "annex", "-o", "json", "--show-managed-fields"))
        assert "kubectl-client-side-apply" in [one["manager"] for one in obj["metadata"]["managedFields"]]

    def test_names(self, shelf: Podrun) -> None:
        assert shelf.kubectl("get", "pods", "-o", "name") == "pod/done\npod/web\n"

    def test_jsonpath(self, shelf: Podrun) -> None:
        path = "{range .items[*]}{.metadata.name}={.status.phase} {end}"
        assert shelf.kubectl("get", "pods", "-o", f"jsonpath={path}") == "done=Succeeded web=Running "

    def test_go_template(self, shelf: Podrun) -> None:
        template = "{{range .spec.containers}}{{.name}} {{end}}"
        assert shelf.kubectl("get", "pod", "web", "-o", f"go-template={template}") == "app side "

    def test_custom_columns(self, shelf: Podrun) -> None:
        said = shelf.kubectl("get", "pods", "-o", "custom-columns=N:.metadata.name,PHASE:.status.phase")
        assert [columns(line) for line in said.splitlines()] == [
            ["N", "PHASE"],
            ["done", "Succeeded"],
            ["web", "Running"],
        ]

    def test_sorted(self, shelf: Podrun) -> None:
        said = shelf.kubectl("get", "pods", "--sort-by=.spec.containers[0].name", "-o", "name")
        assert said == "pod/done\npod/web\n"

    @pytest.mark.parametrize(
        ("selector", "names"),
        [
            ("app=web", ["web"]),
            ("app in (web,batch)", ["done", "web"]),
            ("app!=web", ["done"]),
            ("tier", ["web"]),
            ("!tier", ["done"]),
            ("app=web,tier=back", []),
        ],
    )
    def test_labels_select(self, shelf: Podrun, selector: str, names: list[str]) -> None:
        said = shelf.kubectl("get", "pods", "-l", selector, "-o", "name")
        assert said.split() == [f"pod/{name}" for name in names]

    @pytest.mark.parametrize(
        ("selector", "names"),
        [
            ("metadata.name=web", ["web"]),
            ("status.phase!=Running", ["done"]),
            ("spec.restartPolicy=Never", ["done"]),
            ("status.phase=Running,spec.restartPolicy=Always", ["web"]),
        ],
    )
    def test_fields_select(self, shelf: Podrun, selector: str, names: list[str]) -> None:
        said = shelf.kubectl("get", "pods", "--field-selector", selector, "-o", "name")
        assert said.split() == [f"pod/{name}" for name in names]

    def test_a_field_that_does_not_select(self, shelf: Podrun) -> None:
        failed = shelf.run("kubectl", "get", "pods", "--field-selector", "spec.hostname=a", check=False)
        assert failed.stderr == (
            'Error from server (BadRequest): Unable to find "/v1, Resource=pods" that match label selector "", field '
            'selector "spec.hostname=a": field label not supported: spec.hostname\n'
        )

    def test_label_columns(self, shelf: Podrun) -> None:
        head, _, web = shelf.kubectl("get", "pods", "-L", "app,tier").splitlines()
        assert columns(head)[5:] == ["APP", "TIER"]
        assert columns(web)[5:] == ["web", "front"]
        assert "app=web,tier=front" in shelf.kubectl("get", "pods", "--show-labels")

    def test_of_nothing(self, shelf: Podrun) -> None:
        done = shelf.run("kubectl", "get", "pods", "-n", "kube-public")
        assert done.stderr == "No resources found in kube-public namespace.\n"

    def test_of_what_is_not_there(self, shelf: Podrun) -> None:
        failed = shelf.run("kubectl", "get", "pod", "ghost", check=False)
        assert (failed.returncode, failed.stderr) == (1, 'Error from server (NotFound): pods "ghost" not found\n')
        assert shelf.kubectl("get", "pod", "ghost", "--ignore-not-found") == ""

    def test_of_a_kind_that_is_not_served(self, shelf: Podrun) -> None:
        failed = shelf.run("kubectl", "get", "gizmos", check=False)
        assert failed.stderr == 'error: the server doesn\'t have a resource type "gizmos"\n'

    def test_in_chunks(self, shelf: Podrun) -> None:
        assert shelf.kubectl("get", "pods", "-A", "--chunk-size=1", "-o", "name").count("pod/") == 3

    def test_several_kinds_at_once(self, shelf: Podrun) -> None:
        said = shelf.kubectl("get", "pods,cm,sa", "-o", "name").split()
        assert "pod/web" in said
        assert "configmap/kube-root-ca.crt" in said
        assert "serviceaccount/default" in said

    def test_all(self, shelf: Podrun) -> None:
        assert "pod/web" in shelf.kubectl("get", "all")

    def test_nodes(self, shelf: Podrun) -> None:
        head, row = shelf.kubectl("get", "nodes", "-o", "wide").splitlines()
        assert columns(head)[:5] == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
        assert columns(row)[1] == "Ready"
        assert columns(row)[4].startswith("v1.36")

    @pytest.mark.parametrize("kind", ["ns", "events", "cm", "sa", "leases", "nodes", "priorityclasses"])
    def test_other_kinds_print(self, shelf: Podrun, kind: str) -> None:
        assert shelf.kubectl("get", kind, "-A")

    def test_the_raw_api(self, shelf: Podrun) -> None:
        assert json.loads(shelf.kubectl("get", "--raw", "/api/v1/namespaces/annex"))["metadata"]["name"] == "annex"
        assert shelf.kubectl("get", "--raw", "/readyz") == "ok"
        assert "[+]" in shelf.kubectl("get", "--raw", "/readyz?verbose")


class TestWatch:
    def test_shows_the_life_of_a_pod(self, podrun: Podrun, pods: Pods) -> None:
        seen = {"labels": {"app": "seen"}}
        pods.run(pod("first", metadata=seen))
        with running(podrun, "kubectl", "get", "pods", "-w", "-l", "app=seen", "--no-headers") as kubectl:
            assert kubectl.stdout is not None
            assert kubectl.stdout.readline().startswith("first")
            pods.run(pod("unseen"))
            pods.run(pod("second", metadata=seen))
            pods.delete("second")
            pods.delete("first")
            lines = [columns(kubectl.stdout.readline())]
            while lines[-1][0] != "first":
                lines.append(columns(kubectl.stdout.readline()))
        assert {line[0] for line in lines} == {"first", "second"}
        states = [line[2] for line in lines if line[0] == "second"]
        assert states[0] == "Pending"
        assert states[-1] in ("Completed", "Terminating")
        assert "Running" in states

    def test_of_one_object_prints_each_change(self, podrun: Podrun, pods: Pods) -> None:
        pods.run(pod("one"))
        with running(podrun, "kubectl", "get", "pod", "one", "-w", "-o", "jsonpath={.metadata.labels.n} ") as kubectl:
            assert kubectl.stdout is not None
            assert kubectl.stdout.read(1) == " "
            podrun.kubectl("label", "pod", "one", "n=1")
            podrun.kubectl("label", "pod", "one", "n=2", "--overwrite")
            assert kubectl.stdout.read(4) == "1 2 "


class TestDescribe:
    def test_a_pod(self, podrun: Podrun, pods: Pods) -> None:
        pods.run(
            pod("web", shell("app", resources={"limits": {"memory": "64Mi"}}), metadata={"labels": {"app": "web"}})
        )
        said = podrun.kubectl("describe", "pod", "web")
        for line in (
            r"Name: +web",
            r"Labels: +app=web",
            r"Status: +Running",
            r"IP: +10\.244\.",
            r"  app:",
            r"    Container ID: +\w+://[0-9a-f]{64}",
            r"    State: +Running",
            r"    Ready: +True",
            r"      memory: +64Mi",
            r"  Ready +True",
            r"QoS Class: +Burstable",
            r"  Normal +Scheduled +\S+ +default-scheduler +Successfully assigned default/web to ",
            r"  Normal +Pulled +\S+ +kubelet +spec\.containers\{app\}: Container image .busybox:1\.36. already present",
            r"  Normal +Created +\S+ +kubelet +spec\.containers\{app\}: Container created",
            r"  Normal +Started +\S+ +kubelet +spec\.containers\{app\}: Container started",
        ):
            assert re.search(f"^{line}", said, re.MULTILINE), f"{line}\n{said}"

    def test_the_node(self, podrun: Podrun, pods: Pods) -> None:
        pods.run(pod("web", shell(resources={"requests": {"cpu": "100m", "memory": "32Mi"}})))
        node = podrun.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
        said = podrun.kubectl("describe", "node", node)
        for line in (
            r"  Ready +True .* KubeletReady ",
            r"  InternalIP: +198\.51\.100\.10",
            r"Allocatable:",
            r"  Kubelet Version: +v1\.36",
            r"Non-terminated Pods: +\(1 in total\)",
            r"  default +web +100m \(\d+%\)",
            r"  cpu +100m \(\d+%\)",
            r"  Normal +Starting ",
        ):
            assert re.search(f"^{line}", said, re.MULTILINE), f"{line}\n{said}"

    @pytest.mark.parametrize("what", ["ns/default", "sa/default", "cm/kube-root-ca.crt"])
    def test_other_kinds(self, podrun: Podrun, what: str) -> None:
        assert "Name:" in podrun.kubectl("describe", what)


class TestEvents:
    def test_of_one_pod(self, podrun: Podrun, pods: Pods) -> None:
        pods.run(pod("told"))
        said = podrun.kubectl("events", "--for", "pod/told")
        assert columns(said.splitlines()[0]) == ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
        assert {columns(line)[2] for line in said.splitlines()[1:]} == {"Scheduled", "Pulled", "Created", "Started"}

    def test_selected_by_field(self, podrun: Podrun, pods: Pods) -> None:
        pods.run(pod("picked"))
        selector = "involvedObject.name=picked,reason=Started"
        said = podrun.kubectl("get", "events", "--field-selector", selector, "-o", "name")
        assert len(said.split()) == 1


class TestExplain:
    def test_a_field(self, shelf: Podrun) -> None:
        said = shelf.kubectl("explain", "pod.spec.containers.livenessProbe.periodSeconds")
        assert "FIELD: periodSeconds <integer>" in said
        assert "How often (in seconds) to perform the probe" in said

    def test_recursive(self, shelf: Podrun) -> None:
        said = shelf.kubectl("explain", "pod.spec", "--recursive")
        assert "terminationGracePeriodSeconds\t<integer>" in said
        assert "ephemeralContainers\t<[]EphemeralContainer>" in said

    def test_what_is_not_there(self, shelf: Podrun) -> None:
        failed = shelf.run("kubectl", "explain", "pod.spec.nonsense", check=False)
        assert failed.stderr == 'error: field "nonsense" does not exist\n'

    @pytest.mark.parametrize("kind", ["ns", "cm", "secret", "event", "node", "lease"])
    def test_other_kinds(self, shelf: Podrun, kind: str) -> None:
        assert "KIND:" in shelf.kubectl("explain", kind)


class TestServer:
    def test_version(self, shelf: Podrun) -> None:
        said = json.loads(shelf.kubectl("version", "-o", "json"))
        assert said["serverVersion"]["minor"] == "36"
        assert "+podrun" in said["serverVersion"]["gitVersion"]

    def test_api_resources(self, shelf: Podrun) -> None:
        rows = [columns(line) for line in shelf.kubectl("api-resources").splitlines()]
        assert ["pods", "po", "v1", "true", "Pod"] in rows
        assert ["pods", "metrics.k8s.io/v1beta1", "true", "PodMetrics"] in rows
        assert ["namespaces", "ns", "v1", "false", "Namespace"] in rows
        verbs = shelf.kubectl("api-resources", "--verbs=list,watch", "-o", "name").split()
        assert {"pods", "configmaps", "secrets", "nodes", "leases.coordination.k8s.io"} <= set(verbs)

    def test_api_versions(self, shelf: Podrun) -> None:
        assert {"v1", "events.k8s.io/v1", "coordination.k8s.io/v1"} <= set(shelf.kubectl("api-versions").split())

    def test_cluster_info(self, shelf: Podrun) -> None:
        assert "is running at" in shelf.kubectl("cluster-info")

    def test_who_one_is_and_what_one_may(self, shelf: Podrun) -> None:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        raw = ("create", "--raw", "/apis/authentication.k8s.io/v1/selfsubjectreviews", "-f", "-")
        who = json.loads(shelf.kubectl(*raw, input=json.dumps(review)))["status"]["userInfo"]
        assert "system:masters" in who["groups"]

    def test_another_may_not(self, shelf: Podrun) -> None:
        failed = shelf.run("kubectl", "get", "pods", "--as=jane", check=False)
        assert failed.stderr == (
            'Error from server (Forbidden): pods is forbidden: User "jane" cannot list resource "pods" in API group "" '
            'in the namespace "default"\n'
        )

    def test_tokens_that_are_wrong_are_refused(self, shelf: Podrun) -> None:
        words = (
            "--kubeconfig=/dev/null",
            "--server=https://127.0.0.1:6443",
            "--insecure-skip-tls-verify",
            "--token=no",
        )
        failed = shelf.run("kubectl", *words, "get", "pods", check=False)
        assert "You must be logged in to the server" in failed.stderr


def test_the_client_is_of_the_version_that_is_meant(module_podrun: Podrun) -> None:
    client = json.loads(module_podrun.kubectl("version", "--client", "-o", "json"))["clientVersion"]
    assert client["minor"] == ("37" if len(module_podrun.programs) == 1 else "36")
