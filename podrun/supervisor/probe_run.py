"""One look of a probe: exec, HTTP, TCP or gRPC, from the host to the pod's address (pkg/kubelet/prober)."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from podrun.api.pod import Container, ExecAction, Probe, TcpSocketAction
from podrun.lifecycle.backoff import duration
from podrun.lifecycle.environment import expand_static
from podrun.lifecycle.probes import MAX_TRIES, Result
from podrun.runtime.errors import ExecTimeout, RuntimeFailure
from podrun.runtime.service import RuntimeService
from podrun.supervisor.probe_http import BadPort, dial_text, http_probe, port_of

_LONGEST_OUTPUT = 10 << 10


async def look(
    runtime: RuntimeService, probe: Probe, container: Container, container_id: str, pod_address: str
) -> Result:
    """The result of one look; a probe that itself errs is tried at most three times."""
    result = Result(False, error="no look was made")
    for _ in range(MAX_TRIES):
        result = await _once(runtime, probe, container, container_id, pod_address)
        if not result.error:
            break
    return result


async def _once(
    runtime: RuntimeService, probe: Probe, container: Container, container_id: str, pod_address: str
) -> Result:
    if probe.exec is not None:
        return await _exec(runtime, probe.exec, container, container_id, probe.timeout_seconds)
    if probe.http_get is not None:
        return await http_probe(probe.http_get, container, pod_address, probe.timeout_seconds)
    if probe.tcp_socket is not None:
        return await _tcp(probe.tcp_socket, container, pod_address, probe.timeout_seconds)
    if probe.grpc is not None:
        from podrun.supervisor.probe_grpc import grpc_probe

        return await grpc_probe(pod_address, probe.grpc.port, probe.grpc.service or "", probe.timeout_seconds)
    return Result(False, error=f"missing probe handler for {container.name}")


async def _exec(
    runtime: RuntimeService, action: ExecAction, container: Container, container_id: str, seconds: int
) -> Result:
    command = expand_static(action.command, container)
    try:
        code, output = await runtime.exec_sync(container_id, command, seconds)
    except ExecTimeout:
        return Result(False, f'command timed out: "{" ".join(command)}" timed out after {duration(seconds)}')
    except RuntimeFailure as error:
        return Result(False, error=error.message)
    return Result(code == 0, output[:_LONGEST_OUTPUT].decode(errors="replace"))


async def _tcp(action: TcpSocketAction, container: Container, pod_address: str, seconds: int) -> Result:
    host = action.host or pod_address
    try:
        port = port_of(action.port, container)
    except BadPort as error:
        return Result(False, error=str(error))
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except OSError as error:  # TimeoutError is one
        return Result(False, dial_text(host, port, error))
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return Result(True)
