"""podrun's own certificate authority, and the keys that clients and pods are known by.

In one directory (mode 0700): a CA, the API server's certificate, the administrator's client certificate
(O=system:masters, which Kubernetes' authorisation lets do everything) and the key that signs ServiceAccount tokens.
`ensure` makes what is missing and renews what ends soon or lacks a name; it never touches what is still good, so a
kubeconfig that was handed out stays valid until its certificate is due. When the CA is renewed, all it signed is.

Keys are ECDSA P-256: what a kubeadm cluster may use, quick to make and to check (RFC 7518 calls its token
signatures ES256).
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
CLOCK_SKEW = timedelta(hours=1)
"""Certificates are valid from this long ago: a virtual machine's clock may step back after a resume."""

SERVER_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "127.0.0.1",
    "::1",
    "10.96.0.1",
)
"""Names and addresses that every API server's certificate holds: how the host and how pods reach it."""


@dataclass(frozen=True, slots=True)
class Pki:
    """Where the certificates and keys are, and when (epoch seconds) `ensure` has something to do again."""

    directory: Path
    renew_at: float

    @property
    def ca_certificate(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def server_certificate(self) -> Path:
        return self.directory / "apiserver.crt"

    @property
    def server_key(self) -> Path:
        return self.directory / "apiserver.key"

    @property
    def admin_certificate(self) -> Path:
        return self.directory / "admin.crt"

    @property
    def admin_key(self) -> Path:
        return self.directory / "admin.key"

    @property
    def service_account_key(self) -> Path:
        """The P-256 private key (PEM) that signs ServiceAccount tokens."""
        return self.directory / "sa.key"


@dataclass(frozen=True, slots=True)
class _Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class _Leaf:
    common_name: str
    organization: str | None
    usage: x509.ObjectIdentifier
    names: tuple[str, ...] = ()


def ensure(directory: Path, names: Sequence[str], now: datetime) -> Pki:
    """Make or renew what is needed in `directory`; `names` (DNS names, addresses) join SERVER_NAMES.

    Raises OSError where the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)
    authority = _load(directory, "ca")
    if authority is None or _is_due(authority.certificate, now):
        authority = _make_authority(now)
        _store(directory, "ca", authority)
    server_names = tuple(dict.fromkeys((*SERVER_NAMES, *names)))

    def serves_all(certificate: x509.Certificate) -> bool:
        return set(server_names) <= set(_names_of(certificate))

    server = _ensure_leaf(directory, "apiserver", authority, now, _server(server_names), serves_all)
    admin = _ensure_leaf(directory, "admin", authority, now, _admin(), lambda certificate: True)
    if _load_key(directory / "sa.key") is None:
        _write(directory / "sa.key", _key_pem(ec.generate_private_key(ec.SECP256R1())), 0o600)
    ends = min(pair.certificate.not_valid_after_utc for pair in (authority, server, admin))
    return Pki(directory, (ends - RENEW_BEFORE).timestamp())


def _ensure_leaf(
    directory: Path,
    name: str,
    authority: _Pair,
    now: datetime,
    leaf: _Leaf,
    fits: Callable[[x509.Certificate], bool],
) -> _Pair:
    found = _load(directory, name)
    if found and not _is_due(found.certificate, now) and fits(found.certificate) and _signed_by(found, authority):
        return found
    made = _sign(leaf, authority, now)
    _store(directory, name, made)
    return made


def _server(names: tuple[str, ...]) -> _Leaf:
    return _Leaf("kube-apiserver", None, ExtendedKeyUsageOID.SERVER_AUTH, names)


def _admin() -> _Leaf:
    return _Leaf("kubernetes-admin", "system:masters", ExtendedKeyUsageOID.CLIENT_AUTH)


def _make_authority(now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    # The year and second make a renewed authority's name differ: clients that hold both know which is which.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"podrun-ca@{int(now.timestamp())}")])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _builder(name, name, key, now, CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
    )
    return _Pair(builder.sign(key, hashes.SHA256()), key)


def _sign(leaf: _Leaf, authority: _Pair, now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, leaf.common_name)]
    if leaf.organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, leaf.organization))
    builder = (
        _builder(x509.Name(attributes), authority.certificate.subject, key, now, LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([leaf.usage]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    if leaf.names:
        general = x509.SubjectAlternativeName([_general_name(name) for name in leaf.names])
        builder = builder.add_extension(general, critical=False)
    return _Pair(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names_of(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in extension.get_values_for_type(x509.IPAddress)]
    return addresses + list(extension.get_values_for_type(x509.DNSName))


def _is_due(certificate: x509.Certificate, now: datetime) -> bool:
    return now >= certificate.not_valid_after_utc - RENEW_BEFORE or now < certificate.not_valid_before_utc


def _signed_by(pair: _Pair, authority: _Pair) -> bool:
    try:
        pair.certificate.verify_directly_issued_by(authority.certificate)
    except Exception:  # cryptography raises ValueError, TypeError or InvalidSignature, all with one meaning
        return False
    return True


def _load(directory: Path, name: str) -> _Pair | None:
    """The pair of that name, or None where a file is missing, damaged, or does not belong to the other."""
    key = _load_key(directory / f"{name}.key")
    try:
        certificate = x509.load_pem_x509_certificate((directory / f"{name}.crt").read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    if key is None or certificate.public_key() != key.public_key():
        return None
    return _Pair(certificate, key)


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey | None:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _store(directory: Path, name: str, pair: _Pair) -> None:
    _write(directory / f"{name}.key", _key_pem(pair.key), 0o600)
    _write(directory / f"{name}.crt", pair.certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace a file in one step, so that a crash leaves the old one or the new one."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)


def utc_now() -> datetime:
    """The wall clock, as `ensure` wants it."""
    return datetime.now(UTC)
