"""What a service tells systemd (sd_notify(3)): one datagram, nothing where nobody listens."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(message: str) -> None:
    """Send `READY=1`, `STOPPING=1`, `STATUS=...` to whoever set NOTIFY_SOCKET."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto(message.encode(), address)


def is_under_systemd() -> bool:
    """Whether systemd itself started this process and will start it again."""
    return os.getppid() == 1 and os.environ.get("NOTIFY_SOCKET", "").startswith("/run/systemd/")
