"""Plans as bytes and back: the body of a frame.

    {"v":1,"kept":1840,"plan":{"at_s":1767258000.5,"changes":[…],"effects":[…],"notes":[…]}}

`v` is the format of everything below it. It must grow with any change to a record: msgspec passes over fields it does
not know, so only the version keeps an older release from reading a newer record and losing half of it.
`tests/codec/test_record.py` keeps a fingerprint of all records and fails when those of a released format change.
`kept` is the seq the writer knew to be flushed when it encoded this frame. Recovery reads it to tell a damaged record
(a frame written later says it was kept) from a torn flight (no frame says so).

Place in the journey: between `core.plan` and `codec.frame`. One encoding per plan; bodies of meetings pass as `Raw`.
"""

from typing import NoReturn

import msgspec
from msgspec import Struct

from meetkeeper.core.errors import Corrupt, TheirMistake
from meetkeeper.core.plan import Plan

FORMAT = 1


class Record(Struct, frozen=True, gc=False):
    """A frame's body."""

    v: int
    kept: int
    plan: Plan


class _Head(Struct, frozen=True, gc=False):
    v: int
    kept: int = 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode
_decode_head = msgspec.json.Decoder(_Head).decode


def encode(plan: Plan, kept: int) -> bytes:
    """The plan as one line of JSON. `kept` is the highest seq known to be flushed."""
    body = _encode(Record(FORMAT, kept, plan))
    # Only an embedded body that somebody laid out by hand can hold a line feed.
    return body if b"\n" not in body else msgspec.json.format(body, indent=-1)


def decode(body: bytes) -> Record:
    """The record in a frame's body.

    Raises `TheirMistake` (`record.newer`) for a format of a newer release and `Corrupt` (`record.unreadable`) for
    anything else that is not a record.
    """
    try:
        record = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _refuse(body, str(error))
    if record.v != FORMAT:
        _refuse(body, f"format {record.v}")
    return record


def kept_of(body: bytes) -> int:
    """The seq the writer of this body knew to be flushed; 0 when the body does not say."""
    try:
        return _decode_head(body).kept
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0


def _refuse(body: bytes, said: str) -> NoReturn:
    try:
        version = _decode_head(body).v
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        version = 0
    if version > FORMAT:
        raise TheirMistake(
            "record.newer",
            f"This was written by a newer release (format {version}, this release reads up to {FORMAT}); "
            "upgrade this server first.",
            detail={"format": version},
        )
    raise Corrupt(
        "record.unreadable",
        f"The checksum is right, yet this is not a record this release knows ({said}); "
        "it was written by a newer release or by another program: upgrade this server, or restore the file.",
    )
