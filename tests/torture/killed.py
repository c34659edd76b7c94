"""Rows in which podrund, the spawner, a pause or a container's first process is killed with -9 at a random instant."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.conftest import shipped_images
from tests.harness import HarnessError, Podrun, wait_until
from tests.pods.living import FOREVER, condition, container_status, pod, shell, state
from tests.torture.actors import CAST, SOON, Noting, Starting
from tests.torture.client import Onlooker, Persistent, answer_after
from tests.torture.row import Round, Row

_TALK = """
trap 'echo last >> /v/last; exit 3' TERM
n=0
while :; do n=$((n + 1)); echo line $n; echo $n >> /v/said; sleep 0.01; done
"""
BACK = 30.0
"""Seconds after which the API must answer again, however busy the machine is; how long it takes is printed."""
AFTER = ((3, "Error"), (137, "ContainerStatusUnknown"))
"""How a container that ends with 3 has ended, whose spawner was killed before: from Linux 6.15 on the kernel tells
podrund, once process 1 has waited for it; tests/runtime/test_adoption.py shows that it then is exact."""
STEADY = ("steady-a", "steady-b")


class Stage:
    """A podrun with two pods that must not notice anything, and a watch that must miss nothing."""

    def __init__(self, podrun: Podrun) -> None:
        self.podrun = podrun
        self.pods = Persistent(podrun)
        for name in STEADY:
            self.pods.create(pod(name, shell("a"), shell("b"), shareProcessNamespace=name == STEADY[1]))
        self.pods.ready(*STEADY)
        self.onlooker = Onlooker(podrun)
        self.round = 0

    def cast(self, random: random.Random, most: int) -> list[Noting]:
        """Some pods that do something, each under a name of its own."""
        self.round += 1
        chosen = random.choices(CAST, k=random.randint(1, most))
        return [
            kind(f"{kind.__name__.lower()}-{self.round}-{n}", self.podrun.root, random) for n, kind in enumerate(chosen)
        ]

    def clear(self, names: Sequence[str]) -> None:
        for name in names:
            with contextlib.suppress(Exception):
                self.pods.call("DELETE", self.pods.path("pods", name) + "?gracePeriodSeconds=0")
        for name in names:
            self.pods.gone(name)

    def process_of(self, name: str, container: str) -> int:
        return self.pods.pid(name, container)

    def end(self) -> None:
        """Everything goes, and nothing is left."""
        self.onlooker.stop()
        self.podrun.delete_pods()
        left = self.podrun.leaks()
        assert not left, left


@contextlib.contextmanager
def stage(**arguments: object) -> Iterator[Stage]:
    with Podrun.start(images=shipped_images(), **arguments) as podrun:  # type: ignore[arg-type]
        made = Stage(podrun)
        yield made
        made.end()


def _kill_later(podrun: Podrun, seconds: float) -> tuple[threading.Thread, list[float]]:
    """podrund is killed after so many seconds; the list gets how long the API was away."""
    away: list[float] = []

    def kill() -> None:
        time.sleep(seconds)
        os.kill(podrun.daemon_pid, signal.SIGKILL)
        away.append(answer_after(podrun))

    thread = threading.Thread(target=kill)
    thread.start()
    return thread, away


@contextlib.contextmanager
def podrund_killed() -> Iterator[Round]:
    with stage() as there:
        pids = {(name, c): there.process_of(name, c) for name in STEADY for c in "ab"}
        descriptors = there.podrun.descriptors()
        times: list[float] = []

        def play(random: random.Random) -> None:
            actors = there.cast(random, 5)
            killer, away = _kill_later(there.podrun, random.uniform(0, 0.5))
            for actor in actors:
                actor.begin(there.pods)  # type: ignore[attr-defined]
            killer.join()
            times.extend(away)
            assert away, there.podrun.log()
            assert away[0] < BACK, f"the API came back after {away[0]:.2f} s"
            for actor in actors:
                actor.check(there.pods)  # type: ignore[attr-defined]
            for name in STEADY:
                now = there.pods.get(name)
                assert {one["restartCount"] for one in now["status"]["containerStatuses"]} == {0}
                assert all(there.podrun.owns(pids[name, c]) for c in "ab")
            there.onlooker.agrees()
            there.clear([actor.name for actor in actors])

        yield play
        assert {key: there.process_of(*key) for key in pids} == pids
        if times:
            print(f"API back after {sorted(times)[len(times) // 2]:.2f} s (median), {max(times):.2f} s (worst)")
        wait_until(lambda: there.podrun.descriptors()[1] <= descriptors[1] + 2, 10, f"descriptors grow: {descriptors}")


def _another(podrun: Podrun, find: Callable[[], int], before: int) -> None:
    def another() -> bool:
        with contextlib.suppress(OSError, HarnessError):
            return find() != before
        return False

    wait_until(another, 60, f"nothing takes the place of {before}\n{podrun.log()}")


def _kill_spawner(podrun: Podrun) -> None:
    before = podrun.spawner_pid
    os.kill(before, signal.SIGKILL)
    _another(podrun, lambda: podrun.spawner_pid, before)


@contextlib.contextmanager
def spawner_killed() -> Iterator[Round]:
    """Nothing that runs dies of it; what ends while no spawner is there has an unknown end, honestly said."""
    with stage() as there:

        def play(random: random.Random) -> None:
            pods, podrun = there.pods, there.podrun
            there.round += 1
            talker = Noting(f"talker-{there.round}", podrun.root, random)
            pods.create(talker.pod(_TALK, restartPolicy="Never"))
            actors = [Starting(f"starting-{there.round}-{n}", podrun.root, random) for n in range(random.randint(0, 2))]
            pods.until(talker.name, lambda now: state(now)["is"] == "running", SOON)
            pid = pods.pid(talker.name)
            for actor in actors:
                pods.create(actor.pod(FOREVER))
            time.sleep(random.uniform(0, 0.2))
            _kill_spawner(podrun)
            for actor in actors:
                now = pods.until(actor.name, lambda now: condition(now, "Ready") == "True", SOON)
                starts = len(actor.lines("starts"))
                assert starts >= 1, now["status"]
            assert Path(f"/proc/{pid}").exists(), "a container died of the spawner's end"
            for name in STEADY:
                assert {one["restartCount"] for one in pods.get(name)["status"]["containerStatuses"]} == {0}
            fresh = Starting(f"fresh-{there.round}", podrun.root, random)
            fresh.begin(pods)
            fresh.check(pods)
            said = max(map(int, talker.lines("said")))

            def goes_on() -> bool:
                return int(pods.log(talker.name).split()[-1]) >= said

            wait_until(goes_on, 10, "the log does not go on")
            numbers = [int(line.split()[1]) for line in pods.log(talker.name).splitlines() if line.startswith("line ")]
            assert numbers == sorted(set(numbers)), "lines of the log are doubled or out of order"
            missing = numbers[-1] - numbers[0] + 1 - len(numbers)
            assert missing == 0, f"{missing} lines of {numbers[-1]} are not in the log"
            os.kill(pid, signal.SIGTERM)
            now = pods.until(talker.name, lambda now: now["status"]["phase"] == "Failed", SOON)
            ended = state(now)
            assert (ended["exitCode"], ended["reason"]) in AFTER, ended
            assert talker.lines("last") == ["last"]
            there.clear([talker.name, fresh.name, *(actor.name for actor in actors)])

        yield play
        assert there.podrun.daemon_runs()


@contextlib.contextmanager
def both_killed() -> Iterator[Round]:
    """As after a kubelet's and its runtime's crash: by policy; and podrun, started anew, goes on with what runs."""
    with stage() as there:

        def play(random: random.Random) -> None:
            pods, podrun = there.pods, there.podrun
            there.round += 1
            names = [f"kept-{there.round}", f"never-{there.round}"]
            pods.create(pod(names[0]), pod(names[1], restartPolicy="Never"))
            if random.random() < 0.7:
                pods.ready(*names)
            victims = [podrun.daemon_pid, podrun.spawner_pid]
            random.shuffle(victims)
            for victim in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                time.sleep(random.choice((0, 0, 0.01, 0.1)))
            if not _comes_back(podrun, victims):
                podrun.start_daemon()
            for name in (names[0], *STEADY):
                pods.until(name, lambda now: condition(now, "Ready") == "True", SOON)
                wait_until(lambda: pods.exec(name, "echo", "x").stdout == "x\n", SOON, f"{name} does not answer")  # noqa: B023
            now = pods.until(names[1], lambda now: state(now)["is"] in ("running", "terminated"), SOON)
            if state(now)["is"] == "terminated":
                assert state(now)["reason"] == "ContainerStatusUnknown", now["status"]
            there.clear(names)

        yield play


def _comes_back(podrun: Podrun, before: Sequence[int]) -> bool:
    """Whether podrund is there again within a moment (a killed spawner starts nobody)."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        with contextlib.suppress(HarnessError):
            if podrun.daemon_pid not in before:
                return True
        time.sleep(0.05)
    return False


def _pause_of(podrun: Podrun, pid: int) -> int:
    """The pause that holds the network namespace of a container's process."""
    spawner = podrun.spawner_pid
    network = os.readlink(f"/proc/{pid}/ns/net")
    for child in Path(f"/proc/{spawner}/task/{spawner}/children").read_text().split():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{child}/comm").read_text() == "pause\n" and os.readlink(f"/proc/{child}/ns/net") == network:
                return int(child)
    raise AssertionError(f"no pause holds the namespaces of process {pid}")


@contextlib.contextmanager
def pause_killed() -> Iterator[Round]:
    with stage() as there:

        def play(random: random.Random) -> None:
            pods, podrun = there.pods, there.podrun
            there.round += 1
            name = f"p-{there.round}"
            shared = random.random() < 0.5
            policy = random.choice(("Always", "OnFailure", "Never"))
            before = pods.run(pod(name, shell("a"), shell("b"), shareProcessNamespace=shared, restartPolicy=policy))
            pids = [pods.pid(name, c) for c in "ab"]
            pause = _pause_of(podrun, pids[0])
            time.sleep(random.uniform(0, 0.1))
            os.kill(pause, signal.SIGKILL)
            if policy == "Never":
                pods.until(name, lambda now: now["status"]["phase"] in ("Succeeded", "Failed"), SOON)
            else:
                now = pods.until(
                    name,
                    lambda now: (
                        condition(now, "Ready") == "True"
                        and all(one["restartCount"] == 1 for one in now["status"]["containerStatuses"])
                    ),
                    SOON,
                )
                assert now["status"]["podIP"] != before["status"]["podIP"]
                assert pods.sh(name, "hostname") == f"{name}\n"
                assert "Pod sandbox changed" in pods.event(name, "SandboxChanged")
            wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), SOON, "the old ones go on")
            there.clear([name])

        yield play


@contextlib.contextmanager
def init_killed() -> Iterator[Round]:
    """A container's first process, killed by somebody outside: an exit like any other (137, restarted by policy)."""
    with stage() as there:

        def play(random: random.Random) -> None:
            pods = there.pods
            there.round += 1
            name = f"p-{there.round}"
            policy = random.choice(("Always", "OnFailure", "Never"))
            shared = random.random() < 0.5
            before = pods.run(pod(name, shell("a"), shell("b"), shareProcessNamespace=shared, restartPolicy=policy))
            # Of what comes from outside, the first process of a pid namespace hears what it handles, and KILL.
            number = random.choice((signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT)) if shared else signal.SIGKILL
            other = pods.pid(name, "b")
            os.kill(pods.pid(name), number)
            if policy == "Never":
                now = pods.until(name, lambda now: state(now)["is"] == "terminated", SOON)
                ended = state(now)
            else:
                now = pods.until(
                    name,
                    lambda now: container_status(now)["restartCount"] == 1 and condition(now, "Ready") == "True",
                    SOON,
                )
                ended = container_status(now)["lastState"]["terminated"]
            assert ended["exitCode"] == 128 + number, ended
            assert pods.pid(name, "b") == other
            assert now["status"]["podIP"] == before["status"]["podIP"]
            assert container_status(now, "b")["restartCount"] == 0
            there.clear([name])

        yield play


GROUP = "nothing is lost"

ROWS = (
    Row(
        "podrund-killed",
        GROUP,
        "podrund killed -9: no restart, exit code, log line, grace period or watch event lost",
        500,
        podrund_killed,
    ),
    Row("spawner-killed", GROUP, "the spawner killed -9: no container dies, no log line lost", 100, spawner_killed),
    Row("both-killed", GROUP, "both killed -9: pods go on, or again by their policy", 50, both_killed),
    Row("pause-killed", GROUP, "pause killed: the sandbox made anew, containers by policy", 50, pause_killed),
    Row("init-killed", GROUP, "a container's first process killed: an exit like any other", 50, init_killed),
)
