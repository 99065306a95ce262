"""A record as bytes that can be trusted or are refused: the record, its version, and a checksum over both.

One line of JSON, so that people and `jq` can read it. The version stands inside too: a file copied to another number is
no value. Pure.
"""

import hashlib

import msgspec
from msgspec import Struct

from meetkeeper.ha.words import Found, Record

BYTES_MAX = 65_536
"""A sheet is a few hundred bytes; whatever is larger is none."""
VERSION_MAX = (1 << 63) - 1
"""The largest version that everything between here and a screen can carry."""
UNNUMBERED = 0
"""The version of a sheet whose place gives it one only when it is written."""


class Damaged(Exception):
    """The bytes are no sheet, or not the one that was written. The text completes "it …"."""


class _Sheet(Struct, frozen=True, forbid_unknown_fields=True):
    record: msgspec.Raw
    version: int
    check: str


def seal(record: Record, version: int = UNNUMBERED) -> bytes:
    """The sheet of this record."""
    body = msgspec.json.encode(record)
    return msgspec.json.encode(_Sheet(msgspec.Raw(body), version, _check(body, version))) + b"\n"


def unseal(data: bytes) -> Found:
    """The record of a sheet and the version it was sealed with. Raises `Damaged` for anything else, whatever it is."""
    if len(data) > BYTES_MAX:
        raise Damaged(f"is larger than {BYTES_MAX:,} bytes")
    try:
        sheet = msgspec.json.decode(data, type=_Sheet)
        body = bytes(sheet.record)
        if sheet.check != _check(body, sheet.version):
            raise Damaged("does not have the checksum it was written with")
        return Found(msgspec.json.decode(body, type=Record), sheet.version)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise Damaged(f"can't be read ({wrong})") from None


def unseal_as(version: int, data: bytes) -> Record:
    """The record of a sheet that was sealed with this very version. Raises `Damaged`."""
    found = unseal(data)
    if found.version != version:
        raise Damaged(f"was written as version {found.version}, not {version}")
    return found.record


def _check(body: bytes, version: int) -> str:
    return hashlib.sha256(b"register %d " % version + body).hexdigest()[:32]
