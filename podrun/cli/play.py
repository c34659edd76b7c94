"""`podrun play FILE`: apply a manifest, strictly, and wait until its pods are Ready or done; or say why they are not.

The objects go to the API by server-side apply, one request each, which makes or changes and refuses fields that it
does not know. Playing a file again therefore does nothing, and says so: the object's version has not moved.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from podrun.cli import manifests
from podrun.cli.client import Client, Refused, path_of, query_of
from podrun.cli.errors import FAILED, OK, TIMED_OUT, CommandError
from podrun.cli.manifests import Place
from podrun.cli.readiness import Outcome, judge
from podrun.layout import api_socket

EXAMPLES = """\
examples:
  podrun play pod.yaml                     apply, and wait until every pod in it is Ready or done
  podrun play pod.yaml                     again: says that nothing has changed
  podrun play --replace pod.yaml           delete the pods first (most of a pod's spec cannot be changed)
  kubectl create configmap x --dry-run=client -o yaml --from-literal=a=b | podrun play -
"""

_APPLY = "application/apply-patch+yaml"
_SHOWN_EVENTS = 5
_SHOWN_LINES = 5

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, whose import takes 3 ms
if TYPE_CHECKING:
    from typing import Any

    Object = dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="manifests, YAML or JSON; - is standard input")
    parser.add_argument("-n", "--namespace", default="default", help="for objects that name none (default: default)")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="wait so long (default: 60)")
    parser.add_argument("--no-wait", action="store_true", help="apply only")
    parser.add_argument("--replace", action="store_true", help="delete pods that are there, and wait for their end")


def run(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    client = Client(api_socket(arguments.root))
    objects = manifests.read(arguments.files)
    if not objects:
        raise CommandError(f"{', '.join(arguments.files)}: no object in it")
    places = manifests.Places(client, arguments.namespace)
    pods = []
    for obj, place in [(obj, places.of(obj)) for obj in objects]:
        if place.kind == "Pod" and arguments.replace:
            _delete(client, place, began + arguments.timeout)
        applied = _apply(client, obj, place)
        if place.kind == "Pod":
            pods.append((place, applied))
    if arguments.no_wait:
        return OK
    return max((_wait(client, place, pod, began, arguments.timeout) for place, pod in pods), default=OK)


def _apply(client: Client, obj: Object, place: Place) -> Object:
    """Apply one object and say what came of it."""
    before = _version(client, place)
    query = query_of(fieldManager="podrun", fieldValidation="Strict", force="true")
    try:
        applied: Object = client.send("PATCH", place.path + query, json.dumps(obj).encode(), _APPLY)
    except Refused as error:
        raise _refusal(error, place, existed=before is not None) from None
    after = applied["metadata"]["resourceVersion"]
    print(f"{place} {'created' if before is None else 'unchanged' if before == after else 'configured'}", flush=True)
    return applied


def _version(client: Client, place: Place) -> str | None:
    try:
        return str(client.get(place.path)["metadata"]["resourceVersion"])
    except Refused as error:
        if error.http_code != 404 or (error.status.get("details") or {}).get("kind") == "namespaces":
            raise
        return None


def _refusal(error: Refused, place: Place, *, existed: bool) -> CommandError:
    """The API's words, a line per field, and what helps against the usual one."""
    causes = (error.status.get("details") or {}).get("causes") or []
    lines = [f"  {cause.get('field') or place}: {cause.get('message', '')}" for cause in causes]
    reason = error.status.get("reason")
    text = f"{place} is refused{f' ({reason})' if reason else ''}:\n" + (
        "\n".join(lines) if lines else f"  {error.message}"
    )
    fixed = existed and place.kind == "Pod" and error.http_code == 422
    return CommandError(text, "what a running pod is made of cannot be changed: podrun play --replace" if fixed else "")


def _delete(client: Client, place: Place, deadline: float) -> None:
    """Delete a pod and wait until it has gone."""
    try:
        going = client.send("DELETE", place.path)
    except Refused as error:
        if error.http_code == 404:
            return
        raise
    print(f"{place} deleted", flush=True)
    since = going.get("metadata", {}).get("resourceVersion")
    if going.get("kind") != "Pod" or not since:
        return
    for event in _changes(client, place, since, deadline):
        if event["type"] == "DELETED":
            return


def _wait(client: Client, place: Place, pod: Object, began: float, timeout: float) -> int:
    """Follow a pod until its fate is known, and say it."""
    verdict = judge(pod)
    if verdict.outcome is Outcome.WAITING:
        try:
            for event in _changes(client, place, pod["metadata"]["resourceVersion"], began + timeout):
                pod = event["object"]
                if event["type"] == "DELETED":
                    raise CommandError(f"{place} was deleted while it was waited for")
                verdict = judge(pod)
                if verdict.outcome is not Outcome.WAITING:
                    break
        except TimeoutError:
            print(f"podrun: {place} is not Ready after {timeout:g} s: {verdict.why}", file=sys.stderr)
            _explain(client, place, pod, verdict.container)
            return TIMED_OUT
    if verdict.outcome is Outcome.STUCK:
        print(f"podrun: {place}: {verdict.why}", file=sys.stderr)
        _explain(client, place, pod, verdict.container)
        return FAILED
    status = pod["status"]
    took = f" after {time.monotonic() - began:.2f} s"
    if verdict.outcome is Outcome.DONE:
        print(f"{place} has succeeded{took}")
    else:
        running = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
        count = sum("running" in each.get("state", {}) for each in running)
        containers = "1 container" if count == 1 else f"{count} containers"
        print(f"{place} is Ready{took}: {containers} at {status.get('podIP', 'no address')}")
    return OK


def _changes(client: Client, place: Place, since: str, deadline: float) -> Any:
    """Watch one object; raises TimeoutError at the deadline (monotonic seconds)."""
    collection, _, _ = place.path.rpartition("/")
    query = query_of(watch="1", resourceVersion=since, fieldSelector=f"metadata.name={place.name}")
    with client.open("GET", collection + query, timeout=_left(deadline)) as answer:
        for line in answer.lines():
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise Refused(event["object"])
            yield event
            answer.set_timeout(_left(deadline))
    raise CommandError("the daemon ended the watch", "it may be restarting; play the file again")


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)


def _explain(client: Client, place: Place, pod: Object, container: str) -> None:
    """What helps to understand: the latest warnings, and the last lines of the container that it is about."""
    metadata = pod["metadata"]
    about = f"involvedObject.uid={metadata['uid']},type=Warning"
    path = path_of("api", "v1", "namespaces", metadata["namespace"], "events", fieldSelector=about)
    events = client.get(path)["items"]
    for event in events[-_SHOWN_EVENTS:]:
        print(f"        {event.get('reason')}: {event.get('message')}", file=sys.stderr)
    if not container:
        return
    log = f"{place.path}/log" + query_of(container=container, tailLines=str(_SHOWN_LINES))
    try:
        with client.open("GET", log, accept="*/*") as answer:
            lines = answer.read().decode(errors="replace").splitlines()
    except Refused:
        return  # it has never run: there is no log
    if lines:
        print(f"        the end of its log (kubectl logs {place.name} -c {container}):", file=sys.stderr)
    for line in lines:
        print(f"          {line}", file=sys.stderr)
