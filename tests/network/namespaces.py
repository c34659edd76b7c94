"""A network (and mount table) of a test's own, so that nothing of the host's is touched."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from podrun.kernel import mounts, namespaces
from podrun.kernel.flags import Clone, MountFlags
from podrun.network import netlink

KINDS = Clone.NET | Clone.MNT


@contextmanager
def own_network() -> Iterator[None]:
    """The calling thread, and what it starts, is in new net and mount namespaces until the block ends."""
    former = [(namespaces.open_namespace("mnt"), Clone.MNT), (namespaces.open_namespace("net"), Clone.NET)]
    here = os.getcwd()
    try:
        namespaces.unshare(KINDS)
        mounts.set_propagation("/", MountFlags.SLAVE | MountFlags.REC)
        for name, index in ((name, index) for index, name in socket.if_nameindex()):
            if name == "lo":
                netlink.send(netlink.up(index))
        yield
    finally:
        for descriptor, kind in former:
            namespaces.setns(descriptor, kind)
            os.close(descriptor)
        os.chdir(here)
