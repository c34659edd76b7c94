"""What commands about one pod have in common: how it is named, and podrund's paths of the open box about it."""

from __future__ import annotations

from podrun.cli.client import JSON, Client, Refused, path_of
from podrun.cli.errors import CommandError
from podrun.layout import api_socket

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import takes 3 ms
if TYPE_CHECKING:
    import argparse
    from typing import Any


def add_pod(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """POD and -n."""
    parser.add_argument("pod", metavar="POD", nargs="?" if optional else None, default="")
    parser.add_argument("-n", "--namespace", default="default", help="the pod's namespace (default: default)")


def add_container(parser: argparse.ArgumentParser, text: str) -> None:
    """-c."""
    parser.add_argument("-c", "--container", default="", metavar="C", help=text)


def pod_object(arguments: argparse.Namespace, name: str = "") -> dict[str, Any]:
    """The Pod object (`name` instead of POD). Raises CommandError where there is none."""
    path = path_of("api", "v1", "namespaces", arguments.namespace, "pods", name or arguments.pod)
    found: dict[str, Any] = _asked(arguments, "GET", path)
    return found


def look(arguments: argparse.Namespace, what: str, **query: str) -> dict[str, Any]:
    """What podrund's open box has of the pod: `timeline`, `explanation`... Raises CommandError."""
    found: dict[str, Any] = _asked(arguments, "GET", _path(arguments, what, **query))
    return found


def look_at_all(arguments: argparse.Namespace, what: str) -> dict[str, Any]:
    """What the open box has of every pod."""
    found: dict[str, Any] = _asked(arguments, "GET", path_of("podrun", "v1", what))
    return found


def read(arguments: argparse.Namespace, what: str) -> str:
    """As `look`, of what is text."""
    return _opened(arguments, "GET", _path(arguments, what)).decode()


def turn(arguments: argparse.Namespace, knob: str, words: dict[str, Any]) -> str:
    """Turn a knob of the pod; the sentence that says what was done. Raises CommandError."""
    import json

    body = json.dumps({key: value for key, value in words.items() if value not in ("", None)}).encode()
    answer = _asked(arguments, "POST", _path(arguments, knob), body)
    return str(answer["message"])


def _path(arguments: argparse.Namespace, what: str, **query: str) -> str:
    return path_of("podrun", "v1", "namespaces", arguments.namespace, "pods", arguments.pod, what, **query)


def _asked(arguments: argparse.Namespace, method: str, path: str, body: bytes | None = None) -> Any:
    import json

    return json.loads(_opened(arguments, method, path, body) or b"null")


def _opened(arguments: argparse.Namespace, method: str, path: str, body: bytes | None = None) -> bytes:
    client = Client(api_socket(arguments.root))
    try:
        with client.open(method, path, body, content_type=JSON) as answer:
            return answer.read()
    except Refused as error:
        if error.http_code == 404 and error.status.get("reason") == "NotFound":
            message = f"there is no pod {arguments.pod} in {arguments.namespace}"
            raise CommandError(message, "podrun ps lists all") from None
        if error.http_code == 409:
            message = error.message.partition(": ")[2] or error.message
            raise CommandError(f"pod {arguments.pod}: {message}") from None
        raise
