"""`podrun ps`: the pods, as the API server itself prints them in tables."""

from __future__ import annotations

import argparse

from podrun.cli.client import Client, path_of
from podrun.cli.columns import aligned
from podrun.cli.errors import OK
from podrun.layout import api_socket

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import takes 3 ms
if TYPE_CHECKING:
    from typing import Any

EXAMPLES = """\
examples:
  podrun ps                 every pod, in every namespace
  podrun ps -n default      one namespace
  podrun ps -o wide         with node and readiness gates
  podrun ps -o json         the objects themselves
"""

_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_ALWAYS = ("Name", "Ready", "Status", "Restarts", "Age", "IP")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--namespace", default="", help="only this namespace (default: all)")
    parser.add_argument("-l", "--selector", default="", help="only pods with these labels, as in kubectl")
    parser.add_argument("-o", "--output", choices=["wide", "json"], default="", help="more columns, or the objects")


def run(arguments: argparse.Namespace) -> int:
    client = Client(api_socket(arguments.root))
    place = ("namespaces", arguments.namespace, "pods") if arguments.namespace else ("pods",)
    query = {"labelSelector": arguments.selector} if arguments.selector else {}
    path = path_of("api", "v1", *place, **query)
    if arguments.output == "json":
        import json

        print(json.dumps(client.get(path), indent=2))
        return OK
    table = client.get(path, accept=_TABLE)
    if not table["rows"]:
        print("no pods" + (f" in {arguments.namespace}" if arguments.namespace else ""))
        return OK
    print(render(table, wide=arguments.output == "wide"))
    return OK


def render(table: dict[str, Any], *, wide: bool) -> str:
    """A metav1 Table as aligned text, the namespace first."""
    wanted = [
        place
        for place, column in enumerate(table["columnDefinitions"])
        if column["name"] in _ALWAYS or wide or column["priority"] == 0
    ]
    titles = ["NAMESPACE", *(table["columnDefinitions"][place]["name"].upper() for place in wanted)]
    rows = [
        [row["object"]["metadata"]["namespace"], *(str(row["cells"][place]) for place in wanted)]
        for row in table["rows"]
    ]
    return aligned([titles, *rows])
