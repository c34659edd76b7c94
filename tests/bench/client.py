"""A client as fast as Python allows, so that what is measured is the server: run inside the daemon's network namespace.

usage: client.py KUBECONFIG VERB ARGUMENT...   prints one JSON value

    ready N         N pods one after another: seconds from POST to Ready on a watch, of POST and of GET, each a list
    together N      N pods posted at once: seconds until the last is Ready
    finished FILE   a pod (a JSON manifest) from POST to its end: seconds
    restarted FILE  a pod (a JSON manifest) from POST until its container runs for the second time: seconds
    services N      a pod that becomes Ready and unready N times: seconds from its Ready condition on a watch until its
                    Service serves, and until it refuses, each a list
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"


class Api:
    """Keep-alive connections to the server a kubeconfig names, with its client certificate."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._context = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile() as pair:
            for field in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[field]) + b"\n")
            pair.flush()
            self._context.load_cert_chain(pair.name)
        self._address = urlsplit(cluster["server"])

    def connection(self) -> http.client.HTTPSConnection:
        assert self._address.hostname is not None
        return http.client.HTTPSConnection(self._address.hostname, self._address.port, context=self._context)


def ask(
    connection: http.client.HTTPSConnection, method: str, path: str, body: Any = None, form: str = "application/json"
) -> Any:
    """One request and its decoded answer. Raises RuntimeError for a refusal."""
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, {"Content-Type": form})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
    return json.loads(content)


class Watch:
    """The newest state of every pod, kept by a thread; `until` waits for one to satisfy a condition."""

    def __init__(self, api: Api) -> None:
        self._pods: dict[str, tuple[float, dict[str, Any] | None]] = {}
        self._changed = threading.Condition()
        connection = api.connection()
        connection.request("GET", f"{PODS}?watch=true&resourceVersion=0")
        self._answer = connection.getresponse()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while line := self._answer.readline():
            now = time.perf_counter()
            event = json.loads(line)
            if event["type"] == "BOOKMARK":
                continue
            name = event["object"]["metadata"]["name"]
            with self._changed:
                self._pods[name] = (now, None if event["type"] == "DELETED" else event["object"])
                self._changed.notify_all()

    def until(self, name: str, condition: Any, seconds: float = 60.0) -> float:
        """When the pod `name` first satisfied the condition (None stands for a deleted pod), by perf_counter."""
        with self._changed:
            if not self._changed.wait_for(lambda: name in self._pods and condition(self._pods[name][1]), seconds):
                raise RuntimeError(f"pod {name} is not where it should be after {seconds} s: {self._pods.get(name)}")
            return self._pods[name][0]


def is_ready(pod: dict[str, Any] | None) -> bool:
    conditions = (pod or {}).get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_finished(pod: dict[str, Any] | None) -> bool:
    return (pod or {}).get("status", {}).get("phase") in ("Succeeded", "Failed")


def has_restarted(pod: dict[str, Any] | None) -> bool:
    statuses = (pod or {}).get("status", {}).get("containerStatuses", [])
    return any(s["restartCount"] == 1 and "running" in s["state"] for s in statuses)


def is_gone(pod: dict[str, Any] | None) -> bool:
    return pod is None


def sleeper(name: str) -> dict[str, Any]:
    """A pod with one container that sleeps, and everything a default pod has."""
    container = {"name": "a", "image": "busybox:1.36", "command": ["sleep", "100000"]}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def ready(api: Api, watch: Watch, times: int) -> dict[str, list[float]]:
    connection = api.connection()
    took: dict[str, list[float]] = {"ready": [], "post": [], "get": []}
    for number in range(times):
        name = f"ready-{number}"
        begin = time.perf_counter()
        ask(connection, "POST", PODS, sleeper(name))
        took["post"].append(time.perf_counter() - begin)
        took["ready"].append(watch.until(name, is_ready) - begin)
        begin = time.perf_counter()
        ask(connection, "GET", f"{PODS}/{name}")
        took["get"].append(time.perf_counter() - begin)
        ask(connection, "DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")
        watch.until(name, is_gone)
    return took


def together(api: Api, watch: Watch, times: int) -> float:
    names = [f"together-{number}" for number in range(times)]
    connections = [api.connection() for _ in range(4)]
    ask(connections[0], "GET", f"{PODS}?limit=1")

    def post(mine: int) -> None:
        for name in names[mine :: len(connections)]:
            ask(connections[mine], "POST", PODS, sleeper(name))

    threads = [threading.Thread(target=post, args=(mine,)) for mine in range(len(connections))]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    last = max(watch.until(name, is_ready) for name in names)
    for thread in threads:
        thread.join()
    return last - begin


def posted(api: Api, watch: Watch, manifest: Path, condition: Any) -> float:
    pod = json.loads(manifest.read_text())
    begin = time.perf_counter()
    ask(api.connection(), "POST", PODS, pod)
    return watch.until(pod["metadata"]["name"], condition) - begin


GATE = "bench.example/go"
PACE = 0.002
"""Seconds between attempts to connect: the server in the pod forks for each."""


def services(api: Api, watch: Watch, times: int) -> dict[str, list[float]]:
    """The pod's readiness gate is opened and shut; somebody tries to connect all the time."""
    connection = api.connection()
    pod = sleeper("behind")
    pod["metadata"]["labels"] = {"app": "bench"}
    pod["spec"]["readinessGates"] = [{"conditionType": GATE}]
    pod["spec"]["containers"][0]["command"] = ["httpd", "-f", "-p", "8080"]
    ask(connection, "POST", PODS, pod)
    service = {"metadata": {"name": "bench"}, "spec": {"selector": {"app": "bench"}, "ports": [{"port": 8080}]}}
    address = ask(connection, "POST", SERVICES, service)["spec"]["clusterIP"]
    watch.until("behind", lambda pod: "running" in str(pod["status"].get("containerStatuses")))
    took: dict[str, list[float]] = {"served": [], "refused": []}
    for _ in range(times):
        for what, status in (("served", "True"), ("refused", "False")):
            seen: list[float] = []
            trying = threading.Thread(target=lambda w=what, s=seen: s.append(_first(address, w)))
            trying.start()
            body = {"status": {"conditions": [{"type": GATE, "status": status}]}}
            ask(connection, "PATCH", f"{PODS}/behind/status", body, "application/strategic-merge-patch+json")
            changed = watch.until("behind", lambda pod, ready=status == "True": is_ready(pod) is ready)
            trying.join()
            took[what].append(max(0.0, seen[0] - changed))
    ask(connection, "DELETE", f"{SERVICES}/bench")
    return took


def _first(address: str, what: str) -> float:
    """When a connection is first served (or refused), by perf_counter."""
    while True:
        try:
            socket.create_connection((address, 8080), timeout=5).close()
            answer = "served"
        except ConnectionRefusedError:
            answer = "refused"
        if answer == what:
            return time.perf_counter()
        time.sleep(PACE)


def main() -> None:
    api = Api(Path(sys.argv[1]))
    watch = Watch(api)
    verb, argument = sys.argv[2:4]
    if verb == "ready":
        print(json.dumps(ready(api, watch, int(argument))))
    elif verb == "together":
        print(json.dumps(together(api, watch, int(argument))))
    elif verb == "services":
        print(json.dumps(services(api, watch, int(argument))))
    elif verb == "finished":
        print(json.dumps(posted(api, watch, Path(argument), is_finished)))
    elif verb == "restarted":
        print(json.dumps(posted(api, watch, Path(argument), has_restarted)))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
