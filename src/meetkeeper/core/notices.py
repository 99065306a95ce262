"""Notices from a calendar service that something has changed: hints to look, never facts. Pure.

A notice is believed when it bears the word that we gave the service for that room. The word is derived from the
cluster's secret, so both servers of a pair know it and nothing has to be kept.
"""

import hashlib
import hmac

import msgspec
from msgspec import Struct

from meetkeeper.core.words import RoomId

NOTICES_MAX = 1_000
"""Most notices of one message that are looked at."""


class _Notice(Struct, frozen=True):
    clientState: str | None = None  # noqa: N815 - as on the wire


class _Notices(Struct, frozen=True):
    value: tuple[_Notice, ...] = ()


def word_of(secret: str, room: RoomId) -> str:
    """What notices for this room have to bear (`clientState`)."""
    return hmac.new(secret.encode(), f"notice\n{room}".encode(), hashlib.sha256).hexdigest()[:40]


def is_meant(body: bytes, secret: str, room: RoomId) -> bool:
    """The message holds a notice, of whatever kind, that bears this room's word."""
    try:
        notices = msgspec.json.decode(body, type=_Notices).value
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    word = word_of(secret, room).encode()
    given = ((notice.clientState or "").encode("utf-8", "surrogatepass") for notice in notices[:NOTICES_MAX])
    return any(hmac.compare_digest(one, word) for one in given)
