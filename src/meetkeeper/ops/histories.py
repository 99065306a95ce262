"""Copies as histories: how far one has come, and how two of them lie to each other.

Place in the journey: before a copy is taken over, and before files are carried back. Writes nothing. Two journals with
the same chain hash at a seq hold the same history up to there.
"""

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from meetkeeper.codec import frame, record
from meetkeeper.core.errors import Corrupt, Refused
from meetkeeper.ha.words import ORIGIN, Position
from meetkeeper.host.disk import RealDisk
from meetkeeper.store import recovery
from meetkeeper.store.recovery import Segment
from meetkeeper.store.trouble import steadily


class Opened(Struct, frozen=True):
    """What a copy opens as. `last_at_s`: when its last frame was decided, by the clock of the server that wrote it."""

    position: Position
    lineage: str
    meetings: int
    last_at_s: float
    tail_bytes: int
    """Bytes at the end that are half a frame."""
    remarks: tuple[str, ...]
    """What had to be passed over, in sentences."""


class Line(Struct, frozen=True):
    """One frame of a journal: where it stands, and its bytes."""

    position: Position
    data: bytes


class Comparison(Struct, frozen=True):
    """How the other history (`theirs`) lies to ours.

    `common` is the last position both hold, None when the journals do not reach back to one; `lost` is how many frames
    of ours it does not hold, `gained` how many of its we do not.
    """

    kind: Literal["same", "newer", "older", "diverged", "unknown"]
    ours: Position
    theirs: Position
    common: Position | None
    lost: int
    gained: int


def opened(home: Path) -> Opened:
    """Read a home's files as a database, writing nothing.

    Raises `Corrupt` for what is no consistent prefix, `Refused` (`files.empty`) where nothing has been copied yet.
    """
    disk = RealDisk(home)
    found = steadily(lambda: recovery.read(disk))
    if found.position == ORIGIN:
        raise Refused(
            "files.empty", f"{home / 'databases'} holds no frame yet. Let the file tool copy it first."
        )
    tail = found.tail
    return Opened(
        position=found.position,
        lineage=found.state.lineage,
        meetings=len(found.state.meetings),
        last_at_s=_last_at_s(home, found.state.due.seen_s),
        tail_bytes=0 if tail is None else len(tail.data),
        remarks=tuple(found.remarks),
    )


def lines(home: Path) -> list[Line]:
    """Every frame in a home's journal, oldest first; damage and half frames end a segment."""
    found: list[Line] = []
    for segment in recovery.segments_of(RealDisk(home)):
        found += _lines_of(home, segment)
    return found


def holds(home: Path, wanted: Position) -> bool | None:
    """Whether this history goes through a position; None when its journal begins later than that."""
    known = {line.position.seq: line.position for line in lines(home)}
    if wanted.seq in known:
        return known[wanted.seq] == wanted
    return None if known and wanted.seq < min(known) else False


def compare(ours: Path, theirs: Path) -> Comparison:
    """How the other home's history lies to this one's. Both are whole (`opened`)."""
    mine, other = opened(ours).position, opened(theirs).position
    known = {line.position.seq: line.position for line in lines(ours)}
    their_known = {line.position.seq: line.position for line in lines(theirs)}
    known.setdefault(mine.seq, mine)
    their_known.setdefault(other.seq, other)
    both = [seq for seq in known if their_known.get(seq) == known[seq]]
    if not both:
        return Comparison("unknown", mine, other, None, 0, 0)
    common = known[max(both)]
    lost, gained = mine.seq - common.seq, other.seq - common.seq
    kind: Literal["same", "newer", "older", "diverged"] = "diverged"
    if not lost:
        kind = "newer" if gained else "same"
    elif not gained:
        kind = "older"
    return Comparison(kind, mine, other, common, lost, gained)


def _lines_of(home: Path, segment: Segment) -> list[Line]:
    try:
        data = (home / segment.path).read_bytes()
    except FileNotFoundError:
        return []
    scan = frame.scan(data, Position(0, segment.first_seq - 1, ""))
    return [Line(one.position, one.line) for one in scan.frames]


def _last_at_s(home: Path, seen_s: float) -> float:
    """When the last frame in the journal was decided; `seen_s` is what the state remembers."""
    if seen_s:
        return seen_s
    for line in reversed(lines(home)):
        one = frame.parse(line.data)
        try:
            return record.decode(one.body).plan.at_s if one is not None else 0.0
        except (Corrupt, msgspec.DecodeError):
            return 0.0
    return 0.0
