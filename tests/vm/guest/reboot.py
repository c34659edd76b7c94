"""What the machine's end does to pods, from inside: run at each boot, it goes on where it was when the last one ended.

boot 0   podrun installed, pods of every policy; the power is cut while objects are being written
boot 1   everything that was acknowledged is there, pods run again by their policy; then an orderly reboot
boot 2   the same once more
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STAGE, ACKNOWLEDGED, ENDED = Path("/var/stage"), Path("/var/acknowledged"), Path("/var/ended")
MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: %(name)s}
spec:
  restartPolicy: %(policy)s
  terminationGracePeriodSeconds: 1
  volumes: [{name: v, emptyDir: {}}, {name: m, emptyDir: {medium: Memory}}]
  containers:
  - name: a
    image: busybox:1.36
    command: [sh, -c, "echo started >> /v/f; echo started >> /m/f; %(script)s"]
    volumeMounts: [{name: v, mountPath: /v}, {name: m, mountPath: /m}]
"""
FOREVER = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"


def run(*argv: str, seconds: float = 400) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{argv}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def get(name: str) -> dict[str, Any]:
    return json.loads(run("kubectl", "get", "pod", name, "-o", "json"))["status"]


def status(name: str) -> dict[str, Any]:
    return get(name)["containerStatuses"][0]


def until(true: Callable[[], Any], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}\n{run('journalctl', '-u', 'podrun', '-n', '40', '--no-pager')}"
        time.sleep(0.2)


def durably(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def begin() -> None:
    run("scripts/quickstart")
    run("kubectl", "delete", "pod", "--all")
    pods = (("always", "Always", FOREVER), ("never", "Never", FOREVER), ("done", "Never", "exit 4"))
    text = "---".join(MANIFEST % {"name": name, "policy": policy, "script": script} for name, policy, script in pods)
    subprocess.run(["kubectl", "apply", "-f", "-"], input=text, text=True, check=True)
    run("kubectl", "wait", "--for=condition=Ready", "pod/always", "pod/never", "--timeout=60s")
    until(lambda: get("done")["phase"] == "Failed", "the pod that ends has not ended")


def write_until_the_power_is_cut() -> None:
    """Objects one after another, each noted once it is acknowledged; in the middle of it the machine ends."""
    STAGE.write_text("1")
    os.sync()
    subprocess.Popen(["sh", "-c", "sleep 8; echo b > /proc/sysrq-trigger"])
    number = 0
    while True:
        body = json.dumps({"metadata": {"name": f"c{number}"}, "data": {"n": "x" * 2000}})
        url = "http://localhost/api/v1/namespaces/default/configmaps"
        said = run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", "/run/podrun/podrun.sock",
                   "-H", "Content-Type: application/json", "-d", body, url)  # fmt: skip
        assert said == "201", said
        durably(ACKNOWLEDGED, f"c{number}\n")
        number += 1


def look(boot: int) -> None:
    """What must be so after each boot."""
    until(lambda: subprocess.run(["kubectl", "get", "--raw", "/readyz"], capture_output=True).returncode == 0, "no API")
    noted = set(ACKNOWLEDGED.read_text().split())
    there = set(run("kubectl", "get", "cm", "-o", "jsonpath={.items[*].metadata.name}").split())
    assert noted <= there, f"acknowledged and lost: {sorted(noted - there)}"
    print(f"boot {boot}: {len(noted)} objects were acknowledged and are there", flush=True)
    until(lambda: status("always")["restartCount"] == boot and status("always")["ready"], "it does not run again")
    until(lambda: get("never")["phase"] == "Failed", "a pod that is never restarted has not failed")
    assert status("never")["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert status("done")["state"]["terminated"]["exitCode"] == 4
    exec_ = ("kubectl", "exec", "always", "--")
    assert run(*exec_, "cat", "/v/f") == "started\n" * (boot + 1)
    assert run(*exec_, "cat", "/m/f") == "started\n"
    assert run(*exec_, "hostname") == "always\n"
    pods = [path.name for path in Path("/var/lib/podrun/pods").iterdir()]
    assert len(pods) <= 3, pods
    mounts = Path("/proc/self/mountinfo").read_text()
    assert mounts.count("/var/lib/podrun/pods/") <= 2 * len(pods), mounts
    links = [line for line in run("ip", "-o", "link").splitlines() if ": vpod" in line]
    assert len(links) == 1, links
    assert len(list(Path("/var/lib/podrun/containers").rglob("upper"))) <= 2


def main() -> int:
    boot = int(STAGE.read_text()) if STAGE.exists() else 0
    if boot == 2:
        took = time.time() - float(ENDED.read_text())
        assert took < 75, f"the machine took {took:.0f} s to end and begin: something does not heed its end"
    if boot == 0:
        begin()
        write_until_the_power_is_cut()
    look(boot)
    if boot == 1:
        STAGE.write_text("2")
        ENDED.write_text(str(time.time()))
        run("systemctl", "--no-block", "reboot")
        time.sleep(600)
    return 0


if __name__ == "__main__":
    sys.exit(main())
