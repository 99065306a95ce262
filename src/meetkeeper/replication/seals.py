"""Sealed proofs of stop: signed with a server's own key, checked against the pair's authority.

    seal = signature "." certificate ["." certificate …]        each base64url without padding

The signature covers a fixed heading and the proof's JSON with an empty seal, fields in the order of `ha.words.Proof`.
The signer's certificates travel along, so that whoever checks needs the authority alone. Not usable across releases
that differ in the fields of a proof: such a seal is refused, and a person has to state the stop.
"""

import datetime
from pathlib import Path

from meetkeeper.ha.words import Proof


class Sealer:
    """Signs proofs with this server's key; the files are read at every seal, so a new certificate counts at once."""

    def __init__(self, key: Path, certificate: Path) -> None:
        self._key, self._certificate = key, certificate

    def seal(self, proof: Proof) -> Proof:
        """The proof with our seal in the place of any other. Raises `TheirMistake` (`seal.key`) for unusable files."""
        raise NotImplementedError


def verify(proof: Proof, authority: Path, name: str, now: datetime.datetime) -> None:
    """Return when `name` itself has sealed the proof about itself, by a certificate that is good `now`.

    Raises `TheirMistake`: `seal.missing`, `seal.malformed`, `seal.server` (a proof about another server, or sealed by
    one), `seal.certificate` (another authority, expired), `seal.signature` (changed since), `seal.authority`.
    """
    raise NotImplementedError
