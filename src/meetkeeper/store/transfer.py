"""A snapshot on its way to a server that is too far behind: the file's own bytes, in pieces that can be resumed.

The receiver keeps what has come in `local/incoming/<seq>.snap`; only a whole file whose checksum is right takes the
place of what it held, which is set aside and not removed.
"""

from collections.abc import Iterator

from meetkeeper.core.errors import Corrupt
from meetkeeper.ha.words import Piece
from meetkeeper.ports.disk import Disk
from meetkeeper.store import checkpoint, journal

PIECE_BYTES = 1024 * 1024
FOLDER = "local/incoming"
ASIDE = "local/set-aside"


def incoming_path(seq: int) -> str:
    """Where the pieces of this snapshot are gathered."""
    return f"{FOLDER}/{seq:019d}.snap"


def newest(disk: Disk) -> tuple[int, int] | None:
    """The newest snapshot: seq and bytes."""
    seqs = checkpoint.snapshots_of(disk)
    if not seqs:
        return None
    return seqs[-1], disk.size("transfer:size", checkpoint.snapshot_path(seqs[-1]))


def piece(disk: Disk, seq: int, offset: int) -> Piece | None:
    """The piece of snapshot `seq` at `offset`; None when the file is gone: a newer one has taken its place."""
    path = checkpoint.snapshot_path(seq)
    try:
        size = disk.size("transfer:size", path)
        data = disk.read_part("transfer:read", path, offset, PIECE_BYTES)
    except FileNotFoundError:
        return None
    return Piece(seq, offset, data, offset + len(data) >= size)


def gathered(disk: Disk, seq: int) -> int:
    """How many bytes of this snapshot are here; others' leavings are removed."""
    disk.make_folder("transfer:make", FOLDER)
    for name in disk.listing("transfer:listing", FOLDER):
        if f"{FOLDER}/{name}" != incoming_path(seq):
            disk.remove("transfer:remove", f"{FOLDER}/{name}")
    try:
        return disk.size("transfer:size", incoming_path(seq))
    except FileNotFoundError:
        return 0


def gather(disk: Disk, one: Piece) -> int:
    """Append a piece; how many bytes are here then. Raises `Corrupt` for a piece out of order."""
    path = incoming_path(one.seq)
    have = gathered(disk, one.seq)
    if one.offset != have:
        raise Corrupt(
            "transfer.order", f"A piece at {one.offset} came where {have} was wanted. It is asked for again."
        )
    file = disk.open_append("transfer:open", path)
    try:
        file.append("transfer:append", one.data)
        if one.last:
            file.flush("transfer:flush")
    finally:
        file.close("transfer:close")
    return have + len(one.data)


def install(disk: Disk, seq: int, stamp: str) -> str | None:
    """Put the gathered snapshot in the place of what the closed database held; where that is set aside.

    At every moment the folder opens: as what it was, as an empty one whose snapshot still waits in `local/incoming`, or
    as the snapshot. Raises `Corrupt` when what was gathered is not a whole snapshot as of `seq`; it is removed then,
    and nothing else has changed.
    """
    path = incoming_path(seq)
    try:
        checkpoint.load(disk, seq, path)
    except Corrupt:
        disk.remove("transfer:remove", path)
        raise
    aside = set_aside(disk, stamp)
    size = disk.size("transfer:size", path)
    checkpoint.receive(disk, seq, _parts(disk, path, size))
    disk.remove("transfer:remove", path)
    return aside


def _parts(disk: Disk, path: str, size: int) -> Iterator[bytes]:
    for offset in range(0, size, PIECE_BYTES):
        yield disk.read_part("transfer:read", path, offset, PIECE_BYTES)


def set_aside(disk: Disk, stamp: str) -> str | None:
    """Move a closed database's files away; where to, None when there were none.

    Segments from the newest, then snapshots: what is left at any moment is a prefix, or is nothing.
    """
    folder, moved = f"{ASIDE}/replaced-{stamp}", False
    snapshots = [checkpoint.snapshot_path(one) for one in reversed(checkpoint.snapshots_of(disk))]
    names = disk.listing("transfer:listing", journal.FOLDER)
    firsts = sorted((one for one in map(journal.first_seq_of, names) if one is not None), reverse=True)
    for path in [*[journal.segment_path(one) for one in firsts], *snapshots]:
        if not moved:
            disk.make_folder("transfer:make", folder)
            moved = True
        disk.rename("transfer:aside", path, f"{folder}/{path.rpartition('/')[2]}")
    if moved:
        for one in (folder, ASIDE, journal.FOLDER, checkpoint.FOLDER):
            disk.flush_folder("transfer:folder", one)
    return folder if moved else None
