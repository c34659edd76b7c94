"""Lifecycle hooks: what is run after a container's start and before its stop (pkg/kubelet/lifecycle/handlers.go)."""

from __future__ import annotations

import asyncio

import aiohttp

from podrun.api.pod import Container, Handler, Pod
from podrun.runtime.errors import RuntimeFailure
from podrun.runtime.service import RuntimeService
from podrun.supervisor.probe_http import BadPort, failure_text, http_hook, url_of


class HookFailed(Exception):
    """The hook did not succeed; the text is the kubelet's (it may hold the command's output: not for Events)."""


async def run_hook(
    runtime: RuntimeService, hook: Handler, pod: Pod, container: Container, container_id: str, address: str
) -> None:
    """Run it to its end, however long that takes. Raises HookFailed."""
    where = f'for Container "{container.name}" in Pod "{pod}" failed'
    if hook.exec is not None:
        command = " ".join(hook.exec.command)
        try:
            code, output = await runtime.exec_sync(container_id, hook.exec.command, None)
        except RuntimeFailure as error:
            why = f'error: {error.message}, message: ""'
            raise HookFailed(f"Exec lifecycle hook ([{command}]) {where} - {why}") from error
        if code:
            shown = output.decode(errors="replace")
            error_text = f"command '{command}' exited with {code}: {shown}"
            raise HookFailed(f'Exec lifecycle hook ([{command}]) {where} - error: {error_text}, message: "{shown}"')
    elif hook.http_get is not None:
        try:
            await http_hook(hook.http_get, container, address)
        except (aiohttp.ClientError, OSError, BadPort) as error:
            why = str(error)
            if not isinstance(error, BadPort):
                why = failure_text(url_of(hook.http_get, container, address), error)
            raise HookFailed(f"HTTP lifecycle hook ({hook.http_get.path}) {where} - error: {why}") from error
    elif hook.sleep is not None:
        await asyncio.sleep(hook.sleep.seconds)
    else:
        raise HookFailed("Cannot run handler: invalid handler")
