"""The daemon renews its certificates by a timer, a month before the first of them ends, and serves the new ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from podrun.apiserver.pki import Pki
from podrun.daemon import _Daemon

DAY = 86400.0


class Timed:
    """A daemon without anything but its timer: `timers` has the delays and what is called then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, certificates: Callable[[], Pki]) -> None:
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.served = 0
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "call_later", lambda delay, then: self.timers.append((delay, then)))
        self.daemon = object.__new__(_Daemon)
        monkeypatch.setattr(self.daemon, "_certificates", certificates, raising=False)

    def reload_certificates(self) -> None:
        self.served += 1

    def begin(self, certificates: Pki) -> None:
        self.daemon._renew_later(certificates, self)  # type: ignore[arg-type]


async def test_new_certificates_are_served_and_the_next_ones_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    timed = Timed(monkeypatch, lambda: Pki(tmp_path, time.time() + 335 * DAY))
    timed.begin(Pki(tmp_path, time.time() + 3600))
    delay, renew = timed.timers[0]
    assert delay == pytest.approx(3600, abs=60)
    assert timed.served == 0
    renew()
    assert timed.served == 1
    assert timed.timers[1][0] == DAY  # looked at each day: a clock may jump


async def test_what_cannot_be_renewed_is_tried_again_in_a_minute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def full() -> Pki:
        raise OSError(28, "No space left on device")

    timed = Timed(monkeypatch, full)
    timed.begin(Pki(tmp_path, time.time() - DAY))
    timed.timers[0][1]()
    assert [delay for delay, _ in timed.timers] == [60.0, 60.0]
    assert "No space left on device" in caplog.text
