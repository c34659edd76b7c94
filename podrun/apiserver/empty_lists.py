"""Lists of kinds that are not served: there are none of them, which is the truth, and all that some clients ask.

`kubectl cluster-info dump` lists workloads without looking into discovery first and gives up at a refusal. Discovery
says nothing of these kinds, so that nobody is led to believe that one could be made.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from aiohttp import web

from podrun.apiserver.negotiation import JSON
from podrun.apiserver.requestinfo import RequestInfo

UNSERVED_LISTS: Mapping[tuple[str, str, str], str] = {
    ("", "v1", "replicationcontrollers"): "ReplicationControllerList",
    ("apps", "v1", "daemonsets"): "DaemonSetList",
    ("apps", "v1", "deployments"): "DeploymentList",
    ("apps", "v1", "replicasets"): "ReplicaSetList",
}
"""(group, version, plural) to the kind of the list."""


def empty_list(kind: str, info: RequestInfo, version: int) -> web.Response:
    """A list of nothing, at the store's version."""
    api_version = f"{info.group}/{info.version}" if info.group else info.version
    body = {"kind": kind, "apiVersion": api_version, "metadata": {"resourceVersion": str(version)}, "items": []}
    return web.Response(body=orjson.dumps(body), headers={"Content-Type": JSON, "Cache-Control": "no-cache, private"})
