"""Helm 3 and Helm 4 install, change and remove a chart: a pod with a native sidecar, and all that belongs to it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.go_programs import go_program
from tests.harness import Podrun
from tests.pods.living import Pods, container_status

CHART = Path(__file__).with_name("chart")
BELONGING = "pods,configmaps,secrets,services,serviceaccounts,roles,rolebindings"


class Helm:
    """One Helm, beside a podrun."""

    def __init__(self, podrun: Podrun, version: int) -> None:
        self.podrun = podrun
        self.version = version
        self.program = go_program(f"helm{version}")

    def __call__(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.podrun.run(self.program, *words, check=check)

    def json(self, *words: str | Path) -> Any:
        return json.loads(self(*words, "--output=json").stdout)


@pytest.fixture(params=[3, 4], ids=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest, podrun: Podrun) -> Iterator[Helm]:
    helm = Helm(podrun, request.param)
    yield helm
    for release in helm.json("list", "--all") if helm.version == 3 else helm.json("list"):
        helm("uninstall", release["name"], "--wait")


def test_a_release_from_its_installation_to_its_end(helm: Helm, podrun: Podrun) -> None:
    pods = Pods(podrun)

    said = helm("install", "shop", CHART, "--wait", "--timeout=40s").stdout
    assert "shop says good morning." in said
    assert podrun.get("pod", "shop")["status"]["phase"] == "Running"
    assert container_status(pods.ready("shop"), "sidecar")["ready"]
    assert "shop-prepare" not in podrun.kubectl("get", "pods")  # the hook has done its work
    assert podrun.kubectl("auth", "can-i", "get", "configmaps", "--as=system:serviceaccount:default:shop") == "yes\n"
    assert "good morning" in helm("test", "shop", "--logs").stdout
    pods.delete("shop-test")

    helm("upgrade", "shop", CHART, "--set=greeting=good night,image=toolbox:latest", "--wait", "--timeout=40s")
    changed = pods.until("shop", lambda now: container_status(now, "web")["image"].endswith("toolbox:latest"))
    assert container_status(changed, "sidecar")["restartCount"] == 0
    assert "good night" in helm("test", "shop", "--logs").stdout
    pods.delete("shop-test")

    (listed,) = helm.json("list")
    assert (listed["name"], listed["revision"], listed["status"]) == ("shop", "2", "deployed")
    helm("rollback", "shop", "1", "--wait", "--timeout=40s")
    assert podrun.get("configmap", "shop")["data"] == {"index.html": "good morning"}
    assert [each["status"] for each in helm.json("history", "shop")] == ["superseded", "superseded", "deployed"]
    status = helm.json("status", "shop")
    assert (status["version"], status["info"]["status"]) == (3, "deployed")
    assert "kind: RoleBinding" in helm("get", "manifest", "shop").stdout

    assert 'release "shop" uninstalled' in helm("uninstall", "shop", "--wait").stdout
    assert "shop" not in podrun.kubectl("get", BELONGING, "-o", "name")
    assert helm.json("list") == []


def test_an_upgrade_that_does_not_get_ready_is_rolled_back(helm: Helm, podrun: Podrun) -> None:
    helm("install", "shop", CHART, "--wait", "--timeout=40s")
    undo = "--atomic" if helm.version == 3 else "--rollback-on-failure"
    change = ("--set=greeting=good night,extraImage=nowhere.invalid/none:1", undo, "--timeout=3s")
    failed = helm("upgrade", "shop", CHART, *change, check=False)
    assert failed.returncode == 1
    assert "has been rolled back" in failed.stderr
    assert podrun.get("configmap", "shop")["data"] == {"index.html": "good morning"}
    assert podrun.kubectl("get", "pods", "-o", "name") == "pod/shop\n"
    assert [each["status"] for each in helm.json("history", "shop")] == ["superseded", "failed", "deployed"]


def test_what_somebody_else_has_changed_since(helm: Helm, podrun: Podrun) -> None:
    """Helm 3 patches over it; Helm 4 applies on the server, sees the conflict, and is told by whom."""
    helm("install", "shop", CHART, "--wait", "--timeout=40s")
    entries = podrun.get("configmap", "shop", "--show-managed-fields")["metadata"]["managedFields"]
    ways = [entry["operation"] for entry in entries if entry["manager"].startswith("helm")]
    assert ways == (["Update"] if helm.version == 3 else ["Apply"]), entries
    podrun.kubectl("patch", "configmap", "shop", "--type=merge", "--patch", '{"data": {"index.html": "mine"}}')
    change = ["upgrade", "shop", str(CHART), "--set=greeting=theirs"]
    if helm.version == 4:
        refused = helm(*change, check=False)
        assert 'conflict with "kubectl-patch" using v1' in refused.stderr, refused.stderr
        change.append("--force-conflicts")
    helm(*change)
    assert podrun.get("configmap", "shop")["data"] == {"index.html": "theirs"}


def test_charts_are_made_and_looked_at(helm: Helm, tmp_path: Path) -> None:
    """What `helm create` makes has a Deployment: it renders, and installing it says what is not served."""
    helm("create", tmp_path / "new")
    assert "0 chart(s) failed" in helm("lint", tmp_path / "new", CHART).stdout
    assert "kind: Deployment" in helm("template", tmp_path / "new").stdout
    assert 'index.html: "good evening"' in helm("template", "shop", CHART, "--set=greeting=good evening").stdout
    assert "pending-install" in helm("install", "shop", CHART, "--dry-run=server").stdout
    refused = helm("install", "new", tmp_path / "new", check=False)
    assert 'no matches for kind "Deployment" in version "apps/v1"' in refused.stderr
