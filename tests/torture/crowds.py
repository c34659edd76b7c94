"""Rows of many pods: random ones deleted at random, a hundred that restart for ever. Nothing may be left, or grow."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import shipped_images
from tests.harness import Podrun, wait_until
from tests.pods.living import Refused, pod, shell
from tests.torture import generator
from tests.torture.client import Persistent
from tests.torture.row import Round, Row

AT_ONCE = 8
"""Random pods of one round."""
GROWTH_MIB = 30
"""Memory that podrund may have more after thousands of pods than when its history was full for the first time: events
of the last hour are kept, too."""
HUNDRED = 100
FULL = 12_000
"""Changes after which the history that watches resume from is as long as it ever is."""


def resident(pid: int) -> float:
    """MiB of a process, shared ones too: how many share the spawner's is another matter each moment."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def version(pods: Persistent) -> int:
    """How many changes there have been."""
    return int(pods.call("GET", pods.path("pods") + "?limit=1")["metadata"]["resourceVersion"])


def memory(podrun: Podrun) -> tuple[float, float]:
    """Of podrund and the spawner."""
    return resident(podrun.daemon_pid), resident(podrun.spawner_pid)


@contextlib.contextmanager
def random_pods() -> Iterator[Round]:
    """Each round makes some, deletes each at some instant in some way, and looks whether anything is left."""
    with Podrun.start(images=shipped_images()) as podrun:
        pods = Persistent(podrun)
        pods.create(*generator.SOURCES)
        made = rounds = 0
        first: tuple[float, float] | None = None
        descriptors = podrun.descriptors()

        def play(random: random.Random) -> None:
            nonlocal made, rounds, first
            rounds += 1
            names = [f"p{rounds}-{n}" for n in range(AT_ONCE)]
            for name in names:
                pods.create(generator.pod(random, name))
                made += 1
                if random.random() < 0.3:
                    time.sleep(random.uniform(0, 0.3))
            random.shuffle(names)
            for name in names:
                time.sleep(random.choice((0, 0, 0.02, 0.1, 0.3)))
                how = random.choice(("", "?gracePeriodSeconds=0", "?gracePeriodSeconds=1"))
                with contextlib.suppress(Refused):
                    pods.call("DELETE", pods.path("pods", name) + how)
            for name in names:
                pods.gone(name)
            left = podrun.leaks()
            assert not left, left
            wait_until(lambda: not list(podrun.layout.logs.iterdir()), 5, "logs of pods that are gone are left")
            assert podrun.log().count("Traceback") == 0, podrun.log()
            if first is None and version(pods) > FULL:
                first = memory(podrun)

        yield play
        now = memory(podrun)
        if first is not None:
            print(f"{made} pods: podrund {first[0]:.0f} MiB -> {now[0]:.0f}, spawner {first[1]:.0f} -> {now[1]:.0f}")
            assert now[0] < first[0] + GROWTH_MIB, f"podrund has grown from {first[0]:.0f} to {now[0]:.0f} MiB"
            assert now[1] < first[1] + 5, f"the spawner has grown from {first[1]:.0f} to {now[1]:.0f} MiB"

        def let_go() -> bool:
            after = podrun.descriptors()
            return after[0] <= descriptors[0] + 3 and after[1] <= descriptors[1]

        wait_until(let_go, 15, f"descriptors: {descriptors} before, {podrun.descriptors()} now")


@contextlib.contextmanager
def restarts() -> Iterator[Round]:
    """A hundred pods that end and are restarted, time running a thousand times as fast for back-offs; a round is as
    long as a hundred restarts take."""
    with Podrun.start(images=shipped_images(), options=["--time-scale", "0.001"]) as podrun:
        pods = Persistent(podrun)
        for n in range(HUNDRED):
            pods.create(pod(f"r{n}", shell("a", f"sleep 0.{n % 10}; exit {n % 3}")))

        def total() -> int:
            items = pods.call("GET", pods.path("pods"))["items"]
            statuses = [status for one in items for status in one["status"].get("containerStatuses", ())]
            return sum(int(status["restartCount"]) for status in statuses)

        wait_until(lambda: total() >= HUNDRED, 60, "a hundred pods do not restart", every=0.2)
        first: tuple[float, float] | None = None
        before = done = total()

        def play(random: random.Random) -> None:
            nonlocal done, first
            if first is None and version(pods) > FULL:
                first = memory(podrun)
            goal = done + HUNDRED
            wait_until(lambda: total() >= goal, 60, f"no hundred restarts in a minute after {done}", every=0.2)
            done = total()

        yield play
        now = memory(podrun)
        podrun.delete_pods()
        left = podrun.leaks()
        assert not left, left
        if first is not None:
            grown = f"podrund {first[0]:.0f} MiB -> {now[0]:.0f}, spawner {first[1]:.0f} -> {now[1]:.0f}"
            print(f"{done - before} restarts: {grown}")
            assert now[0] < first[0] + GROWTH_MIB, (first, now)
            assert now[1] < first[1] + 5, (first, now)


GROUP = "nothing is left"

ROWS = (
    Row("random-pods", GROUP, f"{AT_ONCE} random pods a round, deleted at random: nothing left", 250, random_pods),
    Row("restarts", GROUP, "100 pods restart 100 times a round: no growth", 100, restarts),
)
