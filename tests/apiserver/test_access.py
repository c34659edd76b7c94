"""Who may do what, over real connections: certificates, tokens, strangers, the unix socket, impersonation."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from podrun.apiserver import pki
from podrun.apiserver.server import unix_listener
from podrun.apiserver.tokens import Bound, InvalidToken, TokenSigner
from tests.apiserver.conftest import Client, pod
from tests.apiserver.serving import Serving

Object = dict[str, Any]

PODS = "/api/v1/namespaces/default/pods"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


async def test_a_stranger_sees_health_and_version_only(stranger: Client) -> None:
    for path in ("/version", "/healthz", "/livez", "/readyz"):
        assert (await stranger.call("GET", path))[0] == 200
    code, answer = await stranger.call("GET", PODS)
    assert code == 403
    assert answer["message"] == (
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" in the namespace '
        '"default"'
    )


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "e30.e30.e30"])
async def test_a_wrong_token_is_unauthorized(stranger: Client, token: str) -> None:
    code, answer = await stranger.call("GET", PODS, Authorization=f"Bearer {token}")
    assert (code, answer["message"]) == (401, "Unauthorized")


async def token_of(client: Client, account: str = "default", **spec: Any) -> str:
    path = f"/api/v1/namespaces/default/serviceaccounts/{account}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    made = await client.make(path, body)
    token: str = made["status"]["token"]
    return token


async def test_a_service_account_may_what_is_granted(client: Client, stranger: Client) -> None:
    stranger.headers = {"Authorization": f"Bearer {await token_of(client)}"}
    code, answer = await stranger.call("GET", PODS)
    assert (code, 'User "system:serviceaccount:default:default"' in answer["message"]) == (403, True)
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    await client.make(f"{RBAC}/namespaces/default/roles", {"metadata": {"name": "r"}, "rules": rules})
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
    }
    await client.make(f"{RBAC}/namespaces/default/rolebindings", binding)
    assert (await stranger.call("GET", PODS))[0] == 200
    assert (await stranger.call("DELETE", f"{PODS}/p"))[0] == 403
    question = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"namespace": "default", "verb": "list", "resource": "pods"}},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    why = 'RBAC: allowed by RoleBinding "b/default" of Role "r" to ServiceAccount "default/default"'
    assert (await stranger.make(path, question))["status"] == {"allowed": True, "reason": why}
    question["spec"]["resourceAttributes"]["verb"] = "delete"  # type: ignore[index]
    assert (await stranger.make(path, question))["status"] == {"allowed": False}


async def test_nobody_grants_what_they_do_not_have(client: Client, stranger: Client) -> None:
    stranger.headers = {"Authorization": f"Bearer {await token_of(client)}"}
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
    }
    await client.make(f"{RBAC}/namespaces/default/rolebindings", binding)

    def role(name: str, *resources: str) -> Object:
        return {"metadata": {"name": name}, "rules": [{"apiGroups": [""], "resources": [*resources], "verbs": ["get"]}]}

    await stranger.make(f"{RBAC}/namespaces/default/roles", role("fine", "pods", "secrets"))
    code, answer = await stranger.call("POST", f"{RBAC}/namespaces/default/roles", role("more", "pods", "nodes"))
    assert code == 403
    refusal, _, missing = answer["message"].partition("\n")
    assert refusal.endswith("is attempting to grant RBAC permissions not currently held:")
    assert missing == '{APIGroups:[""], Resources:["nodes"], Verbs:["get"]}'
    binding["metadata"], binding["roleRef"]["name"] = {"name": "c"}, "cluster-admin"  # type: ignore[index]
    assert (await stranger.call("POST", f"{RBAC}/namespaces/default/rolebindings", binding))[0] == 403
    binding["roleRef"]["name"] = "view"  # type: ignore[index]
    assert (await stranger.call("POST", f"{RBAC}/namespaces/default/rolebindings", binding))[0] == 201


async def test_a_token_lives_as_long_as_its_pod(client: Client, stranger: Client) -> None:
    await client.make(PODS, pod("p"))
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p"}
    stranger.headers = {"Authorization": f"Bearer {await token_of(client, boundObjectRef=reference)}"}
    who = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    info = (await stranger.make("/apis/authentication.k8s.io/v1/selfsubjectreviews", who))["status"]["userInfo"]
    assert info["username"] == "system:serviceaccount:default:default"
    assert info["extra"]["authentication.kubernetes.io/pod-name"] == ["p"]
    await client.call("DELETE", f"{PODS}/p")
    assert (await stranger.call("GET", "/api"))[0] == 401


async def test_a_token_review_tells_good_from_bad(client: Client) -> None:
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    token = await token_of(client, audiences=["vault"])
    for audiences, good in ((["vault"], True), (["other"], False)):
        body = {"spec": {"token": token, "audiences": audiences}}
        status = (await client.make(path, body))["status"]
        assert status.get("authenticated", False) is good


async def test_an_administrator_may_be_someone_else(client: Client, stranger: Client) -> None:
    code, answer = await client.call("GET", PODS, Impersonate_User="alice")
    assert (code, 'User "alice" cannot list' in answer["message"]) == (403, True)
    code, answer = await stranger.call("GET", "/version", Impersonate_User="alice")
    assert (code, "cannot impersonate" in answer["message"]) == (403, True)


async def test_the_unix_socket_is_roots(served: Serving, tmp_path: Path) -> None:
    path = tmp_path / "podrun.sock"
    listener = unix_listener(path)
    assert path.stat().st_mode & 0o777 == 0o600
    await served.server.stop()
    await served.server.start(None, listener)
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
        session.get("http://podrun/api/v1/namespaces") as response,
    ):
        assert response.status == 200
    listener.close()


def test_tokens_end_and_cannot_be_changed(served_key: bytes) -> None:
    account = {"metadata": {"namespace": "a", "name": "b", "uid": "u"}}
    signer = TokenSigner(served_key, lambda *key: account if key == ("serviceaccounts", "a", "b") else None)
    now = time.time()
    token = signer.issue(account, [], 600, now=now)
    assert signer.check(token, now=now + 599).account == "b"
    with pytest.raises(InvalidToken, match="at this time"):
        signer.check(token, now=now + 601)
    head, body, signature = token.split(".")
    for changed in (f"{head}.{body}.{signature[::-1]}", f"{head}.{body[:-2]}AA.{signature}", f"{head}.{body}."):
        with pytest.raises(InvalidToken):
            signer.check(changed, now=now)
    bound = signer.issue(account, [], 600, bound=Bound("Pod", "p", "x"), now=now)
    with pytest.raises(InvalidToken, match="pod"):
        signer.check(bound, now=now)


async def test_others_can_check_tokens_with_the_published_keys(client: Client, stranger: Client) -> None:
    code, headers, issuer = await client.full("GET", "/.well-known/openid-configuration")
    assert (code, headers["Content-Type"]) == (200, "application/json")
    assert issuer["jwks_uri"] == f"{issuer['issuer']}/openid/v1/jwks"
    code, headers, keys = await client.full("GET", "/openid/v1/jwks")
    assert (code, headers["Content-Type"]) == (200, "application/jwk-set+json")
    assert headers["Cache-Control"] == "public, max-age=3600"
    made = await client.make("/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})
    head, body, signature = made["status"]["token"].split(".")
    (key,) = (one for one in keys["keys"] if one["kid"] == json.loads(_decoded(head))["kid"])
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
    x, y, r, s = (
        int.from_bytes(part, "big")
        for part in (_decoded(key["x"]), _decoded(key["y"]), _decoded(signature)[:32], _decoded(signature)[32:])
    )
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    public.verify(encode_dss_signature(r, s), f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
    assert (await stranger.call("GET", "/openid/v1/jwks"))[0] == 403


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.fixture
def served_key(tmp_path: Path) -> bytes:
    return pki.ensure(tmp_path / "keys", [], pki.utc_now()).service_account_key.read_bytes()


async def test_the_server_ends_its_watches_when_it_stops(client: Client, served: Serving) -> None:
    async with client.session.get(f"{served.url}{PODS}?watch=1") as response:
        async with asyncio.timeout(10):
            await served.server.stop()
            with contextlib.suppress(aiohttp.ClientError):
                assert await response.content.readline() == b""
