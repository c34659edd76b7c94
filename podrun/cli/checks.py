"""What `podrun doctor` looks at: each check tries the real thing, in a child or a namespace of its own.

A check gives findings: nothing here changes the machine (modules that the kernel loads on demand apart).
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from podrun.layout import Layout
from podrun.lifecycle.pressure import Observation, Threshold


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"
    """Works, with less than there could be."""
    MISSING = "missing"
    """Pods cannot run."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report, and what to do about it."""

    level: Level
    what: str
    to_do: str = ""


Check = Callable[[Layout], Iterator[Finding]]

OLDEST_KERNEL = (5, 15)
_SPACE_WANTED = 2 << 30
_MODULE_OF = {"overlay": "overlay", "mqueue": "", "tmpfs": "", "proc": "", "sysfs": ""}


def all_checks() -> tuple[Check, ...]:
    """In the order of the report."""
    return (
        kernel,
        file_systems,
        overlay,
        network,
        seccomp,
        cgroups,
        firewall,
        resolver,
        names,
        clock,
        disk,
        shortage,
        database,
        troubles,
    )


def kernel(_: Layout) -> Iterator[Finding]:
    """Version, machine, and the namespaces."""
    release = platform.release()
    version = tuple(map(int, (re.findall(r"\d+", release) + ["0", "0"])[:2]))
    if version < OLDEST_KERNEL:
        wanted = ".".join(map(str, OLDEST_KERNEL))
        yield Finding(
            Level.MISSING, f"Linux {release} is older than {wanted}", "boot a newer kernel (Debian 12 has 6.1)"
        )
    elif platform.machine() not in ("x86_64", "aarch64"):
        yield Finding(Level.MISSING, f"{platform.machine()} is no machine that podrun knows", "use x86-64 or arm64")
    else:
        yield Finding(Level.OK, f"Linux {release} on {platform.machine()}")
    kinds = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
    lacking = [kind for kind in kinds if not Path(f"/proc/self/ns/{kind}").exists()]
    for kind in ("ipc", "mnt", "net", "pid", "uts", "cgroup"):
        limit = Path(f"/proc/sys/user/max_{kind}_namespaces")
        if kind not in lacking and limit.exists() and limit.read_text().strip() == "0":
            yield Finding(
                Level.MISSING, f"no {kind} namespaces may be made", f"sysctl user.max_{kind}_namespaces=10000"
            )
    if lacking:
        yield Finding(
            Level.MISSING, f"the kernel has no {', '.join(lacking)} namespaces", "boot your distribution's own kernel"
        )
    else:
        yield Finding(Level.OK, f"namespaces: {', '.join(kinds)}")


def file_systems(_: Layout) -> Iterator[Finding]:
    """Those that a container's root is made of."""
    known = Path("/proc/filesystems").read_text().split()
    lacking = [name for name in _MODULE_OF if name not in known and not _load(_MODULE_OF[name])]
    if lacking:
        yield Finding(
            Level.MISSING,
            f"the kernel has no {', '.join(lacking)}",
            f"modprobe {lacking[0]}; if that fails, boot your distribution's own kernel",
        )
    else:
        yield Finding(Level.OK, f"file systems: {', '.join(_MODULE_OF)}")


def overlay(layout: Layout) -> Iterator[Finding]:
    """An overlay where writable layers will be."""
    place = layout.state
    while not place.exists():
        place = place.parent
    try:
        scratch = tempfile.mkdtemp(prefix=".doctor-", dir=place)
    except OSError as error:
        yield Finding(Level.MISSING, f"{place} cannot be written: {error.strerror}", "make it writable, or use --root")
        return
    try:
        for name in ("lower", "upper", "work", "merged"):
            (Path(scratch) / name).mkdir()
        script = (
            f"cd {scratch} && mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged"
            " && touch merged/file"
        )
        done = _try("unshare", "--mount", "sh", "-c", script)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if done:
        yield Finding(
            Level.MISSING,
            f"no overlay can be mounted below {place}: {done}",
            "its file system cannot hold writable layers (an overlay or a network file system cannot): "
            "put /var/lib/podrun on ext4, xfs or btrfs",
        )
    else:
        yield Finding(Level.OK, f"overlay works below {place}")


_RULES = """
table ip podrun-doctor {
    chain out { type nat hook postrouting priority 100; ip saddr 10.244.0.0/16 masquerade; }
    chain in { type nat hook prerouting priority -100; tcp dport 80 dnat to 10.244.0.2:80; }
    set addresses { type ipv4_addr; }
}
"""


def network(_: Layout) -> Iterator[Finding]:
    """Links and rules, in a network namespace of the check's own."""
    if shutil.which("nft") is None:
        yield Finding(Level.MISSING, "nft is not installed", "apt-get install nftables")
        return
    done = _try("unshare", "--net", "nft", _RULES)
    if done:
        yield Finding(
            Level.MISSING,
            f"nftables' masquerade or dnat does not work: {done}",
            "modprobe nf_tables nft_masq nft_nat; if that fails, boot your distribution's own kernel",
        )
    else:
        yield Finding(Level.OK, "nftables: masquerade, dnat, sets")
    for kind, arguments in (("veth", "left type veth peer name right"), ("dummy", "left type dummy")):
        done = _try("unshare", "--net", "ip", "link", "add", *arguments.split())
        if done and kind == "veth":
            yield Finding(Level.MISSING, f"no veth links: {done}", "modprobe veth")
        elif done:
            yield Finding(Level.NOTE, "no dummy links: the API's address for pods goes on lo instead", "modprobe dummy")
        else:
            yield Finding(Level.OK, f"{kind} links")


def seccomp(_: Layout) -> Iterator[Finding]:
    """Filters, and the library that compiles them."""
    if not Path("/proc/sys/kernel/seccomp/actions_avail").exists():
        yield Finding(
            Level.MISSING,
            "the kernel has no seccomp filters",
            "boot your distribution's own kernel, or run podrun daemon --no-seccomp-default",
        )
        return
    try:
        import pyseccomp  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        yield Finding(Level.MISSING, f"libseccomp cannot be loaded: {error}", "apt-get install libseccomp2")
    else:
        yield Finding(Level.OK, "seccomp: the RuntimeDefault filter can be made")


def cgroups(_: Layout) -> Iterator[Finding]:
    """Which trees there are, and which controllers are missing."""
    from podrun.cgroups import hierarchy

    machine = hierarchy.detect()
    if machine.unified is None and not machine.legacy:
        yield Finding(
            Level.MISSING, "no cgroup tree is mounted", "mount -t cgroup2 none /sys/fs/cgroup, or boot with systemd"
        )
        return
    if machine.unified is not None and not machine.legacy:
        layout = f"v2 at {machine.unified}"
    elif machine.unified is None:
        layout = "v1"
    else:
        layout = f"hybrid: {', '.join(sorted(machine.legacy))} on v1, the rest on v2 at {machine.unified}"
    yield Finding(Level.OK, f"cgroups: {layout}")
    for name in machine.missing():
        to_do = f"boot with cgroup_enable={name}" + (" swapaccount=1" if name == "memory" else "")
        yield Finding(Level.NOTE, f"no {name} controller: limits on it are not kept", to_do)
    if machine.unified is not None:
        from podrun.cgroups.bpf import DevicePrograms

        try:
            os.close(DevicePrograms().program())
        except OSError as error:
            yield Finding(
                Level.MISSING,
                f"no device program can be loaded: {error.strerror}",
                "the kernel needs CONFIG_CGROUP_BPF and CONFIG_BPF_SYSCALL: boot your distribution's own kernel",
            )


def firewall(_: Layout) -> Iterator[Finding]:
    """Other firewalls that drop what is forwarded."""
    from podrun.network import forwarding
    from podrun.network.rules import RulesRefused

    try:
        found = asyncio.run(forwarding.detect())
    except (OSError, RulesRefused) as error:
        yield Finding(Level.NOTE, f"the firewall's rules cannot be read: {error}", "nft list ruleset says more")
        return
    for obstacle in found:
        yield Finding(
            Level.NOTE,
            f"{obstacle.owner}: {obstacle.family} {obstacle.table} {obstacle.chain} drops what it does not know",
            "podrun adds one marked rule there for its pods when it starts; podrun reset takes it away",
        )
    if not found:
        yield Finding(Level.OK, "firewall: nothing stands in the way of pods")


def resolver(_: Layout) -> Iterator[Finding]:
    """Name servers that pods can reach."""
    from podrun.network.resolver import host_resolver

    servers = host_resolver().nameservers
    if servers:
        yield Finding(Level.OK, f"name servers for pods: {', '.join(servers)}")
    else:
        yield Finding(
            Level.NOTE,
            "/etc/resolv.conf names no server that a pod can reach: pods cannot look up names of the world",
            "name one that is not on 127.0.0.0/8",
        )


def names(_: Layout) -> Iterator[Finding]:
    """How this machine finds names of the cluster, and whether its own name server leaves room for cluster DNS."""
    if any(_takes_every_address(Path(f"/proc/net/{kind}").read_text()) for kind in ("udp", "tcp")):
        yield Finding(
            Level.NOTE,
            "a name server here takes port 53 of every address: pods would have no cluster DNS",
            "have it listen at certain addresses only (dnsmasq: bind-interfaces; unbound: interface; bind: listen-on)",
        )
    elif shutil.which("resolvectl"):
        how = "resolvectl dns podrun0 10.96.0.10; resolvectl domain podrun0 '~cluster.local'"
        yield Finding(Level.OK, f"names of the cluster, also on this machine: {how}")
    else:
        yield Finding(Level.OK, "names of the cluster, on this machine: ask the name server 10.96.0.10")


def _takes_every_address(table: str) -> bool:
    """From /proc/net/udp or tcp: whether somebody has port 53 of 0.0.0.0."""
    return any(line.split()[1:2] == ["00000000:0035"] for line in table.splitlines())


def clock(_: Layout) -> Iterator[Finding]:
    """Whether the time can be right: certificates and back-offs depend on it."""
    installed = Path(__file__).stat().st_mtime
    if time.time() < installed - 86400:
        yield Finding(
            Level.MISSING,
            f"the clock says {time.strftime('%F %T')}, which is before podrun was installed",
            "set it: timedatectl set-ntp true, or date --set",
        )
    else:
        yield Finding(Level.OK, f"clock: {time.strftime('%F %T %Z')}")


def disk(layout: Layout) -> Iterator[Finding]:
    """Room for images and writable layers."""
    place = layout.state
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    said = f"{free / (1 << 30):.1f} GiB free at {place}"
    if free < _SPACE_WANTED:
        yield Finding(Level.NOTE, f"only {said}", "images and logs need room: 2 GiB is little")
    else:
        yield Finding(Level.OK, said)


def shortage(layout: Layout) -> Iterator[Finding]:
    """Whether so little is left that podrun starts no pods, and ends some."""
    from podrun.settings import SettingsError, load
    from podrun.supervisor.shortage import observations

    if not layout.state.exists():
        return
    try:
        limits = load(layout.config, {}).eviction_thresholds()
    except SettingsError as error:
        yield Finding(Level.NOTE, str(error), "podrun does not start with it")
        return
    yield from short_of(limits, observations(layout.state, layout.images))


def short_of(limits: Sequence[Threshold], observed: Mapping[str, Observation]) -> Iterator[Finding]:
    """A note for each threshold of eviction that is met."""
    for one in limits:
        if one.is_met(observed):
            available, capacity = observed[one.signal]
            what = f"{one.signal} is {available / capacity:.1%} ({one.least(capacity) / capacity:.1%} is the least)"
            yield Finding(
                Level.NOTE,
                f"pods are not started and some are evicted: {what}",
                f"make room, or set another {'evictionSoft' if one.grace else 'evictionHard'} in config.yaml",
            )


def database(layout: Layout) -> Iterator[Finding]:
    """Whether the database can be read, where no podrund holds it."""
    import sqlite3

    path = layout.database
    if not path.exists() or _is_held(layout.run / "podrund.pid"):
        return
    from podrun.store.journal import FORMAT

    copies = sorted(path.parent.glob(f"{path.name}.before-*"))
    again = f"put {copies[-1].name} in its place, or move" if copies else "move"
    to_do = f"{again} it away and start podrun: pods that run are found again"
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        yield Finding(Level.MISSING, f"the database {path} cannot be read: {error}", to_do)
        return
    if found != FORMAT:
        what = f"the database {path} is of another version of podrun (format {found}, not {FORMAT})"
        yield Finding(Level.MISSING, what, "start that version again: pods that run go on meanwhile")
    elif said != "ok":
        yield Finding(Level.MISSING, f"the database {path} is damaged: {said.splitlines()[-1]}", to_do)
    else:
        yield Finding(Level.OK, f"database: {path.stat().st_size >> 10} KiB at {path}")


def _is_held(claim: Path) -> bool:
    """Whether a podrund runs: it holds the lock of the file that has its number."""
    import fcntl

    try:
        with claim.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def troubles(layout: Layout) -> Iterator[Finding]:
    """Pods whose worker fails in a way that podrun does not foresee."""
    for path in sorted((layout.run / "supervisor/troubles").glob("*")):
        pod, _, why = path.read_text(errors="replace").partition("\n")
        what = f"podrun itself fails on pod {pod} and tries again: {why.strip()}"
        yield Finding(Level.NOTE, what, "podrun's log says more; this is a fault in podrun: please report it")


def _load(module: str) -> bool:
    return bool(module) and shutil.which("modprobe") is not None and not _try("modprobe", module)


def _try(*argv: str) -> str:
    """ "" when it succeeds, else what it said."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    said = (done.stderr or done.stdout).strip().splitlines()
    return said[0] if said else f"exit code {done.returncode}"
