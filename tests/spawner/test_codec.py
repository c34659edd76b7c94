"""Messages survive the journey, and what is not understood is refused."""

from __future__ import annotations

import json

import pytest

from podrun.kernel.flags import Clone, MountAttr, MountFlags
from podrun.spawner import codec, plan, protocol
from podrun.spawner.plan import Passed

SPAWN = protocol.Spawn(
    id="c1",
    kind="container",
    argv=("sh", "-c", "true"),
    env=("A=ü", "B=\udcff"),
    join_pid=Passed(2),
    plan=(
        plan.EnterCgroups((Passed(0), Passed(1))),
        plan.Setns(Passed(2), Clone.NET | Clone.IPC),
        plan.Netlink(b"\0\xff", ((4, Passed(3)),)),
        plan.Overlay(("/a", "/b"), "/u", "/w"),
        plan.Mount("proc", "/proc", MountFlags.NOSUID | MountFlags.NODEV),
        plan.Bind("/data", source=Passed(4), set=MountAttr.RDONLY),
    ),
    stdio=protocol.Stdio(log=protocol.Log("/var/log/x")),
    capabilities=protocol.Capabilities(1, 2, 3),
    seccomp=protocol.Seccomp(b"filter"),
    rlimits=((7, 1, 2),),
    oom_score_adj=-5,
)


@pytest.mark.parametrize(
    "message",
    [
        SPAWN,
        protocol.Living(
            (protocol.Process("a", "pause", 1, 2, 3, ("pidfd",)),), (protocol.Exit("b", "exec", 1, 2, 3, 4),)
        ),
        protocol.Failed(protocol.Failure("plan", 2, "mount", "/x", 3, "mount proc on /x", "no")),
        protocol.Done(),
    ],
)
def test_a_message_comes_back_equal(message: object) -> None:
    assert codec.decode(json.loads(json.dumps(codec.encode(message)))) == message


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"t": "Launch"}, "unknown message"),
        ({"t": "Signal", "id": "a", "signal": 9, "softly": True}, "unknown field 'softly'"),
        ({"t": "Signal", "id": "a"}, "signal"),
        ({"t": "Signal", "id": "a", "signal": "9"}, "not"),
        ({"t": "Signal", "id": "a", "signal": True}, "not"),
        ([], "object"),
    ],
)
def test_what_is_not_understood_is_refused(data: object, complaint: str) -> None:
    with pytest.raises(codec.CodecError, match=complaint):
        codec.decode(data)


def test_every_step_can_be_described() -> None:
    assert [plan.describe(step) for step in SPAWN.plan] == [
        "enter cgroups",
        "join namespaces ipc,net",
        "configure network",
        "mount overlay on /rootfs",
        "mount proc on /proc",
        "bind mount on /data",
    ]
