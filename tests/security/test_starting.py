"""Links, scripts and races that lie in wait for whoever starts a container: what is mounted, executed and entered."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.archives import directory, symlink
from tests.pods.living import Object, Pods, container_status, pod, shell, state
from tests.security import image
from tests.security.conftest import USERS, WAIT, Host, attacker, waiting

EXECUTES_ITSELF = b"""#!/proc/self/exe
import os
found = [f"executed from elsewhere: {os.stat('/proc/self/exe').st_dev != os.stat('/').st_dev}"]

def opened(name):
    try:
        return f"WRITABLE from {os.open(name, os.O_WRONLY)}"
    except OSError as error:
        return error.strerror

held = os.open("/proc/self/exe", os.O_RDONLY)
found += [f"{name}: {opened(name)}" for name in ("/proc/self/exe", f"/proc/self/fd/{held}")]
if os.fork() == 0:
    os.set_inheritable(held, True)
    check = f"import os; os.open('/proc/self/fd/{held}', os.O_WRONLY); print('WRITABLE when nobody executes it')"
    os.close(2)
    os.execv("/usr/bin/python3", ["python3", "-c", check])
os.wait()
print(found, flush=True)
"""
"""CVE-2019-5736: the interpreter of this script is whatever executes it; then it is opened for writing."""


@pytest.fixture(scope="module", autouse=True)
def images_that_attack(attackers: Pods, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """`evil:exe` has the script above; in `evil:links`, what podrun mounts or reads is a link to the outside."""
    folder = tmp_path_factory.mktemp("images")
    path = image.save(folder / "exe.tar", "evil:exe", {"/evil": EXECUTES_ITSELF})
    attackers.podrun.podrun("images", "load", path)
    path.unlink()
    out = "/../../../../../../../.."
    links = [
        symlink("etc/hosts", f"{out}/tmp/evil-hosts"),
        symlink("etc/hostname", f"{out}/tmp/evil-hostname"),
        symlink("etc/resolv.conf", f"{out}/tmp/evil-resolv"),
        symlink("etc/passwd", f"{out}/etc/shadow"),
        symlink("etc/group", f"{out}/etc/gshadow"),
        directory("inner"),
        symlink("inner/up", out),
        symlink("log", f"{out}/tmp"),
        symlink("dev/null", "/proc/sys/kernel/core_pattern"),
        symlink("dev/console", "/proc/kcore"),
        symlink("dev/pts", "/proc"),
    ]
    path = image.save(folder / "links.tar", "evil:links", entries=tuple(links))
    attackers.podrun.podrun("images", "load", path)
    path.unlink()
    yield
    attackers.podrun.delete_pods()


@pytest.mark.parametrize("users", USERS)
def test_a_script_that_is_interpreted_by_who_executes_it(attackers: Pods, users: Object) -> None:
    """CVE-2019-5736: what executes the first process, and what executes `kubectl exec`."""
    name = f"self{len(users)}"
    container = {"name": "a", "image": "evil:exe", "imagePullPolicy": "Never", "command": ["/evil"]}
    attackers.create(pod(name, container, restartPolicy="Never", **users))
    attackers.finished(name)
    first = attackers.log(name)

    waits = {**container, "command": [image.PYTHON, "-c", WAIT]}
    attackers.run(pod(f"{name}-exec", waits, **users))
    entered = attackers.exec(f"{name}-exec", "/evil").stdout

    for said in (first, entered):
        assert "executed from elsewhere: True" in said
        assert "WRITABLE" not in said


SPIES = """
import json, os, time

marker, caught, looks = os.environ["MARKER"], set(), 0

def device(path):
    try:
        return os.stat(path).st_dev
    except OSError:
        return 0

roots = set()
while len(roots) < 2:  # this container's and the other's; pause shows nothing
    roots = {device(f"/proc/{pid}/root/") for pid in os.listdir("/proc") if pid.isdecimal()} - {0}
print("sees", flush=True)
end = time.monotonic() + float(os.environ["SECONDS"])
while time.monotonic() < end:
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        looks += 1
        caught |= {link for link in ("root", "cwd") if os.path.exists(f"/proc/{pid}/{link}{marker}")}
        try:
            program = os.open(f"/proc/{pid}/exe", os.O_WRONLY)
            if os.fstat(program).st_dev not in roots:
                caught.add("a writable program")
            os.close(program)
        except OSError:
            pass
        try:
            caught |= {f"descriptor {fd}" for fd in os.listdir(f"/proc/{pid}/fd")
                       if os.path.exists(f"/proc/{pid}/fd/{fd}{marker}")}
        except OSError:
            pass
print(json.dumps({"caught": sorted(caught), "looks": looks}), flush=True)
"""


def test_who_enters_shows_nothing(attackers: Pods, host: Host) -> None:
    """CVE-2016-9962: with shared processes, a container watches those that enter the pod before they are confined."""
    spy = attacker("spy", SPIES, env=[*host.environment(), {"name": "SECONDS", "value": "3"}])
    attackers.create(pod("watched", spy, shell("b"), restartPolicy="Never", shareProcessNamespace=True))
    attackers.logged("watched", "sees", "spy")
    entered = 0
    while state(attackers.get("watched"), "spy")["is"] == "running":
        attackers.exec("watched", "true", container="b")
        entered += 1
    said = json.loads(attackers.log("watched", "spy").splitlines()[-1])
    assert said["caught"] == []
    assert entered > 3
    assert said["looks"] > 100
    attackers.delete("watched", 0)


def test_a_working_directory_that_is_a_descriptor(attackers: Pods, host: Host) -> None:
    """CVE-2024-21626: /proc/self/fd/N of the process that starts the container, as its working directory."""
    look = f"ls {'../' * 12}{host.marker} .{host.marker} 2>/dev/null; echo looked"
    containers = [shell(f"fd{n}", look, workingDir=f"/proc/self/fd/{n}") for n in range(3, 16)]
    attackers.create(pod("cwd", *containers, restartPolicy="Never"))
    attackers.finished("cwd")
    for name in (one["name"] for one in containers):
        now = state(attackers.get("cwd"), name)
        if now["reason"] == "Completed":
            assert attackers.log("cwd", name) == "looked\n"
        else:
            assert now["reason"] == "StartError"


def test_links_in_an_image_where_podrun_mounts_and_reads(attackers: Pods) -> None:
    """/etc/hosts and its like, /etc/passwd, the termination log, mount points (CVE-2019-16884, CVE-2021-30465)."""
    hosts = Path("/etc/hosts").read_text()
    mounts = [{"name": "v", "mountPath": "/inner/up/tmp/evil-volume"}, {"name": "v", "mountPath": "/log/evil-mount"}]
    look = "open('/etc/hosts', 'a').write('evil'); print(sorted(os.listdir('/tmp')), open('/etc/passwd').read())"
    container = attacker(
        script=f"import os; {look}",
        image="evil:links",
        volumeMounts=mounts,
        terminationMessagePath="/log/evil-termination",
    )
    attackers.create(pod("links", container, volumes=[{"name": "v", "emptyDir": {}}], restartPolicy="Never"))
    attackers.until("links", settled)
    assert Path("/etc/hosts").read_text() == hosts
    assert [name for name in os.listdir("/tmp") if name.startswith("evil")] == []
    if container_status(attackers.get("links")).get("containerID"):
        assert "root:*" not in attackers.log("links")
    attackers.delete("links", 0)


def settled(now: Object) -> bool:
    """Whether it is known how a pod of one container went: it has run, or it is refused."""
    refused = {"CreateContainerError", "RunContainerError", "CreateContainerConfigError"}
    return now["status"]["phase"] in ("Failed", "Succeeded") or state(now).get("reason") in refused


FLIPS = """
import ctypes, os, time
libc = ctypes.CDLL(None)
os.makedirs("/v/real", exist_ok=True); os.path.islink("/v/dir") or os.symlink("/", "/v/dir")
open("/v/flipping", "w").close()
while True:  # RENAME_EXCHANGE: at every instant `dir` is either a directory or a link to /
    libc.syscall(316 if os.uname().machine == "x86_64" else 276, -100, b"/v/dir", -100, b"/v/real", 2)
"""


def test_sub_paths_and_mount_points_that_are_swapped_meanwhile(attackers: Pods, host: Host) -> None:
    """CVE-2017-1002101, CVE-2021-25741 (sub paths), CVE-2021-30465 (a mount point inside another volume)."""
    flipper = attacker("flipper", FLIPS, volumeMounts=[{"name": "v", "mountPath": "/v"}])
    look = f"ls -d /m{host.marker} /m/root /m/proc /v/dir{host.marker} 2>/dev/null; echo looked"
    sub_path: list[Object] = [{"name": "v", "mountPath": "/m", "subPath": "dir"}]
    nested: list[Object] = [{"name": "v", "mountPath": "/v"}, {"name": "w", "mountPath": "/v/dir/inner"}]
    victims = [shell(f"v{n}", look, volumeMounts=(nested, sub_path)[n % 2]) for n in range(12)]
    names = [one["name"] for one in victims]
    volumes = [{"name": "v", "emptyDir": {}}, {"name": "w", "emptyDir": {}}]
    attackers.create(waiting("swap", flipper, *victims, volumes=volumes, restartPolicy="Never"))

    def all_tried(now: Object) -> bool:
        return all(state(now, name).get("reason") not in (None, "ContainerCreating") for name in names)

    now = attackers.until("swap", all_tried, 60)
    ran = [name for name in names if state(now, name)["reason"] == "Completed"]
    for name in ran:
        said = attackers.log("swap", name)
        assert "looked" in said
        assert str(host.marker) not in said
        assert "/m/proc" not in said
    assert ran, now["status"]
    assert not Path("/inner").exists()
    attackers.delete("swap", 0)


@pytest.mark.parametrize("place", ["/proc", "/proc/self/attr", "/proc/sys", "/sys", "/dev", "/dev/pts", "/"])
def test_a_volume_over_what_confines(attackers: Pods, place: str) -> None:
    """CVE-2019-19921, CVE-2023-27561, CVE-2025-52881: volumes over /proc, /sys and /dev, which hide their masks."""
    name = "over" + re.sub("[^a-z]", "-", place).rstrip("-")
    look = (
        "cat /proc/kcore 2>/dev/null | head -c 4 | wc -c; echo x > /proc/sys/kernel/core_pattern; cat /proc/self/status"
    )
    container = shell("a", look, volumeMounts=[{"name": "v", "mountPath": place}])
    attackers.create(pod(name, container, volumes=[{"name": "v", "emptyDir": {}}], restartPolicy="Never"))
    now = attackers.until(name, settled)
    if now["status"]["phase"] == "Succeeded":
        said = attackers.log(name)
        assert said.startswith("0\n")
        assert "Seccomp:\t2" in said or "Seccomp" not in said
    attackers.delete(name, 0)


def test_masks_and_consoles_when_dev_null_is_a_link(attackers: Pods) -> None:
    """CVE-2025-31133, CVE-2025-52565: /dev/null and /dev/console of the image are links to the kernel's files."""
    attackers.run(waiting("console", attacker(image="evil:links", tty=True, stdin=True)))
    ways = ("secrets_of_the_kernel", "core_pattern", "devices_that_are_there")
    said = attackers.exec("console", image.PYTHON, "-m", "tests.security.inside", *ways)
    assert [json.loads(line)["outcome"] for line in said.stdout.splitlines()] == ["held"] * 3
    attackers.delete("console", 0)


def test_the_environment_reaches_nobody_before_the_program(attackers: Pods) -> None:
    """CVE-2025-23266: LD_PRELOAD and its like from a pod are not in the environment of who starts it."""
    trap = {"LD_PRELOAD": "/evil.so", "PYTHONPATH": "/evil", "PYTHONSTARTUP": "/evil.py", "LD_LIBRARY_PATH": "/evil"}
    env = [{"name": name, "value": value} for name, value in trap.items()]
    attackers.run(pod("env", shell("a", env=env)))
    assert "LD_PRELOAD=/evil.so" in attackers.exec("env", "env").stdout
    for pid in (attackers.podrun.daemon_pid, attackers.podrun.spawner_pid):
        assert b"/evil" not in Path(f"/proc/{pid}/environ").read_bytes()
    attackers.delete("env", 0)
