"""Reading a home folder back: journal and snapshots become a State, or an error that says what is wrong and where.

Place in the journey: `database.open` calls `read`, then `mend`; `check` and the offline tools call `read` alone, which
never writes. Rules:

- frames must follow each other without a gap from the base on; what does not is refused, with file, byte and seq;
- a torn tail is only what a crash may leave: at the end of the last segment, and no good frame behind it says that
  the torn one had been kept. It is set aside durably before it is cut;
- what was found is made durable before anyone builds on it. The last segment is written anew for that: after a failed
  flush the system may show pages as clean that never reached the disk.
"""

import zlib

import msgspec
from msgspec import Struct

from meetkeeper.codec import frame, record
from meetkeeper.codec.frame import ORIGIN, Position, Scan, Why
from meetkeeper.core.errors import Corrupt, MeetkeeperError, TheirMistake
from meetkeeper.core.plan import apply_plan
from meetkeeper.core.state import State
from meetkeeper.ports.disk import Disk
from meetkeeper.store import journal
from meetkeeper.store.trouble import damaged, translated

SET_ASIDE = "local/set-aside"
PART = ".part"


class Segment(Struct, frozen=True):
    """A segment's file as its name tells it."""

    first_seq: int
    path: str


class Tail(Struct, frozen=True):
    """Bytes at the end of the last segment that never became frames."""

    path: str
    offset: int
    seq: int
    data: bytes
    why: str


class Manifest(Struct, frozen=True):
    """What stands beside bytes set aside, so that a person can replay them."""

    file: str
    offset: int
    seq: int
    bytes: int
    why: str


class Found(Struct):
    """What a home folder holds. `open_segment` is the one to go on in and its good length, None to begin a new one."""

    state: State
    position: Position = ORIGIN
    open_segment: Segment | None = None
    open_size: int = 0
    tail: Tail | None = None
    since_bytes: int = 0
    remarks: list[str] = []


def segments_of(disk: Disk) -> list[Segment]:
    """The journal's segments by their first seq."""
    with translated(disk, "listing the journal", journal.FOLDER):
        names = disk.listing("recover:journal-listing", journal.FOLDER)
    found = [(journal.first_seq_of(name), f"{journal.FOLDER}/{name}") for name in names]
    return sorted(
        (Segment(first, path) for first, path in found if first is not None),
        key=lambda segment: segment.first_seq,
    )


def read(disk: Disk) -> Found:
    """Everything the folder holds. Writes nothing.

    Raises `Corrupt` for damage and gaps, `TheirMistake` for records of a newer release, `Unavailable` or `Refused`
    for a disk that does not answer.
    """
    found = Found(State())
    replay(disk, found, segments_of(disk))
    return found


def replay(disk: Disk, found: Found, segments: list[Segment]) -> None:
    """Apply every frame after `found.position`, segment by segment."""
    for index, segment in enumerate(segments):
        is_last = index + 1 == len(segments)
        if not is_last and segments[index + 1].first_seq <= found.position.seq + 1:
            continue
        with translated(disk, "reading the journal", segment.path):
            data = disk.read("recover:segment", segment.path)
        _replay_segment(found, segment, data, is_last=is_last)


def _replay_segment(found: Found, segment: Segment, data: bytes, *, is_last: bool) -> None:
    base = found.position
    if segment.first_seq > base.seq + 1:
        raise damaged(
            f"the journal goes on with seq {segment.first_seq}, but ends at seq {base.seq} before it: "
            f"{segment.first_seq - base.seq - 1} frames are missing. Copy the missing segments again, or restore.",
            segment.path,
            seq=base.seq + 1,
        )
    before = base if segment.first_seq == base.seq + 1 else Position(0, segment.first_seq - 1, "")
    scan = frame.scan(data, before)
    tail = _tail_of(segment, data, scan, is_last=is_last)
    _join(found, segment, scan, base)
    if is_last:
        found.open_segment, found.open_size, found.tail = segment, scan.good_length, tail


def _join(found: Found, segment: Segment, scan: Scan, base: Position) -> None:
    offset = 0
    for one in scan.frames:
        if one.position.seq == base.seq and one.position != base:
            raise damaged(
                "this segment belongs to another history than the snapshot before it. "
                "Copy journal and snapshots again from one server.",
                segment.path,
                offset=offset,
                seq=base.seq,
            )
        if one.position.seq > base.seq:
            apply_plan(found.state, _plan_of(one, segment, offset).plan)
            found.position = one.position
            found.since_bytes += len(one.line)
        offset += len(one.line)


def _plan_of(one: frame.Frame, segment: Segment, offset: int) -> record.Record:
    try:
        return record.decode(one.body)
    except Corrupt as error:
        raise damaged(error.message, segment.path, offset=offset, seq=one.position.seq) from error
    except TheirMistake as error:
        raise TheirMistake(
            error.code,
            f"{segment.path}, byte {offset:,}, seq {one.position.seq}: {error.message}",
            detail={"file": segment.path, "offset": offset, "seq": one.position.seq},
        ) from error


def _tail_of(segment: Segment, data: bytes, scan: Scan, *, is_last: bool) -> Tail | None:
    """The tail to cut, None when there is none; raises when what follows the good frames is damage."""
    if scan.why is Why.END:
        return None
    offset, seq = scan.good_length, scan.position.seq + 1
    if scan.why not in {Why.TORN, Why.DAMAGED}:
        raise damaged(
            f"{scan.said}. Restore this file from the other server or from a backup.",
            segment.path,
            offset=offset,
            seq=seq,
        )
    behind = [one for one in frame.survivors(data, offset) if one.position.seq >= seq]
    if not is_last or any(record.kept_of(one.body) >= seq for one in behind):
        raise damaged(
            f"{scan.said}, and later frames show that it had been kept: the file was damaged after it was written. "
            "Restore it from the other server or from a backup.",
            segment.path,
            offset=offset,
            seq=seq,
        )
    return Tail(segment.path, offset, seq, data[offset:], scan.said)


def mend(disk: Disk, found: Found) -> None:
    """Set the torn tail aside, cut it, and make durable what was found."""
    if found.tail is not None:
        set_aside(disk, found.tail)
        found.remarks.append(
            f"{found.tail.path}: {len(found.tail.data):,} bytes after seq {found.position.seq} were no frame "
            f"({found.tail.why}); they stand in {SET_ASIDE} now. A crash leaves such a tail; nobody was told of it."
        )
    if found.open_segment is not None:
        path = found.open_segment.path
        with translated(disk, "writing the last segment anew", path):
            data = disk.read("recover:reread", path)[: found.open_size]
            disk.write_new("recover:rewrite", path + PART, data)
            disk.rename("recover:rename", path + PART, path)
    with translated(disk, "flushing the journal's folder", journal.FOLDER):
        disk.flush_folder("recover:folder", journal.FOLDER)


def set_aside(disk: Disk, tail: Tail) -> str:
    """Keep the bytes where a person can look at them; the path. Doing it again changes nothing."""
    path = f"{SET_ASIDE}/{tail.seq:019d}-{zlib.crc32(tail.data):08x}.tail"
    manifest = Manifest(tail.path, tail.offset, tail.seq, len(tail.data), tail.why)
    with translated(disk, "setting a torn tail aside", path):
        disk.make_folder("set-aside:make", SET_ASIDE)
        disk.write_new("set-aside:bytes", path, tail.data)
        disk.write_new("set-aside:manifest", path + ".json", msgspec.json.encode(manifest) + b"\n")
        disk.flush_folder("set-aside:folder", SET_ASIDE)
        disk.flush_folder("set-aside:parent", "local")
    return path


__all__ = ["Found", "MeetkeeperError", "Segment", "Tail", "mend", "read", "replay", "segments_of"]
