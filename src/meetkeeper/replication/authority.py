"""A pair's own certificates: a small authority, and one certificate for each server.

A server is known to the other by its name, written into its certificate (subject alternative name), never by its
address. Other authorities do as well: what `link` and `seals` ask is a chain to the authority's file and the name.
Everything here is values: the command line puts them into files.
"""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from meetkeeper.core.errors import Refused, TheirMistake

AUTHORITY_DAYS = 3652
SERVER_DAYS = 825
"""Longest life that no system's TLS library objects to."""
CLOCK_SLACK = datetime.timedelta(hours=1)
"""A certificate is good a little before it was made: the other server's clock may be behind."""
NAME_CHARS_MAX = 63


class Issued(Struct, frozen=True):
    """A private key and its certificate, both PEM."""

    key: bytes
    certificate: bytes


def make_authority(
    now: datetime.datetime, name: str = "meetkeeper pair", days: int = AUTHORITY_DAYS
) -> Issued:
    """A new authority: EC P-256, fit for issuing servers' certificates and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _common_name(name)
    usage = _key_usage(signs_certificates=True)
    certificate = (
        _builder(subject, subject, key.public_key(), now, now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return _issued(key, certificate)


def issue(authority: Issued, name: str, hosts: tuple[str, ...], days: int, now: datetime.datetime) -> Issued:
    """A new key and certificate for the server `name`, also good for `hosts` (names and IP addresses).

    Ends with the authority's at the latest. Raises `TheirMistake` for a name or host that can't stand in a certificate
    or an authority that can't be read, `Refused` (code `ca.expired`) when the authority has ended.
    """
    signer, issuer = _load(authority)
    until = min(now + datetime.timedelta(days=days), issuer.not_valid_after_utc)
    if until <= now:
        raise Refused(
            "ca.expired",
            f"The authority's certificate ended on {issuer.not_valid_after_utc:%Y-%m-%d}, or no days were asked for. "
            "Make a new authority with `meetkeeper ca init` and issue both servers' certificates again.",
        )
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [_server_name(name)]
    names += [one for one in map(_host_name, hosts) if one not in names]
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _builder(_common_name(name), issuer.subject, key.public_key(), now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    return _issued(key, certificate)


def days_left(certificate: bytes, now: datetime.datetime) -> float:
    """How many days a PEM certificate is still good; negative when it has ended. Raises `TheirMistake` for no PEM."""
    return (read(certificate).not_valid_after_utc - now) / datetime.timedelta(days=1)


def read(certificate: bytes) -> x509.Certificate:
    """The first certificate of a PEM file. Raises `TheirMistake` (code `certificate.unreadable`)."""
    try:
        return x509.load_pem_x509_certificate(certificate)
    except ValueError as wrong:
        raise TheirMistake(
            "certificate.unreadable",
            f"This is no PEM certificate ({wrong}). Put the right file in its place, or issue one with "
            "`meetkeeper ca issue`.",
        ) from wrong


def _load(authority: Issued) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    issuer = read(authority.certificate)
    try:
        key = serialization.load_pem_private_key(authority.key, password=None)
    except (ValueError, TypeError) as wrong:
        raise TheirMistake(
            "ca.key",
            f"The authority's key can't be read ({wrong}). Take the folder that `meetkeeper ca init` made.",
        ) from wrong
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != issuer.public_key():
        raise TheirMistake(
            "ca.key",
            "The authority's key does not belong to its certificate. Take the folder that `meetkeeper ca init` made.",
        )
    return key, issuer


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    until: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _issued(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Issued:
    return Issued(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        certificate.public_bytes(serialization.Encoding.PEM),
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _server_name(name: str) -> x509.DNSName:
    if not name.isascii() or not 1 <= len(name) <= NAME_CHARS_MAX or any(mark in name for mark in " *\0"):
        raise TheirMistake(
            "certificate.name",
            f"{name!r} can't be a server's name: up to {NAME_CHARS_MAX} letters, digits, dots, dashes and underscores. "
            "Give the name that stands in the server's node.json.",
        )
    return x509.DNSName(name)


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return _server_name(host.encode("idna").decode("ascii"))
    except UnicodeError as wrong:
        raise TheirMistake(
            "certificate.host", f"{host!r} is neither an address nor a host's name ({wrong}). Correct it."
        ) from wrong


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
