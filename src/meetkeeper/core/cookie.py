"""The envelope around a source's progress mark.

A mark is a cache of progress, never truth. Ours carries the room, the source it came from and a checksum, so that a
damaged, swapped or foreign mark is recognised before anyone sends it: the answer is a full pass, never an error.
"""

import hashlib

from meetkeeper.core.words import RoomId

_VERSION = "mk1"


def seal(room: RoomId, source: str, mark: str) -> str:
    """Wrap a mark. `source` identifies the configured calendar (its address)."""
    return f"{_VERSION}|{_checksum(room, source, mark)}|{mark}"


def unseal(room: RoomId, source: str, envelope: str) -> str | None:
    """The mark inside, or None when the envelope is empty, damaged, another room's or another source's."""
    version, _, rest = envelope.partition("|")
    checksum, _, mark = rest.partition("|")
    if version != _VERSION or checksum != _checksum(room, source, mark):
        return None
    return mark


def _checksum(room: RoomId, source: str, mark: str) -> str:
    text = f"{room}\n{source}\n{mark}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:16]
