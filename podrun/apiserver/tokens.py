"""ServiceAccount tokens: JSON Web Tokens signed with podrun's own P-256 key (RFC 7519, ES256).

The claims are those of Kubernetes' bound tokens (KEP-1205): who, for whom (audiences), until when, and bound to which
object (a pod, usually). A token is good only as long as what it is bound to exists with the same uid.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

Object = dict[str, Any]
Lookup = Callable[[str, str, str], Object | None]

ISSUER = "https://kubernetes.default.svc.cluster.local"
NAMESPACE_CLAIM = "kubernetes.io"
_COORDINATE = 32


class InvalidToken(Exception):
    """The token is not one of ours, has ended, or what it is bound to is gone."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The object that a token lives and dies with."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Claims:
    """Whose token it is; times are seconds since the epoch."""

    namespace: str
    account: str
    account_uid: str
    audiences: tuple[str, ...]
    issued: float
    expires: float
    token_id: str
    bound: Bound | None = None
    node: Bound | None = None


class TokenSigner:
    """Makes and checks tokens. `lookup` is the store's `get`; `key_pem` the private key."""

    def __init__(self, key_pem: bytes, lookup: Lookup, *, issuer: str = ISSUER) -> None:
        key = serialization.load_pem_private_key(key_pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the key of ServiceAccount tokens is not an elliptic curve key")
        self._key = key
        self._public = key.public_key()
        self._lookup = lookup
        self.issuer = issuer
        public = self._public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.key_id = _encode(hashlib.sha256(public).digest())
        self._checked: dict[str, Claims] = {}

    def issue(
        self,
        account: Object,
        audiences: Sequence[str],
        seconds: float,
        *,
        bound: Bound | None = None,
        node: Bound | None = None,
        now: float | None = None,
    ) -> str:
        """A token for a ServiceAccount (an object of the store), good for `seconds`."""
        metadata = account["metadata"]
        issued = int(time.time() if now is None else now)
        namespaced: Object = {
            "namespace": metadata["namespace"],
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        for key, one in ((bound.kind.lower() if bound else "", bound), ("node", node)):
            if one is not None:
                namespaced[key] = {"name": one.name, "uid": one.uid}
        claims = {
            "aud": list(audiences) or [self.issuer],
            "exp": issued + int(seconds),
            "iat": issued,
            "iss": self.issuer,
            "jti": secrets.token_hex(16),
            NAMESPACE_CLAIM: namespaced,
            "nbf": issued,
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
        }
        head = {"alg": "ES256", "kid": self.key_id}
        signed = f"{_encode(json.dumps(head).encode())}.{_encode(json.dumps(claims).encode())}"
        first, second = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = first.to_bytes(_COORDINATE, "big") + second.to_bytes(_COORDINATE, "big")
        return f"{signed}.{_encode(signature)}"

    def public_keys(self) -> Object:
        """The key that tokens are checked with, as a JSON Web Key Set (RFC 7517), for others who check them."""
        numbers = self._public.public_numbers()
        x, y = (_encode(number.to_bytes(_COORDINATE, "big")) for number in (numbers.x, numbers.y))
        key = {"use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256", "x": x, "y": y}
        return {"keys": [key]}

    def check(self, token: str, *, now: float | None = None) -> Claims:
        """The claims of a token that is good at this moment; raises InvalidToken. Audiences are not judged."""
        claims = self._checked.get(token) or self._verify(token)
        moment = time.time() if now is None else now
        if not claims.issued <= moment + 60 or moment >= claims.expires:
            self._checked.pop(token, None)
            raise InvalidToken("the token is not valid at this time")
        self._check_references(claims)
        if len(self._checked) > 1000:
            self._checked.clear()
        self._checked[token] = claims
        return claims

    def _verify(self, token: str) -> Claims:
        try:
            signed, _, signature = token.rpartition(".")
            head, _, body = signed.partition(".")
            raw = _decode(signature)
            if json.loads(_decode(head)).get("alg") != "ES256" or len(raw) != 2 * _COORDINATE:
                raise InvalidToken("the token is signed in another way")
            first, second = int.from_bytes(raw[:_COORDINATE], "big"), int.from_bytes(raw[_COORDINATE:], "big")
            self._public.verify(encode_dss_signature(first, second), signed.encode(), ec.ECDSA(hashes.SHA256()))
            return _claims(json.loads(_decode(body)), self.issuer)
        except (ValueError, KeyError, TypeError, AttributeError, InvalidSignature) as error:
            raise InvalidToken("the token is not one of this server") from error

    def _check_references(self, claims: Claims) -> None:
        account = self._lookup("serviceaccounts", claims.namespace, claims.account)
        if account is None or account["metadata"]["uid"] != claims.account_uid:
            raise InvalidToken("the token's service account is gone")
        if claims.bound is None:
            return
        resource = f"{claims.bound.kind.lower()}s"
        found = self._lookup(resource, claims.namespace, claims.bound.name)
        if found is None or found["metadata"]["uid"] != claims.bound.uid:
            raise InvalidToken(f"the {claims.bound.kind.lower()} that the token is bound to is gone")


def _claims(body: Object, issuer: str) -> Claims:
    if body["iss"] != issuer:
        raise InvalidToken("the token is of another issuer")
    namespaced = body[NAMESPACE_CLAIM]
    account = namespaced["serviceaccount"]
    bound = [
        Bound(kind, namespaced[kind.lower()]["name"], namespaced[kind.lower()]["uid"])
        for kind in ("Pod", "Secret", "Node")
        if kind.lower() in namespaced
    ]
    owners = [one for one in bound if one.kind != "Node"]
    nodes = [one for one in bound if one.kind == "Node"]
    return Claims(
        namespaced["namespace"],
        account["name"],
        account["uid"],
        tuple(body["aud"]),
        float(body["iat"]),
        float(body["exp"]),
        str(body.get("jti", "")),
        owners[0] if owners else None,
        nodes[0] if nodes else None,
    )


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
