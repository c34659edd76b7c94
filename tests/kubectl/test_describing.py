"""What `kubectl describe` says of pods in trouble: crash-looping, image-less, OOM-killed, evicted, as on a cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Podrun, wait_until

BUSYBOX = "busybox:1.36"
FILLS = "dd if=/dev/zero of=/v/x bs=1M count=20; sleep 1000"


def pod(name: str, container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    made = {"containers": [{"name": "a", "image": BUSYBOX, **container}], "terminationGracePeriodSeconds": 1, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": made}


@pytest.fixture(scope="module")
def troubled(images: Path) -> Iterator[Podrun]:
    """A podrun with one pod of each trouble, all of which have met it."""
    with Podrun.start(images=images, options=["--time-scale", "0.2"]) as podrun:
        volume = {"name": "v", "emptyDir": {"sizeLimit": "5Mi"}}
        mounted = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
        podrun.apply(
            pod("loop", {"command": ["sh", "-c", "exit 3"]}),
            pod("imageless", {"image": "127.0.0.1:1/none:1"}),
            pod(
                "hungry",
                {
                    "command": ["sh", "-c", "head -c 200m /dev/zero | tail"],
                    "resources": {"limits": {"memory": "20Mi"}},
                },
                restartPolicy="Never",
            ),
            pod("evicted", {"command": ["sh", "-c", FILLS], **mounted}, volumes=[volume]),
        )

        def all_met() -> bool:
            now = {p["metadata"]["name"]: p["status"] for p in podrun.get("pods")["items"]}
            loop = now["loop"].get("containerStatuses", [{}])[0]
            return (
                loop.get("restartCount", 0) >= 2
                and now["evicted"]["phase"] == now["hungry"]["phase"] == "Failed"
                and "ImagePullBackOff" in str(now["imageless"])
            )

        wait_until(all_met, 40.0, "the pods have not met their troubles")
        yield podrun


def described(podrun: Podrun, name: str) -> str:
    """Without what differs from run to run, and with every run of spaces as one."""
    text = podrun.kubectl("describe", "pod", name)
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "UID", text)
    return re.sub(r"(?m)^\s+|[ \t]+", lambda found: "\n" if "\n" in found[0] else " ", text)


OFTEN = r"\S+ (\(x\d+ over \S+\) )?kubelet spec.containers{a}:"
TROUBLES = {
    "loop": [
        "Last State: Terminated\n Reason: Error\n Exit Code: 3",
        "Ready: False\n Restart Count: ",
        rf"Warning BackOff {OFTEN} "
        r"Back-off restarting failed container a in pod loop_default\(UID\)",
    ],
    "imageless": [
        "Status: Pending",
        "Container ID: \n Image: 127.0.0.1:1/none:1\n Image ID: \n",
        "State: Waiting\n Reason: (ImagePullBackOff|ErrImagePull)\n Ready: False\n Restart Count: 0",
        rf'Normal Pulling {OFTEN} Pulling image "127.0.0.1:1/none:1"',
        rf'Warning Failed {OFTEN} Failed to pull image "127.0.0.1:1/none:1": ',
        rf'Normal BackOff {OFTEN} Back-off pulling image "127.0.0.1:1/none:1"',
        rf"Warning Failed {OFTEN} Error: ImagePullBackOff",
    ],
    "hungry": [
        "Status: Failed",
        "State: Terminated\n Reason: OOMKilled\n Exit Code: 137",
        "Limits:\n memory: 20Mi\n Requests:\n memory: 20Mi",
        "QoS Class: Burstable",
    ],
    "evicted": [
        'Status: Failed\nReason: Evicted\nMessage: Usage of EmptyDir volume "v" exceeds the limit "5Mi".',
        "State: Terminated\n Reason: Error\n Exit Code: 137",
        "SizeLimit: 5Mi",
        r'Warning Evicted \S+ kubelet Usage of EmptyDir volume "v" exceeds the limit "5Mi".',
        r"Normal Killing \S+ kubelet spec.containers{a}: Stopping container a",
    ],
}


@pytest.mark.parametrize("name", TROUBLES)
def test_a_pod_in_trouble_reads_as_on_a_cluster(troubled: Podrun, name: str) -> None:
    text = described(troubled, name)
    missing = [words for words in TROUBLES[name] if not re.search(words, text)]
    assert missing == [], text
