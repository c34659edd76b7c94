"""How `podrun experiment` ends: kept or cleared, cut short or refused; with what it prints and its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from podrun.cli.experiments import files
from tests.harness import Podrun, wait_until

POD = """\
apiVersion: v1
kind: Pod
metadata: { name: app }
spec:
  terminationGracePeriodSeconds: 0
  containers: [ { name: app, image: "busybox:1.36", command: ["sleep", "100000"] } ]
"""


def experiment(tmp_path: Path, steps: str, more: str = "") -> Path:
    path = tmp_path / "mine.yaml"
    head = f"title: Mine\nclaim: It is so.\nsource: nowhere\n{more}steps:\n{steps}"
    path.write_text(f"{head}broken: {{ replace: a, by: b, why: c }}\n---\n{POD}")
    return path


def run(podrun: Podrun, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return podrun.run("podrun", "experiment", *words, check=False)


def namespaces(podrun: Podrun) -> str:
    return podrun.kubectl("get", "namespaces", "-o", "name")


def test_lists_and_shows(experimenting: Podrun) -> None:
    listed = run(experimenting, "list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == files.names()
    assert run(experimenting, "show", "kill-pause").stdout == files.find("kill-pause").read_text()
    unknown = run(experimenting, "show", "kill-paws")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "there is no experiment kill-paws" in unknown.stderr


def test_narrates_in_plain_lines_where_there_is_no_terminal(experimenting: Podrun, tmp_path: Path) -> None:
    steps = "  - say: Hello.\n    run: echo $NAMESPACE; echo more >&2\n    expect: more\n    look: a word\n"
    done = run(experimenting, "run", experiment(tmp_path, steps))
    assert done.stdout == (
        "Mine\n\nThe claim: It is so.\nFrom: nowhere\n\n# Hello.\n$ echo experiment-mine; echo more >&2\n"
        "experiment-mine\nmore\n  ^ a word\n  + it holds “more”\n\nThe claim holds: everything was as it says.\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_refuted_claim_is_told_from_a_step_that_cannot_be_carried_out(experimenting: Podrun, tmp_path: Path) -> None:
    refuted = run(experimenting, "run", experiment(tmp_path, "  - run: echo a\n    expect: b\n"))
    assert refuted.returncode == 1
    assert "NOT AS SAID: the claim did not come out" in refuted.stdout
    failed = run(experimenting, "run", experiment(tmp_path, "  - run: exit 3\n"))
    assert failed.returncode == 1
    assert "NOT AS SAID" not in failed.stdout
    assert failed.stderr == "podrun: mine: step 1 could not be carried out: it ended with exit code 3\n"
    late = run(experimenting, "run", experiment(tmp_path, "  - run: sleep 60\n    within: 0.3\n    else: it is late\n"))
    assert "NOT AS SAID: the claim did not come out: it is late" in late.stdout


def test_what_is_kept_stays_until_it_is_removed(experimenting: Podrun, tmp_path: Path) -> None:
    path = experiment(tmp_path, "  - apply: app\n    wait: pod/app condition=Ready\n")
    done = run(experimenting, "run", "--keep", path)
    assert "podrun kubectl -n experiment-mine get pods" in done.stdout
    assert "Running" in experimenting.kubectl("-n", "experiment-mine", "get", "pods")
    again = run(experimenting, "run", path)
    assert again.returncode == 1
    assert "there is a namespace experiment-mine already" in again.stderr
    assert "Running" in experimenting.kubectl("-n", "experiment-mine", "get", "pods"), "the refusal has removed it"
    experimenting.kubectl("delete", "namespace", "experiment-mine")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_clears_everything_when_it_is_cut_short(experimenting: Podrun, tmp_path: Path, number: int, code: int) -> None:
    steps = "  - apply: app\n    wait: pod/app condition=Ready\n  - run: touch $STARTED; sleep 1000\n    within: 1000\n"
    started = tmp_path / "started"
    words = experimenting.inside("podrun", "experiment", "run", experiment(tmp_path, steps))
    environment = {**experimenting.environment(), "STARTED": str(started)}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    wait_until(started.exists, 60, "the step has not begun")
    os.killpg(process.pid, number)
    assert process.wait(30) == code
    assert "experiment-mine" not in namespaces(experimenting)
    assert experimenting.leaks() == {}


def test_waits_for_enter_before_each_further_step_on_a_terminal(experimenting: Podrun, tmp_path: Path) -> None:
    path = experiment(tmp_path, "  - run: echo one\n  - run: echo two\n")
    words = ("script", "-qec", f"podrun experiment run --step {path}", "/dev/null")
    done = experimenting.run(*words, input="\n", check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("[Enter]") == 1
    assert done.stdout.index("[Enter]") < done.stdout.index("echo two")


def test_says_what_the_machine_lacks(experimenting: Podrun, tmp_path: Path) -> None:
    steps = "  - say: Hello.\n"
    lacking = run(experimenting, "run", experiment(tmp_path, steps, "images: [unheard/of:1]\n"))
    assert lacking.returncode == 5
    assert "mine needs what is not here: image unheard/of:1" in lacking.stderr
    old = run(experimenting, "run", experiment(tmp_path, steps, 'kernel: "99.0"\n'))
    assert (old.returncode, old.stderr) == (5, "podrun: mine needs Linux 99.0 or later\n")
    alone = run(experimenting, "--root", tmp_path / "nobody", "run", "dns")
    assert alone.returncode == 3
    assert "podrun's daemon does not answer" in alone.stderr
    assert not (tmp_path / "nobody").exists()
