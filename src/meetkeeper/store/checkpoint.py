"""Snapshots on disk: `databases/snapshot/<seq>.snap`, the whole State as of that frame.

Place in the journey: `database.begin_checkpoint` takes the picture, `Checkpoint.write` spells it out from any thread,
recovery reads it back. Rules:

- written aside, flushed, renamed, folder flushed; it gets its name only after all frames in it are durable;
- the newest two that are known to be good are kept, and every segment from the older one on: a copy in flight always
  finds a base. What is older is removed only after the newer snapshot's name is durable;
- a failure here costs the snapshot and nothing else: the journal has everything.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from queue import Empty, Queue
from threading import Event, Thread

from msgspec import Struct

from meetkeeper.codec import snapshot
from meetkeeper.codec.snapshot import Image, Loaded
from meetkeeper.core.errors import Corrupt, Refused
from meetkeeper.ports.disk import Disk
from meetkeeper.store import journal
from meetkeeper.store.trouble import damaged, translated

FOLDER = "databases/snapshot"
SUFFIX = ".snap"
PART = ".part"
KEEP = 2
READ_BYTES = 1024 * 1024
"""A file is read in parts that fit into the processor's cache."""
SWITCH_S = 0.0005
"""While a file is read ahead, the reading thread waits no longer than this for the decoding one."""
_DIGITS = 19

DUE_BYTES = 64 * 1024 * 1024
"""No snapshot before the journal has grown by this much since the last one …"""
DUE_SHARE = 4
"""… then when it has grown by a quarter of the last snapshot …"""
DUE_FRAMES = 100_000
"""… or by so many frames, which take some two seconds to read back."""


def snapshot_path(seq: int) -> str:
    """Where the snapshot as of this frame stands."""
    return f"{FOLDER}/{seq:0{_DIGITS}d}{SUFFIX}"


def seq_of(name: str) -> int | None:
    """The seq a file name promises; None for a name that is not a snapshot's."""
    stem = name.removesuffix(SUFFIX)
    if len(stem) != _DIGITS or stem == name or not (stem.isascii() and stem.isdigit()):
        return None
    return int(stem)


def is_due(since_bytes: int, since_frames: int, snapshot_bytes: int) -> bool:
    """True when the journal since the last snapshot has become long against the cost of writing another one."""
    return since_bytes >= DUE_BYTES and (
        since_bytes * DUE_SHARE >= snapshot_bytes or since_frames >= DUE_FRAMES
    )


def snapshots_of(disk: Disk) -> list[int]:
    """The seqs of all snapshots by name, oldest first; nothing is said about what is in them."""
    with translated(disk, "listing the snapshots", FOLDER):
        names = disk.listing("snapshot:listing", FOLDER)
    return sorted(seq for seq in map(seq_of, names) if seq is not None)


# --- reading ---------------------------------------------------------------------------------------------------------


def load(disk: Disk, seq: int, path: str = "") -> Loaded:
    """The snapshot as of `seq`, its checksum verified; `path` when it does not stand under its name yet.

    Raises `Corrupt` when it is cut or damaged, `TheirMistake` when a newer release wrote it.
    """
    path = path or snapshot_path(seq)
    with translated(disk, "reading a snapshot", path):
        size = disk.size("snapshot:size", path)
        last = disk.read_part("snapshot:end", path, max(size - snapshot.END_BYTES, 0), snapshot.END_BYTES)
    promised = snapshot.checksum_of(last)
    if promised is None:
        raise damaged("the snapshot is cut short", path, offset=size, seq=seq)
    reading = _Reading(disk, path, size)
    try:
        with reading, translated(disk, "reading a snapshot", path):
            loaded = snapshot.load(reading)
    except Corrupt as error:
        raise damaged(error.message, path, seq=seq) from error
    if loaded.sha256 != reading.sha256:
        raise damaged("the snapshot's checksum is wrong", path, seq=seq)
    if loaded.position.seq != seq:
        raise damaged(
            f"the snapshot is as of seq {loaded.position.seq}, not what its name says", path, seq=seq
        )
    return loaded


class _Reading:
    """The parts of a file, read ahead and hashed by a thread of its own when the file is worth one."""

    def __init__(self, disk: Disk, path: str, size: int) -> None:
        self._disk, self._path, self._size = disk, path, size
        self._digest = hashlib.sha256()
        self._ahead: Queue[bytes | OSError | None] = Queue(maxsize=8)
        self._stop = Event()
        self._interval_s = 0.0
        self._thread = (
            Thread(target=self._run, name="snapshot-reader", daemon=True) if size > READ_BYTES else None
        )

    @property
    def sha256(self) -> str:
        """Hash of everything but the last line, once all of it has been read."""
        return self._digest.hexdigest()

    def __enter__(self) -> "_Reading":
        if self._thread is not None:
            self._interval_s = sys.getswitchinterval()
            sys.setswitchinterval(min(self._interval_s, SWITCH_S))
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            while self._thread.is_alive():
                with suppress(Empty):
                    self._ahead.get_nowait()
                self._thread.join(0.01)
            sys.setswitchinterval(self._interval_s)

    def __iter__(self) -> Iterator[bytes]:
        if self._thread is None:
            yield from self._parts()
            return
        while (part := self._ahead.get()) is not None:
            if isinstance(part, OSError):
                raise part
            yield part

    def _run(self) -> None:
        try:
            for part in self._parts():
                self._ahead.put(part)
                if self._stop.is_set():
                    return
        except OSError as error:
            self._ahead.put(error)
        finally:
            self._ahead.put(None)

    def _parts(self) -> Iterator[bytes]:
        offset, hashed = 0, self._size - snapshot.END_BYTES
        while offset < self._size:
            part = self._disk.read_part(
                "snapshot:read", self._path, offset, min(READ_BYTES, self._size - offset)
            )
            if not part:
                return
            self._digest.update(part if offset + len(part) <= hashed else part[: max(hashed - offset, 0)])
            offset += len(part)
            yield part


# --- writing ---------------------------------------------------------------------------------------------------------


class Extent(Struct):
    """How much journal has been written since the server started, or stood there when it did."""

    bytes: int = 0
    frames: int = 0


class Checkpoint:
    """A snapshot on its way: the picture is taken, `write` brings it to disk."""

    def __init__(self, disk: Disk, picture: Image, good: list[int], wait_kept: Callable[[int], None]) -> None:
        """`good` are seqs of snapshots known to be whole. `wait_kept` returns when the frame of that seq is durable."""
        self._disk = disk
        self._picture = picture
        self._good = good
        self._wait_kept = wait_kept
        self.seq = picture.position.seq
        self.bytes = 0
        self.covers = Extent()

    def write(self) -> list[int]:
        """Write the snapshot, then remove what two newer snapshots make needless; the seqs of the good ones.

        May run in any thread. Raises `Unavailable` or `Refused` when the disk does not do it; nothing is lost then.
        """
        disk, path = self._disk, snapshot_path(self.seq)
        part, done = path + PART, False
        with translated(disk, "writing a snapshot", part):
            disk.make_folder("snapshot:make", FOLDER)
            try:
                self._write_aside(part)
                self._wait_kept(self.seq)
                disk.rename("snapshot:rename", part, path)
                done = True
                disk.flush_folder("snapshot:folder", FOLDER)
            finally:
                if not done:
                    with suppress(OSError):
                        disk.remove("snapshot:clear", part)
        good = sorted({*self._good, self.seq})[-KEEP:]
        prune(disk, good)
        return good

    def _write_aside(self, part: str) -> None:
        disk = self._disk
        with suppress(FileNotFoundError):
            disk.remove("snapshot:clear", part)
        file = disk.open_append("snapshot:open", part)
        try:
            for piece in snapshot.encode(self._picture):
                file.append("snapshot:append", piece)
                self.bytes += len(piece)
            file.flush("snapshot:flush")
        finally:
            file.close("snapshot:close")


def receive(disk: Disk, seq: int, parts: Iterable[bytes]) -> None:
    """Write a snapshot that came from another server, as the base of a folder that has none of its own yet.

    Raises `Refused` (`store.not_empty`) when the folder holds a journal or a snapshot, `Corrupt` when what came is not
    a whole snapshot as of `seq`; nothing of it is left then.
    """
    with translated(disk, "receiving a snapshot", FOLDER):
        for folder in (FOLDER, journal.FOLDER):
            disk.make_folder("receive:make", folder)
            if any(
                seq_of(name) or journal.first_seq_of(name) for name in disk.listing("receive:listing", folder)
            ):
                raise Refused(
                    "store.not_empty",
                    f"{folder} holds records of its own; move the folder aside before another server's take its place.",
                )
        path = snapshot_path(seq)
        file = disk.open_append("receive:open", path + PART)
        file.close("receive:close")
        disk.truncate("receive:clear", path + PART, 0)
        file = disk.open_append("receive:open", path + PART)
        try:
            for part in parts:
                file.append("receive:append", part)
            file.flush("receive:flush")
        finally:
            file.close("receive:close")
        load(disk, seq, path + PART)
        disk.rename("receive:rename", path + PART, path)
        disk.flush_folder("receive:folder", FOLDER)


def prune(disk: Disk, good: list[int]) -> None:
    """Remove snapshots older than the `good` ones, and segments that end before the older of two good ones."""
    with translated(disk, "removing old snapshots", FOLDER):
        for seq in snapshots_of(disk):
            if len(good) >= KEEP and seq not in good and seq < good[-1]:
                disk.remove("snapshot:remove", snapshot_path(seq))
    if len(good) < KEEP:
        return
    with translated(disk, "removing old segments", journal.FOLDER):
        names = disk.listing("journal:listing", journal.FOLDER)
        firsts = sorted(seq for seq in map(journal.first_seq_of, names) if seq is not None)
        for first, following in pairwise(firsts):
            if following <= good[0] + 1:
                disk.remove("journal:remove", journal.segment_path(first))
