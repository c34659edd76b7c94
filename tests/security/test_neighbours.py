"""Pods against each other, against whoever is attached to them, and against podrun's own doors on the host."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pods.living import Object, Pods, running, shell
from tests.security import image
from tests.security.conftest import OWN_USERS, USERS, Host, attacker, waiting

LISTENS = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 9999))
print("listening", flush=True)
while True: print(s.recvfrom(1000)[0].decode(), flush=True)
"""

SENDS = """
import socket, struct, sys
source, target, text = sys.argv[1], sys.argv[2], sys.argv[3].encode()
udp = struct.pack("!HHHH", 9999, 9999, 8 + len(text), 0) + text
ends = socket.inet_aton(source), socket.inet_aton(target)
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, *ends)
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
s.sendto(ip + udp, (target, 0))
"""
"""A datagram with a source of our choice (raw(7); CAP_NET_RAW is a default capability)."""

CLAIMS_AND_LISTENS = """
import fcntl, socket, struct, sys, time
victim = socket.inet_aton(sys.argv[1])
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(("eth0", 0))
mac = s.getsockname()[4]
for operation in (1, 2):  # a request and an answer: both teach who listens
    arp = struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, operation, mac, victim, b"\\xff" * 6, victim)
    for _ in range(3): s.send(b"\\xff" * 6 + mac + b"\\x08\\x06" + arp)
print("claimed", flush=True)
s.settimeout(0.2)
end, seen = time.monotonic() + 2, []
while time.monotonic() < end:
    try: seen.append(s.recv(2000))
    except TimeoutError: pass
print("saw it" if any(b"for the victim" in frame for frame in seen) else "saw nothing of it", flush=True)
"""
"""ARP spoofing and a look at everything that passes (arp(7), packet(7))."""


@pytest.fixture(scope="module", autouse=True)
def pods_go(attackers: Pods) -> Iterator[None]:
    yield
    attackers.podrun.delete_pods()


@pytest.fixture(scope="module")
def three(attackers: Pods) -> dict[str, str]:
    """Addresses of three pods that listen, by name."""
    names = ("spoofer", "victim", "target")
    attackers.create(*(waiting(name, attacker(script=LISTENS)) for name in names))
    attackers.ready(*names)
    for name in names:
        attackers.logged(name, "listening")
    return {name: attackers.address(name) for name in names}


def test_no_pod_speaks_with_anothers_address(attackers: Pods, three: dict[str, str]) -> None:
    """RFC 2827; the control is a datagram of the same making with the pod's own address."""
    for source, text in ((three["victim"], "spoofed"), ("10.96.0.1", "spoofed"), (three["spoofer"], "honest")):
        said = attackers.exec("spoofer", image.PYTHON, "-c", SENDS, source, three["target"], text)
        assert said.returncode == 0, said.stderr
    attackers.logged("target", "honest")
    assert "spoofed" not in attackers.log("target")


def test_no_pod_gets_anothers_packets(attackers: Pods, three: dict[str, str]) -> None:
    """Each pod has a link of its own: what it claims there, nobody else hears, and nothing of others passes."""
    command = ("kubectl", "exec", "spoofer", "--", image.PYTHON, "-c", CLAIMS_AND_LISTENS, three["victim"])
    with running(attackers.podrun, *command) as listening:
        assert listening.stdout is not None
        assert listening.stdout.readline() == "claimed\n"
        attackers.exec("target", image.PYTHON, "-c", SENDS, three["target"], three["victim"], "for the victim")
        attackers.logged("victim", "for the victim")
        assert listening.stdout.readline() == "saw nothing of it\n"
    assert "for the victim" not in attackers.log("spoofer")


def test_a_terminal_cannot_be_typed_into_from_inside(attackers: Pods) -> None:
    """TIOCSTI (CVE-2016-2568 and its like): what a container pushes into its terminal never reaches the user's."""
    attackers.run(waiting("typist"))
    push = "import fcntl; [fcntl.ioctl(0, 0x5412, bytes([c])) for c in b'touch it'+bytes([10])]"
    command = f"""kubectl exec -it typist -- {image.PYTHON} -c "{push}"; IFS= read -t 1 -r line; echo "then [$line]" """
    assert attackers.podrun.type_into(command, []).rstrip().endswith("then []")


SHARED = """
import ctypes, json, os
libc = ctypes.CDLL(None, use_errno=True)
found = {}

def tried(name, attempt):
    try: found[name] = repr(attempt())
    except OSError as error: found[name] = error.strerror

marker = os.environ["MARKER"]
tried("root of pause", lambda: os.listdir("/proc/1/root"))
tried("directory of pause", lambda: os.listdir("/proc/1/cwd"))
tried("program of pause", lambda: os.open("/proc/1/exe", os.O_WRONLY))
tried("memory of pause", lambda: os.open("/proc/1/mem", os.O_RDWR))
tried("descriptors of pause", lambda: os.readlink("/proc/1/fd/0"))
tried("environment of pause", lambda: open("/proc/1/environ").read())
seen = filter(str.isdecimal, os.listdir("/proc"))
found["marker"] = [pid for pid in seen if os.path.exists(f"/proc/{pid}/root{marker}")]
os.kill(1, 9)
tried("pause lives", lambda: os.stat("/proc/1").st_uid)
print(json.dumps(found))
"""


@pytest.mark.parametrize("users", USERS)
def test_pause_shows_nothing_where_processes_are_shared(attackers: Pods, host: Host, users: Object) -> None:
    """proc(5): what a container can do to the first process of its pod, and through it to the host."""
    name = f"shared{len(users)}"
    attackers.run(waiting(name, attacker(env=host.environment()), shell("b"), shareProcessNamespace=True, **users))
    said = attackers.exec(name, image.PYTHON, "-c", SHARED)
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found.pop("marker") == []
    assert found.pop("pause lives").isdecimal()
    assert set(found.values()) <= {"Permission denied", "[]", "''", "Operation not permitted"}, found


def test_the_spawners_socket_is_closed_to_a_pod_that_was_given_it(attackers: Pods) -> None:
    """unix(7), SO_PEERCRED: root with the host's processes, and still in another mount namespace."""
    run = attackers.podrun.layout.spawner_run
    greet = "import socket; s=socket.socket(1, 5); s.connect('{}/socket'); print(s.recv(1000)[:20])"
    mounts = [{"name": "v", "mountPath": "/given"}]
    privileged = attacker(securityContext={"privileged": True}, volumeMounts=mounts)
    volumes = [{"name": "v", "hostPath": {"path": str(run)}}]
    attackers.run(waiting("given", privileged, volumes=volumes, hostPID=True))
    assert attackers.exec("given", image.PYTHON, "-c", greet.format("/given")).stdout == "b''\n"
    ours = attackers.podrun.run("python3", "-c", greet.format(run)).stdout
    assert ours != "b''\n"
    assert stat.S_IMODE(run.stat().st_mode) == 0o700


EVIL_TAR = b"""#!/usr/bin/python3
import io, sys, tarfile
with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as tar:
    def add(name, kind=tarfile.REGTYPE, link=""):
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
        tar.addfile(info, io.BytesIO(b"evil"))
    add("etc/../../../evil-up")
    add("/tmp/evil-absolute")
    add("etc/out", tarfile.SYMTYPE, "../../..")
    add("etc/out/evil-by-link")
    add("etc/hard", tarfile.LNKTYPE, "/etc/passwd")
    add("etc/good")
"""


def test_a_copy_from_a_pod_stays_where_it_goes(attackers: Pods, tmp_path: Path) -> None:
    """CVE-2018-1002100, CVE-2019-1002101, CVE-2019-11246, CVE-2019-11249: the pod's own tar answers `kubectl cp`."""
    path = image.save(tmp_path / "tar.tar", "evil:tar", {"/usr/bin/tar": EVIL_TAR})
    attackers.podrun.podrun("images", "load", path)
    attackers.run(waiting("copied", attacker(image="evil:tar")))
    target = attackers.podrun.root / "deep/er/copy"
    target.mkdir(parents=True)
    attackers.podrun.run("kubectl", "cp", "copied:/etc", target, check=False)
    evil = [path for path in attackers.podrun.root.glob("**/evil-*") if "overlay" not in str(path)]
    assert [path for path in evil if not path.is_relative_to(target)] == []
    assert not Path("/tmp/evil-absolute").exists()
    assert not any(path.is_symlink() for path in target.rglob("*"))


def test_a_setuid_program_of_a_pod_is_out_of_reach_on_the_host(attackers: Pods) -> None:
    """CVE-2021-41091: a program that a pod's root makes setuid, on a volume or in its root, and a user of the host."""
    mounts = [{"name": "v", "mountPath": "/v"}]
    obj = waiting("setuid", attacker(volumeMounts=mounts), volumes=[{"name": "v", "emptyDir": {}}])
    attackers.run(obj)
    make = (
        "import os, shutil; [(shutil.copy('/usr/bin/python3', p), os.chmod(p, 0o4755)) for p in ('/v/suid', '/suid')]"
    )
    assert attackers.exec("setuid", image.PYTHON, "-c", make).returncode == 0
    top = attackers.podrun.root
    found = [Path(where, "suid") for where, _, names in os.walk(top) if "suid" in names]
    assert len(found) >= 2
    for path in found:
        assert path.stat().st_mode & stat.S_ISUID
        within = [parent for parent in path.parents if parent.is_relative_to(top) and parent != top]
        assert any(parent.stat().st_mode & 0o005 == 0 for parent in within), f"others reach {path}"


@OWN_USERS
def test_what_a_pod_with_users_of_its_own_writes_belongs_to_nobody(attackers: Pods) -> None:
    """user_namespaces(7): its root's files on a volume are those of a user that exists nowhere else."""
    mounts = [{"name": "v", "mountPath": "/v"}]
    container = attacker(volumeMounts=mounts)
    attackers.run(waiting("mapped", container, volumes=[{"name": "v", "emptyDir": {}}], hostUsers=False))
    attackers.exec("mapped", image.PYTHON, "-c", "open('/root/written', 'w'); open('/v/written', 'w')")
    status = Path(f"/proc/{attackers.pid('mapped')}/status").read_text()
    uids = {int(word) for line in status.splitlines() if line.startswith(("Uid:", "Gid:")) for word in line.split()[1:]}
    assert min(uids) >= 65536


FRAMES = """
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(("eth0", 0))
mac = s.getsockname()[4]
GATEWAY = bytes.fromhex("eeeeeeeeeeee")

def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16: total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF

def datagram(source, target, text):
    udp = struct.pack("!HHHH", 9999, 9998, 8 + len(text), 0) + text
    ends = map(socket.inet_aton, (source, target))
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, *ends)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + udp

def advertisement():
    source = socket.inet_pton(socket.AF_INET6, "fe80::bad")
    target = socket.inet_pton(socket.AF_INET6, "ff02::1")
    network = socket.inet_pton(socket.AF_INET6, "2001:db8:bad::")
    prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + network
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix
    pseudo = source + target + struct.pack("!II", len(body), 58)
    body = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
    return struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + source + target + body

own, host = sys.argv[1:]
s.send(GATEWAY + mac + b"\\x08\\x00" + datagram(own, "127.0.0.1", b"to loopback"))
s.send(bytes.fromhex("333300000001") + mac + b"\\x86\\xdd" + advertisement())
s.send(GATEWAY + mac + b"\\x08\\x00" + datagram(own, host, b"to the host"))
"""
"""Frames of a pod's own making, straight to the host's end of its link."""

HEARS = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 9998))
print("listening", flush=True)
while True: print(s.recvfrom(1000)[0].decode(), flush=True)
"""


def test_the_hosts_loopback_and_routes_are_out_of_reach(attackers: Pods, three: dict[str, str]) -> None:
    """CVE-2020-8558 (route_localnet), CVE-2020-10749 (router advertisements); the control is what the host may hear."""
    podrun = attackers.podrun
    before = podrun.run("ip", "-6", "route").stdout, podrun.run("ip", "-6", "-o", "addr").stdout
    host = str(attackers.get("spoofer")["status"]["hostIP"])
    with running(podrun, "python3", "-c", HEARS) as listening:
        assert listening.stdout is not None
        assert listening.stdout.readline() == "listening\n"
        said = attackers.exec("spoofer", image.PYTHON, "-c", FRAMES, three["spoofer"], host)
        assert said.returncode == 0, said.stderr
        assert listening.stdout.readline() == "to the host\n"
    after = podrun.run("ip", "-6", "route").stdout, podrun.run("ip", "-6", "-o", "addr").stdout
    assert "2001:db8:bad" not in str(after)
    assert after == before
