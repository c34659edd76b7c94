"""The certificate authority: what it makes, what it keeps, and when it renews."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from podrun.apiserver import pki

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def _contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def _changed(directory: Path, before: dict[str, bytes]) -> set[str]:
    after = _contents(directory)
    return {name for name in after if after[name] != before.get(name)}


def test_makes_everything_and_keeps_keys_to_root(tmp_path: Path) -> None:
    directory = tmp_path / "pki"
    pki.ensure(directory, ["node-1"], NOW)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    keys = dict.fromkeys(("ca.key", "apiserver.key", "admin.key", "sa.key"), 0o600)
    assert modes == {**keys, **dict.fromkeys(("ca.crt", "apiserver.crt", "admin.crt"), 0o644)}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_server_certificate_names_what_hosts_and_pods_call_it(tmp_path: Path) -> None:
    made = pki.ensure(tmp_path, ["node-1", "192.0.2.7"], NOW)
    certificate = x509.load_pem_x509_certificate(made.server_certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    found = {str(name.value) for name in names}
    assert found == {*pki.SERVER_NAMES, "node-1", "192.0.2.7"}


def test_administrator_is_in_masters(tmp_path: Path) -> None:
    made = pki.ensure(tmp_path, [], NOW)
    certificate = x509.load_pem_x509_certificate(made.admin_certificate.read_bytes())
    assert certificate.subject.rfc4514_string() == "O=system:masters,CN=kubernetes-admin"


def test_second_time_changes_nothing(tmp_path: Path) -> None:
    pki.ensure(tmp_path, ["node-1"], NOW)
    before = _contents(tmp_path)
    pki.ensure(tmp_path, ["node-1"], NOW + timedelta(days=300))
    assert _changed(tmp_path, before) == set()


def test_leaves_are_renewed_a_month_before_they_end_and_the_authority_stays(tmp_path: Path) -> None:
    made = pki.ensure(tmp_path, [], NOW)
    before = _contents(tmp_path)
    later = NOW + pki.LEAF_LIFE - pki.RENEW_BEFORE
    assert made.renew_at == later.timestamp()
    again = pki.ensure(tmp_path, [], later)
    assert _changed(tmp_path, before) == {"apiserver.crt", "apiserver.key", "admin.crt", "admin.key"}
    assert again.renew_at > made.renew_at


def test_a_new_name_renews_the_server_only(tmp_path: Path) -> None:
    pki.ensure(tmp_path, [], NOW)
    before = _contents(tmp_path)
    pki.ensure(tmp_path, ["10.1.2.3"], NOW)
    assert _changed(tmp_path, before) == {"apiserver.crt", "apiserver.key"}


def test_a_renewed_authority_signs_everything_anew_but_tokens_stay_valid(tmp_path: Path) -> None:
    pki.ensure(tmp_path, [], NOW)
    before = _contents(tmp_path)
    pki.ensure(tmp_path, [], NOW + pki.CA_LIFE)
    assert set(before) - _changed(tmp_path, before) == {"sa.key"}


def test_a_damaged_or_swapped_file_is_replaced(tmp_path: Path) -> None:
    made = pki.ensure(tmp_path, [], NOW)
    made.server_certificate.write_bytes(b"not a certificate")
    made.admin_key.write_bytes((tmp_path / "ca.key").read_bytes())
    before = _contents(tmp_path)
    pki.ensure(tmp_path, [], NOW)
    assert _changed(tmp_path, before) == {"apiserver.crt", "apiserver.key", "admin.crt", "admin.key"}


def test_openssl_accepts_both_ends(tmp_path: Path) -> None:
    made = pki.ensure(tmp_path, [], datetime.now(UTC))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=made.ca_certificate)
    server.load_cert_chain(made.server_certificate, made.server_key)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=made.ca_certificate)
    client.load_cert_chain(made.admin_certificate, made.admin_key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    left = client.wrap_bio(to_client, to_server, server_hostname="10.96.0.1")
    right = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (left, right):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    subject = right.getpeercert()
    assert subject is not None
    assert ("organizationName", "system:masters") in {pair for rdn in subject["subject"] for pair in rdn}
