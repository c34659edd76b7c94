"""The real kubectl against the API alone (no pods run): what people type every day."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.apiserver.serving import Serving

KUBECTL = Path(sys.executable).with_name("kubectl")
Kubectl = Callable[..., Awaitable[tuple[int, str, str]]]
Start = Callable[..., Awaitable[Process]]

POD = """
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: a}}
spec:
  schedulerName: none
  containers: [{name: a, image: "busybox:1.36"}]
"""
LIST = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: b}}
- {apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: Yg==}}
"""


@pytest.fixture
def started(served: Serving, tmp_path: Path) -> Start:
    """Starts kubectl with words, as the administrator, its streams in pipes."""
    config = tmp_path / "kubeconfig"
    config.write_text(served.kubeconfig())
    config.chmod(0o600)
    pipe = asyncio.subprocess.PIPE

    async def start(*words: str, editor: str = "true") -> Process:
        env = {"KUBECONFIG": str(config), "HOME": str(tmp_path), "KUBE_EDITOR": editor, "PATH": "/usr/bin:/bin"}
        return await asyncio.create_subprocess_exec(KUBECTL, *words, env=env, stdin=pipe, stdout=pipe, stderr=pipe)

    return start


@pytest.fixture
def kubectl(started: Start) -> Kubectl:
    """Runs kubectl with words and standard input to its end; gives its exit code, output and errors."""

    async def run(*words: str, given: str = "", editor: str = "true") -> tuple[int, str, str]:
        process = await started(*words, editor=editor)
        async with asyncio.timeout(30):
            out, errors = await process.communicate(given.encode())
        assert process.returncode is not None
        return process.returncode, out.decode(), errors.decode()

    return run


async def test_apply_creates_changes_and_leaves(kubectl: Kubectl) -> None:
    assert await kubectl("apply", "-f", "-", given=POD) == (0, "pod/p created\n", "")
    assert await kubectl("apply", "-f", "-", given=POD) == (0, "pod/p unchanged\n", "")
    changed = POD.replace("app: a", "app: b")
    assert (await kubectl("diff", "-f", "-", given=changed))[0] == 1
    assert await kubectl("apply", "-f", "-", given=changed) == (0, "pod/p configured\n", "")
    assert await kubectl("get", "pod", "p", "-o", "jsonpath={.metadata.labels.app}") == (0, "b", "")
    assert (await kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=POD))[0] == 0
    assert await kubectl("delete", "-f", "-", given=POD) == (0, 'pod "p" deleted from default namespace\n', "")


async def test_a_list_is_applied(kubectl: Kubectl) -> None:
    made = "configmap/c created\nsecret/s created\n"
    assert await kubectl("apply", "-f", "-", given=LIST) == (0, made, "")
    assert await kubectl("apply", "-f", "-", given=LIST) == (0, made.replace("created", "unchanged"), "")


async def test_a_kind_that_is_not_served_is_named(kubectl: Kubectl) -> None:
    body = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}"
    code, _, errors = await kubectl("apply", "-f", "-", given=body)
    assert (code, 'no matches for kind "Deployment" in version "apps/v1"' in errors) == (1, True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("image:", "imagine:"), 'unknown field "spec.containers[0].imagine"'),
        (("name: p,", "name: P_,"), 'metadata.name: Invalid value: "P_"'),
        (("[{name: a", "[{name: a, ports: [{containerPort: 0}]"), "spec.containers[0].ports[0].containerPort"),
    ],
    ids=["an unknown field", "a bad name", "a bad port"],
)
async def test_a_wrong_manifest_is_refused_by_its_field(kubectl: Kubectl, change: tuple[str, str], words: str) -> None:
    code, _, errors = await kubectl("apply", "-f", "-", given=POD.replace(*change))
    assert (code, words in errors) == (1, True), errors


async def test_reading_in_every_form(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", given=POD)
    code, out, _ = await kubectl("get", "pods", "-o", "wide")
    assert (code, out.split()[:5]) == (0, ["NAME", "READY", "STATUS", "RESTARTS", "AGE"])
    assert json.loads((await kubectl("get", "pod", "p", "-o", "json"))[1])["metadata"]["name"] == "p"
    assert "kind: Pod" in (await kubectl("get", "pod", "p", "-o", "yaml"))[1]
    assert await kubectl("get", "pods", "-A", "-l", "app=a", "-o", "name") == (0, "pod/p\n", "")
    assert await kubectl("get", "pods", "--field-selector", "status.phase=Running") == (
        0,
        "",
        "No resources found in default namespace.\n",
    )
    code, out, _ = await kubectl("describe", "pod", "p")
    assert (code, "Image:" in out) == (0, True)
    code, out, _ = await kubectl("explain", "pod.spec.containers.ports.containerPort")
    assert (code, "<integer>" in out) == (0, True)
    code, out, _ = await kubectl("api-resources", "--no-headers", "-o", "name")
    assert (code, {"pods", "leases.coordination.k8s.io"} <= set(out.split())) == (0, True)


async def test_changing_in_every_way(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", given=POD)
    assert (await kubectl("label", "pod", "p", "x=1"))[0] == 0
    assert (await kubectl("annotate", "pod", "p", "y=2"))[0] == 0
    assert (await kubectl("patch", "pod", "p", "-p", '{"metadata":{"labels":{"z":"3"}}}'))[0] == 0
    assert (await kubectl("patch", "pod", "p", "--type=json", "-p", '[{"op":"remove","path":"/metadata/labels/z"}]'))[
        0
    ] == 0
    code, _, errors = await kubectl("edit", "pod", "p", editor="sed -i s/app:.a/app:\\ edited/")
    assert code == 0, errors
    labels = json.loads((await kubectl("get", "pod", "p", "-o", "jsonpath={.metadata.labels}"))[1])
    assert labels == {"app": "edited", "x": "1"}


async def test_a_table_follows_what_happens(kubectl: Kubectl, started: Start) -> None:
    await kubectl("apply", "-f", "-", given=POD)
    watching = await started("get", "pods", "--watch", "--no-headers")
    assert watching.stdout is not None
    # The watch goes on from the list whose row this is: nothing in between is missed.
    assert (await watching.stdout.readline()).split()[:3] == [b"p", b"0/1", b"Pending"]
    await kubectl("delete", "pod", "p", "--wait=false")
    assert (await watching.stdout.readline()).split()[:1] == [b"p"]
    watching.terminate()
    await watching.wait()


async def test_a_namespace_is_made_and_emptied(kubectl: Kubectl, served: Serving) -> None:
    body = "{apiVersion: v1, kind: Namespace, metadata: {name: north}}"
    assert await kubectl("apply", "-f", "-", given=body) == (0, "namespace/north created\n", "")
    assert (await kubectl("apply", "-n", "north", "-f", "-", given=POD))[0] == 0
    assert await kubectl("delete", "namespace", "north") == (0, 'namespace "north" deleted\n', "")
    assert served.store.list("pods", "north") == []


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("namespace north", "namespace/north created"),
        ("configmap c --from-literal=a=b", "configmap/c created"),
        ("secret generic s --from-literal=a=b", "secret/s created"),
        ("serviceaccount bot", "serviceaccount/bot created"),
        ("role r --verb=get --resource=pods", "role.rbac.authorization.k8s.io/r created"),
        ("rolebinding b --role=r --serviceaccount=default:bot", "rolebinding.rbac.authorization.k8s.io/b created"),
        ("clusterrole c --verb=get --resource=nodes", "clusterrole.rbac.authorization.k8s.io/c created"),
        ("clusterrolebinding b --clusterrole=c --user=u", "clusterrolebinding.rbac.authorization.k8s.io/b created"),
        ("priorityclass high --value=1000", "priorityclass.scheduling.k8s.io/high created"),
        ("token default --duration=1h", "ey"),
    ],
)  # fmt: skip
async def test_create_of_every_kind_there_is(kubectl: Kubectl, words: str, answer: str) -> None:
    """kubectl creates with typed clients, which speak protobuf."""
    code, out, errors = await kubectl("create", *words.split())
    assert (code, out.startswith(answer)) == (0, True), errors


async def test_asking_what_one_may(kubectl: Kubectl) -> None:
    assert await kubectl("auth", "can-i", "delete", "pods") == (0, "yes\n", "")
    assert (await kubectl("auth", "can-i", "delete", "pods", "--as", "alice"))[1] == "no\n"
    assert "kubernetes-admin" in (await kubectl("auth", "whoami"))[1]
