"""Sealed proofs of stop: signed with a server's own key, checked against the pair's authority.

    seal = signature "." certificate ["." certificate …]        each base64url without padding

The signature covers a fixed heading and the proof's JSON with an empty seal, fields in the order of `ha.words.Proof`.
The signer's certificates (DER) travel along, so that whoever checks needs the authority alone. Not usable across
releases that differ in the fields of a proof: such a seal is refused, and a person has to state the stop.
"""

import base64
import datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509 import verification

from meetkeeper.core.errors import TheirMistake
from meetkeeper.ha.words import Proof

SEAL_CHARS_MAX = 32 * 1024
"""Longest seal that is looked at: a signature and a few certificates."""
CERTIFICATES_MAX = 5
_HEADING = b"meetkeeper proof of stop 1\n"
_STATE_IT = "Look at the server yourself, and state with `--proof` that it has stopped."


class Sealer:
    """Signs proofs with this server's key; the files are read at every seal, so a new certificate counts at once."""

    def __init__(self, key: Path, certificate: Path) -> None:
        self._key, self._certificate = key, certificate

    def seal(self, proof: Proof) -> Proof:
        """The proof with our seal in the place of any other. Raises `TheirMistake` (`seal.key`) for unusable files."""
        try:
            key = serialization.load_pem_private_key(self._key.read_bytes(), password=None)
            chain = x509.load_pem_x509_certificates(self._certificate.read_bytes())
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as wrong:
            raise self._unusable(str(wrong)) from wrong
        said = _said(proof)
        match key:
            case ec.EllipticCurvePrivateKey():
                signature = key.sign(said, ec.ECDSA(hashes.SHA256()))
            case rsa.RSAPrivateKey():
                signature = key.sign(said, _PSS, hashes.SHA256())
            case ed25519.Ed25519PrivateKey():
                signature = key.sign(said)
            case _:
                raise self._unusable("it is neither an EC, an RSA nor an Ed25519 key")
        if key.public_key() != chain[0].public_key():
            raise self._unusable("they do not belong together")
        parts = [
            signature,
            *(one.public_bytes(serialization.Encoding.DER) for one in chain[:CERTIFICATES_MAX]),
        ]
        return msgspec.structs.replace(proof, seal=".".join(map(_to_text, parts)))

    def _unusable(self, why: str) -> TheirMistake:
        return TheirMistake(
            "seal.key",
            f"The key {self._key} and the certificate {self._certificate} can't sign: {why}. Issue new ones with "
            "`meetkeeper ca issue`.",
        )


def verify(proof: Proof, authority: Path, name: str, now: datetime.datetime) -> None:
    """Return when `name` itself has sealed the proof about itself, by a certificate that is good `now`.

    Raises `TheirMistake`: `seal.missing`, `seal.malformed`, `seal.server` (a proof about another server, or sealed by
    one), `seal.certificate` (another authority, expired), `seal.signature` (changed since), `seal.authority`.
    """
    if not proof.seal:
        raise TheirMistake("seal.missing", f"The proof that {name} has stopped is not sealed. {_STATE_IT}")
    signature, chain = _opened(proof.seal, name)
    signer = chain[0]
    _check_chain(chain, _authority(authority), name, now)
    if proof.server != name or name.lower() not in _names_of(signer):
        raise TheirMistake(
            "seal.server",
            f"The proof is about {proof.server}, sealed by {', '.join(_names_of(signer)) or 'nobody'}, and should be "
            f"about {name} and sealed by it. Ask the agent of {name} again.",
        )
    try:
        _check_signature(signer, signature, _said(proof))
    except InvalidSignature:
        raise TheirMistake(
            "seal.signature",
            f"The proof that {name} has stopped was changed after it was sealed, or comes from a release with other "
            f"fields. {_STATE_IT}",
        ) from None


def _check_chain(
    chain: list[x509.Certificate], roots: list[x509.Certificate], name: str, now: datetime.datetime
) -> None:
    verifier = verification.PolicyBuilder().store(verification.Store(roots)).time(now).build_client_verifier()
    try:
        verifier.verify(chain[0], chain[1:])
    except (verification.VerificationError, *_MALFORMED) as wrong:
        until = f"{chain[0].not_valid_after_utc:%Y-%m-%d}"
        raise TheirMistake(
            "seal.certificate",
            f"The certificate of {name} (good until {until}) under the proof is refused: {wrong}. Compare clocks and "
            "authority files of both servers, or issue a new one with `meetkeeper ca issue`.",
        ) from wrong


def _check_signature(signer: x509.Certificate, signature: bytes, said: bytes) -> None:
    match signer.public_key():
        case ec.EllipticCurvePublicKey() as public:
            public.verify(signature, said, ec.ECDSA(hashes.SHA256()))
        case rsa.RSAPublicKey() as public:
            public.verify(signature, said, _PSS, hashes.SHA256())
        case ed25519.Ed25519PublicKey() as public:
            public.verify(signature, said)
        case _:  # a kind that this release does not know
            raise InvalidSignature


def _opened(seal: str, name: str) -> tuple[bytes, list[x509.Certificate]]:
    try:
        if len(seal) > SEAL_CHARS_MAX:
            raise ValueError("too long")
        signature, *chain = map(_to_bytes, seal.split("."))
        if not 1 <= len(chain) <= CERTIFICATES_MAX:
            raise ValueError(f"{len(chain)} certificates")
        return signature, [x509.load_der_x509_certificate(one) for one in chain]
    except _MALFORMED as wrong:  # what base64 can't read is a ValueError
        raise TheirMistake(
            "seal.malformed",
            f"The seal under the proof that {name} has stopped is none ({wrong}). {_STATE_IT}",
        ) from wrong


def _authority(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as wrong:
        raise TheirMistake(
            "seal.authority",
            f"The authority's certificate {path} can't be read ({wrong}). Put the pair's authority file there.",
        ) from wrong


def _names_of(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, *_MALFORMED):
        return []
    return [name.lower() for name in names.get_values_for_type(x509.DNSName)]


def _said(proof: Proof) -> bytes:
    return _HEADING + msgspec.json.encode(msgspec.structs.replace(proof, seal=""))


def _to_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _to_bytes(text: str) -> bytes:
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _to_text(data) != text:
        raise ValueError("not spelled as we spell it")
    return data


_MALFORMED = (
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
