"""TLS between two agents: the same certificates as between the servers, the other end known by its name.

Place in the house: `listening` and `client` build their contexts here. A server is known by the name in its certificate
(subject alternative name), never by its address, so the address is not compared.
"""

import ssl

from meetkeeper.agent.words import Certificates


def server_side(files: Certificates) -> ssl.SSLContext:
    """For the end that is asked. Raises `OSError` (`ssl.SSLError` is one) for files that can't be used."""
    return _context(ssl.PROTOCOL_TLS_SERVER, files)


def client_side(files: Certificates) -> ssl.SSLContext:
    """For the end that asks. Raises `OSError` for files that can't be used."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, files)


def names_of(peer: object) -> tuple[str, ...]:
    """The names in the other end's certificate, given its `ssl_object`; its chain was checked in the handshake."""
    found = peer.getpeercert() if isinstance(peer, ssl.SSLObject) else None
    names = found.get("subjectAltName", ()) if found else ()
    return tuple(str(one[1]) for one in names if isinstance(one, tuple) and one[0] == "DNS")


def _context(side: int, files: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(files.authority)
    context.load_cert_chain(files.certificate, files.key)
    return context
