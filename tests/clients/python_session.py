"""What a person does with the official Python client and with kr8s: run beside a podrun, prints "done" at its end.

The test runs this in the daemon's network namespace with its kubeconfig: `python python_session.py kubernetes|kr8s`.
"""

from __future__ import annotations

import sys
import threading
import time
import urllib.request
from typing import Any

POD: Any = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "app",
                "image": "busybox:1.36",
                "command": [
                    "sh",
                    "-c",
                    "mkdir /www; echo hello >/www/index.html; echo started; httpd -f -p 80 -h /www",
                ],
            }
        ],
    },
}
MAP: Any = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1"}}


def equal(found: Any, expected: Any) -> None:
    if found != expected:
        raise SystemExit(f"found {found!r}, expected {expected!r}")


def with_kubernetes() -> None:
    """CRUD, apply, watch, logs, exec, port-forward with the package `kubernetes`."""
    from kubernetes import client, config, watch
    from kubernetes.stream import portforward, stream

    config.load_kube_config()
    core = client.CoreV1Api()
    made = core.create_namespaced_config_map("default", MAP)
    equal(made.data, {"a": "1"})
    core.patch_namespaced_config_map("settings", "default", {"data": {"b": "2"}})
    equal(core.read_namespaced_config_map("settings", "default").data, {"a": "1", "b": "2"})
    made = core.read_namespaced_config_map("settings", "default")
    made.data = {"c": "3"}
    equal(core.replace_namespaced_config_map("settings", "default", made).data, {"c": "3"})
    core.delete_namespaced_config_map("settings", "default")
    try:
        core.read_namespaced_config_map("settings", "default")
    except client.exceptions.ApiException as error:
        equal((error.status, error.reason), (404, "Not Found"))

    seen: list[tuple[str, str]] = []
    ready = threading.Event()

    def look() -> None:
        watching = watch.Watch()
        for event in watching.stream(core.list_namespaced_pod, "default", label_selector="app=web", timeout_seconds=30):
            seen.append((event["type"], event["object"].status.phase))
            conditions = event["object"].status.conditions or []
            if any(one.type == "Ready" and one.status == "True" for one in conditions):
                ready.set()
            if event["type"] == "DELETED":
                return

    watcher = threading.Thread(target=look)
    watcher.start()
    core.create_namespaced_pod("default", POD)
    equal(ready.wait(20), True)
    equal(core.read_namespaced_pod_log("web", "default"), "started\n")
    said = stream(
        core.connect_get_namespaced_pod_exec, "web", "default", command=["sh", "-c", "echo out; echo err >&2; exit 3"],
        stdout=True, stderr=True, _preload_content=False,
    )  # fmt: skip
    said.run_forever(timeout=10)
    equal((said.read_stdout(), said.read_stderr(), said.returncode), ("out\n", "err\n", 3))
    forwarded = portforward(core.connect_get_namespaced_pod_portforward, "web", "default", ports="80")
    connection = forwarded.socket(80)
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    answer = b""
    while piece := connection.recv(4096):
        answer += piece
    equal(answer.endswith(b"hello\n"), True)
    core.delete_namespaced_pod("web", "default")
    watcher.join(20)
    equal((seen[0], seen[-1][0]), (("ADDED", "Pending"), "DELETED"))

    dynamic = __import__("kubernetes.dynamic", fromlist=["DynamicClient"]).DynamicClient(client.ApiClient())
    maps = dynamic.resources.get(api_version="v1", kind="ConfigMap")
    applied = maps.server_side_apply(
        namespace="default", name="settings", body=MAP, field_manager="tests", force_conflicts=True
    )
    equal([one["manager"] for one in applied.to_dict()["metadata"]["managedFields"]], ["tests"])
    maps.delete(name="settings", namespace="default")


def with_kr8s() -> None:
    """The same with kr8s."""
    import kr8s
    from kr8s.objects import ConfigMap, Pod

    api = kr8s.api()
    equal(api.version()["gitVersion"].startswith("v1.36"), True)
    settings = ConfigMap(MAP)
    settings.create()
    settings.patch({"data": {"b": "2"}})
    equal(dict(ConfigMap.get("settings").data), {"a": "1", "b": "2"})
    web = Pod(POD)
    web.create()
    web.wait("condition=Ready", timeout=20)
    equal([pod.name for pod in kr8s.get("pods", label_selector="app=web")], ["web"])
    equal(list(web.logs()), ["started"])
    done = web.exec(["sh", "-c", "echo out; exit 3"], check=False)
    equal((done.stdout, done.returncode), (b"out\n", 3))
    with web.portforward(remote_port=80) as port:
        equal(urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10).read(), b"hello\n")
    web.label(colour="blue")
    equal(Pod.get("web").labels["colour"], "blue")
    events = api.watch("pods", namespace="default")
    equal(next(iter(events))[0], "ADDED")
    web.delete()
    web.wait("delete", timeout=20)
    settings.delete()
    deadline = time.monotonic() + 5
    while settings.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    equal(settings.exists(), False)


if __name__ == "__main__":
    {"kubernetes": with_kubernetes, "kr8s": with_kr8s}[sys.argv[1]]()
    print("done")
