"""Processes, descriptors and paths of others; the network."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import ssl
import stat
import struct
import urllib.error
import urllib.request
from pathlib import Path

from tests.security.inside.ways import ABSTRACT, MARKER, Held, way


@way()
def links_of_processes() -> str:
    """/proc/PID/{root,cwd,exe,fd/N} of every process that can be seen: CVE-2019-5736, CVE-2024-21626."""
    seen = 0
    for process in Path("/proc").glob("[0-9]*"):
        links = [process / "root", process / "cwd"]
        with contextlib.suppress(OSError):
            links += (process / "fd").iterdir()
        for link in links:
            seen += 1
            for up in ("", *("../" * depth for depth in (1, 4, 16))):
                with contextlib.suppress(OSError):
                    if os.stat(f"{link}/{up}{MARKER.lstrip('/')}"):
                        return f"{MARKER} by {link}"
    raise Held(f"{seen} links lead nowhere else")


@way(control=False)
def descriptors_that_were_left_open() -> str:
    """CVE-2016-9962, CVE-2024-21626: what this process and process 1 have open."""
    own = os.stat("/").st_dev
    for process in ("self", "1"):
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):
                target, found = os.readlink(descriptor), os.stat(descriptor)
                is_stream = stat.S_ISFIFO(found.st_mode) or stat.S_ISSOCK(found.st_mode) or target.startswith("/dev/")
                if not is_stream and found.st_dev != own and not target.startswith(f"/proc/{os.getpid()}/"):
                    return f"{descriptor} is {target}"
    raise Held("pipes and devices only")


@way(control=False)
def programs_of_processes() -> str:
    """/proc/PID/exe opened for writing (CVE-2019-5736): only files of this container's own root can be."""
    own = os.stat("/").st_dev
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(process / "exe", os.O_WRONLY)
            if os.fstat(descriptor).st_dev != own:
                return f"{process}/exe is a writable file of another file system"
    raise Held("no program of others can be written")


@way(control=False)
def files_mounted_by_podrun() -> str:
    """/etc/hosts, /etc/hostname, /etc/resolv.conf and the termination log cannot be replaced by links."""
    for name in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/termination-log"):
        for replace in (lambda path: os.unlink(path), lambda path: os.rename(path, f"{path}.old")):
            try:
                replace(name)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
            else:
                return f"{name} can be replaced by a link"
    raise Held("EBUSY: they are mounts")


@way(control=False)
def paths_of_mounts() -> str:
    """proc_pid_mountinfo(5) names directories of the host: none of them leads anywhere from here."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        root = line.split(" ")[3]
        if root != "/" and root.startswith(str(Path(MARKER).parent)) and Path(root).exists():
            return f"{root} of the host"
    raise Held("no path of the host is there")


@way()
def abstract_socket_of_the_host() -> str:
    """unix(7): abstract names belong to the network namespace (containerd-shim, CVE-2020-15257)."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"\0{ABSTRACT}")
    return "a socket of the host answered"


@way(control=False)
def sockets_of_podrun() -> str:
    """Sockets anywhere in the container's files, and where podrun's own are on the host."""
    for directory, directories, names in os.walk("/"):
        if directory == "/":
            directories[:] = [name for name in directories if name not in ("proc", "sys")]
        for name in names:
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK(os.lstat(f"{directory}/{name}").st_mode):
                    return f"{directory}/{name}"
    raise Held("there is none")


@way()
def change_a_link() -> str:
    """netdevice(7), SIOCSIFMTU (CAP_NET_ADMIN): to what it is already."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sI20x", b"lo", 0)
        mtu = fcntl.ioctl(any_socket, 0x8921, request)
        fcntl.ioctl(any_socket, 0x8922, mtu)
    return "links can be changed"


@way(control=False)
def add_an_address() -> str:
    """rtnetlink(7), RTM_NEWADDR: a neighbour's address on our link."""
    return _netlink(0, 20, struct.pack("BBBBI", socket.AF_INET, 32, 0, 0, 1) + struct.pack("HH4B", 8, 2, 10, 244, 9, 9))


@way(control=False)
def change_the_packet_filter() -> str:
    """nfnetlink: nf_tables (CVE-2022-32250, CVE-2024-1086 need it)."""
    begin = struct.pack("IHHIIBBH", 20, 16, 1, 1, 0, 0, 0, 10 << 8)
    return _netlink(12, 0, begin[16:], whole=begin)


def _netlink(family: int, kind: int, payload: bytes, whole: bytes = b"") -> str:
    """A request for a change, acknowledged; raises the OSError that the acknowledgement carries."""
    message = whole or struct.pack("IHHII", 16 + len(payload), kind, 0x605, 1, 0) + payload
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family) as link:
        link.settimeout(2)
        link.send(message)
        try:
            answer = link.recv(4096)
        except TimeoutError:
            raise Held("no answer") from None
    code = -struct.unpack_from("i", answer, 16)[0]
    if code:
        raise OSError(code, os.strerror(code))
    return "the kernel has done it"


@way()
def sockets_to_the_hypervisor() -> str:
    """vsock(7) knows no namespaces: a way to the machine that the host runs on (moby's default profile refuses it)."""
    with contextlib.suppress(ConnectionError, TimeoutError):
        socket.socket(40, socket.SOCK_STREAM).close()
    return "a vsock"


@way(control=False)
def the_api_without_a_name() -> str:
    """Anonymous requests to the API: more than health and version."""
    return _ask_the_api(None)


@way(control=False)
def the_api_by_the_pods_token() -> str:
    """A pod's own token opens nothing that nobody gave it (RBAC)."""
    return _ask_the_api(Path("/var/run/secrets/kubernetes.io/serviceaccount/token").read_text())


def _ask_the_api(token: str | None) -> str:
    context = ssl.create_default_context(cafile="/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    refused = []
    for path in (
        "/api/v1/secrets",
        "/api/v1/nodes",
        "/api/v1/namespaces/default/pods",
        "/metrics",
        "/podrun/v1/images",
        "/api/v1/nodes/x/proxy/pods",
        "/logs/",
        "/configz",
    ):
        try:
            with urllib.request.urlopen(
                urllib.request.Request(f"https://10.96.0.1{path}", headers=headers), context=context, timeout=5
            ) as answer:
                return f"{path} answered {answer.status}"
        except urllib.error.HTTPError as error:
            if error.code not in (401, 403, 404):
                return f"{path} answered {error.code}"
            refused.append(error.code)
    raise Held(f"refused: {sorted(set(refused))}")
