"""The envelope around a source's progress mark.

A mark is a cache of progress, never truth. Ours carries the room, the source it came from, the reign it was kept in
and a checksum, so that a damaged, swapped, foreign or impossible mark is recognised before anyone sends it: the answer
is a full pass, never an error. `mk1`, the envelope without a reign, is still opened.
"""

import hashlib

from msgspec import Struct

from meetkeeper.core.words import RoomId

_VERSION = "mk2"
_WITHOUT_REIGN = "mk1"
_EPOCH_DIGITS_MAX = 18


class Mark(Struct, frozen=True, gc=False):
    """What was inside: the source's own mark, and the epoch of the reign that kept it (0: an old envelope)."""

    text: str
    epoch: int = 0


def seal(room: RoomId, source: str, mark: str, epoch: int) -> str:
    """Wrap a mark. `source` identifies the configured calendar (its address), `epoch` is the reign's."""
    return f"{_VERSION}|{_checksum(room, source, mark, str(epoch))}|{epoch}|{mark}"


def unseal(room: RoomId, source: str, envelope: str, epoch: int) -> Mark | None:
    """The mark inside; None for an envelope that is empty, damaged, another room's, another source's or of the future.

    `epoch` is the reign's in which it is opened. A mark from an earlier reign is good: the source decides about it.
    """
    version, _, rest = envelope.partition("|")
    checksum, _, rest = rest.partition("|")
    if version == _WITHOUT_REIGN:
        return Mark(rest) if checksum == _checksum(room, source, rest, "") else None
    kept_in, _, mark = rest.partition("|")
    if version != _VERSION or checksum != _checksum(room, source, mark, kept_in):
        return None
    if not (kept_in.isascii() and kept_in.isdigit()) or len(kept_in) > _EPOCH_DIGITS_MAX:
        return None
    return Mark(mark, int(kept_in)) if int(kept_in) <= epoch else None


def _checksum(room: RoomId, source: str, mark: str, kept_in: str) -> str:
    """Half a SHA-256 as hex. An old envelope's has no reign in it."""
    parts = (room, source, kept_in, mark) if kept_in else (room, source, mark)
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
