"""AppArmor: what the kernel has loaded, and the profile of containers that name none.

containerd confines every container that says nothing else by a profile of its own making; podrun does the same under
another name, so that neither replaces the other's. What it forbids beside what capabilities, seccomp and read-only
mounts already do: mounting, writing to what of /proc and /sys concerns the machine, and touching processes that are
not containers.
"""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path

log = logging.getLogger(__name__)

DEFAULT = "podrun-default"
_KERNEL = Path("/sys/kernel/security/apparmor")
_PARSERS = ("/sbin/apparmor_parser", "/usr/sbin/apparmor_parser")

PROFILE = f"""
profile {DEFAULT} flags=(attach_disconnected, mediate_deleted) {{
  network,
  capability,
  file,
  umount,

  signal (receive) peer=unconfined,
  signal (send, receive) peer={DEFAULT},
  ptrace (trace, read, tracedby, readby) peer={DEFAULT},

  deny mount,

  # of /proc only what belongs to processes and to the container's own namespaces
  deny /proc/* w,
  deny /proc/{{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}}/** w,
  deny /proc/sys/[^kn]** w,
  deny /proc/sys/kernel/{{?,??,[^s][^h][^m]**}} w,
  deny /proc/sysrq-trigger rwklx,
  deny /proc/kcore rwklx,

  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}}
"""


def is_loaded(profile: str) -> bool:
    """Whether the kernel has a profile of this name."""
    try:
        lines = (_KERNEL / "profiles").read_text().splitlines()
    except OSError:
        return False
    return any(line.rpartition(" (")[0] == profile for line in lines)


def load_default() -> str:
    """The default profile's name once the kernel has it; "" where it cannot be loaded, which is logged."""
    if is_loaded(DEFAULT):
        return DEFAULT
    parser = next((path for path in _PARSERS if Path(path).exists()), None)
    if parser is None:
        log.warning("containers run without an AppArmor profile: apparmor_parser is missing (apt-get install apparmor)")
        return ""
    done = subprocess.run(
        [parser, "--skip-cache", "--replace"], input=PROFILE, capture_output=True, text=True, check=False
    )
    if done.returncode:
        log.warning("containers run without an AppArmor profile: %s", done.stderr.strip() or "apparmor_parser failed")
        return ""
    return DEFAULT


def unload_default() -> None:
    """Take the default profile out of the kernel; nothing happens when it is not there. Raises OSError."""
    if is_loaded(DEFAULT):
        (_KERNEL / ".remove").write_text(DEFAULT)
