"""No request of kubectl's fails: its subcommands with -v=8, whose log names each answer of the server.

The installed kubectl says everything; an older and an oldest one a shorter list. What is refused on purpose is listed
with what kubectl says of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.go_programs import go_program
from tests.harness import BIN, Podrun
from tests.kubectl.conftest import older_kubectl
from tests.pods.living import Pods, pod

FAILED = re.compile(r'"Response".*status="([45]\d\d)')
MANIFEST = pod("z", metadata={"labels": {"app": "z"}})

SHORT = (
    "version",
    "api-resources",
    "api-versions",
    "cluster-info",
    "get all,nodes,events -A -o wide",
    "get pod web -o yaml",
    "describe pod web",
    "explain pod.spec.containers --recursive",
    "apply -f {file}",
    "apply --server-side --force-conflicts -f {file}",
    "diff -f {file}",
    "label pod web colour=blue",
    "annotate pod web note=1",
    'patch pod web -p {{"metadata":{{"labels":{{"a":"1"}}}}}}',
    "exec web -- true",
    "logs web",
    "cp {file} web:/tmp/copied",
    "wait --for=condition=Ready pod/web",
    "events --for pod/web",
    "top pod",
    "top node",
    "auth whoami",
    "auth can-i create pods",
    "auth can-i --list",
    "create configmap settings --from-literal=a=1",
    "delete configmap settings",
    "create token default",
    "replace --force -f {file}",
)
LONG = (
    *SHORT,
    "describe node",
    "get --raw /version",
    "get pods -w --request-timeout=1s --output-watch-events",
    "apply -f {file} --prune -l app=z --prune-allowlist=core/v1/Pod",
    "set image pod/web a=busybox:1.36",
    "run one --image=busybox:1.36 --restart=Never --command -- true",
    "expose pod web --port=80 --name=web --selector=app=web",
    "describe service web",
    "create secret generic word --from-literal=a=1",
    "create serviceaccount robot",
    "create role reader --verb=get --resource=pods",
    "create rolebinding reader --role=reader --serviceaccount=default:robot",
    "auth can-i get pods --as=system:serviceaccount:default:robot",
    "create clusterrole reader --verb=get --resource=pods",
    "create clusterrolebinding reader --clusterrole=reader --user=u",
    "create clusterrole whole --aggregation-rule=part=a",
    "create namespace elsewhere",
    "create priorityclass high --value=5",
    "create service clusterip s2 --tcp=80:80",
    "create service nodeport s3 --tcp=80:80",
    "create service externalname s4 --external-name=a.example",
    "taint node --all a=b:NoSchedule",
    "taint node --all a-",
    "debug web --image=busybox:1.36 --attach=false -- true",
    "debug web --image=busybox:1.36 --copy-to=copy --attach=false -- true",
    "cluster-info dump -A",
    "cordon {node}",
    "drain {node} --ignore-daemonsets --force --grace-period=0 --delete-emptydir-data",
    "uncordon {node}",
    "delete namespace elsewhere",
    "delete configmap,secret,role,rolebinding --all",
    "delete service web s2 s3 s4",
    "delete clusterrole,clusterrolebinding reader",
)

MAY_FAIL = {
    # The kinds that describe looks for on a node besides pods; kubectl goes on without them.
    "describe node": {"404"},
    # kubectl deletes and asks until the object is not there any more.
    "delete": {"404"},
    "replace --force": {"404"},
    "drain": {"404"},
    # Client-side apply looks whether the object is there already.
    "apply -f {file}": {"404"},
}
REFUSED = (
    ("create deployment d --image=x", "the server could not find the requested resource (post deployments.apps)"),
    ("create job j --image=x", "the server could not find the requested resource (post jobs.batch)"),
    ("scale --replicas=2 deployment/d", 'the server doesn\'t have a resource type "deployment"'),
    ("rollout status deployment/d", 'the server doesn\'t have a resource type "deployment"'),
    ("certificate approve x", 'the server doesn\'t have a resource type "certificatesigningrequests"'),
)
"""Kinds that podrun does not serve, and kubectl's own words for that."""
CHANGES_SEEN = {"diff": 1}
"""Exit codes that are no failures."""


@pytest.fixture
def stage(podrun: Podrun, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A pod that runs, a manifest, and the node's name."""
    pods = Pods(podrun)
    pods.create(pod("web", metadata={"labels": {"app": "web"}}))
    pods.ready("web")
    (tmp_path / "z.json").write_text(json.dumps(MANIFEST))
    (node,) = podrun.get("nodes")["items"]
    yield {"file": str(tmp_path / "z.json"), "node": node["metadata"]["name"]}
    podrun.programs = (BIN,)


def _complaint(podrun: Podrun, command: str, names: dict[str, str]) -> str:
    """What went wrong in a command; "" where nothing did."""
    words = [word.format(**names) for word in command.split(" ")]
    done = podrun.run("kubectl", "-v=8", *words, check=False)
    allowed = next((codes for start, codes in MAY_FAIL.items() if command.startswith(start)), set())
    failed = [code for code in FAILED.findall(done.stderr) if code not in allowed]
    if not failed and done.returncode in (0, CHANGES_SEEN.get(words[0], 0)):
        return ""
    said = [line for line in done.stderr.splitlines() if not re.match(r"[IE]\d{4} ", line)]
    return f"{command}: exit code {done.returncode}, answers {failed}\n" + "\n".join(said[-5:])


def _play(podrun: Podrun, commands: tuple[str, ...], names: dict[str, str]) -> None:
    complaints = [_complaint(podrun, command, names) for command in commands]
    assert "\n".join(one for one in complaints if one) == ""


def test_every_subcommand(podrun: Podrun, stage: dict[str, str]) -> None:
    _play(podrun, LONG, stage)


def test_the_version_before(podrun: Podrun, stage: dict[str, str]) -> None:
    podrun.programs = (older_kubectl(), BIN)
    _play(podrun, SHORT, stage)


def test_kubectl_1_35(podrun: Podrun, stage: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "kubectl").symlink_to(go_program("kubectl135"))
    podrun.programs = (tmp_path, BIN)
    # Built of a module it has no version of its own, and `version` insists on comparing it.
    _play(podrun, SHORT[1:], stage)


@pytest.mark.parametrize(("command", "words"), REFUSED)
def test_what_is_not_served_is_refused_in_kubectls_words(podrun: Podrun, command: str, words: str) -> None:
    done = podrun.run("kubectl", *command.split(" "), check=False)
    assert (done.returncode, words in done.stderr) == (1, True), done.stderr
