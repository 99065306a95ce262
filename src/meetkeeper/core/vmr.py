"""Alias, PIN, numbers and URIs of a virtual meeting room, derived and never drawn.

One keyed hash of (UID, occurrence or series, attempt) with the cluster's secret gives all of them. The same meeting has
the same door on every server, after every resync and after the loss of everything but the configuration; without the
secret they can't be guessed. `attempt` grows only when somebody else holds the alias or an alias is still buried.
"""

import hashlib
from functools import lru_cache
from urllib.parse import quote

from msgspec import Struct

from meetkeeper.core.base32 import PLAIN, Base32
from meetkeeper.core.configuration import ClusterConfig, Config
from meetkeeper.core.words import Alias, Uid, Vmr

_LETTERS = Base32(PLAIN)
ALIAS_CHARS = 10
MARKER_VERSION = "mk1"


class Scope(Struct, frozen=True, gc=False):
    """What a VMR is for: a single meeting or whole series (`occurrence_s` None), or one occurrence of a series."""

    uid: Uid
    occurrence_s: int | None = None


_ZERO = ord("0")
_DOUBLED = bytes(
    (2 * (char - _ZERO) - (9 if char - _ZERO > 4 else 0)) if 0 <= char - _ZERO <= 9 else 0
    for char in range(256)
)
"""A digit's character → the digits of its double added up."""


@lru_cache(maxsize=8)
def _key(secret: str) -> bytes:
    """The secret as a key of BLAKE2b (RFC 7693), which takes 64 bytes at most."""
    return hashlib.blake2b(secret.encode(), person=b"meetkeeper vmr").digest()


def derive(config: Config, scope: Scope, bridge: str, attempt: int = 0) -> Vmr:
    """The VMR of a scope on a bridge; the same for ever, as long as the cluster keeps its secret."""
    vmr = config.vmr
    place = "series" if scope.occurrence_s is None else str(scope.occurrence_s)
    message = f"vmr|{scope.uid}|{place}|{attempt}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(message, key=_key(config.cluster.secret), digest_size=32).digest()
    letters, numbers = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")
    numbers, number = divmod(numbers, 10 ** (vmr.numeric_digits - 1))
    body = str(number).zfill(vmr.numeric_digits - 1)
    pin = str(numbers % 10**vmr.pin_digits).zfill(vmr.pin_digits)
    alias = Alias(vmr.prefix + _LETTERS.text(letters, ALIAS_CHARS))
    return Vmr(alias, body + luhn_digit(body), pin, bridge, attempt)


def luhn_digit(digits: str) -> str:
    """The check digit of ISO/IEC 7812-1 annex B for a string of digits."""
    ascii_digits = digits.encode("ascii")
    doubled = ascii_digits[::-2].translate(_DOUBLED)
    plain = ascii_digits[-2::-2]
    total = sum(doubled) + sum(plain) - _ZERO * len(plain)
    return str(-total % 10)


def is_numeric_id(digits: str) -> bool:
    """True when the last digit checks the others."""
    return len(digits) > 1 and digits.isascii() and digits.isdigit() and luhn_digit(digits[:-1]) == digits[-1]


def join_url(cluster: ClusterConfig, alias: Alias) -> str:
    """The invitees' door."""
    return f"{cluster.public_url.rstrip('/')}/join/{quote(alias)}"


def sip_uri(cluster: ClusterConfig, alias: Alias) -> str:
    """The address a room system dials."""
    return f"sip:{alias}@{cluster.sip_domain}"


def marker(lineage: str, vmr: Vmr) -> str:
    """What is written beside the VMR on its bridge: it is ours, and which history made it."""
    return f"{MARKER_VERSION}:{lineage}:{vmr.alias}:{vmr.attempt}"


def marker_lineage(text: str, alias: Alias) -> str | None:
    """The lineage in a marker of ours for this alias; None when the text is not one."""
    parts = text.split(":")
    if len(parts) != 4 or parts[0] != MARKER_VERSION or parts[2] != alias:
        return None
    return parts[1]
