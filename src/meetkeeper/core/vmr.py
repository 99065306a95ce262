"""Alias, PIN, numbers and URIs of a virtual meeting room, derived and never drawn.

One keyed hash of (UID, occurrence or series, attempt) with the cluster's secret gives all of them. The same meeting has
the same door on every server, after every resync and after the loss of everything but the configuration; without the
secret they can't be guessed. `attempt` grows only when somebody else holds the alias or an alias is still buried.
"""

import hashlib
import hmac
from urllib.parse import quote

from meetkeeper.core.configuration import ClusterConfig, VmrConfig
from meetkeeper.core.words import Alias, Uid, Vmr

_BASE32 = "abcdefghjkmnpqrstvwxyz0123456789"
"""No i, l, o, u: nobody has to ask which letter it was, and no words form by accident."""
ALIAS_CHARS = 10
MARKER_VERSION = "mk1"


def derive(secret: str, uid: Uid, occurrence: int | None, attempt: int, bridge: str, vmr: VmrConfig) -> Vmr:
    """The VMR of a meeting (occurrence None: of the single meeting or the whole series)."""
    scope = "series" if occurrence is None else str(occurrence)
    message = f"vmr|{uid}|{scope}|{attempt}".encode("utf-8", "surrogatepass")
    digest = hmac.digest(secret.encode(), message, hashlib.sha512)
    number = int.from_bytes(digest[:8], "big")
    letters = []
    for _ in range(ALIAS_CHARS):
        number, index = divmod(number, 32)
        letters.append(_BASE32[index])
    body = str(int.from_bytes(digest[8:24], "big") % 10 ** (vmr.numeric_digits - 1)).zfill(
        vmr.numeric_digits - 1
    )
    pin = str(int.from_bytes(digest[24:40], "big") % 10**vmr.pin_digits).zfill(vmr.pin_digits)
    alias = Alias(vmr.prefix + "".join(letters))
    return Vmr(alias, body + luhn_digit(body), pin, bridge, attempt)


def luhn_digit(digits: str) -> str:
    """The check digit of ISO/IEC 7812-1 annex B for a string of digits."""
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
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
