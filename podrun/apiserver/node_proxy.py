"""/api/v1/nodes/NAME/proxy: what a kubelet's own server answers, as far as it is served here (node_metrics)."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from podrun.api.errors import service_unavailable
from podrun.apiserver import health
from podrun.apiserver.exposition import MEDIA_TYPE, render
from podrun.apiserver.node_metrics import ENDPOINTS
from podrun.apiserver.resource_metrics import node_boot_id
from podrun.apiserver.stats_summary import summary
from podrun.apiserver.streams.pods import PodAccess, reachable
from podrun.apiserver.usage import boot_id

Object = dict[str, Any]


def proxy(node: Object, rest: tuple[str, ...], pods: PodAccess | None) -> web.Response:
    """Answer GET of the path `rest` on a Node; raises ServiceUnavailable for one that is not this machine."""
    if node_boot_id(node) != boot_id():
        name = node["metadata"]["name"]
        raise service_unavailable(f"error trying to reach service: node {name} is not the machine that podrun runs on")
    path = "/".join(rest).rstrip("/")
    if path == "healthz":
        return web.Response(text="ok", headers={"Content-Type": health.TEXT})
    if path == "stats/summary":
        return web.json_response(summary(reachable(pods).runtime, node))
    families = ENDPOINTS.get(path)
    if families is None:
        return web.Response(status=404, text=health.NOT_FOUND)
    return web.Response(body=render(families(reachable(pods).runtime, node)), headers={"Content-Type": MEDIA_TYPE})
