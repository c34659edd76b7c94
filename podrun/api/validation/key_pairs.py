"""Whether a certificate and a key belong together, in the words of Go's crypto/tls."""

from __future__ import annotations

import re

BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
NO_PEM = "tls: failed to find any PEM data in {} input"
WRONG_KINDS = "tls: failed to find {} in {} input after skipping PEM blocks of the following types: [{}]"


def key_pair_problem(certificate: bytes, key: bytes) -> str:
    """What is wrong with a PEM certificate and its PEM key; empty when they are a pair."""
    kinds = [match[1].decode() for match in BLOCK.finditer(certificate)]
    if not kinds:
        return NO_PEM.format("certificate")
    if "CERTIFICATE" not in kinds:
        key_first = len(kinds) == 1 and kinds[0].endswith("PRIVATE KEY")
        if key_first:
            return (
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; "
                "PEM inputs may have been switched"
            )
        return WRONG_KINDS.format('"CERTIFICATE" PEM block', "certificate", " ".join(kinds))
    key_kinds = [match[1].decode() for match in BLOCK.finditer(key)]
    if not key_kinds:
        return NO_PEM.format("key")
    if not any(kind == "PRIVATE KEY" or kind.endswith(" PRIVATE KEY") for kind in key_kinds):
        if key_kinds == ["CERTIFICATE"]:
            return "tls: found a certificate rather than a key in the PEM for the private key"
        return WRONG_KINDS.format('PEM block with type ending in "PRIVATE KEY"', "key", " ".join(key_kinds))
    return mismatch(certificate, key)


def mismatch(certificate: bytes, key: bytes) -> str:
    """Whether the public halves differ."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    try:
        public = x509.load_pem_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "x509: malformed certificate"
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "tls: failed to parse private key"
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if type(public).__name__.removesuffix("PublicKey") != type(private).__name__.removesuffix("PrivateKey"):
        return "tls: private key type does not match public key type"
    if public.public_bytes(*form) != private.public_key().public_bytes(*form):
        return "tls: private key does not match public key"
    return ""
