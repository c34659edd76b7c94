"""Ways out of a container that could harm a machine where they are open: really gone, on a machine that is ours.

Elsewhere a file is only opened and a call only made with arguments that mean nothing (tests/security); here the disk is
written to, the machine rebooted and frozen, by root in a default container, if podrun lets it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security import image
from tests.security.inside import WAYS
from tests.vm.guest.conftest import run

HARM = r"""
import ctypes, fcntl, json, os, signal, struct
libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    if libc.syscall(number, *arguments) == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))

def wrote(path, text):
    with open(path, "w") as file: file.write(text)

def disk():
    for line in open("/proc/partitions").read().splitlines()[2:]:
        major, minor, _, name = line.split()
        os.mknod(f"/root/{name}", 0o60600, os.makedev(int(major), int(minor)))
        with open(f"/root/{name}", "r+b") as file: file.write(b"\0" * 4096)

def release_agent():
    os.makedirs("/root/cg", exist_ok=True)
    if libc.mount(b"cgroup", b"/root/cg", b"cgroup", 0, b"rdma") == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    wrote("/root/cg/release_agent", "/bin/evil")

def freeze():
    descriptor = os.open("/scratch", os.O_RDONLY)
    fcntl.ioctl(descriptor, 0xC0045877, 0)  # FIFREEZE

HARMS = {
    "reboot by sysrq": lambda: wrote("/proc/sysrq-trigger", "b"),
    "core_pattern": lambda: wrote("/proc/sys/kernel/core_pattern", "|/bin/evil"),
    "modprobe": lambda: wrote("/proc/sys/kernel/modprobe", "/bin/evil"),
    "panic": lambda: wrote("/proc/sys/kernel/panic_on_oops", "1"),
    "uevent_helper": lambda: wrote("/sys/kernel/uevent_helper", "/bin/evil"),
    "power": lambda: wrote("/sys/power/state", "mem"),
    "release_agent": release_agent,
    "every disk": disk,
    "memory": lambda: (os.mknod("/root/mem", 0o20600, os.makedev(1, 1)), open("/root/mem", "r+b").write(b"x")),
    "freeze a file system": freeze,
    "reboot": lambda: call(169, 0xFEE1DEAD, 672274793, 0x1234567, 0),
    "the clock": lambda: call(164, struct.pack("qq", 0, 0), 0),
    "the host's name": lambda: call(170, b"evil", 4),
    "swap off": lambda: call(168, b"/swapfile"),
    "a process of the host": lambda: os.kill(int(os.environ["HOST_PID"]), 9),
}
for name, harm in HARMS.items():
    read, write = os.pipe()
    if os.fork() == 0:
        try:
            harm()
            said = "DONE"
        except OSError as error:
            said = str(error)
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    print(json.dumps([name, os.read(read, 4096).decode()]), flush=True)
    os.close(read)
    os.wait()
"""

MANIFEST = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "attacker"},
    "spec": {
        "containers": [
            {
                "name": "a",
                "image": image.NAME,
                "imagePullPolicy": "Never",
                "command": [image.PYTHON, "-c", "import signal; signal.pause()"],
                "env": [
                    {"name": "PYTHONPATH", "value": "/"},
                    {"name": "SCRATCH", "value": "/scratch"},
                    {"name": "HOST_PID", "value": "99999"},
                    {"name": "MARKER", "value": "/etc/machine-id"},
                ],
                "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
            }
        ],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
        "terminationGracePeriodSeconds": 1,
    },
}


@pytest.fixture(scope="module", autouse=True)
def attackers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    run("scripts/quickstart", seconds=400)
    folder = tmp_path_factory.mktemp("attacker")
    run("podrun", "images", "load", image.save(folder / "image.tar"))
    (folder / "pod.json").write_text(json.dumps(MANIFEST))
    run("podrun", "play", folder / "pod.json")
    yield
    run("kubectl", "delete", "pod", "attacker", "--now")


def test_no_harm_is_done():
    names = ("core_pattern", "modprobe", "panic_on_oops")
    before = [Path(f"/proc/sys/kernel/{name}").read_text() for name in names], Path("/etc/hostname").read_text()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    said = run("kubectl", "exec", "attacker", "--", image.PYTHON, "-c", HARM)
    outcomes = dict(json.loads(line) for line in said.splitlines())
    assert len(outcomes) == 15
    assert [name for name, outcome in outcomes.items() if outcome == "DONE"] == []
    after = [Path(f"/proc/sys/kernel/{name}").read_text() for name in names], run("hostname")
    assert after == before
    assert Path("/proc/sys/kernel/random/boot_id").read_text() == boot
    assert time.time() > 1_700_000_000
    Path("/var/lib/podrun/not-frozen").write_text("x")
    assert run("systemctl", "is-active", "podrun.service") == "active\n"


def test_every_way_out_is_held_on_a_machine_with_all_its_kernel():
    said = run("kubectl", "exec", "attacker", "--", image.PYTHON, "-m", "tests.security.inside", *WAYS)
    outcomes = [json.loads(line) for line in said.splitlines()]
    assert len(outcomes) == len(WAYS)
    assert [one for one in outcomes if one["outcome"] != "held"] == []
