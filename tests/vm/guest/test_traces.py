"""The last of the guest's tests: afterwards there is no podrun."""

from __future__ import annotations

from pathlib import Path

from tests.vm.guest.conftest import run


def test_reset_leaves_no_trace():
    run("podrun", "reset", "--yes")
    assert not Path("/var/lib/podrun").exists()
    assert not Path("/run/podrun").exists()
    assert not Path("/etc/podrun").exists()
    assert not list(Path("/sys/fs/cgroup").rglob("podrun*"))
    assert "podrun" not in run("nft", "list", "ruleset")
    links = [line.split(": ")[1] for line in run("ip", "-o", "link").splitlines()]
    assert sorted(link.split("@")[0] for link in links) == ["eth0", "lo"]
    listing = run("ps", "-eo", "args")
    assert "podrun spawner" not in listing
    assert "podrun daemon" not in listing
    assert "podrun" not in Path("/proc/self/mountinfo").read_text()
