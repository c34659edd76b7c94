"""`podrun anatomy POD`: the pod, opened."""

from __future__ import annotations

import argparse
import os

from podrun.cli.client import Client, Refused, path_of
from podrun.cli.errors import NOT_ROOT, OK, CommandError
from podrun.layout import api_socket

EXAMPLES = """\
examples:
  podrun anatomy catalog             a drawing: who shares what, with processes, mounts, cgroup and address
  podrun anatomy -n dev web
  podrun anatomy catalog -o json     namespaces: [{type, inode, members}], and all the rest
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pod", metavar="POD")
    parser.add_argument("-n", "--namespace", default="default", help="the pod's namespace (default: default)")
    parser.add_argument("-o", "--output", choices=["json"], default="", help="as JSON")


def run(arguments: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise CommandError("looking into other processes needs root", "run it with sudo", NOT_ROOT)
    path = path_of("api", "v1", "namespaces", arguments.namespace, "pods", arguments.pod)
    try:
        pod = Client(api_socket(arguments.root)).get(path)
    except Refused as error:
        if error.http_code != 404:
            raise
        raise CommandError(f"there is no pod {arguments.pod} in {arguments.namespace}", "podrun ps lists all") from None
    from podrun.anatomy.read import open_pod

    anatomy = open_pod(pod)
    if arguments.output == "json":
        import json

        print(json.dumps(anatomy.as_json(), indent=2))
        return OK
    import shutil

    from podrun.anatomy.draw import draw

    print(draw(anatomy, shutil.get_terminal_size((100, 24)).columns))
    return OK
