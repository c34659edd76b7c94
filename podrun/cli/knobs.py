"""`podrun freeze|thaw|retry|restart|netem|break POD`: experiments on pods that live, carried out by podrund."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from podrun.cli.errors import OK, USAGE, CommandError
from podrun.cli.pods import add_container, add_pod, turn

PARTS = ("pause", "container", "address", "link", "dns", "volume")
"""As podrun.openbox.breaking.PARTS, which would cost an import."""


@dataclass(frozen=True, slots=True)
class _OnContainers:
    """A knob that takes a container or all of them."""

    name: str
    EXAMPLES: str
    which: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        add_pod(parser)
        add_container(parser, self.which)

    def run(self, arguments: argparse.Namespace) -> int:
        print(turn(arguments, self.name, {"container": arguments.container}))
        return OK


class _Netem:
    EXAMPLES = """\
examples:
  podrun netem web --delay 100ms --jitter 10ms    every packet that the pod sends leaves later
  podrun netem web --loss 5%                      one in twenty is lost
  podrun netem web --rate 1mbit                   a slow line
  podrun netem web --clear                        as it was

It is about what the pod sends over eth0: its localhost is not touched. Each call replaces what the one before has set.
Delay and loss need the kernel's netem (the module sch_netem).
"""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        add_pod(parser)
        parser.add_argument("--delay", default="", metavar="TIME", help="how much later packets leave: 100ms")
        parser.add_argument("--jitter", default="", metavar="TIME", help="how much the delay varies: 10ms")
        parser.add_argument("--loss", default="", metavar="SHARE", help="how many packets are lost: 5%%")
        parser.add_argument("--rate", default="", metavar="RATE", help="how much leaves in a second: 1mbit")
        parser.add_argument("--clear", action="store_true", help="give the pod its network back as it was")

    def run(self, arguments: argparse.Namespace) -> int:
        words = {key: getattr(arguments, key) for key in ("delay", "jitter", "loss", "rate")}
        if arguments.clear == any(words.values()):
            raise CommandError(
                "say either --clear, or what is to be done: --delay, --jitter, --loss, --rate", "", USAGE
            )
        print(turn(arguments, "netem", {"clear": True} if arguments.clear else words))
        return OK


class _Break:
    EXAMPLES = """\
examples:
  podrun break web pause              kill pause: the namespaces and the address go, a new sandbox is made
  podrun break web container app      kill the first process of a container
  podrun break web address            take the pod's address off eth0
  podrun break web link               set eth0 down
  podrun break web dns                empty /etc/resolv.conf
  podrun break web volume cache       fill an emptyDir (--bytes N: with so much); a sizeLimit is then overstepped

A pod whose address, link or dns is broken is whole again in its next sandbox: delete it, or break its pause.
"""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        add_pod(parser)
        parser.add_argument("what", choices=PARTS, metavar="PART", help=", ".join(PARTS))
        parser.add_argument("name", nargs="?", default="", metavar="NAME", help="which container or volume")
        parser.add_argument("--bytes", type=int, metavar="N", help="how much is written to the volume")

    def run(self, arguments: argparse.Namespace) -> int:
        words = {"what": arguments.what, "name": arguments.name, "bytes": arguments.bytes}
        print(turn(arguments, "break", words))
        return OK


_FREEZE = """\
examples:
  podrun freeze web                 every container: all its processes stop where they are
  podrun freeze web -c app          one container; its probes will fail, and its liveness probe will have it killed
  podrun thaw web                   all go on
"""
_RETRY = """\
examples:
  podrun retry web                  what waits in CrashLoopBackOff or ImagePullBackOff is tried again now
  podrun retry web -c app
"""
_RESTART = """\
examples:
  podrun restart web -c app         preStop, TERM, its grace period; then a new attempt at once, whatever its policy
  podrun restart web                a pod of one container
"""

KNOBS = {
    "freeze": _OnContainers("freeze", _FREEZE, "only this container (default: all that run)"),
    "thaw": _OnContainers("thaw", _FREEZE, "only this container (default: all that run)"),
    "retry": _OnContainers("retry", _RETRY, "only this container (default: all that wait)"),
    "restart": _OnContainers("restart", _RESTART, "the container"),
    "netem": _Netem(),
    "break": _Break(),
}
