"""A client of a podrun that is killed again and again: asks anew where a connection was cut, and never where one was
refused, for that must not happen. A watch that goes on by resourceVersion tells what it has been told."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from typing import Any

from tests.harness import Podrun, wait_until
from tests.pods.living import Object, Pods, Refused

CUT = (ConnectionResetError, BrokenPipeError, http.client.HTTPException, TimeoutError)
PODS = "/api/v1/namespaces/default/pods"


class Persistent(Pods):
    """`Pods` whose requests survive the server. What was cut off may have been done: then it counts as done."""

    def call(self, method: str, path: str, body: Object | None = None, form: str = "application/json") -> Object:
        again = False
        deadline = time.monotonic() + 60
        while True:
            try:
                return super().call(method, path, body, form)
            except CUT:
                if time.monotonic() > deadline:
                    raise
                again = True
            except Refused as refused:
                reason = refused.status.get("reason")
                if again and (method, reason) in (("POST", "AlreadyExists"), ("DELETE", "NotFound")):
                    return {}
                raise


class Onlooker:
    """A thread that watches pods, each time from the version it has; `seen` is what it believes there is."""

    def __init__(self, podrun: Podrun) -> None:
        self.seen: dict[str, str] = {}
        """uid -> resourceVersion"""
        self.errors: list[str] = []
        self.resumed = 0
        self._podrun = podrun
        listed = Persistent(podrun).call("GET", PODS)
        self._version = listed["metadata"]["resourceVersion"]
        self.seen = {one["metadata"]["uid"]: one["metadata"]["resourceVersion"] for one in listed["items"]}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(10)

    def agrees(self) -> None:
        """Wait until the watch has told what a list tells. Raises where it does not."""
        listed: dict[str, str] = {}

        def same() -> bool:
            items = Persistent(self._podrun).call("GET", PODS)["items"]
            listed.clear()
            listed.update({one["metadata"]["uid"]: one["metadata"]["resourceVersion"] for one in items})
            return listed == self.seen

        wait_until(same, 20, f"a watch that goes on by resourceVersion saw {self.seen}, a list says {listed}")
        assert not self.errors, self.errors

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._watch()
            except (*CUT, ValueError):
                self.resumed += 1
            except OSError as error:  # refused
                self.errors.append(str(error))
                return

    def _watch(self) -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(str(self._podrun.layout.api_socket))
            path = f"{PODS}?watch=1&allowWatchBookmarks=true&resourceVersion={self._version}&timeoutSeconds=20"
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            while line := answer.readline():
                self._take(json.loads(line))

    def _take(self, event: dict[str, Any]) -> None:
        kind, metadata = event["type"], event["object"].get("metadata", {})
        if kind == "ERROR":
            self.errors.append(event["object"].get("message", ""))
            self._over.set()
            return
        self._version = metadata["resourceVersion"]
        if kind == "DELETED":
            self.seen.pop(metadata["uid"], None)
        elif kind != "BOOKMARK":
            self.seen[metadata["uid"]] = metadata["resourceVersion"]


def answer_after(podrun: Podrun) -> float:
    """Seconds until the API answers somebody who asks now."""
    began = time.monotonic()
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(30)
                sock.connect(str(podrun.layout.api_socket))
                sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if b" 200 " in sock.recv(4096):
                    return time.monotonic() - began
        except CUT:
            pass
        if time.monotonic() - began > 60:
            raise AssertionError(f"the API does not come back\n{podrun.log()}")
