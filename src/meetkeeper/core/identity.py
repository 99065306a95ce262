"""Who is who: one meeting keeps one name, whatever calendar, room or server shows it.

A meeting's id is a hash of its normalised UID and the start its series gave it; it holds no secret and may be shown.
"""

import hashlib

import msgspec
from msgspec.structs import replace

from meetkeeper.core.base32 import RFC_4648, Base32
from meetkeeper.core.linktext import plain
from meetkeeper.core.words import Entry, MeetingId, Uid

_EXCHANGE_PREFIX = "040000008200E00074C5B7101A82E008"
_WRAPPED = b"vCal-Uid\x01\x00\x00\x00"
_DATA_AT = 40
"""In a global object id: header 16 bytes, date 4, time of making 8, reserved 8, size 4, then the data."""
_LETTERS = Base32(RFC_4648)
_ENTRY = msgspec.json.Encoder(order="sorted")


def normalise_uid(text: str) -> Uid:
    """The UID under which all copies of a meeting meet.

    Exchange writes global object ids as hex, with the instance's date in four bytes after the header: white space is
    dropped, hex upper-cased and the date zeroed (MS-OXCICAL 2.1.3.1.1.20.26). Where it wraps another program's UID,
    that one is meant. Any other UID is kept verbatim, trimmed.
    """
    trimmed = text.strip()
    packed = "".join(trimmed.split()).upper()
    if packed.startswith(_EXCHANGE_PREFIX) and len(packed) >= 40:
        return _wrapped(packed) or Uid(packed[:32] + "00000000" + packed[40:])
    return Uid(trimmed)


def _wrapped(packed: str) -> Uid | None:
    """The UID of another program inside a global object id (MS-OXOCAL 2.2.1.27 `vCal-Uid`)."""
    try:
        data = bytes.fromhex(packed)[_DATA_AT:]
        if not data.startswith(_WRAPPED):
            return None
        inside = data[len(_WRAPPED) :].partition(b"\x00")[0].decode("utf-8").strip()
    except ValueError:
        return None
    return normalise_uid(inside) if inside else None


def meeting_id(uid: Uid, original_start_s: int | None) -> MeetingId:
    """16 base32 characters (80 bits) from the UID and, in a series, the original start of the occurrence."""
    text = uid if original_start_s is None else f"{uid}\n{original_start_s}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return MeetingId(_LETTERS.text(int.from_bytes(digest[:10], "big"), 16))


def words_of(description: str) -> str:
    """What counts of a description: its words. Calendars wrap lines, change their ends and put mark-up around them."""
    return " ".join(plain(description).split())


def make_of(fields: tuple[str, ...], reading: int) -> str:
    """Four letters for what a fingerprint is made from: the fields of an entry, and how sources read them."""
    digest = hashlib.sha256("\n".join((str(reading), *fields)).encode()).digest()
    return _LETTERS.text(int.from_bytes(digest[:5], "big") >> 20, 4)


_READING = 1
"""One more whenever sources begin to read into an entry what they left out before."""
_MAKE = make_of(Entry.__struct_fields__, _READING) + "-"


def fingerprint(master: Entry | None, overrides: tuple[Entry, ...]) -> str:
    """A hash of everything in an item that matters to us; equal content has equal fingerprints in every source.

    It begins with its make: one that an older release has kept says nothing about what has changed (`is_comparable`).
    """
    told = (None if master is None else _told(master), tuple(map(_told, overrides)))
    digest = hashlib.sha256(_ENTRY.encode(told)).digest()
    return _MAKE + _LETTERS.text(int.from_bytes(digest[:15], "big"), 24)


def is_comparable(kept: str) -> bool:
    """The fingerprint is made from what fingerprints are made from now."""
    return kept.startswith(_MAKE)


def _told(entry: Entry) -> Entry:
    words = words_of(entry.description) if entry.description else ""
    return entry if words == entry.description else replace(entry, description=words)
