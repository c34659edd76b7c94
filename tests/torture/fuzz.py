"""Writes that nobody would send, to every endpoint: answered with a refusal or done, never a failure of ours.

A round is fifty requests. No answer is a 5xx (but for the ones that Kubernetes gives too), none names a path of the
host, the server answers sensible requests in between, and neither memory nor descriptors grow.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import yaml

from podrun.api.kinds import Kind
from tests.conftest import shipped_images
from tests.harness import PROJECT, Podrun
from tests.pods.living import Object, Pods
from tests.torture.crowds import memory
from tests.torture.nonsense import STORED, TEXTS, Maker, spoilt, spoilt_bytes
from tests.torture.row import Round, Row

WRITES = 50
"""Requests of a round."""
GROWTH_MIB = 40
NAMES = ("a", "b", "x-1", "default", "kube-root-ca.crt")
PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
BODIES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "text/plain", "")
_METHODS = ("POST", "POST", "POST", "PUT", "PUT", "PATCH", "PATCH", "PATCH", "DELETE", "GET")
POINTERS = ("/metadata/labels/a", "/spec", "/spec/containers/-", "", "/a~2", "/metadata/name")
OPTIONS: tuple[dict[str, str], ...] = (
    {},
    {"dryRun": "All"},
    {"dryRun": "Some"},
    {"fieldValidation": "Strict"},
    {"fieldValidation": "Ignore"},
    {"fieldValidation": "Never"},
    {"fieldManager": "m" * 200},
    {"force": "true", "fieldManager": "f"},
    {"gracePeriodSeconds": "-1"},
    {"gracePeriodSeconds": "99999999999999999999"},
    {"propagationPolicy": "Orphan"},
    {"propagationPolicy": "x"},
    {"limit": "1", "continue": "AAAA"},
    {"resourceVersion": "x"},
    {"labelSelector": "a in (b"},
    {"fieldSelector": "metadata.name=="},
    {"timeoutSeconds": "1", "watch": "1"},
    {"pretty": "true"},
)
ACCEPTS = ("application/json",) * 6 + ("application/yaml", "application/json;as=Table;v=v1;g=meta.k8s.io", "*/*", "x/y")
OUR_FAILURE = '"reason":"InternalError"'
KUBERNETES_OWN = ("error trying to reach service",)
"""Of the 5xx, Kubernetes gives some itself: 500 without a reason for what it has not classified (a field that
server-side apply does not know, a resourceVersion in a new object), 503 for the proxy of a node that is not there, 504
where a version is yet to come."""


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self._path)


class Writer:
    """Sends, and looks at what comes back."""

    def __init__(self, podrun: Podrun) -> None:
        self.codes: Counter[int] = Counter()
        self._maker = Maker()
        self._podrun = podrun
        self._there: defaultdict[str, set[str]] = defaultdict(set)
        self._connection = _Unix(podrun.layout.api_socket)
        self._betraying = [str(podrun.root), str(PROJECT), "Traceback (most", "site-packages", ".py\\", ".py:"]

    def request(self, r: random.Random) -> None:
        """One of them, mostly about what is there."""
        kind = r.choice(STORED)
        path = f"{base(kind)}/{kind.plural}"
        there = sorted(self._there[path])
        method = r.choice(_METHODS) if kind.stored else "POST"
        name = r.choice(there) if there and r.random() < 0.8 else r.choice(NAMES)
        obj = self._maker.obj(r, kind, name if method != "POST" else f"fuzz-{r.getrandbits(16):x}")
        if method != "POST":
            path += f"/{quote(name if r.random() < 0.9 else r.choice(TEXTS[:12]), safe='')}"
            if kind.subresources and r.random() < 0.3:
                path += f"/{r.choice(sorted(kind.subresources))}"
        elif r.random() < 0.1:
            path += f"/{quote(r.choice(TEXTS[:12]), safe='')}"
        body, form = self._body(r, method, obj)
        query = {**r.choice(OPTIONS), **({"fieldManager": "fuzz"} if form == PATCHES[3] else {})}
        if "/log" in path or "/exec" in path or "/attach" in path or "/portforward" in path:
            query = {"container": r.choice(TEXTS[:8]), "command": "x", "ports": r.choice(("80", "x")), **query}
        headers = {"Host": "localhost", "Accept": r.choice(ACCEPTS)}
        if form:
            headers["Content-Type"] = form
        code = self.send(method, f"{path}?{urlencode(query, errors='surrogatepass')}", body, headers)
        if code == 201 and kind.stored and "dryRun" not in query:
            self._there[f"{base(kind)}/{kind.plural}"].add(obj["metadata"]["name"])

    def forget(self) -> None:
        """What was there has been deleted."""
        self._there.clear()

    def _body(self, r: random.Random, method: str, obj: Object) -> tuple[bytes, str]:
        if method in ("GET", "DELETE"):
            options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": r.choice(TEXTS)}}
            return (json.dumps(options).encode() if r.random() < 0.3 else b""), "application/json"
        form = r.choice(PATCHES) if method == "PATCH" else r.choice(("application/json",) * 6 + BODIES)
        value: Any = obj
        if form == PATCHES[0]:
            operations = ("add", "remove", "replace", "move", "copy", "test", "x")
            value = [
                {
                    "op": r.choice(operations),
                    "path": r.choice(
                        ("/metadata/labels/a", "/spec", "/spec/containers/-", "", "/a~2", "/metadata/name")
                    ),
                    "from": r.choice(("/spec", "/metadata", "")),
                    "value": r.choice((obj, None, "x", 7, [])),
                }
                for _ in range(r.randint(0, 4))
            ]
        elif form == PATCHES[2] and r.random() < 0.5:
            value = {
                **obj,
                "$patch": r.choice(("replace", "delete", "merge", 7)),
                "spec": {"$setElementOrder/containers": [{}]},
            }
        if r.random() < 0.35:
            value = spoilt(r, value)
        if "yaml" in form:
            text = (
                yaml.safe_dump(value)
                if r.random() < 0.8
                else r.choice(("a: &a [*a]", "- " * 500, "!!python/object:x {}"))
            )
            body = text.encode(errors="surrogatepass")
        else:
            body = json.dumps(value).encode()
        if "protobuf" in form:
            body = b"k8s\x00\n\x0b\n\x02v1\x12\x05" + (b"Pod  " if r.random() < 0.5 else b"Event") + body
        if r.random() < 0.08:
            body = spoilt_bytes(r, body)
        return body, form

    def send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> int:
        """The code that one request is answered with; raises AssertionError where the answer is not as it should be."""
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            said = answer.read().decode(errors="replace")
        except (http.client.HTTPException, OSError):
            self._connection.close()
            raise AssertionError(
                f"no answer to {method} {path}: {body[:600]!r}\n{self._podrun.log()[-3000:]}"
            ) from None
        self.codes[answer.status] += 1
        whole = said + str(answer.headers)
        told = f"{method} {path} {headers}\n{body[:2000]!r}\n{answer.status} {whole[:1000]}"
        if answer.status >= 500 and not _is_kubernetes_own(answer.status, said):
            raise AssertionError(f"{told}\n{self._podrun.log()[-4000:]}")
        for text in self._betraying:
            assert text not in whole or text in body.decode(errors="replace"), f"{text} is betrayed: {told}"
        return answer.status


def _is_kubernetes_own(code: int, said: str) -> bool:
    if code == 503:
        return any(text in said for text in KUBERNETES_OWN)
    return code in (500, 504) and OUR_FAILURE not in said


def base(kind: Kind) -> str:
    """Where a kind's objects are asked for."""
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    return f"{root}/namespaces/default" if kind.namespaced else root


@contextmanager
def writes() -> Iterator[Round]:
    """An API that is asked nonsense; see above."""
    with Podrun.start(images=shipped_images()) as podrun:
        writer, pods = Writer(podrun), Pods(podrun)
        first: tuple[float, int] | None = None
        rounds = 0

        def play(r: random.Random) -> None:
            nonlocal first, rounds
            for _ in range(WRITES):
                writer.request(r)
            canary = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"canary-{r.getrandbits(40):x}"}}
            pods.create(canary)
            where = pods.path("configmaps", canary["metadata"]["name"])  # type: ignore[index]
            assert pods.call("GET", where)["kind"] == "ConfigMap"
            pods.call("DELETE", where)
            _tidy(pods)
            writer.forget()
            rounds += 1
            if rounds == 20:
                first = memory(podrun)[0], podrun.descriptors()[0]

        yield play
        print(f"answers by code: {dict(sorted(writer.codes.items()))}")
        if first is not None:
            now = memory(podrun)[0], podrun.descriptors()[0]
            for when, (size, opened) in (("20", first), (str(rounds), now)):
                print(f"podrund after {when} rounds: {size:.0f} MiB, {opened} descriptors")
            assert now[0] < first[0] + GROWTH_MIB, (first, now)
            assert now[1] < first[1] + 10, (first, now)
        podrun.delete_pods()
        assert podrun.leaks() == {}


def _tidy(pods: Pods) -> None:
    """Delete what was made, so that names are free again."""
    for kind in STORED:
        if not kind.stored or "deletecollection" not in kind.verbs or "events" in kind.plural:
            continue
        with suppress(Exception):
            if kind.namespaced and kind.plural not in ("serviceaccounts",):
                pods.call("DELETE", f"{base(kind)}/{kind.plural}?gracePeriodSeconds=0")
            elif not kind.namespaced:
                for one in pods.call("GET", f"{base(kind)}/{kind.plural}")["items"]:
                    if (name := one["metadata"]["name"]).startswith("fuzz-"):
                        with suppress(Exception):
                            pods.call("DELETE", f"{base(kind)}/{kind.plural}/{name}")


GROUP = "hostile input"

ROWS = (
    Row(
        "writes",
        GROUP,
        f"{WRITES} senseless writes a round: refused in words, no growth, nothing betrayed",
        200,
        writes,
    ),
)
