"""The whole State as lines of JSON: what a new reader starts from, so that the journal need not begin at the beginning.

    {"kind":"snapshot","format":1,"epoch":3,"seq":1841,"hash":"0f3a…9c","meetings":1000000}
    {"kind":"config",…}                      one change a line, the same records as in the journal
    {"kind":"meetings","id":[…],"start_s":[…],…}   a block of meetings by columns; its `count` bodies follow, one a line
    {"kind":"end","sha256":"…"}              over everything before this line

Meetings come in blocks because a million of them must load in seconds: ten short lists decode faster than 256 records,
and a body that has a line to itself is never parsed. Every line is JSON, so jq reads all of it. Outbox rows are
`changes.EffectOpen`; finished effects are kept (there are at most a thousand): opened, then moved to done.

Place in the journey: `image` takes the picture in the deciding thread, `encode` spells it out slice by slice in
another, `store.checkpoint` writes the slices; `Loader` reads them back. Pure; raises `Corrupt` for anything but a
snapshot and `TheirMistake` for one of a newer release.
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain, islice

import msgspec
from msgspec import Raw, Struct

from meetkeeper.codec.record import FORMAT
from meetkeeper.core.bulk import Bulk
from meetkeeper.core.changes import (
    ConfigDeployed,
    CookieKept,
    EffectMoved,
    EffectOpen,
    Founded,
    IdempotencyKept,
    ItemKept,
    RoomTold,
    SeriesKept,
    TokenKept,
    VmrRetired,
    apply,
)
from meetkeeper.core.errors import Corrupt, MeetkeeperError, TheirMistake
from meetkeeper.core.state import (
    IdempotencyRow,
    ItemRow,
    Kept,
    OutboxRow,
    RoomNews,
    SeriesRow,
    State,
    Status,
    TokenRow,
    Tombstone,
)
from meetkeeper.core.words import Alias, MeetingId, RoomId, Step, Uid
from meetkeeper.ha.words import ORIGIN, Position

BLOCK_MEETINGS = 256
"""Meetings per block: the slice another thread encodes between two chances for the deciding thread to run."""
SLICE_LINES = 512
LINE_BYTES_MAX = 64 * 1024 * 1024
_END = b'{"kind":"end","sha256":"%b"}\n'
END_BYTES = len(_END % (b"0" * 64))
"""Length of the last line, always: whoever hashes a file knows where to stop."""


class Header(Struct, frozen=True, gc=False, tag_field="kind", tag="snapshot"):
    """The first line."""

    format: int
    epoch: int
    seq: int
    hash: str
    meetings: int

    @property
    def position(self) -> Position:
        """The position of the last frame in the picture."""
        return Position(self.epoch, self.seq, self.hash)


class Reign(Struct, frozen=True, gc=False, tag_field="kind", tag="state-epoch"):
    """`State.epoch`; who opened the reign stands in the journal."""

    epoch: int


class Meetings(Struct, frozen=True, gc=False, tag_field="kind", tag="meetings"):
    """A block of meetings by columns. `rooms` are places in `sets`, which names each set of rooms once per block."""

    count: int
    """Rows here, and bodies that follow, one a line."""
    sets: list[tuple[RoomId, ...]]
    id: list[MeetingId]
    start_s: list[int]
    end_s: list[int]
    rooms: list[int]
    step: list[Step]
    alias: list[Alias | None]
    numeric_id: list[str | None]
    series: list[Uid | None]


class Live(Struct, frozen=True, gc=False, tag_field="kind", tag="live"):
    """When meetings went live."""

    at_s: dict[MeetingId, float]


class End(Struct, frozen=True, gc=False, tag_field="kind", tag="end"):
    """The last line."""

    sha256: str


class _Version(Struct, frozen=True):
    format: int


class Image(Struct, frozen=True):
    """A consistent picture of State: copies of the tables, the frozen rows shared."""

    position: Position
    lineage: str
    epoch: int
    config: tuple[int, bytes]
    meetings: list[Kept]
    live_at_s: dict[MeetingId, float]
    series: list[SeriesRow]
    items: list[list[ItemRow]]
    cookies: dict[RoomId, str]
    outbox: list[OutboxRow]
    done: list[OutboxRow]
    tombstones: dict[Alias, Tombstone]
    rooms_news: dict[RoomId, RoomNews]
    tokens: list[TokenRow]
    idempotency: list[IdempotencyRow]


_encode = msgspec.json.Encoder().encode
_Change = (
    Founded
    | ConfigDeployed
    | SeriesKept
    | ItemKept
    | CookieKept
    | EffectOpen
    | EffectMoved
    | VmrRetired
    | RoomTold
    | TokenKept
    | IdempotencyKept
)
_Line = Header | Reign | Meetings | Live | End | _Change
_decode_line = msgspec.json.Decoder(_Line).decode


def image(state: State, position: Position) -> Image:
    """The picture of a state that stands at `position`. Costs some 50 ms for a million meetings."""
    return Image(
        position,
        state.lineage,
        state.epoch,
        (state.config_revision, state.config_body),
        list(state.meetings.values()),
        state.live_at_s.copy(),
        list(state.series.values()),
        [list(rows.values()) for rows in state.items.values()],
        state.cookies.copy(),
        list(state.outbox.values()),
        list(state.done.values()),
        state.tombstones.copy(),
        state.rooms_news.copy(),
        list(state.tokens.values()),
        list(state.idempotency.values()),
    )


def encode(picture: Image) -> Iterator[bytes]:
    """The snapshot in slices of whole lines."""
    digest = hashlib.sha256()
    for part in _slices(picture):
        digest.update(part)
        yield part
    yield _END % digest.hexdigest().encode()


def digest_of(state: State) -> str:
    """A hash of everything kept, whatever order it came in: equal for two servers at one position."""
    picture = image(state, ORIGIN)
    total = 0
    for row in picture.meetings:
        head = (row.id, row.start_s, row.end_s, row.rooms, row.step, row.alias, row.numeric_id, row.series)
        total += _number(_encode(head) + row.body)
    for pair in picture.live_at_s.items():
        total += _number(_encode(pair))
    for line in chain(_lines_before_meetings(picture), _lines_after_meetings(picture, live=False)):
        total += _number(line)
    return f"{total % (1 << 256):064x}"


def _number(line: bytes) -> int:
    return int.from_bytes(hashlib.sha256(line).digest(), "big")


def checksum_of(last_line: bytes) -> str | None:
    """What a snapshot's last `END_BYTES` say its SHA-256 is; None when they are not a last line: it was cut short."""
    try:
        end = _decode_line(last_line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(end, End) or _END % end.sha256.encode("ascii", "replace") != last_line:
        return None
    return end.sha256


# --- writing ---------------------------------------------------------------------------------------------------------


def _slices(picture: Image) -> Iterator[bytes]:
    position = picture.position
    yield _line(Header(FORMAT, position.epoch, position.seq, position.hash, len(picture.meetings)))
    lines = _lines_before_meetings(picture)
    while some := list(islice(lines, SLICE_LINES)):
        yield b"".join(some)
    meetings = picture.meetings
    for at in range(0, len(meetings), BLOCK_MEETINGS):
        yield _block(meetings[at : at + BLOCK_MEETINGS])
    lines = _lines_after_meetings(picture, live=True)
    while some := list(islice(lines, SLICE_LINES)):
        yield b"".join(some)


def _lines_before_meetings(picture: Image) -> Iterator[bytes]:
    if picture.lineage:
        yield _line(Founded(picture.lineage))
    yield _line(Reign(picture.epoch))
    revision, config = picture.config
    if config:
        yield _line(ConfigDeployed(revision, "", Raw(config)))
    for series in picture.series:
        yield _line(
            SeriesKept(series.uid, series.expanded_until_s, Raw(series.body), series.alias, series.numeric_id)
        )


def _lines_after_meetings(picture: Image, *, live: bool) -> Iterator[bytes]:
    moments = iter(picture.live_at_s.items() if live else ())
    while some := dict(islice(moments, SLICE_LINES)):
        yield _line(Live(some))
    for rows in picture.items:
        for item in rows:
            yield _line(
                ItemKept(
                    item.room,
                    item.href,
                    item.uid,
                    item.etag,
                    item.fingerprint,
                    item.item,
                    item.settle_at_s,
                    item.gone,
                    item.held,
                )
            )
    for room, cookie in picture.cookies.items():
        yield _line(CookieKept(room, cookie))
    for row in picture.done:
        yield _line(EffectOpen(row.key, row.effect, Status.OPEN, row.tries, row.again_at_s, ""))
        yield _line(EffectMoved(row.key, Status.DONE, row.tries, row.again_at_s, row.reason))
    for row in picture.outbox:
        yield _line(EffectOpen(row.key, row.effect, row.status, row.tries, row.again_at_s, row.reason))
    for alias, stone in picture.tombstones.items():
        yield _line(VmrRetired(alias, stone.until_s, stone.uid))
    for room, news in picture.rooms_news.items():
        yield _line(RoomTold(room, news))
    for token in picture.tokens:
        yield _line(TokenKept(token.digest, token.name, token.scope, token.at_s))
    for one in picture.idempotency:
        yield _line(IdempotencyKept(one.key, one.request, one.answer, one.at_s))


def _line(value: Struct) -> bytes:
    line = _encode(value)
    return (line if b"\n" not in line else msgspec.json.format(line, indent=-1)) + b"\n"


def _block(rows: list[Kept]) -> bytes:
    bodies = b"\n".join([row.body for row in rows])
    if bodies.count(b"\n") != len(rows) - 1:
        bodies = b"\n".join([msgspec.json.format(row.body, indent=-1) for row in rows])
    places: dict[tuple[RoomId, ...], int] = {}
    head = Meetings(
        count=len(rows),
        rooms=[places.setdefault(row.rooms, len(places)) for row in rows],
        sets=list(places),
        id=[row.id for row in rows],
        start_s=[row.start_s for row in rows],
        end_s=[row.end_s for row in rows],
        step=[row.step for row in rows],
        alias=[row.alias for row in rows],
        numeric_id=[row.numeric_id for row in rows],
        series=[row.series for row in rows],
    )
    return b"%b\n%b\n" % (_encode(head), bodies)


# --- reading ---------------------------------------------------------------------------------------------------------


class Loaded(Struct, frozen=True):
    """A snapshot read back. `sha256` is what its last line says; whoever has hashed the bytes compares."""

    state: State
    position: Position
    sha256: str
    size: int


def load(parts: Iterable[bytes]) -> Loaded:
    """Read a snapshot from its bytes, cut anywhere.

    Raises `Corrupt` (`snapshot.damaged`) for anything that is not a whole snapshot, `TheirMistake` (`record.newer`)
    for one of a newer release. The checksum is not looked at: `Loaded.sha256` is for the caller to compare.
    """
    return _Loader(_Cursor(parts)).run()


class _Cursor:
    """Whole lines out of parts cut anywhere. Each line is cut out once and never copied again."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)
        self._lines: list[bytes] = []
        self._at = 0
        self._carried = b""
        self.read = 0
        """Bytes taken from the parts so far."""

    def line(self) -> bytes:
        """The next line without its line feed."""
        return self.take(1)[0]

    def take(self, count: int) -> list[bytes]:
        """The next lines without their line feeds."""
        lines = self._lines[self._at : self._at + count]
        self._at += len(lines)
        while len(lines) < count:
            if not self._more():
                raise _damaged("it ends too early")
            more = self._lines[: count - len(lines)]
            self._at = len(more)
            lines += more
        return lines

    @property
    def done(self) -> bool:
        """Nothing is left."""
        return self._at >= len(self._lines) and not self._more() and not self._carried

    def _more(self) -> bool:
        for part in self._parts:
            self.read += len(part)
            lines = part.split(b"\n")
            lines[0] = self._carried + lines[0]
            self._carried = lines.pop()
            if len(self._carried) > LINE_BYTES_MAX:
                raise _damaged("a line has no end")
            if lines:
                self._lines, self._at = lines, 0
                return True
        return False


class _Loader:
    """One pass over a snapshot. `ints` and `names` let equal numbers and UIDs be one object."""

    def __init__(self, cursor: _Cursor) -> None:
        self._cursor = cursor
        self._state = State()
        self._bulk = Bulk(self._state)
        self._ints: dict[int, int] = {}
        self._names: dict[Uid | None, Uid | None] = {}

    def run(self) -> Loaded:
        """The whole snapshot."""
        header = self._next()
        if not isinstance(header, Header):
            raise _damaged("it does not begin like a snapshot")
        if header.format != FORMAT:
            raise _newer(header.format)
        state = self._state
        while not isinstance(line := self._next(), End):
            match line:
                case Meetings():
                    self._meetings(line)
                case Live():
                    state.live_at_s.update(line.at_s)
                case Reign():
                    state.epoch = line.epoch
                case Header():
                    raise _damaged("it begins twice")
                case _:
                    self._apply(line)
        if not self._cursor.done:
            raise _damaged("it goes on behind its end")
        self._bulk.finish()
        if len(state.meetings) != header.meetings:
            raise _damaged(f"it holds {len(state.meetings)} meetings and promises {header.meetings}")
        return Loaded(state, header.position, line.sha256, self._cursor.read)

    def _apply(self, line: _Change) -> None:
        try:
            apply(self._state, line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:  # a configuration, which is read at once
            raise _damaged(f"a configuration can't be read ({error})") from error

    def _next(self) -> _Line:
        text = self._cursor.line()
        try:
            line: _Line = _decode_line(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _unreadable(text, str(error)) from error
        return line

    def _meetings(self, head: Meetings) -> None:
        bodies = self._cursor.take(head.count) if head.count > 0 else []
        columns = (
            head.id,
            head.start_s,
            head.end_s,
            head.rooms,
            head.step,
            head.alias,
            head.numeric_id,
            head.series,
        )
        if any(len(column) != len(bodies) for column in columns):
            raise _damaged("a block does not hold what it promises")
        intern_rooms, one_int, one_name = (
            self._state.intern_rooms,
            self._ints.setdefault,
            self._names.setdefault,
        )
        sets = [intern_rooms(rooms) for rooms in head.sets]
        try:
            rooms = [sets[place] for place in head.rooms]
        except IndexError as error:
            raise _damaged("a block names a set of rooms it does not hold") from error
        rows = map(
            Kept,
            head.id,
            map(one_int, head.start_s, head.start_s),
            map(one_int, head.end_s, head.end_s),
            rooms,
            head.step,
            bodies,
            head.alias,
            head.numeric_id,
            map(one_name, head.series, head.series),
        )
        self._bulk.add(list(rows))


def _unreadable(text: bytes, said: str) -> MeetkeeperError:
    try:
        version = msgspec.json.decode(text, type=_Version).format
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        version = FORMAT
    return (
        _damaged(f"a line says nothing this release knows ({said})") if version <= FORMAT else _newer(version)
    )


def _newer(version: int) -> TheirMistake:
    return TheirMistake(
        "record.newer",
        f"This snapshot was written by a newer release (format {version}, this release reads up to {FORMAT}); "
        "upgrade this server first.",
        detail={"format": version},
    )


def _damaged(what: str) -> Corrupt:
    return Corrupt("snapshot.damaged", f"This is not a whole snapshot: {what}.")
