"""Whom the line trusts: TLS 1.3, certificates both ways, one authority, and the other server's name.

The files are looked at before every new connection and read again when they have changed: certificates are renewed
without a restart. Files that don't go together (a renewal under way) leave the old ones in use.
"""

import socket
import ssl
from collections.abc import Mapping
from pathlib import Path

import structlog

from meetkeeper.core.errors import TheirMistake
from meetkeeper.ha.words import Refusal

log = structlog.get_logger("peer")

_EXPIRED, _NOT_YET = 10, 9
_UNKNOWN_ISSUER = {2, 18, 19, 20, 21}
_OURS_REFUSED = {
    "TLSV1_ALERT_UNKNOWN_CA": "does not know the authority that issued it",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "says that it has expired",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "has got none",
    "SSLV3_ALERT_BAD_CERTIFICATE": "can't use it",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "can't use it",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "can't use it",
    "TLSV1_ALERT_DECRYPT_ERROR": "finds its signature wrong",
}
# Not every event loop lets the alert out that says why a handshake was refused; then the line just ends.
_HUNG_UP = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, ssl.SSLEOFError)


class Trust:
    """This server's certificate and key, and the authority whose certificates it believes: three PEM files."""

    def __init__(self, certificate: Path, key: Path, authority: Path) -> None:
        self._certificate, self._key, self._authority = certificate, key, authority
        self._seen: tuple[tuple[int, ...], ...] = ()
        self._contexts: tuple[ssl.SSLContext, ssl.SSLContext] | None = None

    def listening(self) -> ssl.SSLContext:
        """How to be dialled. Raises `TheirMistake` (code `link.certificate`) when the files never were usable."""
        return self._fresh()[0]

    def dialling(self) -> ssl.SSLContext:
        """How to dial. Raises as `listening`."""
        return self._fresh()[1]

    def _fresh(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        seen = tuple(_state_of(path) for path in (self._certificate, self._key, self._authority))
        if self._contexts is not None and seen == self._seen:
            return self._contexts
        try:
            fresh = (self._context(ssl.PROTOCOL_TLS_SERVER), self._context(ssl.PROTOCOL_TLS_CLIENT))
        except (OSError, ValueError) as wrong:  # an SSLError is an OSError
            trouble = self._unusable(wrong)
            if self._contexts is None:
                raise trouble from wrong
            if seen != self._seen:
                log.warning("peer.certificate_kept", why=trouble.message)
            fresh = self._contexts
        self._seen, self._contexts = seen, fresh
        return fresh

    def _context(self, role: int) -> ssl.SSLContext:
        context = ssl.SSLContext(role)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # names are compared by `says_name`: exact, and never the address
        context.verify_mode = ssl.CERT_REQUIRED
        if role == ssl.PROTOCOL_TLS_SERVER:
            context.num_tickets = 0  # every connection shows its certificate anew
        # An empty password: a key that wants one is refused, and nobody is asked at a terminal.
        context.load_cert_chain(self._certificate, self._key, password="")
        context.load_verify_locations(self._authority)
        return context

    def _unusable(self, wrong: Exception) -> TheirMistake:
        missing = [
            str(path) for path in (self._certificate, self._key, self._authority) if not path.is_file()
        ]
        what = f"{', '.join(missing)} is not there" if missing else str(wrong)
        return TheirMistake(
            "link.certificate",
            f"The certificate {self._certificate}, its key {self._key} and the authority {self._authority} can't be "
            f"used: {what}. Issue them with `meetkeeper ca issue` and put them there.",
        )


def says_name(certificate: Mapping[str, object] | None, name: str) -> bool:
    """True when a verified certificate (as `getpeercert` tells it) names this server."""
    return name.lower() in names_of(certificate)


def names_of(certificate: Mapping[str, object] | None) -> list[str]:
    """The DNS names of a verified certificate, in lower case."""
    entries = (certificate or {}).get("subjectAltName", ())
    if not isinstance(entries, tuple):
        return []
    return [str(value).lower() for kind, value in entries if kind == "DNS"]


def wrong_name(certificate: Mapping[str, object] | None, name: str) -> Refusal:
    """Why a verified certificate that does not name this server is refused."""
    said = ", ".join(names_of(certificate)) or "nobody"
    return Refusal(
        "tls.other_name",
        f"The other end's certificate is for {said}, not for {name}. Correct the peer's name or address in node.json, "
        f"or give {name} its own certificate with `meetkeeper ca issue --name {name}`.",
    )


def why_broken(error: BaseException | None, peer: str) -> Refusal:
    """What a failed or broken connection means, whose fault it is and what to do."""
    if error is None or isinstance(error, _HUNG_UP):
        return Refusal(
            "line.ended",
            f"The other end has hung up. Look at {peer} if it does not return; if it hangs up before its hello, it may "
            "refuse our certificate, and its log says why.",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return _bad_certificate(error, peer)
    if isinstance(error, ssl.SSLError):
        return _bad_tls(error, peer)
    if isinstance(error, TimeoutError):
        return Refusal(
            "line.silent",
            f"Nothing came in time. {peer} may be down, cut off or hanging: look at it, and at firewalls between.",
        )
    if isinstance(error, socket.gaierror):
        return Refusal(
            "line.unknown_host",
            f"The address of {peer} can't be found ({error}). Correct it in node.json, or the DNS.",
        )
    if isinstance(error, ConnectionRefusedError):
        return Refusal(
            "line.nobody_there",
            f"Nothing listens at the address of {peer}. Start meetkeeper there, or correct it.",
        )
    if isinstance(error, OSError):
        return Refusal(
            "line.broken",
            f"The connection is gone ({error}). Look at {peer} and the network if it does not return.",
        )
    return Refusal("line.ended", f"The other end has hung up. Look at {peer} if it does not return.")


def _bad_certificate(error: ssl.SSLCertVerificationError, peer: str) -> Refusal:
    renew = f"Issue a new one with `meetkeeper ca issue --name {peer}` and put it on {peer}."
    if error.verify_code == _EXPIRED:
        return Refusal("tls.expired", f"The other end's certificate has expired. {renew}")
    if error.verify_code == _NOT_YET:
        return Refusal(
            "tls.not_yet",
            f"The other end's certificate is not good yet: compare the clocks of both servers. If they agree: {renew}",
        )
    if error.verify_code in _UNKNOWN_ISSUER:
        return Refusal(
            "tls.other_authority",
            "The other end's certificate was not issued by our authority. Give both servers the same authority file, "
            f"and {peer} a certificate issued by it.",
        )
    return Refusal(
        "tls.certificate", f"The other end's certificate is refused ({error.verify_message}). {renew}"
    )


def _bad_tls(error: ssl.SSLError, peer: str) -> Refusal:
    reason = error.reason or ""
    if reason in _OURS_REFUSED:
        return Refusal(
            "tls.ours_refused",
            f"{peer} refuses our certificate: it {_OURS_REFUSED[reason]}. Give this server a new one with "
            "`meetkeeper ca issue`, and both servers the same authority file.",
        )
    if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return Refusal(
            "tls.no_certificate",
            f"Somebody without a certificate has called. If it was {peer}, give it one with `meetkeeper ca issue`.",
        )
    return Refusal(
        "tls.garbage",
        f"The other end does not speak TLS 1.3 as servers of a pair do ({reason or error}). If it was {peer}, check "
        "its address and release; else something on the network has called here, and does no harm.",
    )


def _state_of(path: Path) -> tuple[int, ...]:
    try:
        state = path.stat()
    except OSError:
        return ()
    return state.st_mtime_ns, state.st_size, state.st_ino
