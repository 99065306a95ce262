"""What two servers say to each other, as bytes: a length, a kind, a body.

    length  4 bytes, big-endian: of kind and body
    kind    1 byte
    body    JSON of the record; a Frames is its data alone; a Piece is seq, offset (8 bytes each), last (1), its data

Journal lines and snapshots travel as they are: no base64, and no copy on the way out (`pieces`). A kind that is not
known here is refused, never skipped: whoever says it is too new to talk to. Unknown fields of a known kind are passed
over, so that servers whose protocols differ by one understand each other.

Until the first message has come, only a Hello or a Refusal is taken, and only a small one: a stranger can't make a
server hold much. Pure: any bytes become messages or `TheirMistake` (code `wire.garbage`), however they were cut.
"""

from struct import Struct as Layout

import msgspec

from meetkeeper.codec.frame import FRAME_BYTES_MAX
from meetkeeper.core.errors import OurMistake, TheirMistake
from meetkeeper.ha import words
from meetkeeper.ha.words import Frames, Hello, Message, Piece, Refusal

BULK_BYTES_MAX = FRAME_BYTES_MAX
"""Most bytes of journal or snapshot in one message: the longest frame fits."""
SAID_BYTES_MAX = 1024 * 1024
"""Longest JSON of any other message."""
HELLO_BYTES_MAX = 64 * 1024
"""Longest first message: what a peer may make us hold before it has said who it is."""
_HEAD = Layout(">IB")
_PIECE = Layout(">QQB")
MESSAGE_BYTES_MAX = _HEAD.size + _PIECE.size + BULK_BYTES_MAX
"""Longest message, its length included; nothing more is ever held for one that is unfinished."""

KINDS: dict[int, type[Message]] = {
    1: words.Hello,
    2: words.Refusal,
    3: words.Beacon,
    4: words.Echo,
    5: words.Begin,
    6: words.Frames,
    7: words.Piece,
    8: words.WantSnapshot,
    9: words.Have,
    10: words.AskGrant,
    11: words.Granted,
    12: words.Yielded,
    13: words.Leaving,
}
"""The kind byte of every message. A number is never used again for something else."""
_NUMBERS = {kind: number for number, kind in KINDS.items()}
_DECODERS: dict[int, msgspec.json.Decoder[Message]] = {
    number: msgspec.json.Decoder(kind) for number, kind in KINDS.items() if kind not in (Frames, Piece)
}
_FRAMES, _PIECES = _NUMBERS[Frames], _NUMBERS[Piece]
_FIRST = {_NUMBERS[Hello], _NUMBERS[Refusal]}
_ENCODE = msgspec.json.Encoder().encode


def encode(message: Message) -> bytes:
    """The message as bytes. Raises `OurMistake` (code `wire.too_long`) for one longer than its kind may be."""
    return b"".join(pieces(message))


def pieces(message: Message) -> tuple[bytes, ...]:
    """The message as bytes to be written one after the other; large data is the very object, not a copy.

    Frames that are too long for one message become several, cut between lines. Raises `OurMistake` (code
    `wire.too_long`) for a message longer than its kind may be.
    """
    number = _NUMBERS[type(message)]
    match message:
        case Frames(data=data) if len(data) > BULK_BYTES_MAX and (cut := _last_line_end(data)):
            return *pieces(Frames(data[:cut])), *pieces(Frames(data[cut:]))
        case Frames(data=data):
            _check_length(number, 1 + len(data))
            return _HEAD.pack(1 + len(data), number), data
        case Piece(seq=seq, offset=offset, data=data, last=last):
            length = 1 + _PIECE.size + len(data)
            _check_length(number, length)
            return _HEAD.pack(length, number) + _PIECE.pack(seq, offset, last), data
        case _:
            body = _ENCODE(message)
            _check_length(number, 1 + len(body))
            return (_HEAD.pack(1 + len(body), number) + body,)


class Reader:
    """Bytes of one connection, in any cuts, to messages. Holds at most one unfinished message."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._needed = _HEAD.size
        self._greeted = False
        self._broken: TheirMistake | None = None

    @property
    def held_bytes(self) -> int:
        """How much of an unfinished message waits here."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Message]:
        """What these bytes complete, in order.

        Raises `TheirMistake` (code `wire.garbage`) for bytes that are no message, from then on at every call: the
        connection is of no more use. Messages before the garbage in the same bytes are lost, as on a cut line.
        """
        if self._broken is not None:
            raise self._broken
        try:
            return self._feed(data)
        except TheirMistake as wrong:
            self._broken = wrong
            self._held = bytearray()
            raise

    def _feed(self, data: bytes) -> list[Message]:
        if not self._held:  # the usual way: whole messages, cut out of what came
            found, used = self._take(data)
            if used < len(data):
                self._held += memoryview(data)[used:]
            return found
        self._held += data
        if len(self._held) < self._needed:
            return []
        found, used = self._take(self._held)
        del self._held[:used]
        return found

    def _take(self, data: bytes | bytearray) -> tuple[list[Message], int]:
        """Every whole message in `data`, and how many bytes they fill."""
        found: list[Message] = []
        at, end = 0, len(data)
        with memoryview(data) as view:
            while at + _HEAD.size <= end:
                length, number = _HEAD.unpack_from(view, at)
                self._check_head(number, length)
                stop = at + _HEAD.size - 1 + length
                if stop > end:
                    self._needed = stop - at
                    break
                with view[at + _HEAD.size : stop] as body:
                    found.append(_decode(number, body))
                self._greeted = True
                at = stop
            else:
                self._needed = _HEAD.size
        return found, at

    def _check_head(self, number: int, length: int) -> None:
        if number not in KINDS:
            raise _garbage(f"a message of the unknown kind {number}")
        if not self._greeted and number not in _FIRST:
            raise _garbage(f"a {KINDS[number].__name__} before the hello")
        longest = _longest(number)
        if not 1 <= length <= longest:
            raise _garbage(f"a {KINDS[number].__name__} of {length:,} bytes, where {longest:,} is the most")


def _decode(number: int, body: memoryview) -> Message:
    if number == _FRAMES:
        return Frames(bytes(body))
    if number == _PIECES:
        if len(body) < _PIECE.size:
            raise _garbage("a Piece without its head")
        seq, offset, last = _PIECE.unpack_from(body)
        if last > 1:
            raise _garbage("a Piece that neither ends nor goes on")
        return Piece(seq, offset, bytes(body[_PIECE.size :]), last == 1)
    try:
        return _DECODERS[number].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise _garbage(f"a {KINDS[number].__name__} that can't be read ({wrong})") from wrong


def _last_line_end(data: bytes) -> int:
    return data.rfind(b"\n", 0, BULK_BYTES_MAX) + 1


def _longest(number: int) -> int:
    if number == _FRAMES:
        return 1 + BULK_BYTES_MAX
    if number == _PIECES:
        return 1 + _PIECE.size + BULK_BYTES_MAX
    return HELLO_BYTES_MAX if number in _FIRST else SAID_BYTES_MAX


def _check_length(number: int, length: int) -> None:
    if length > _longest(number):
        raise OurMistake(
            "wire.too_long",
            f"A {KINDS[number].__name__} of {length:,} bytes was to be sent, where {_longest(number):,} is the most. "
            "This is a mistake in meetkeeper; please report it.",
        )


def _garbage(what: str) -> TheirMistake:
    return TheirMistake(
        "wire.garbage",
        f"The other end sent {what}. It is no meetkeeper, or one whose release does not go with this one: "
        "check the peer's address and the releases on both servers.",
    )
