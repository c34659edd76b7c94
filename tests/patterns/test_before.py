"""The patterns in which something has to be done before the app starts: what their pages claim."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.patterns.conftest import Pattern

Play = Callable[[str], Pattern]


def test_init_tasks_are_done_by_containers_with_the_rights_for_it(play: Play) -> None:
    pattern = play("init-tasks")
    machines_own = Path("/proc/sys/net/core/somaxconn").read_text()
    pattern.apply("pod.yaml")
    pattern.wait("app", until="jsonpath={.status.initContainerStatuses[2].state.running}")
    assert "Init:2/3" in pattern.podrun.kubectl("get", "pod", "app")
    pattern.apply("bootstrap.yaml")
    pattern.wait("app")
    assert '"shelves": 12' in pattern.logs("app", "app")
    assert pattern.exec("app", "app", "cat", "/proc/sys/net/core/somaxconn") == "1234\n"
    assert Path("/proc/sys/net/core/somaxconn").read_text() == machines_own
    assert pattern.exec("app", "app", "stat", "-c", "%u %a", "/data") == "1000 750\n"
    assert "CapEff:\t0000000000000000" in pattern.exec("app", "app", "cat", "/proc/self/status")


def test_the_app_waits_for_its_database_and_migrations_run_once(play: Play) -> None:
    pattern = play("wait-and-migrate")
    pattern.apply("pod.yaml")
    pattern.logged("report", "wait-for-db", "the database is not there yet")
    assert "Init:0/2" in pattern.podrun.kubectl("get", "pod", "report")
    pattern.apply("database.yaml")
    pattern.wait("report", until="jsonpath={.status.phase}=Succeeded")
    assert pattern.logs("report", "migrate") == "01-books.sql: done\n02-pages.sql: done\n"
    report = pattern.logs("report", "report")
    assert [line.split() for line in report.splitlines()[2:4]] == [["Cgroups", "|", "320"], ["Namespaces", "|", "100"]]
    pattern.podrun.kubectl("delete", "pod", "report")
    pattern.apply("pod.yaml")
    pattern.wait("report", until="jsonpath={.status.phase}=Succeeded")
    assert pattern.logs("report", "migrate") == "01-books.sql: done before\n02-pages.sql: done before\n"
    assert pattern.logs("report", "report") == report
