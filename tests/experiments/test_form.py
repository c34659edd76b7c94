"""The form of an experiment's file: what is refused, in which words; how output is judged and claims are broken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from podrun.cli.errors import USAGE, CommandError
from podrun.cli.experiments import files
from podrun.cli.experiments.judge import filled, verdicts
from podrun.cli.experiments.model import Expectation

GOOD = """\
title: A title
claim: A claim
source: Somewhere
steps:
  - apply: web
    wait: pod/web condition=Ready
  - run: kubectl get pods
    expect: web
broken: { replace: "sleep", by: "false", why: it ends }
---
# the pod
apiVersion: v1
kind: Pod
metadata: { name: web }
spec: { containers: [ { name: app, image: busybox, command: ["sleep"] } ] }
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_reads_a_file(tmp_path: Path) -> None:
    script = files.read(written(tmp_path, GOOD))
    assert script.name == "mine"
    assert script.experiment.steps[0].apply == ("web",)
    assert script.experiment.steps[1].expect == Expectation(holds=("web",))
    assert script.manifests["web"].text.startswith("# the pod\napiVersion: v1\n")


def test_breaks_everything_but_the_words_that_say_how(tmp_path: Path) -> None:
    script = files.read(written(tmp_path, GOOD), broken=True)
    assert 'command: ["false"]' in script.manifests["web"].text
    assert script.experiment.broken.replace == "sleep"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param("expect: web", "exepct: web", "steps.1.exepct: there is no such field", id="a misspelt field"),
        pytest.param("title: A title\n", "", "title: Field required", id="no title"),
        pytest.param(
            "expect: web", "expect: {}", "steps.1.expect: it expects nothing", id="an expectation without any"
        ),
        pytest.param(
            "expect: web",
            "expect: { matches: '(' }",
            "steps.1.expect.matches: '(' is not a regular",
            id="an expression",
        ),
        pytest.param("apply: web", "apply: wbe", "steps.0.apply: no manifest wbe in it (web)", id="no such manifest"),
        pytest.param(
            "- run: kubectl get pods\n    expect: web",
            "- say: hello\n    expect: web",
            "steps.1: expect is about a command: this step runs none",
            id="an expectation of nothing",
        ),
        pytest.param("expect: web", "until: web\n    exit: 0", "has no exit code of its own", id="until and exit"),
        pytest.param("pod/web condition=Ready", "pod/web", "is not of the form OBJECT CONDITION", id="half a wait"),
        pytest.param("replace: sleep", "replace: nap", "", id="nothing to break in a run that is not to be broken"),
        pytest.param(
            "expect: web", "expect: web\n    keep: My Name", "is no name for a variable", id="a wrong variable"
        ),
        pytest.param("expect: web", "expect: web\n    within: 0", "steps.1.within:", id="no time at all"),
        pytest.param("{ name: web }", "{ name: web, namespace: x }", "metadata.namespace is not for", id="a namespace"),
        pytest.param("metadata: { name: web }", "metadata: {}", "a manifest has no metadata.name", id="no name"),
        pytest.param("title: A title", "title: [", "is not YAML", id="no YAML"),
    ],
)
def test_refuses_with_a_sentence_that_names_the_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = written(tmp_path, GOOD.replace(old, new))
    if not said:
        files.read(path)
        return
    with pytest.raises(CommandError) as caught:
        files.read(path)
    assert said in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.code == USAGE


def test_refuses_to_break_what_is_not_there(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace('replace: "sleep"', 'replace: "nap"'))
    with pytest.raises(CommandError, match="'nap' is nowhere else in the file"):
        files.read(path, broken=True)


def test_replaces_whole_lines_at_any_indentation() -> None:
    text = "a:\n    b:\n      - c\nd: 1\n"
    assert files.replaced(text, "b:\n  - c\n", "b: []\n") == "a:\n    b: []\nd: 1\n"
    assert files.replaced(text, "b:\n  - c\n", "") == "a:\nd: 1\n"


@pytest.mark.parametrize(
    ("expected", "printed", "so"),
    [
        ({"holds": "b"}, "abc", [True]),
        ({"holds": ["a", "$kept"]}, "a it is", [True, False]),
        ({"lacks": ["x", "b"]}, "abc", [True, False]),
        ({"is": "$kept"}, " this\n", [True]),
        ({"is_not": "$kept"}, "this\n", [False]),
        ({"matches": "^b$"}, "a\nb\n", [True]),
        ({"at_least": 2}, "2.5\n", [True]),
        ({"at_least": 2, "at_most": 3}, "many", [False, False]),
    ],
)
def test_judges_what_was_printed(expected: dict[str, object], printed: str, so: list[bool]) -> None:
    expectation = Expectation.model_validate(expected)
    assert [one for one, _ in verdicts(expectation, printed, {"kept": "this"})] == so


def test_fills_in_only_what_was_kept() -> None:
    assert filled("$a ${b} $HOME", {"a": "1", "b": "2"}) == "1 2 $HOME"


@pytest.mark.parametrize("name", files.names())
def test_every_experiment_can_be_broken(name: str) -> None:
    files.read(files.find(name), broken=True)


def test_there_are_enough() -> None:
    assert len(files.names()) >= 24


def test_the_example_in_the_readme_is_read(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", (files.folder() / "README.md").read_text(), re.DOTALL)
    assert example is not None
    assert list(files.read(written(tmp_path, example[1]), broken=True).manifests) == ["pair"]
