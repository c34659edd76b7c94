"""kubectx and kubens (Debian's) with podrun's context beside somebody's other one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.harness import Podrun

OTHER = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "work", "cluster": {"server": "https://192.0.2.1:6443"}}],
    "contexts": [{"name": "work", "context": {"cluster": "work", "user": "me"}}],
    "current-context": "work",
    "users": [{"name": "me", "user": {"token": "secret"}}],
}

pytestmark = pytest.mark.skipif(shutil.which("kubectx") is None, reason="Debian's package kubectx is not installed")


class Shell:
    """A person's shell whose kubeconfig knows two clusters."""

    def __init__(self, podrun: Podrun, home: Path) -> None:
        self.podrun = podrun
        self.home = home
        self.config = home / ".kube" / "config"
        self.config.parent.mkdir()
        self.config.write_text(yaml.safe_dump(OTHER))

    def __call__(self, *words: str) -> str:
        places = (f"HOME={self.home}", f"KUBECONFIG={self.config}")
        done = self.podrun.run("env", "-u", "SUDO_USER", "-u", "XDG_CACHE_HOME", *places, *words)
        return done.stdout + done.stderr


@pytest.fixture
def shell(podrun: Podrun, tmp_path: Path) -> Shell:
    shell = Shell(podrun, tmp_path)
    shell("podrun", "kubeconfig", "--merge")
    return shell


def test_contexts_are_switched_to_and_fro(shell: Shell) -> None:
    assert shell("kubectx").split() == ["podrun", "work"]
    assert shell("kubectx", "--current") == "work\n"
    assert 'Switched to context "podrun"' in shell("kubectx", "podrun")
    assert "No resources found in default namespace" in shell("kubectl", "get", "pods")
    assert 'Switched to context "work"' in shell("kubectx", "-")
    assert 'Switched to context "podrun"' in shell("kubectx", "-")


def test_a_namespace_is_chosen_and_everything_follows_it(shell: Shell) -> None:
    shell("kubectx", "podrun")
    assert {"default", "kube-node-lease", "kube-public", "kube-system"} <= set(shell("kubens").split())
    shell("kubectl", "create", "namespace", "shop")
    shell("kubectl", "create", "configmap", "stock", "--namespace=shop")
    assert 'Active namespace is "shop"' in shell("kubens", "shop")
    assert shell("kubens", "--current") == "shop\n"
    assert "configmap/stock" in shell("kubectl", "get", "configmaps", "-o", "name")
    assert "is there already" in shell("podrun", "kubeconfig", "--merge")
    assert shell("kubens", "--current") == "shop\n"
    assert 'Active namespace is "default"' in shell("kubens", "-")
    assert "stock" not in shell("kubectl", "get", "configmaps", "-o", "name")


def test_a_context_keeps_the_name_that_it_was_given(shell: Shell) -> None:
    shell("kubectx", "laptop=podrun")
    shell("kubectx", "laptop")
    assert "is there already" in shell("podrun", "kubeconfig", "--merge")
    assert shell("kubectx").split() == ["laptop", "work"]
    shell("podrun", "kubeconfig", "--unmerge")
    assert yaml.safe_load(shell.config.read_text())["contexts"] == OTHER["contexts"]
    assert shell("kubectx").split() == ["work"]
