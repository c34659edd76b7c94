"""The runtime without the API: sandboxes and containers one after another, in namespaces of their own.

usage: unshare --net --mount python -m tests.bench.runtime_alone ROOT LAYER N

Prints one JSON value: seconds of each sandbox (with its network and cgroup) and of each container (create and start),
as two lists. ROOT must not exist or be empty; LAYER is a root file system with busybox.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from podrun.cgroups.bpf import DevicePrograms
from podrun.cgroups.hierarchy import detect
from podrun.cgroups.tree import PodGroups
from podrun.network.pods import PodNetwork
from podrun.runtime.model import ContainerConfig, SandboxConfig
from podrun.runtime.runtime import Runtime
from podrun.spawner.client import SpawnerClient


async def measure(root: Path, layer: Path, times: int) -> dict[str, list[float]]:
    """Seconds of each step. A pod is removed again before the next one begins, outside of what is measured."""

    async def connect(former: SpawnerClient | None) -> SpawnerClient:
        return await SpawnerClient.start(root / "spawner", visible=[root, layer], former=former)

    groups, network = PodGroups(detect(), f"podrun-bench-{os.getpid()}"), PodNetwork(root / "state/network")
    runtime = Runtime(root / "run", root / "state", connect, groups, network, DevicePrograms())
    await runtime.start()
    gc.freeze()
    took: dict[str, list[float]] = {"sandbox": [], "container": []}
    try:
        for number in range(times):
            logs = root / "logs" / str(number)
            begin = time.perf_counter()
            sandbox = await runtime.run_sandbox(SandboxConfig(f"uid-{number}", "ns", "p", 0, "host", logs, ""))
            made = time.perf_counter()
            container = ContainerConfig("a", 0, "busybox", "", (layer,), ("/bin/sleep", "1000"), (), logs / "a/0.log")
            await runtime.start_container(await runtime.create_container(sandbox.id, container))
            took["container"].append(time.perf_counter() - made)
            took["sandbox"].append(made - begin)
            await runtime.remove_sandbox(sandbox.id)
    finally:
        await network.reset()
        await runtime.spawner.leave(force=True)
        await runtime.close()
        groups.remove()
    return took


if __name__ == "__main__":
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    print(json.dumps(asyncio.run(measure(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))))
