"""Bad network for a pod: delay, loss and a slow line for what it sends, by the kernel's netem (tc-netem(8)).

Runs as a process of its own (`python -m podrun.openbox.netem PID JSON`), which goes into the pod's network namespace
and needs pyroute2's whole weight only there. Where a rate is all that is wanted, tbf does it, which more kernels have.
It prints nothing, or the reason why not, and ends with 1.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import sys
from dataclasses import dataclass
from typing import Any

LINK = "eth0"
_HANDLE = "1:"
_TIMES = {"us": 1, "ms": 1000, "s": 1_000_000}
_RATES = {"bit": 1, "kbit": 1000, "mbit": 1_000_000, "gbit": 1_000_000_000}


@dataclass(frozen=True, slots=True)
class Weather:
    """What is done to the packets that the pod sends; all zero is nothing."""

    delay_us: int = 0
    jitter_us: int = 0
    loss_percent: float = 0.0
    rate_bits: int = 0

    def words(self) -> str:
        """For people."""
        parts = [f"delay {self.delay_us / 1000:g} ms"] if self.delay_us else []
        parts += [f"jitter {self.jitter_us / 1000:g} ms"] if self.jitter_us else []
        parts += [f"loss {self.loss_percent:g}%"] if self.loss_percent else []
        parts += [f"rate {self.rate_bits / 1e6:g} Mbit/s"] if self.rate_bits else []
        return ", ".join(parts) or "as it was"


def weather(delay: str = "", jitter: str = "", loss: str = "", rate: str = "") -> Weather:
    """From words like `100ms`, `5%`, `1mbit`. Raises ValueError that says which word is wrong."""
    made = Weather(
        round(_number(delay, _TIMES, "a delay", "100ms")),
        round(_number(jitter, _TIMES, "a jitter", "10ms")),
        _number(loss, {"%": 1, "": 1}, "a loss", "5%"),
        round(_number(rate, _RATES, "a rate", "1mbit")),
    )
    if made.loss_percent > 100:
        raise ValueError(f"{loss} is no loss: at most 100%")
    if made.jitter_us and not made.delay_us:
        raise ValueError("a jitter needs a delay that it varies")
    return made


def _number(text: str, units: dict[str, int], what: str, example: str) -> float:
    if not text:
        return 0.0
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z%]*)", text.strip().lower())
    if match is None or match[2] not in units:
        raise ValueError(f"{text} is not {what}: say it like {example}")
    return float(match[1]) * units[match[2]]


def apply(wanted: Weather | None) -> None:
    """Set it on eth0 of the network namespace that this process is in; None takes it away. Raises OSError."""
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    with IPRoute() as route:
        found = route.link_lookup(ifname=LINK)
        if not found:
            raise OSError(errno.ENODEV, f"the pod has no {LINK}")
        with contextlib.suppress(NetlinkError):  # there is nothing to take away
            route.tc("del", index=found[0], root=True)
        if wanted is not None:
            try:
                route.tc("add", index=found[0], handle=_HANDLE, **_discipline(wanted))
            except NetlinkError as error:
                if error.code == errno.ENOENT:
                    words = "this machine's kernel has no netem (the module sch_netem); only --rate works without it"
                    raise OSError(errno.ENOENT, words) from None
                raise OSError(error.code, os.strerror(error.code)) from None


def _discipline(wanted: Weather) -> dict[str, Any]:
    if wanted == Weather(rate_bits=wanted.rate_bits):
        rate = max(wanted.rate_bits // 8, 1)
        return {"kind": "tbf", "rate": rate, "burst": max(rate // 20, 4096), "latency": "400ms"}
    made: dict[str, Any] = {"kind": "netem", "delay": wanted.delay_us, "jitter": wanted.jitter_us}
    made["loss"] = wanted.loss_percent
    if wanted.rate_bits:
        made["rate"] = f"{wanted.rate_bits}bit"
    return made


def main(pid: str, text: str) -> int:
    """The process; see the module."""
    from podrun.kernel import namespaces
    from podrun.kernel.flags import Clone

    wanted = json.loads(text)
    try:
        descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        namespaces.setns(descriptor, Clone.NET)
        apply(Weather(**wanted) if wanted is not None else None)
    except OSError as error:
        print(error.strerror or error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
