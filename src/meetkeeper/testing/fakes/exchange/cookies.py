"""Sync states of the fake: opaque, bound to mailbox and folder, and every behaviour seen of servers given a bad one."""

import base64
import binascii
import json
import zlib
from enum import StrEnum

from msgspec import Struct

from meetkeeper.testing.fakes.mailbox import Mailbox


class Bad(StrEnum):
    """What the server does with a state that it did not give for this folder, or no longer knows.

    REFUSE answers ErrorInvalidSyncStateData in the response message, FAULT the same as a SOAP fault with HTTP 200 and
    no detail. AS_EMPTY gives every item as Create and no Delete; AS_UPDATES gives every item as Update; NOTHING says
    that nothing changed; BOGUS names items that never were as deleted and every item as Create.
    """

    REFUSE = "refuse"
    FAULT = "fault"
    AS_EMPTY = "as empty"
    AS_UPDATES = "as updates"
    NOTHING = "nothing"
    BOGUS = "bogus"


class Mark(Struct, frozen=True):
    """What a state says: everything after version `since` up to `upto` is being given, newest first, below `below`."""

    since: int = -1
    upto: int = 0
    below: int = 0
    serial: int = 0

    @property
    def paging(self) -> bool:
        """A listing is under way."""
        return self.below > 0


def write_mark(mailbox: Mailbox, folder: str, mark: Mark) -> str:
    """The state as clients carry it: about 200 characters of base64, as short ones of the real thing."""
    said = [mailbox.address, folder, mailbox.life, mark.since, mark.upto, mark.below, mark.serial]
    text = json.dumps(said).encode()
    return base64.b64encode(b"H4sIEWS" + zlib.crc32(text).to_bytes(4, "big") + text).decode()


def read_mark(mailbox: Mailbox, folder: str, state: str) -> Mark | None:
    """What the state says, or None when it is not one of this folder in this life of the mailbox."""
    try:
        data = base64.b64decode(state, validate=True)
        checksum, text = data[7:11], data[11:]
        if data[:7] != b"H4sIEWS" or zlib.crc32(text).to_bytes(4, "big") != checksum:
            return None
        address, place, life, since, upto, below, serial = json.loads(text)
    except (binascii.Error, ValueError, TypeError):
        return None
    if (address, place, life) != (mailbox.address, folder, mailbox.life):
        return None
    return Mark(since, upto, below, serial)
