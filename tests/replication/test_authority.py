"""Certificates: what is issued says who it is for, is good for so long, and is believed by OpenSSL."""

import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from meetkeeper.core.errors import Refused, TheirMistake
from meetkeeper.replication.authority import Issued, days_left, issue, make_authority, read

NOW = datetime.datetime(2026, 6, 1, 12, 0, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
AUTHORITY = make_authority(NOW)


def test_a_certificate_names_the_server_first() -> None:
    """The server's name and then hosts and addresses, each once; for serving and calling; never for issuing."""
    made = read(
        issue(AUTHORITY, "oslo", ("meet.example.com", "10.0.0.1", "::1", "oslo"), 30, NOW).certificate
    )
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["oslo", "meet.example.com"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1", "::1"]
    uses = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(uses) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    made.verify_directly_issued_by(read(AUTHORITY.certificate))


def test_a_certificate_lives_as_long_as_asked_and_no_longer_than_its_authority() -> None:
    """Days are counted from now, a little is granted to slow clocks, and the authority's end is the end."""
    made = issue(AUTHORITY, "oslo", (), 30, NOW)
    assert days_left(made.certificate, NOW) == pytest.approx(30)
    assert days_left(made.certificate, NOW + 31 * DAY) == pytest.approx(-1)
    assert read(made.certificate).not_valid_before_utc == NOW - datetime.timedelta(hours=1)
    late = NOW + 3650 * DAY
    assert days_left(issue(AUTHORITY, "oslo", (), 825, late).certificate, late) == pytest.approx(2)
    with pytest.raises(Refused) as ended:
        issue(AUTHORITY, "oslo", (), 825, NOW + 3653 * DAY)
    assert ended.value.code == "ca.expired"


@pytest.mark.parametrize("name", ["", "x" * 64, "two words", "*", "*.example.com", "ørsta"])
def test_what_can_not_stand_in_a_certificate_is_refused(name: str) -> None:
    """Names that no certificate can carry, and wildcards, are refused with a sentence."""
    with pytest.raises(TheirMistake) as wrong:
        issue(AUTHORITY, name, (), 30, NOW)
    assert wrong.value.code == "certificate.name"


def test_hosts_of_other_scripts_are_written_as_the_network_writes_them() -> None:
    """A host's international name becomes its ASCII form; one that has none is refused."""
    made = read(issue(AUTHORITY, "oslo", ("møte.example",), 30, NOW).certificate)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["oslo", "xn--mte-0na.example"]
    with pytest.raises(TheirMistake):
        issue(AUTHORITY, "oslo", ("a..b",), 30, NOW)


def test_an_authority_that_can_not_issue_is_named() -> None:
    """A key of another authority, or no key at all, is told from a good one."""
    other = make_authority(NOW)
    for broken in (
        Issued(other.key, AUTHORITY.certificate),
        Issued(b"no key", AUTHORITY.certificate),
        Issued(AUTHORITY.key, b"no certificate"),
    ):
        with pytest.raises(TheirMistake) as wrong:
            issue(broken, "oslo", (), 30, NOW)
        assert wrong.value.code in ("ca.key", "certificate.unreadable")


@pytest.mark.parametrize("strict", [False, True])
def test_openssl_believes_the_chain(tmp_path: Path, strict: bool) -> None:
    """Both ends of a TLS handshake in memory accept each other's certificate, also by the strict rules of RFC 5280."""
    now = datetime.datetime.now(datetime.UTC)
    authority = make_authority(now)
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    ends = []
    for role, name in ((ssl.PROTOCOL_TLS_SERVER, "oslo"), (ssl.PROTOCOL_TLS_CLIENT, "bergen")):
        made = issue(authority, name, (), 30, now)
        (tmp_path / f"{name}.key").write_bytes(made.key)
        (tmp_path / f"{name}.pem").write_bytes(made.certificate)
        context = ssl.SSLContext(role)
        context.check_hostname = role == ssl.PROTOCOL_TLS_CLIENT
        context.verify_mode = ssl.CERT_REQUIRED
        if strict:
            context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_cert_chain(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
        context.load_verify_locations(tmp_path / "ca.pem")
        ends.append(context)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ends[0].wrap_bio(there, back, server_side=True)
    client = ends[1].wrap_bio(back, there, server_hostname="oslo")
    for end in (client, server, client, server):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert ("DNS", "bergen") in (server.getpeercert() or {})["subjectAltName"]
    assert ("DNS", "oslo") in (client.getpeercert() or {})["subjectAltName"]
