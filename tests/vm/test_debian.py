"""The core of the suite on a Debian machine of our own: systemd as PID 1, nothing but cgroup v2."""

from __future__ import annotations

import pytest

from tests.vm import machine

SECONDS = 1200


@pytest.fixture(scope="session")
def bookworm() -> machine.Disk:
    if missing := machine.missing_host_packages():
        pytest.skip(
            f"no guest can be made without the Debian packages {' '.join(missing)} (scripts/test installs them)"
        )
    return machine.build("bookworm")


@pytest.mark.vm
@pytest.mark.slow
def test_quickstart_seeds_and_restarts_on_debian_12(bookworm: machine.Disk) -> None:
    job = """
        export PODRUN_GUEST=1
        .venv/bin/python -m pytest -q -x -p no:cacheprovider tests/vm/guest
    """
    outcome = machine.run(bookworm, job, seconds=SECONDS)
    assert outcome.status == 0, outcome.explain()


@pytest.mark.vm
@pytest.mark.slow
def test_what_was_acknowledged_outlives_a_power_cut_and_pods_run_again(bookworm: machine.Disk) -> None:
    outcome = machine.run(bookworm, ".venv/bin/python tests/vm/guest/reboot.py", seconds=SECONDS, reboots=True)
    assert outcome.status == 0, outcome.explain()
    assert "boot 1: " in outcome.output
    assert "boot 2: " in outcome.output
