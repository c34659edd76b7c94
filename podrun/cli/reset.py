"""`podrun reset`: takes podrun off the machine, in the reverse order of its coming, and leaves no trace.

Each step is harmless where there is nothing to do, so a reset that was interrupted is simply run again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from podrun.cli.errors import FAILED, NOT_ROOT, OK, CommandError
from podrun.layout import Layout

EXAMPLES = """\
examples:
  sudo podrun reset            asks first: every pod, image and object goes
  sudo podrun reset --yes

What the host had before is put back: ip_forward, other firewalls' chains, your kubeconfig's contexts.
"""

UNIT = Path("/etc/systemd/system/podrun.service")
_STOP_SECONDS = 15.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise CommandError("reset ends processes and removes mounts", "run it with sudo", NOT_ROOT)
    layout = Layout(arguments.root)
    if not arguments.yes and not _agreed(layout):
        print("nothing was done")
        return FAILED
    if layout.is_machine:
        _remove_service()
    _stop_daemon(layout)
    asyncio.run(_end_pods(layout))
    _unmount_below(layout)
    if layout.is_machine:
        _forget_commands()
        from podrun.cli import kubeconfig

        kubeconfig.unmerge_all()
    left = _remove_files(layout)
    if left:
        raise CommandError(f"these could not be removed: {', '.join(left)}", "look who uses them, and run it again")
    print("podrun is gone: no process, mount, link, rule, cgroup or file is left")
    return OK


def _agreed(layout: Layout) -> bool:
    where = "on this machine" if layout.is_machine else f"below {layout.root}"
    print(f"This ends every pod of podrun {where} and removes its images, objects, logs and settings.")
    try:
        return input("Go on? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _remove_service() -> None:
    if not UNIT.exists():
        return
    subprocess.run(["systemctl", "disable", "--now", "--quiet", UNIT.name], check=False)
    UNIT.unlink()
    subprocess.run(["systemctl", "daemon-reload"], check=False)


def _stop_daemon(layout: Layout) -> None:
    """End podrund (SIGTERM: it tells the spawner not to start it again) and wait for its end."""
    try:
        pid = int((layout.run / "podrund.pid").read_text())
        if b"podrun" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return
        pidfd = os.pidfd_open(pid)
    except (OSError, ValueError):
        return
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        if not select.select([pidfd], [], [], _STOP_SECONDS)[0]:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            select.select([pidfd], [], [], _STOP_SECONDS)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


async def _end_pods(layout: Layout) -> None:
    """The spawner with all that it runs, then what the kernel keeps for them: cgroups, links, rules."""
    from podrun.cgroups import hierarchy, scope
    from podrun.cgroups.ending import end
    from podrun.cgroups.tree import PodGroups
    from podrun.network.pods import PodNetwork
    from podrun.network.rules import RulesRefused
    from podrun.runtime import apparmor
    from podrun.spawner.client import SpawnerClient
    from podrun.spawner.start import SpawnerLost

    with contextlib.suppress(SpawnerLost):
        spawner = await SpawnerClient.connect(layout.spawner_run)
        await spawner.supervise((), {}, Path("/"), None)
        await spawner.leave(force=True)
    machine = hierarchy.detect()
    names = [layout.name]
    if scope.wanted(machine):
        names.append(f"{await scope.ensure(machine)}/{layout.name}")
    for name in names:
        groups = PodGroups(machine, name)
        for group in groups.pods().values():
            await end(group)
        groups.remove()
    if scope.wanted(machine) and layout.is_machine:
        await scope.stop()
    if layout.state.exists():
        with contextlib.suppress(RulesRefused):
            await PodNetwork(layout.state / "network").reset()
    if layout.is_machine:
        with contextlib.suppress(OSError):
            apparmor.unload_default()


def _unmount_below(layout: Layout) -> None:
    """Volumes in memory, the innermost first. A disk that somebody mounted at one of the places stays."""
    from podrun.kernel import mounts
    from podrun.kernel.flags import UmountFlags

    places = tuple(f"{place}/" for place in (layout.state, layout.run))
    for target in reversed(_mount_points()):
        if target.startswith(places):
            with contextlib.suppress(OSError):
                mounts.umount(target, UmountFlags.DETACH)


def _mount_points() -> list[str]:
    """In the order in which they were mounted."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split(" ")[4].replace("\\040", " ") for line in lines]


def _forget_commands() -> None:
    """Links in /usr/local/bin that lead into this installation."""
    here = Path(sys.executable).parent
    for name in ("podrun", "kubectl"):
        link = Path("/usr/local/bin", name)
        if link.is_symlink() and Path(os.readlink(link)).parent == here:
            link.unlink()


def _remove_files(layout: Layout) -> list[str]:
    """Everything on disk; what could not be removed."""
    left = []
    for path in (*_log_directories(layout), layout.state, layout.run, layout.etc):
        shutil.rmtree(path, ignore_errors=True)
        # What somebody mounted there is emptied, and stays.
        if path.exists() and (any(path.iterdir()) or str(path) not in _mount_points()):
            left.append(str(path))
    layout.daemon_log.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        layout.logs.rmdir()
    return left


def _log_directories(layout: Layout) -> list[Path]:
    """Pods' logs: all of them, but those of a kubelet that lives on this machine too."""
    kubelet = Path(layout.root, "var/lib/kubelet/pods")
    if not layout.logs.is_dir():
        return []
    return [path for path in layout.logs.iterdir() if not (kubelet / path.name.rpartition("_")[2]).exists()]
