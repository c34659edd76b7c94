"""Pods as tests write them, and a close look at them while they live.

    pods = Pods(podrun)
    pods.create(pod("a", shell("a", "sleep 100")))
    pods.ready("a")
    assert pods.sh("a", "hostname") == "a\n"

Objects go through the API's unix socket, which answers in a millisecond; what happens inside a container is asked with
`kubectl exec`, as a person does.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.harness import HarnessError, Podrun, wait_until

Object = dict[str, Any]
Completed = subprocess.CompletedProcess[str]
BUSYBOX = "busybox:1.36"
FOREVER = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"
"""A shell that lives until TERM. (A plain `sleep` as process 1 ignores it and would need the whole grace period.)"""


def shell(name: str = "a", script: str = FOREVER, **fields: Any) -> Object:
    """A busybox container that runs a shell script."""
    return {"name": name, "image": BUSYBOX, "command": ["sh", "-c", script], **fields}


def pod(name: str, *containers: Object, metadata: Object | None = None, **spec: Any) -> Object:
    """A pod; without containers, one that waits for its end. `spec` are further fields of the spec."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **(metadata or {})},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": list(containers) or [shell()], **spec},
    }


def once(name: str, script: str, metadata: Object | None = None, **spec: Any) -> Object:
    """A pod that runs one script to its end and is not restarted."""
    return pod(name, shell("a", script), metadata=metadata, restartPolicy="Never", **spec)


class Refused(Exception):
    """The API said no: `status` is its answer."""

    def __init__(self, status: Object) -> None:
        super().__init__(status.get("message"))
        self.status = status


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self._path)


class Pods:
    """The pods of one namespace of a podrun."""

    def __init__(self, podrun: Podrun, namespace: str = "default") -> None:
        self.podrun = podrun
        self.namespace = namespace

    # objects

    def call(self, method: str, path: str, body: Object | None = None, form: str = "application/json") -> Object:
        """One request to the API and its answer. Raises Refused."""
        connection = _UnixConnection(str(self.podrun.layout.api_socket))
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": form, "Host": "localhost"})
            answer = connection.getresponse()
            said = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status >= 300:
            raise Refused(said)
        return said

    def path(self, plural: str, name: str = "") -> str:
        return f"/api/v1/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def create(self, *objects: Object) -> None:
        for obj in objects:
            self.call("POST", self.path(f"{obj['kind'].lower()}s"), obj)

    def get(self, name: str) -> Object:
        return self.call("GET", self.path("pods", name))

    def delete(self, name: str, grace: int | None = None) -> None:
        """Ask for the end of a pod and wait until it is gone."""
        self.call("DELETE", self.path("pods", name) + ("" if grace is None else f"?gracePeriodSeconds={grace}"))
        self.gone(name)

    # waiting

    def until(self, name: str, true: Callable[[Object], Any], seconds: float = 20.0) -> Object:
        """The pod as soon as something is true of it; else a failure that shows its status and events."""
        deadline = time.monotonic() + seconds
        while True:
            now = self.get(name)
            if true(now):
                return now
            if time.monotonic() > deadline:
                events = [(e["reason"], e["message"]) for e in self.events(name)]
                raise HarnessError(f"pod {name} after {seconds} s:\n{json.dumps(now['status'], indent=1)}\n{events}")
            time.sleep(0.02)

    def ready(self, *names: str) -> Object:
        """The last of the named pods, all of them being Ready."""
        return [self.until(name, lambda now: condition(now, "Ready") == "True") for name in names][-1]

    def finished(self, name: str, seconds: float = 20.0) -> Object:
        return self.until(name, lambda now: now["status"]["phase"] in ("Succeeded", "Failed"), seconds)

    def gone(self, name: str, seconds: float = 40.0) -> None:
        def is_gone() -> bool:
            try:
                self.get(name)
            except Refused as refusal:
                return bool(refusal.status["code"] == 404)
            return False

        wait_until(is_gone, seconds, f"pod {name} is still there")

    def run(self, obj: Object) -> Object:
        """Create a pod and wait until it is Ready."""
        self.create(obj)
        return self.ready(obj["metadata"]["name"])

    def output(self, obj: Object, container: str = "a") -> str:
        """Run a pod to its end: what it printed."""
        self.create(obj)
        name = obj["metadata"]["name"]
        self.finished(name)
        return self.log(name, container)

    # looking

    def events(self, name: str) -> list[Object]:
        """Those of the pod that has this name now, oldest first."""
        uid = self.get(name)["metadata"]["uid"]
        found = self.call("GET", self.path("events") + f"?fieldSelector=involvedObject.uid={uid}")["items"]
        return sorted(found, key=lambda event: int(event["metadata"]["resourceVersion"]))

    def event(self, name: str, reason: str, seconds: float = 10.0) -> str:
        """The message of a pod's first event with that reason, once there is one."""
        found: list[str] = []

        def there() -> bool:
            found[:] = [event["message"] for event in self.events(name) if event["reason"] == reason]
            return bool(found)

        wait_until(there, seconds, f"pod {name} has no event {reason}: {self.events(name)}")
        return found[0]

    def log(self, name: str, container: str = "a", *words: str) -> str:
        return self.podrun.kubectl("logs", "-n", self.namespace, name, "-c", container, *words)

    def logged(self, name: str, text: str, container: str = "a", seconds: float = 10.0) -> None:
        """Wait until a container has printed something; until it has been started, asking for its log is an error."""

        def printed() -> bool:
            with contextlib.suppress(HarnessError):
                return text in self.log(name, container)
            return False

        wait_until(printed, seconds, f"{name}/{container} did not print {text!r}")

    def exec(
        self, name: str, *argv: str, container: str = "a", input: str | None = None
    ) -> subprocess.CompletedProcess:
        interactive = ["-i"] if input is not None else []
        words = ["exec", "-n", self.namespace, *interactive, name, "-c", container, "--", *argv]
        return self.podrun.run("kubectl", *words, input=input, check=False)

    def sh(self, name: str, script: str, container: str = "a") -> str:
        """What a shell script that succeeds prints in a container."""
        done = self.exec(name, "sh", "-c", script, container=container)
        if done.returncode != 0:
            raise HarnessError(
                f"in {name}/{container}: {script}\nexit code {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def address(self, name: str) -> str:
        return str(self.get(name)["status"]["podIP"])

    def pid(self, name: str, container: str = "a") -> int:
        """The host's number of a container's first process: the spawner's eldest child in the container's cgroup."""
        identifier = container_status(self.get(name), container)["containerID"].partition("://")[2]
        spawner = self.podrun.spawner_pid
        with open(f"/proc/{spawner}/task/{spawner}/children") as file:
            children = [int(pid) for pid in file.read().split()]
        for pid in children:
            with contextlib.suppress(OSError):
                if identifier in Path(f"/proc/{pid}/cgroup").read_text():
                    return pid
        raise HarnessError(f"no process is in the cgroup of {name}/{container}")


@contextlib.contextmanager
def running(podrun: Podrun, *words: str, stdin: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on beside the test, its output to be read as text; it is killed in the end."""
    argv = podrun.inside(*words)
    with subprocess.Popen(
        argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=podrun.environment()
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def condition(obj: Object, kind: str) -> str | None:
    """The status of a condition: True, False or Unknown; None where there is none."""
    found = [c["status"] for c in obj["status"].get("conditions", ()) if c["type"] == kind]
    return found[0] if found else None


def container_status(obj: Object, name: str = "a") -> Object:
    status = obj["status"]
    lists = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    found = [one for key in lists for one in status.get(key, ()) if one["name"] == name]
    return dict(found[0]) if found else {"restartCount": 0, "ready": False, "state": {"absent": {}}}


def state(obj: Object, name: str = "a") -> Object:
    """A container's state in one dict: {"is": "running" | "waiting" | "terminated" | "absent", ...}."""
    ((kind, fields),) = container_status(obj, name)["state"].items()
    return {"is": kind, **fields}
