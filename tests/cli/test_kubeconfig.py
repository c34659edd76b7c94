"""Merging into a person's kubeconfig: what is added, and what is never touched."""

from __future__ import annotations

import copy
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from podrun.apiserver import kubeconfig, pki

OTHERS: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "work", "cluster": {"server": "https://work:6443"}}],
    "contexts": [{"name": "work", "context": {"cluster": "work", "user": "me"}}],
    "current-context": "work",
    "preferences": {"colors": True},
    "users": [{"name": "me", "user": {"token": "secret"}}],
}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = pki.ensure(tmp_path_factory.mktemp("pki"), [], datetime.now(UTC))
    return kubeconfig.for_admin(made, "https://127.0.0.1:6443")


def test_an_empty_file_gets_it_as_the_current_context(ours: dict[str, Any]) -> None:
    merged = kubeconfig.merge({}, ours)
    assert (merged.current_context, merged.is_current, merged.changed) == ("podrun", True, True)
    assert merged.config["contexts"] == ours["contexts"]


def test_another_context_stays_and_stays_current(ours: dict[str, Any]) -> None:
    before = copy.deepcopy(OTHERS)
    merged = kubeconfig.merge(OTHERS, ours)
    assert before == OTHERS
    assert merged.current_context == "work"
    for section in ("clusters", "contexts", "users"):
        assert merged.config[section] == OTHERS[section] + ours[section]
    assert merged.config["preferences"] == {"colors": True}


def test_merging_again_changes_nothing(ours: dict[str, Any]) -> None:
    once = kubeconfig.merge(OTHERS, ours).config
    assert not kubeconfig.merge(once, ours).changed


def test_a_renewed_certificate_takes_the_old_ones_place(ours: dict[str, Any]) -> None:
    once = kubeconfig.merge(OTHERS, ours).config
    renewed = copy.deepcopy(ours)
    renewed["users"][0]["user"]["client-certificate-data"] = "bmV3"
    merged = kubeconfig.merge(once, renewed)
    assert [each["name"] for each in merged.config["users"]] == ["me", "podrun"]
    assert merged.config["users"][1]["user"]["client-certificate-data"] == "bmV3"


def test_a_name_and_a_namespace_that_the_person_has_chosen_stay(ours: dict[str, Any]) -> None:
    once = kubeconfig.merge(OTHERS, ours).config
    theirs = copy.deepcopy(once)
    theirs["contexts"][1]["name"] = theirs["current-context"] = "laptop"
    theirs["contexts"][1]["context"]["namespace"] = "shop"
    assert not kubeconfig.merge(theirs, ours).changed
    assert kubeconfig.merge(theirs, ours).is_current
    assert kubeconfig.without(theirs) == {**OTHERS, "current-context": ""}


@pytest.mark.parametrize(
    ("section", "entry"),
    [
        ("contexts", {"name": "podrun", "context": {"cluster": "mine", "user": "me"}}),
        ("clusters", {"name": "podrun", "cluster": {"server": "https://mine"}}),
        ("users", {"name": "podrun", "user": {"token": "mine"}}),
    ],
)
def test_what_somebody_else_named_podrun_is_refused(ours: dict[str, Any], section: str, entry: dict[str, Any]) -> None:
    with pytest.raises(kubeconfig.ForeignContext, match="podrun"):
        kubeconfig.merge({**OTHERS, section: [entry]}, ours)


def test_taking_it_out_leaves_what_was_there(ours: dict[str, Any]) -> None:
    assert kubeconfig.without(kubeconfig.merge(OTHERS, ours).config) == OTHERS
    assert kubeconfig.without(kubeconfig.merge({}, ours).config)["current-context"] == ""
    assert kubeconfig.without(OTHERS) is OTHERS


def test_file_is_kept_private_and_links_are_followed(tmp_path: Path, ours: dict[str, Any]) -> None:
    real = tmp_path / "dotfiles" / "config"
    link = tmp_path / ".kube" / "config"
    link.parent.mkdir()
    os.symlink(real, link)
    kubeconfig.write(link, ours)
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    real.chmod(0o640)
    kubeconfig.write(link, OTHERS)
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert kubeconfig.read(link) == OTHERS


@pytest.mark.parametrize("content", ["- a\n- list\n", "kind: Pod\n", "a: [unclosed"])
def test_what_is_no_kubeconfig_is_not_written_over(tmp_path: Path, content: str) -> None:
    file = tmp_path / "config"
    file.write_text(content)
    with pytest.raises(ValueError, match=str(file)):
        kubeconfig.read(file)
