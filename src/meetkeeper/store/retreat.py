"""Going back to an earlier position: what a server does whose last frames lost the race to another reign.

Place in the journey: a server comes back, its journal ends in frames of an old epoch that nobody else has; replication
closes the database, calls `retreat` with the last position both servers share, and opens it again. Rules: every frame
that is taken out is set aside durably before anything is removed; at every moment in between the folder opens as a
prefix of what it held; a server that can't go back that far says so and starts from a snapshot.
"""

from msgspec import Struct

from meetkeeper.codec import frame
from meetkeeper.core.errors import Corrupt, Refused
from meetkeeper.ha.words import ORIGIN, Position
from meetkeeper.ports.disk import Disk
from meetkeeper.store import checkpoint, journal, recovery
from meetkeeper.store.recovery import PART, Segment, Tail
from meetkeeper.store.trouble import translated


class _Cut(Struct, frozen=True):
    """A segment and how much of it stays."""

    segment: Segment
    data: bytes
    stays: int


def retreat(disk: Disk, to: Position) -> list[str]:
    """Take every frame after `to` out of the journal; the paths where they are set aside, oldest first.

    The database is closed. Raises `Refused` (`retreat.unknown`) when `to` is not a position of this journal, or no
    snapshot is old enough to begin from: then a snapshot of the other server is the way.
    """
    segments = recovery.segments_of(disk)
    cuts = _cuts(disk, segments, to)
    good = [seq for seq in checkpoint.snapshots_of(disk) if seq <= to.seq and _is_on_the_way(disk, seq, to)]
    if not good and (not segments or segments[0].first_seq != 1):
        raise _unknown(to, "no snapshot that old is left")
    aside = _aside(disk, cuts, to)
    with translated(disk, "taking back frames", journal.FOLDER):
        for seq in checkpoint.snapshots_of(disk):
            if seq > to.seq:
                disk.remove("retreat:snapshot", checkpoint.snapshot_path(seq))
        disk.flush_folder("retreat:folder", checkpoint.FOLDER)
        for cut in reversed(cuts):
            path = cut.segment.path
            if cut.stays:
                disk.write_new("retreat:rewrite", path + PART, cut.data[: cut.stays])
                disk.rename("retreat:rename", path + PART, path)
            else:
                disk.remove("retreat:segment", path)
            disk.flush_folder("retreat:folder", journal.FOLDER)
    return aside


def keep_aside(disk: Disk, to: Position) -> list[str]:
    """Set every frame after `to` aside and remove nothing: for a server that starts anew from a snapshot.

    The database is closed. Raises `Refused` (`retreat.unknown`) when `to` is not a position of this journal.
    """
    return _aside(disk, _cuts(disk, recovery.segments_of(disk), to), to)


def _aside(disk: Disk, cuts: "list[_Cut]", to: Position) -> list[str]:
    return [
        recovery.set_aside(
            disk, Tail(cut.segment.path, cut.stays, _seq(cut), cut.data[cut.stays :], f"after seq {to.seq}")
        )
        for cut in cuts
        if cut.stays < len(cut.data)
    ]


def _cuts(disk: Disk, segments: list[Segment], to: Position) -> list[_Cut]:
    """What is to be done to each segment that holds a frame after `to`, oldest first."""
    cuts, known = [], to == ORIGIN
    for index, segment in enumerate(segments):
        if index + 1 < len(segments) and segments[index + 1].first_seq <= to.seq:
            continue
        with translated(disk, "reading the journal", segment.path):
            data = disk.read("retreat:read", segment.path)
        stays = 0
        for one in frame.scan(data, Position(0, segment.first_seq - 1, "")).frames:
            if one.position.seq > to.seq:
                break
            stays += len(one.line)
            known = known or one.position == to
        if stays < len(data) or segment.first_seq > to.seq:
            cuts.append(_Cut(segment, data, stays))
    if not known and not _is_on_the_way(disk, to.seq, to):
        raise _unknown(to, "it holds another history, or begins later")
    return cuts


def _is_on_the_way(disk: Disk, seq: int, to: Position) -> bool:
    """A snapshot as of `seq` is there, whole, and of this history as far as its position tells."""
    if seq not in checkpoint.snapshots_of(disk):
        return False
    try:
        position = checkpoint.load(disk, seq).position
    except Corrupt:
        return False
    return position == to if seq == to.seq else position.epoch <= to.epoch


def _seq(cut: _Cut) -> int:
    return cut.segment.first_seq + cut.data.count(b"\n", 0, cut.stays)


def _unknown(to: Position, why: str) -> Refused:
    return Refused(
        "retreat.unknown",
        f"This journal can't go back to seq {to.seq} of epoch {to.epoch}: {why}. "
        "Begin from the other server's snapshot.",
    )
