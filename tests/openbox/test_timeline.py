"""Timelines: from marks to steps, drawn, traced, kept; and a real pod's, from the request to its sandbox's removal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from podrun.lifecycle.actions import Actions, Start
from podrun.lifecycle.probes import Role
from podrun.openbox.archive import MOST, Archive, joined
from podrun.openbox.bars import draw
from podrun.openbox.perfetto import trace
from podrun.openbox.steps import timeline_of
from podrun.timeline import marks
from podrun.timeline.marks import FIRST, LAST, MOST_ENDED, Marks
from tests.harness import Podrun, wait_until

MS = 1_000_000
BEGAN = 1_700_000_000 * 1000 * MS


def _marks(*told: tuple[float, str, Any]) -> Marks:
    """Marks by their milliseconds after BEGAN."""
    made = Marks()
    for at, name, detail in told:
        made.add((BEGAN + int(at * MS), name, detail))
    return made


def _seconds(milliseconds: float) -> float:
    return BEGAN / 1e9 + milliseconds / 1000


SANDBOX = marks.packed((("unshare namespaces net,ipc", 900), ("configure network", 600)))
CONTAINER = marks.packed((("mount proc on /proc", 300),))
LIFE = _marks(
    (3, "posted", (BEGAN, "kubectl")),
    (3.5, "event", ("Normal", "Scheduled", "assigned", "")),
    (4, "begun", (False, "n", "p")),
    (4.1, "decided", Actions(create_sandbox=True, starts=(Start("a", "container"),))),
    (4.2, "decided", Actions(create_sandbox=True, starts=(Start("a", "container"),))),
    (9, "pause", (BEGAN + 5 * MS, _seconds(8), SANDBOX)),
    (9.5, "wired", (BEGAN + 9 * MS, "vpod1", "10.244.0.2")),
    (15, "container", (BEGAN + 10 * MS, _seconds(14), CONTAINER, "a", ("sleep", "9"))),
    (16, "status", ("Running", "Ready Initialized")),
    (1016, "probe", (BEGAN + 1010 * MS, Role.LIVENESS, "a", "passed", "fine")),
    (2016, "probe", (BEGAN + 2010 * MS, Role.LIVENESS, "a", "passed", "fine")),
    (9000, "sandbox removed", None),
)


class TestSteps:
    timeline = timeline_of("u", "n", "p", LIFE)

    def test_begin_with_the_requests_arrival(self) -> None:
        first = self.timeline["steps"][0]
        assert (first["at"], first["took"], first["name"], first["lane"]) == (0, 3000, "POST", "api")
        assert self.timeline["zero"] == BEGAN

    def test_the_spawners_steps_end_at_execve(self) -> None:
        steps = {step["name"]: step for step in self.timeline["steps"] if step["lane"] == "sandbox"}
        assert (steps["ask the spawner"]["at"], steps["ask the spawner"]["took"]) == (5000, 1500)
        assert (steps["unshare namespaces net,ipc"]["at"], steps["unshare namespaces net,ipc"]["took"]) == (6500, 900)
        assert (steps["configure network"]["at"], steps["configure network"]["kind"]) == (7400, "network")
        assert (steps["execve"]["at"], steps["execve"]["took"]) == (8000, 1000)

    def test_milestones(self) -> None:
        wanted = {"posted": 0, "scheduled": 3500, "sandbox": 9500, "started a": 15000, "ready": 16000}
        assert self.timeline["milestones"] == {**wanted, "removed": 9_000_000}

    def test_a_decision_that_only_repeats_itself_is_told_once(self) -> None:
        assert [s["name"] for s in self.timeline["steps"] if s["name"].startswith("decide")] == [
            "decide: make a sandbox, start a"
        ]

    def test_are_in_order(self) -> None:
        times = [step["at"] for step in self.timeline["steps"]]
        assert times == sorted(times)


class TestDrawing:
    @pytest.mark.parametrize("width", [60, 80, 120, 250])
    def test_fits(self, width: int) -> None:
        assert max(map(len, draw(TestSteps.timeline, width).splitlines())) <= max(width, 80)

    def test_names_milestones_and_folds_a_probe_that_says_the_same(self) -> None:
        text = draw(TestSteps.timeline, 120)
        assert "posted 0 us   scheduled 3.50 ms   sandbox 9.50 ms   started a 15.00 ms   ready 16.00 ms" in text
        assert "Liveness probe passed x2" in text
        assert draw(TestSteps.timeline, 120, folded=False).count("Liveness probe passed") == 2

    def test_has_colors_only_where_asked(self) -> None:
        assert "\x1b" not in draw(TestSteps.timeline, 120)
        assert "\x1b[" in draw(TestSteps.timeline, 120, color=True)


def test_a_trace_has_a_track_for_each_lane_and_an_event_for_each_step() -> None:
    made = trace(TestSteps.timeline)
    named = [event["args"]["name"] for event in made["traceEvents"] if event["name"] == "thread_name"]
    assert named == ["api", "pod", "sandbox", "container a"]
    steps = [event for event in made["traceEvents"] if event["ph"] in "Xi" and event["cat"] != "milestone"]
    assert len(steps) == len(TestSteps.timeline["steps"])
    assert all(event["dur"] > 0 for event in steps if event["ph"] == "X")
    json.dumps(made)


class TestMarks:
    def test_the_first_and_the_last_stay_and_the_lost_are_counted(self) -> None:
        made = Marks()
        for number in range(FIRST + LAST + 7):
            made.add((number, "x", None))
        kept = [at for at, _, _ in made]
        assert (len(kept), kept[0], kept[FIRST], made.lost) == (FIRST + LAST, 0, FIRST + 7, 7)

    def test_timings_of_the_same_steps_share_their_names(self) -> None:
        first, second = marks.packed((("fork", 1), ("mount", 2))), marks.packed([("fork", 3), ("mount", 4)])
        assert first[0] is second[0]
        assert marks.unpacked(second) == [("fork", 3), ("mount", 4)]

    def test_of_pods_that_have_ended_only_the_latest_stay(self) -> None:
        names = [f"test-{number}" for number in range(MOST_ENDED + 3)]
        for name in names:
            marks.note(name, "begun", (False, "n", name))
            marks.end(name)
        assert [name for name in names if marks.of(name) is not None] == names[3:]


class TestArchive:
    def test_finds_the_latest_of_a_name_or_the_one_meant(self, tmp_path: Path) -> None:
        archive = Archive(tmp_path)
        for uid in ("u1", "u2"):
            archive.write({**TestSteps.timeline, "uid": uid}, [])
        found, first = archive.find("n", "p"), archive.find("n", "p", "u1")
        assert found is not None
        assert first is not None
        assert (found["timeline"]["uid"], first["timeline"]["uid"]) == ("u2", "u1")
        assert archive.find("n", "other") is None

    def test_keeps_only_so_many(self, tmp_path: Path) -> None:
        archive = Archive(tmp_path)
        for number in range(MOST + 2):
            archive.write({**TestSteps.timeline, "uid": f"u{number}"}, [])
        assert len(archive.all()) == MOST

    def test_joins_what_was_before_a_restart_of_podrund(self) -> None:
        later = _marks((20_000, "begun", (True, "n", "p")), (30_000, "sandbox removed", None))
        made = joined(TestSteps.timeline, timeline_of("u", "n", "p", later))
        assert made["milestones"]["removed"] == 9_000_000
        assert made["steps"][-1]["at"] == 30_000_000
        assert made["adopted"] is True


def test_a_pods_life_is_told_and_kept(podrun: Podrun) -> None:
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    container = {"name": "a", "image": "busybox:1.36", "command": ["sleep", "1000"], "readinessProbe": probe}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    podrun.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "told"}, "spec": spec})
    podrun.kubectl("wait", "--for=condition=Ready", "pod/told")
    podrun.kubectl("delete", "pod", "told")

    def removed() -> bool:
        return "removed" in json.loads(podrun.podrun("timeline", "told", "-o", "json"))["milestones"]

    wait_until(removed, 10, "the timeline has no end")
    timeline = json.loads(podrun.podrun("timeline", "told", "-o", "json"))
    reached = timeline["milestones"]
    order = ["posted", "scheduled", "sandbox", "started a", "ready", "ended", "removed"]
    assert sorted(reached, key=lambda name: reached[name]) == order
    kinds = {step["kind"] for step in timeline["steps"]}
    wanted = {"api", "event", "decision", "status", "volume", "network", "namespace", "mount", "process", "cgroup"}
    assert kinds == wanted | {"probe", "signal", "exit"}
    names = [step["name"] for step in timeline["steps"]]
    for name in ("POST", "mount overlay on /rootfs", "configure network", "execve", "SIGTERM", "pivot root"):
        assert name in names
    assert all(step["at"] >= 0 and step["took"] >= 0 for step in timeline["steps"])
    listed = [line.split() for line in podrun.podrun("timeline").splitlines()]
    assert ["default", "told", timeline["uid"], "gone"] in listed
    podrun.crash()
    assert json.loads(podrun.podrun("timeline", "told", "-o", "json"))["milestones"] == reached
    assert "start a" in podrun.podrun("explain-status", "told", "--replay")
    assert json.loads(podrun.podrun("timeline", "told", "-o", "perfetto"))["traceEvents"]
