"""Reading a home folder back: journal and snapshots become a State, or an error that says what is wrong and where.

Place in the journey: `database.open` calls `read`, then `mend`; `check` and the offline tools call `read` alone, which
never writes. Rules:

- the base is the newest whole snapshot; a damaged one costs nothing as long as the journal reaches past it from an
  older base, else it is an error: its name says how far this history had come;
- frames must follow each other without a gap from the base on; what does not is refused, with file, byte and seq;
- a torn tail is only what a crash may leave: at the end of the last segment, and no good frame behind it says that
  the torn one had been kept. It is set aside durably before it is cut;
- where another server has the frames too (`repairs`), damage in the last segment is cut like a torn tail, and noted
  (`cuts`): frames say what their author had kept, so after a power failure a passive one can't tell the two apart;
- what was found is made durable before anyone builds on it. The last segment is written anew for that: after a failed
  flush the system may show pages as clean that never reached the disk.
"""

import gc
import zlib
from contextlib import suppress

import msgspec
from msgspec import Struct

from meetkeeper.codec import frame, record
from meetkeeper.codec.frame import Scan, Why
from meetkeeper.core.errors import Corrupt, TheirMistake
from meetkeeper.core.plan import apply_plan
from meetkeeper.core.state import State
from meetkeeper.ha.words import ORIGIN, Position
from meetkeeper.ports.disk import Disk
from meetkeeper.store import checkpoint, cuts, journal
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
    had_been_kept: bool = False
    """Later frames say so: on this disk, or on that of the server they come from."""


class Manifest(Struct, frozen=True):
    """What stands beside bytes set aside, so that a person can replay them."""

    file: str
    offset: int
    seq: int
    bytes: int
    why: str


class Found(Struct):
    """What a home folder holds.

    `last` is the last segment, `last_size` its good length; `goes_on` is true when the next frame may stand in it.
    """

    state: State
    position: Position = ORIGIN
    last: Segment | None = None
    last_size: int = 0
    goes_on: bool = False
    tail: Tail | None = None
    earlier: list[Segment] = []
    """Segments before the last one that were read."""
    snapshot_seq: int = 0
    snapshot_bytes: int = 0
    since_bytes: int = 0
    since_frames: int = 0
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


def read(disk: Disk, *, repairs: bool = False) -> Found:
    """Everything the folder holds. Writes nothing. `repairs`: what is damaged here can be had from another server.

    Raises `Corrupt` for damage and gaps, `TheirMistake` for records of a newer release, `Unavailable` or `Refused`
    for a disk that does not answer.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _read(disk, repairs=repairs)
    finally:
        if collecting:
            gc.enable()


def _read(disk: Disk, *, repairs: bool) -> Found:
    remarks: list[str] = []
    bad_seq, failure = 0, ""
    for seq in reversed(checkpoint.snapshots_of(disk)):
        try:
            loaded = checkpoint.load(disk, seq)
        except Corrupt as error:
            remarks.append(f"{error.message}; an older base and the journal replace it.")
            bad_seq, failure = max(bad_seq, seq), failure or error.message
            continue
        found = Found(loaded.state, loaded.position, snapshot_seq=seq, snapshot_bytes=loaded.size)
        break
    else:
        found = Found(State())
    try:
        replay(disk, found, segments_of(disk), repairs=repairs)
    except Corrupt as error:
        if not failure:
            raise
        raise Corrupt(
            error.code, f"{failure}, and without it: {error.message}", detail=error.detail
        ) from error
    if found.position.seq < bad_seq:
        raise damaged(
            f"{failure}; the journal ends at seq {found.position.seq}, before it. Copy the folder again from the other "
            "server or restore it; to go on without what came later, move this file away.",
            checkpoint.snapshot_path(bad_seq),
            seq=bad_seq,
        )
    found.remarks = remarks
    return found


def replay(disk: Disk, found: Found, segments: list[Segment], *, repairs: bool = False) -> None:
    """Apply every frame after `found.position`, segment by segment."""
    for index, segment in enumerate(segments):
        is_last = index + 1 == len(segments)
        if not is_last and segments[index + 1].first_seq <= found.position.seq + 1:
            continue
        with translated(disk, "reading the journal", segment.path):
            data = disk.read("recover:segment", segment.path)
        _replay_segment(found, segment, data, is_last=is_last, repairs=repairs and is_last)


def _replay_segment(found: Found, segment: Segment, data: bytes, *, is_last: bool, repairs: bool) -> None:
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
    tail = tail_of(segment, data, scan, is_last=is_last, repairs=repairs)
    _join(found, segment, scan, base)
    if is_last:
        found.last, found.last_size, found.tail = segment, scan.good_length, tail
        found.goes_on = scan.position.seq == found.position.seq
    else:
        found.earlier.append(segment)


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
            _apply(found.state, one, segment, offset)
            found.position = one.position
            found.since_bytes += len(one.line)
            found.since_frames += 1
        offset += len(one.line)


def _apply(state: State, one: frame.Frame, segment: Segment, offset: int) -> None:
    try:
        apply_plan(state, record.decode(one.body).plan)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # a configuration, which is read at once
        said = f"this configuration can't be read ({error}); a newer release wrote it: upgrade this server first."
        raise damaged(said, segment.path, offset=offset, seq=one.position.seq) from error
    except Corrupt as error:
        raise damaged(error.message, segment.path, offset=offset, seq=one.position.seq) from error
    except TheirMistake as error:
        raise TheirMistake(
            error.code,
            f"{segment.path}, byte {offset:,}, seq {one.position.seq}: {error.message}",
            detail={"file": segment.path, "offset": offset, "seq": one.position.seq},
        ) from error


def tail_of(
    segment: Segment, data: bytes, scan: Scan, *, is_last: bool, repairs: bool = False
) -> Tail | None:
    """The tail to cut, None when there is none; raises when what follows the good frames is damage for a person."""
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
    had_been_kept = any(record.kept_of(one.body) >= seq for one in behind)
    if not is_last or (had_been_kept and not repairs):
        raise damaged(
            f"{scan.said}, and later frames show that it had been kept: the file was damaged after it was written. "
            "Restore it from the other server or from a backup.",
            segment.path,
            offset=offset,
            seq=seq,
        )
    return Tail(segment.path, offset, seq, data[offset:], scan.said, had_been_kept)


def mend(disk: Disk, found: Found) -> None:
    """Set the torn tail aside, cut it, and make durable what was found."""
    if found.tail is not None:
        if found.tail.had_been_kept:
            cuts.write(disk, found.position, found.tail.why)
        set_aside(disk, found.tail)
        found.remarks.append(_said_of(found.tail, found.position))
    if found.last is not None:
        path = found.last.path
        with translated(disk, "writing the last segment anew", path):
            data = disk.read("recover:reread", path)[: found.last_size]
            _replace(disk, path, data)
    with translated(disk, "flushing what was found", "databases"):
        for segment in found.earlier:
            _flush_file(disk, segment.path)
        _clear_parts(disk, journal.FOLDER)
        disk.flush_folder("recover:folder", journal.FOLDER)
        _clear_parts(disk, checkpoint.FOLDER)
        if found.snapshot_seq:
            _flush_file(disk, checkpoint.snapshot_path(found.snapshot_seq))
        disk.flush_folder("recover:folder", checkpoint.FOLDER)


def _said_of(tail: Tail, end: Position) -> str:
    if tail.had_been_kept:
        return (
            f"{tail.path}: what follows seq {end.seq} is damaged ({tail.why}); {len(tail.data):,} bytes stand in "
            f"{SET_ASIDE} now. This server follows the other one until it has those frames again."
        )
    return (
        f"{tail.path}: {len(tail.data):,} bytes after seq {end.seq} were no frame ({tail.why}); they stand in "
        f"{SET_ASIDE} now. A crash leaves such a tail; nobody was told of it."
    )


def _replace(disk: Disk, path: str, data: bytes) -> None:
    written = False
    try:
        disk.write_new("recover:rewrite", path + PART, data)
        disk.rename("recover:rename", path + PART, path)
        written = True
    finally:
        if not written:  # on a full disk half a copy would take the last room
            with suppress(OSError):
                disk.remove("recover:clear", path + PART)


def _clear_parts(disk: Disk, folder: str) -> None:
    for name in disk.listing("recover:parts", folder):
        if name.endswith(PART):
            with suppress(FileNotFoundError):
                disk.remove("recover:clear", f"{folder}/{name}")


def _flush_file(disk: Disk, path: str) -> None:
    file = disk.open_append("recover:open", path)
    try:
        file.flush("recover:flush")
    finally:
        file.close("recover:close")


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
