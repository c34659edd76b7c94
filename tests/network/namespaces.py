"""A network of a test's own, so that nothing of the host's is touched."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from podrun.kernel import mounts, namespaces
from podrun.kernel.flags import Clone, MountFlags
from podrun.network import netlink


@contextmanager
def own_network() -> Iterator[None]:
    """The calling thread, and what it starts, is in a new net namespace until the block ends."""
    former = namespaces.open_namespace("net")
    try:
        namespaces.unshare(Clone.NET)
        netlink.send(netlink.up(socket.if_nametoindex("lo")))
        # A new namespace begins with the machine's own setting.
        Path("/proc/sys/net/ipv4/ip_forward").write_text("0\n")
        yield
    finally:
        namespaces.setns(former, Clone.NET)
        os.close(former)


_FS = Clone(0x200)
"""CLONE_FS: threads begun meanwhile share root and directory, and who shares those cannot join a mount table."""


@contextmanager
def own_mounts() -> Iterator[None]:
    """The calling thread, and what it starts, has a mount table of its own until the block ends."""
    former, here = namespaces.open_namespace("mnt"), os.getcwd()
    try:
        namespaces.unshare(Clone.MNT)
        mounts.set_propagation("/", MountFlags.SLAVE | MountFlags.REC)
        yield
    finally:
        namespaces.unshare(_FS)
        namespaces.setns(former, Clone.MNT)
        os.chdir(here)
        os.close(former)
