"""How far a journal has come, without reading what is in it: the end of its last segment, else the newest snapshot.

Place in the journey: the agent asks it beside a node that is gone, for a proof of stop. Rules: nothing is written, and
no State is built; what a crash has torn counts as little as it does in recovery. Whoever asks holds the folder's lock.
"""

import msgspec
from msgspec import Struct

from meetkeeper.codec import frame
from meetkeeper.codec.frame import Why
from meetkeeper.ha.words import ORIGIN, Position
from meetkeeper.ports.disk import Disk
from meetkeeper.store import journal
from meetkeeper.store.trouble import damaged, translated

SNAPSHOTS = "databases/snapshot"
_SUFFIX = ".snap"
_HEAD_BYTES = 4096


class _Head(Struct, frozen=True):
    epoch: int
    seq: int
    hash: str


class _Kept(Struct, frozen=True):
    kept: int = 0


_kept_of = msgspec.json.Decoder(_Kept).decode


def last_position(disk: Disk) -> Position:
    """The position of the last good frame; `ORIGIN` for a folder that has never kept one.

    Raises `Corrupt` when the end of the journal is damaged rather than torn (its position is not known then), and
    `Unavailable` or `Refused` for a disk that does not answer.
    """
    base = _newest_snapshot(disk)
    with translated(disk, "listing the journal", journal.FOLDER):
        names = disk.listing("tail:journal-listing", journal.FOLDER)
    firsts = sorted(first for first in map(journal.first_seq_of, names) if first is not None)
    for first_seq in reversed(firsts):
        end = _end_of(disk, first_seq, is_last=first_seq == firsts[-1])
        if end.seq >= first_seq:
            return end if end.seq >= base.seq else base
    return base


def _end_of(disk: Disk, first_seq: int, *, is_last: bool) -> Position:
    path = journal.segment_path(first_seq)
    with translated(disk, "reading the journal", path):
        data = disk.read("tail:segment", path)
    scan = frame.scan(data, Position(0, first_seq - 1, ""))
    if scan.why is Why.END:
        return scan.position
    torn = is_last and scan.why in {Why.TORN, Why.DAMAGED}
    behind = [one for one in frame.survivors(data, scan.good_length) if one.position.seq > scan.position.seq]
    if not torn or any(_kept(one.body) > scan.position.seq for one in behind):
        raise damaged(
            f"{scan.said}, so nobody can say how far this journal had come. Restore this file from the other server or "
            "from a backup.",
            path,
            offset=scan.good_length,
            seq=scan.position.seq + 1,
        )
    return scan.position


def _kept(body: bytes) -> int:
    try:
        return _kept_of(body).kept
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0


def _newest_snapshot(disk: Disk) -> Position:
    with translated(disk, "listing the snapshots", SNAPSHOTS):
        names = disk.listing("tail:snapshot-listing", SNAPSHOTS)
    for name in reversed([one for one in names if one.endswith(_SUFFIX)]):
        path = f"{SNAPSHOTS}/{name}"
        with translated(disk, "reading a snapshot", path):
            start = disk.read_part("tail:snapshot-head", path, 0, _HEAD_BYTES)
        try:
            head = msgspec.json.decode(start.partition(b"\n")[0], type=_Head)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        return Position(head.epoch, head.seq, head.hash)
    return ORIGIN
