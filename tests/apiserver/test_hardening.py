"""What the API asks of whoever knocks: TLS 1.3, a client certificate that is good now, and grants for every guise."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509

from podrun.api.kinds import KINDS
from podrun.apiserver import pki
from tests.apiserver.conftest import Client, Object
from tests.apiserver.serving import Serving, serving

PODS = "/api/v1/namespaces/default/pods"


async def pods_by(served: Serving, context: ssl.SSLContext) -> int:
    """The code that a list of pods is answered with; raises what the handshake ends by."""
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session, session.get(served.url + PODS) as response:
        await response.read()
        return response.status


def context_of(served: Serving, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(served.pki.ca_certificate))
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


async def test_nothing_older_than_tls_1_3(served: Serving) -> None:
    context = context_of(served)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(aiohttp.ClientConnectorError):
        await pods_by(served, context)
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    assert await pods_by(served, context) == 403


async def test_the_servers_certificate_is_no_clients(served: Serving) -> None:
    with pytest.raises((aiohttp.ClientError, OSError)):
        await pods_by(served, context_of(served, served.pki.server_certificate, served.pki.server_key))


async def test_a_certificate_of_another_authority_is_refused(served: Serving, tmp_path: Path) -> None:
    other = pki.ensure(tmp_path / "other", [], pki.utc_now())
    with pytest.raises((aiohttp.ClientError, OSError)):
        await pods_by(served, context_of(served, other.admin_certificate, other.admin_key))


async def test_a_certificate_that_has_ended_is_refused(tmp_path: Path) -> None:
    old = pki.ensure(tmp_path / "pki", [], pki.utc_now() - timedelta(days=400))
    certificate, key = (Path(shutil.copy(path, tmp_path)) for path in (old.admin_certificate, old.admin_key))
    async with serving(tmp_path) as served:
        assert served.pki.ca_certificate.read_bytes() == old.ca_certificate.read_bytes()
        with pytest.raises((aiohttp.ClientError, OSError)):
            await pods_by(served, context_of(served, certificate, key))
        assert await pods_by(served, context_of(served, served.pki.admin_certificate, served.pki.admin_key)) == 200


async def test_renewed_certificates_serve_new_connections_and_disturb_none(served: Serving, client: Client) -> None:
    assert (await client.call("GET", PODS))[0] == 200

    before = await serial_of(served)
    served.pki.server_certificate.unlink()  # as good as due
    pki.ensure(served.pki.directory, [], pki.utc_now())
    served.server.reload_certificates()
    assert (await client.call("GET", PODS))[0] == 200  # the same connection
    assert await serial_of(served) != before
    again = context_of(served, served.pki.admin_certificate, served.pki.admin_key)
    assert await pods_by(served, again) == 200


async def serial_of(served: Serving) -> int:
    """The number of the certificate that a new connection is shown."""
    shown = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", served.port))
    return x509.load_pem_x509_certificate(shown.encode()).serial_number


async def test_a_stranger_reaches_no_kind(stranger: Client) -> None:
    """Every kind that is served, with every method."""
    for kind in KINDS.values():
        base = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        where = f"{base}/namespaces/default" if kind.namespaced else base
        for method, path in (
            ("GET", kind.plural),
            ("GET", f"{kind.plural}/x"),
            ("POST", kind.plural),
            ("DELETE", f"{kind.plural}/x"),
        ):
            code, _ = await stranger.call(method, f"{where}/{path}", {} if method == "POST" else None)
            assert code == 403, f"{method} {where}/{path}"


ACCOUNT = "system:serviceaccount:default:default"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


async def grant(client: Client, user: str, *rules: Object) -> None:
    await client.make(f"{RBAC}/clusterroles", {"metadata": {"name": user}, "rules": list(rules)})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    await client.make(
        f"{RBAC}/clusterrolebindings", {"metadata": {"name": user}, "roleRef": reference, "subjects": [subject]}
    )


def allowed(resource: str, *names: str, group: str = "") -> Object:
    return {"verbs": ["impersonate"], "apiGroups": [group], "resources": [resource], "resourceNames": list(names)}


AUTHENTICATION = 'in API group "authentication.k8s.io"'
REFUSED = [
    ({"User": "eve"}, 'cannot impersonate resource "users" in API group ""'),
    ({"User": "bob", "Group": "system:masters"}, 'resource "groups" in API group ""'),
    ({"User": "bob", "Uid": "1"}, f'resource "uids" {AUTHENTICATION}'),
    ({"User": "bob", "Extra_Scopes": "all"}, f'resource "userextras/scopes" {AUTHENTICATION}'),
    ({"User": ACCOUNT}, 'resource "serviceaccounts" in API group "" in the namespace "default"'),
]


async def token_of(client: Client) -> str:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    made = await client.make("/api/v1/namespaces/default/serviceaccounts/default/token", body)
    token: str = made["status"]["token"]
    return token


async def test_a_guise_is_for_those_who_may_wear_it(client: Client, stranger: Client) -> None:
    await grant(client, ACCOUNT, allowed("users", "bob"), allowed("groups", "readers"))
    bearer = {"Authorization": f"Bearer {await token_of(client)}"}
    for guise, words in REFUSED:
        headers = bearer | {f"Impersonate_{part}": value for part, value in guise.items()}
        code, answer = await stranger.call("GET", "/version", **headers)
        assert (code, words in answer["message"]) == (403, True), answer
    review = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    headers = bearer | {"Impersonate_User": "bob", "Impersonate_Group": "readers"}
    code, answer = await stranger.call("POST", review, {"kind": "SelfSubjectReview"}, **headers)
    assert code == 201, answer
    assert answer["status"]["userInfo"] == {"username": "bob", "groups": ["readers", "system:authenticated"]}


async def test_a_group_without_a_user_is_no_guise(client: Client) -> None:
    assert (await client.call("GET", PODS, Impersonate_Group="readers"))[0] == 400
