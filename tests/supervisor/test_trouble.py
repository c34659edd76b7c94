"""A rule that breaks for one pod never touches another; it is seen, and tried again later and later."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from podrun.cli.checks import troubles
from podrun.layout import Layout
from podrun.supervisor import syncing
from podrun.supervisor.trouble import counted
from tests.supervisor.conftest import House

pytestmark = pytest.mark.looptime


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of pods on which deciding fails."""
    names = ["bad"]
    decide = syncing.decide  # type: ignore[attr-defined]

    def breaks(pod: Any, *arguments: Any, **more: Any) -> Any:
        if pod.metadata.name in names:
            raise RuntimeError("a rule that /secret/path knows")
        return decide(pod, *arguments, **more)

    monkeypatch.setattr(syncing, "decide", breaks)
    return names


async def test_it_stays_with_its_pod(house: House, broken: list[str], caplog: pytest.LogCaptureFixture) -> None:
    failures = counted.failures
    with caplog.at_level(logging.ERROR):
        await house.create({"containers": [{"name": "a"}]}, name="bad", uid="bad")
        await house.create({"containers": [{"name": "b"}]}, name="good", uid="good")
        await asyncio.sleep(100)  # tried at 0, 2, 6, 14, 30, 62
    good = house.store.get("pods", "n", "good")
    assert good is not None
    assert good["status"]["phase"] == "Running"
    assert counted.failures - failures == 6
    assert counted.pods == {"bad": "bad_n(bad)"}
    assert [record.getMessage() for record in caplog.records] == [
        f"pod bad_n(bad): a step of its life failed; it is tried again in {2**n} s" for n in range(1, 7)
    ]
    told = [e for e in house.store.list("events") if e["reason"] == "FailedSync"]
    assert {e["involvedObject"]["name"] for e in told} == {"bad"}
    assert told[0]["message"] == "error syncing pod: RuntimeError; tried again in 2s, podrun's log says more"

    (file,) = (house.tmp_path / "state/troubles").iterdir()
    assert file.read_text() == "bad_n(bad)\nRuntimeError: a rule that /secret/path knows\n"

    broken.clear()
    await asyncio.sleep(30)
    bad = house.store.get("pods", "n", "bad")
    assert bad is not None
    assert bad["status"]["phase"] == "Running"
    assert counted.pods == {}
    assert not file.exists()


def test_the_doctor_says_so(tmp_path: Any) -> None:
    place = Layout(tmp_path).run / "supervisor/troubles"
    place.mkdir(parents=True)
    (place / "bad").write_text("bad_n(bad)\nRuntimeError: what it is\n")
    (found,) = troubles(Layout(tmp_path))
    assert found.what == "podrun itself fails on pod bad_n(bad) and tries again: RuntimeError: what it is"
