"""`podrun daemon`: the options; what runs is podrun.daemon."""

from __future__ import annotations

import argparse
import gc
import os
import sys

from podrun.cli.errors import NOT_ROOT, OK, USAGE, CommandError
from podrun.layout import SOCKET_PATH_LIMIT, Layout, api_socket

EXAMPLES = """\
examples:
  podrun daemon                                  as the systemd unit runs it
  podrun daemon --root /tmp/p --listen 127.0.0.1:7443
  podrun daemon --time-scale 0.1                 a classroom: CrashLoopBackOff ten times faster

Settings that last belong into /etc/podrun/config.yaml (camelCase: timeScale: 0.1); options win over it.
The daemon may be stopped, killed and started again at any time: pods go on, and are found again.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--listen", metavar="ADDRESS:PORT", help="where the HTTPS API is (default: 127.0.0.1:6443)")
    parser.add_argument(
        "--certificate-name",
        dest="certificate_names",
        action="append",
        metavar="NAME",
        help="a further name or address that clients reach the API by (may be repeated)",
    )
    parser.add_argument("--node-name", metavar="NAME", help="the Node's name (default: the host's)")
    parser.add_argument(
        "--time-scale",
        type=float,
        metavar="FACTOR",
        help="0.1 runs back-offs and the expiry of events ten times faster; never probes, grace periods, deadlines",
    )
    parser.add_argument(
        "--no-seccomp-default",
        dest="seccomp_default",
        action="store_const",
        const=False,
        help="no RuntimeDefault filter for containers that say nothing",
    )
    parser.add_argument(
        "--no-debug-mounts",
        dest="debug_mounts",
        action="store_const",
        const=False,
        help="debug containers with a target do not see the target's volumes (as on a cluster)",
    )
    parser.add_argument(
        "--registry-mirror",
        action="append",
        metavar="REGISTRY=URL",
        help="ask URL before REGISTRY (docker.io=http://127.0.0.1:5000); may be repeated",
    )


def run(arguments: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise CommandError("the daemon makes namespaces, mounts and cgroups", "run it with sudo", NOT_ROOT)
    layout = Layout(arguments.root)
    if len(os.fsencode(api_socket(layout.root))) > SOCKET_PATH_LIMIT:
        raise CommandError(
            f"{layout.root} is too long: a socket below it would have more than {SOCKET_PATH_LIMIT} bytes",
            "choose a shorter --root",
            USAGE,
        )
    gc.disable()  # what starting makes stays: looking through it again and again takes a tenth of the start
    from podrun import settings

    names = ("listen", "certificate_names", "node_name", "time_scale", "seccomp_default", "debug_mounts")
    options = {name: getattr(arguments, name) for name in names}
    options["registry_mirrors"] = _mirrors(arguments.registry_mirror)
    try:
        chosen = settings.load(layout.config, options)
    except settings.SettingsError as error:
        raise CommandError(str(error), "podrun daemon -h tells what can be set", USAGE) from None
    from podrun.daemon import main

    return main(chosen, layout, [sys.argv[0], *sys.argv[1:]]) or OK


def _mirrors(given: list[str] | None) -> dict[str, list[str]] | None:
    if not given:
        return None
    mirrors: dict[str, list[str]] = {}
    for each in given:
        registry, separator, url = each.partition("=")
        if not separator or not url:
            raise CommandError(f"--registry-mirror {each}: it is REGISTRY=URL", code=USAGE)
        mirrors.setdefault(registry, []).append(url)
    return mirrors
