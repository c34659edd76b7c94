"""WebSockets as a page in a browser opens them: with subprotocols it wants to hear back, its token among them."""

from __future__ import annotations

import base64

import aiohttp
import pytest

from podrun.apiserver.streams.channels import BEARER
from tests.apiserver.conftest import Client, pod

MAPS = "/api/v1/namespaces/default/configmaps"
WATCH = f"{MAPS}?watch=1&timeoutSeconds=5"


def carried(token: str) -> str:
    return BEARER + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


async def account_token(client: Client) -> str:
    """A token of an account that may watch config maps, and get, but not create, streams of pods."""
    streams = ["pods/exec", "pods/attach", "pods/portforward"]
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["watch"]},
        {"apiGroups": [""], "resources": streams, "verbs": ["get"]},
    ]
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    head = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "watcher"}}
    await client.make(f"{rbac}/roles", {**head, "kind": "Role", "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "watcher"}
    subjects = [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]
    await client.make(
        f"{rbac}/rolebindings", {**head, "kind": "RoleBinding", "roleRef": reference, "subjects": subjects}
    )
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    made = await client.make("/api/v1/namespaces/default/serviceaccounts/default/token", body)
    token: str = made["status"]["token"]
    return token


@pytest.mark.parametrize("protocol", ["base64.binary.k8s.io", "binary.k8s.io"])
async def test_a_watch_repeats_the_subprotocol(client: Client, protocol: str) -> None:
    async with client.session.ws_connect(client.serving.url + WATCH, protocols=[protocol]) as socket:
        assert socket.protocol == protocol
        assert (await socket.receive_json(timeout=5))["type"] == "ADDED"


async def test_a_token_comes_as_a_subprotocol(client: Client, stranger: Client) -> None:
    protocols = [carried(await account_token(client)), "base64.binary.k8s.io"]
    async with stranger.session.ws_connect(stranger.serving.url + WATCH, protocols=protocols) as socket:
        assert socket.protocol == "base64.binary.k8s.io"
        assert (await socket.receive_json(timeout=5))["object"]["kind"] == "ConfigMap"


@pytest.mark.parametrize("what", ["exec", "attach", "portforward"])
async def test_who_may_only_read_runs_nothing(client: Client, stranger: Client, what: str) -> None:
    await client.make("/api/v1/namespaces/default/pods", pod("p"))
    stranger.headers = {"Authorization": f"Bearer {await account_token(client)}"}
    code, answer = await stranger.call("GET", f"/api/v1/namespaces/default/pods/p/{what}")
    assert code == 403
    assert f'cannot create resource "pods/{what}"' in answer["message"]


@pytest.mark.parametrize(
    "protocols",
    [
        [carried("nonsense"), "base64.binary.k8s.io"],
        [BEARER + "ü".encode().decode("latin-1"), "base64.binary.k8s.io"],
        [BEARER, "base64.binary.k8s.io"],
        [carried("a"), carried("b"), "base64.binary.k8s.io"],
        [carried("a")],
    ],
    ids=["a wrong token", "no base64url", "nothing", "two", "nothing beside it"],
)
async def test_a_bad_token_is_unauthorized(stranger: Client, protocols: list[str]) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with stranger.session.ws_connect(stranger.serving.url + WATCH, protocols=protocols):
            pass
    assert caught.value.status == 401
