"""Pods that do something while podrun is being killed, and what must be true of each afterwards.

Each notes in a directory of the host what it does (one line in `starts` for each start of its process), so that what
podrun says can be held against what was.
"""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path
from typing import Any, Protocol

from tests.harness import wait_until
from tests.pods.living import FOREVER, Object, condition, container_status, pod, shell, state
from tests.torture.client import Persistent

SOON = 40.0
"""Seconds in which everything that must happen has happened, on a busy machine too."""


class Actor(Protocol):
    """begin, (the kill), check. `name` is its pod's."""

    name: str

    def begin(self, pods: Persistent) -> None: ...

    def check(self, pods: Persistent) -> None: ...


class Noting:
    """What the actors share: a directory that their pod sees as /v."""

    def __init__(self, name: str, root: Path, random: random.Random) -> None:
        self.name = name
        self.random = random
        self.directory = root / "torture" / name
        self.directory.mkdir(parents=True)

    def pod(self, script: str, **spec: Any) -> Object:
        """A pod of one container that notes its start and goes on with the script."""
        mount = [{"name": "v", "mountPath": "/v"}]
        volume = {"name": "v", "hostPath": {"path": str(self.directory)}}
        return pod(
            self.name, shell("a", f"echo $$ >> /v/starts; {script}", volumeMounts=mount), volumes=[volume], **spec
        )

    def lines(self, file: str) -> list[str]:
        try:
            return (self.directory / file).read_text().splitlines()
        except FileNotFoundError:
            return []

    def started(self, times: int, status: Object) -> None:
        """Its process has been started just so often, and the pod's status says so too."""
        found = len(self.lines("starts"))
        assert found == times, f"{self.name} was started {found} times, not {times}: {status}"
        restarts = container_status(status)["restartCount"]
        assert restarts == times - 1, f"{self.name}: restartCount {restarts} after {times} starts: {status['status']}"


class Starting(Noting):
    """Is being started: runs once, with an address of its own."""

    def begin(self, pods: Persistent) -> None:
        pods.create(self.pod(FOREVER))

    def check(self, pods: Persistent) -> None:
        now = pods.until(self.name, lambda now: condition(now, "Ready") == "True", SOON)
        self.started(1, now)
        told = [e for e in pods.events(self.name) if e["reason"] == "Started"]
        assert len(told) == 1, f"{self.name}: {len(told)} events say Started"


class Writing(Noting):
    """Writes lines and ends: every line is there, once, and the exit code is right."""

    def begin(self, pods: Persistent) -> None:
        self.code = self.random.randrange(200)
        self.count = self.random.choice((1, 300, 5000, 20000))
        nap = self.random.choice(("", "sleep 0.1;", "sleep 0.3;"))
        script = f"{nap} n=0; while [ $n -lt {self.count} ]; do n=$((n+1)); echo line $n; done; {nap} exit {self.code}"
        pods.create(self.pod(script, restartPolicy="Never"))

    def check(self, pods: Persistent) -> None:
        now = pods.until(self.name, lambda now: now["status"]["phase"] in ("Succeeded", "Failed"), SOON)
        self.started(1, now)
        ended = state(now)
        assert ended["exitCode"] == self.code, f"{self.name} ended with {self.code}: {ended}"
        found = pods.log(self.name).splitlines()
        assert found == [f"line {n}" for n in range(1, self.count + 1)], (
            f"{self.name}: {len(found)} lines of {self.count}, the last is {found[-1:]}"
        )


class Crashing(Noting):
    """Ends the first time it runs: is started once more, and its first exit code and log are kept."""

    def begin(self, pods: Persistent) -> None:
        self.code = self.random.randrange(1, 200)
        nap = self.random.choice((0, 0.05, 0.2))
        script = f"[ -e /v/once ] || {{ : > /v/once; sleep {nap}; echo last words; exit {self.code}; }}; {FOREVER}"
        pods.create(self.pod(script))

    def check(self, pods: Persistent) -> None:
        now = pods.until(
            self.name,
            lambda now: container_status(now)["restartCount"] > 0 and condition(now, "Ready") == "True",
            SOON,
        )
        self.started(2, now)
        last = container_status(now)["lastState"].get("terminated", {})
        assert last.get("exitCode") == self.code, f"{self.name} ended with {self.code} first: {last}"
        assert pods.log(self.name, "a", "--previous") == "last words\n"


class Polite(Noting):
    """Is told to end and says goodbye: it has the time to, and is gone afterwards."""

    def begin(self, pods: Persistent) -> None:
        script = "trap 'sleep 0.3; echo bye >> /v/bye; exit 0' TERM; : > /v/up; while :; do sleep 1000 & wait $!; done"
        pods.create(self.pod(script, terminationGracePeriodSeconds=10))
        wait_until(lambda: (self.directory / "up").exists(), SOON, f"{self.name} does not run")
        pods.call("DELETE", pods.path("pods", self.name))

    def check(self, pods: Persistent) -> None:
        pods.gone(self.name, SOON)
        assert self.lines("bye") == ["bye"], f"{self.name} could not end by itself"


class Deaf(Noting):
    """Ignores TERM: lives to the end of its grace period, whoever is killed meanwhile, and not much longer."""

    GRACE = 2

    def begin(self, pods: Persistent) -> None:
        script = "trap '' TERM; : > /v/up; while :; do : > /v/alive; sleep 0.05; done"
        pods.create(self.pod(script, terminationGracePeriodSeconds=self.GRACE))
        wait_until(lambda: (self.directory / "up").exists(), SOON, f"{self.name} does not run")
        pods.call("DELETE", pods.path("pods", self.name))
        self.told = time.time()

    def check(self, pods: Persistent) -> None:
        pods.gone(self.name, SOON)
        lived = (self.directory / "alive").stat().st_mtime - self.told
        assert lived > self.GRACE - 0.2, f"{self.name} lived {lived:.2f} s of {self.GRACE} after it was told to end"
        assert lived < self.GRACE + 8, f"{self.name} lived {lived:.2f} s after it was told to end"


class Asked(Noting):
    """Somebody runs a command in it: what was begun answers or is cut off; the next one answers; the pod goes on."""

    def begin(self, pods: Persistent) -> None:
        pods.run(self.pod(FOREVER))
        self.process = subprocess.Popen(
            pods.podrun.inside("kubectl", "exec", self.name, "--", "sh", "-c", "echo a >> /v/asked; sleep 0.2; echo b"),
            env=pods.podrun.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def check(self, pods: Persistent) -> None:
        self.process.wait(SOON)
        assert len(self.lines("asked")) <= 1, f"a command ran twice in {self.name}"
        assert pods.exec(self.name, "echo", "here").stdout == "here\n"
        self.started(1, pods.get(self.name))


CAST: tuple[type[Noting], ...] = (Starting, Writing, Crashing, Polite, Deaf, Asked)


def stay(pods: Persistent, names: tuple[str, ...]) -> dict[str, tuple[int, str]]:
    """Of pods that stay: process and address of each."""
    return {name: (pods.pid(name), pods.address(name)) for name in names}
