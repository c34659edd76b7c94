"""stern follows pods by a regular expression, over restarts of containers and of podrund, line by line."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.clients.go_programs import go_program
from tests.clients.transcript import Transcript
from tests.harness import Podrun, wait_until
from tests.pods.living import Pods, container_status, pod, shell

Line = dict[str, Any]
AS_JSON = '{"pod":"{{.PodName}}","container":"{{.ContainerName}}","text":"{{.Message}}"}{{"\\n"}}'
LINES = 150
TALKER = f"""
run=$(cat /kept/run 2>/dev/null || echo 0)
echo $((run + 1)) >/kept/run
line=0
while [ $line -lt {LINES} ]; do line=$((line + 1)); echo "run $run line $line"; usleep 10000; done
[ $run -lt 1 ] && exit 1
exec sleep 3600
"""


def talker(name: str, **fields: Any) -> dict[str, Any]:
    """A pod that counts aloud, fails, and counts once more."""
    kept = {"volumeMounts": [{"name": "kept", "mountPath": "/kept"}]}
    return pod(name, shell("talker", TALKER, **kept), volumes=[{"name": "kept", "emptyDir": {}}], **fields)


@contextmanager
def stern(podrun: Podrun, *words: str) -> Iterator[Transcript]:
    argv = podrun.inside(go_program("stern"), "--template", AS_JSON, *words)
    with Transcript.of(argv, podrun.environment()) as said:
        yield said


def test_two_pods_are_followed_over_a_container_restart_and_a_killed_podrund(podrun: Podrun) -> None:
    pods = Pods(podrun)
    with stern(podrun, "^shop-[ab]$") as said:
        pods.create(talker("shop-a"), talker("shop-b"), talker("bank"))
        for name in ("shop-a", "shop-b"):
            pods.until(name, lambda now: container_status(now, "talker")["restartCount"] == 1)
        wait_until(
            lambda: {"run 1 line 20"} <= {line["text"] for line in said.lines()}, 20, "nothing of the second run"
        )
        podrun.crash()  # in the middle of both pods' second run

        def ended(lines: list[Line]) -> bool:
            return sum(line.get("text") == f"run 1 line {LINES}" for line in lines) == 2

        lines = said.until(ended, 30, "not all is there")
        assert said.complaints().count("will retry") == 2  # both streams were cut, and resumed
    told: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        if "pod" in line:
            told[line["pod"]].append(line["text"])
    everything = [f"run {run} line {number}" for run in range(2) for number in range(1, LINES + 1)]
    assert told == {"shop-a": everything, "shop-b": everything}


def test_what_was_said_before_is_shown_too_and_by_label(podrun: Podrun) -> None:
    """Finished containers, init containers and a pod of no interest, without following."""
    pods = Pods(podrun)
    labels = {"labels": {"app": "shop"}}
    first = shell("first", "echo from init")
    pods.create(
        pod("done", shell("main", "echo from main"), metadata=labels, restartPolicy="Never", initContainers=[first])
    )
    pods.create(pod("other", shell("main", "echo of no interest"), restartPolicy="Never"))
    pods.finished("done")
    pods.finished("other")
    done = podrun.run(go_program("stern"), "--selector=app=shop", "--no-follow", "--template", AS_JSON)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted((line["container"], line["text"]) for line in said) == [("first", "from init"), ("main", "from main")]
