"""The journal: frames appended to segments, `databases/journal/<first seq>.log`.

Place in the journey: `database.commit` appends frames here in memory; the committer (or `flush_now`) takes all that
wait as one `Batch` and makes them durable with one write and one flush. Rules:

- plain appends, no preallocation: sizes are honest for `rsync --append` and `tail`;
- a segment holds at most `segment_bytes_max`, and always at least one frame; a new one counts only after its folder
  has been flushed, and is begun only when the one before it is flushed completely: what may be torn stands in the
  last segment alone, and within it after the last flush;
- a failed write or flush is final. The journal is poisoned: every later call raises the same error.
"""

from contextlib import suppress
from threading import Lock

from msgspec import Struct

from meetkeeper.codec.frame import FRAME_BYTES_MAX, Frame
from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.ha.words import Position
from meetkeeper.ports.disk import Disk, OpenFile
from meetkeeper.store.trouble import meaning

FOLDER = "databases/journal"
SUFFIX = ".log"
SEGMENT_BYTES_MAX = FRAME_BYTES_MAX
_DIGITS = 19


def segment_path(first_seq: int) -> str:
    """Where the segment that begins with this frame stands."""
    return f"{FOLDER}/{first_seq:0{_DIGITS}d}{SUFFIX}"


def first_seq_of(name: str) -> int | None:
    """The first seq a file name promises; None for a name that is not a segment's."""
    stem = name.removesuffix(SUFFIX)
    if len(stem) != _DIGITS or stem == name or not (stem.isascii() and stem.isdigit()):
        return None
    return int(stem)


class Batch(Struct, frozen=True, gc=False):
    """Frames that become durable together. `last` is the position after them."""

    lines: list[bytes]
    first_seq: int
    last: Position


class Journal:
    """The open end of the journal. `append` belongs to the deciding thread, everything else to the one that flushes."""

    def __init__(self, disk: Disk, segment_bytes_max: int = SEGMENT_BYTES_MAX) -> None:
        self._disk = disk
        self._segment_bytes_max = segment_bytes_max
        self._file: OpenFile | None = None
        self._path = ""
        self._size = 0
        self._waiting: list[bytes] = []
        self._last: Position | None = None
        self._hand = Lock()
        self._segment_at = 0
        self.failed: MeetkeeperError | None = None

    def resume(self, first_seq: int, size: int) -> None:
        """Go on in the segment that begins with `first_seq` and is `size` bytes long by now."""
        self._path, self._size = segment_path(first_seq), size

    def begin_segment_at(self, seq: int) -> None:
        """Let the frame of this seq begin a segment: what is before it and after it can then be told apart by file."""
        self._segment_at = seq

    def append(self, frame: Frame) -> None:
        """Let the frame wait for the next batch."""
        with self._hand:
            self._waiting.append(frame.line)
            self._last = frame.position

    def take(self) -> Batch | None:
        """Everything that waits, once; None when nothing does."""
        with self._hand:
            lines, last = self._waiting, self._last
            if not lines or last is None:
                return None
            self._waiting = []
        return Batch(lines, last.seq - len(lines) + 1, last)

    def write_and_flush(self, batch: Batch) -> None:
        """Make the batch durable: one write and one flush for all of it, or one per segment it begins.

        Raises what `trouble.meaning` makes of a failure, then and ever after.
        """
        if self.failed is not None:
            raise self.failed
        lines, at = batch.lines, 0
        while at < len(lines):
            count = self._fitting(lines, at, batch.first_seq + at)
            if count:
                part = lines if count == len(lines) else lines[at : at + count]
                self._write(b"".join(part) if count > 1 else part[0])
                at += count
            else:
                self._begin_segment(batch.first_seq + at)

    def rest(self) -> None:
        """Close the open file; the next batch opens it again. File tools that wait for a close get their turn."""
        if self._file is not None:
            file, self._file = self._file, None
            with suppress(OSError):
                file.close("journal:close")

    def _fitting(self, lines: list[bytes], at: int, seq: int) -> int:
        """How many lines from `at` on, the first of which is `seq`, go into this segment; 0: begin a new one."""
        until = self._segment_at - seq
        if not self._path or (until == 0 and self._size):
            return 0
        size, count = self._size, 0
        for line in lines[at:] if at else lines:
            size += len(line)
            if (size > self._segment_bytes_max and (count or self._size)) or (count == until and count):
                break
            count += 1
        return count

    def _begin_segment(self, first_seq: int) -> None:
        self.rest()
        self._path, self._size = segment_path(first_seq), 0
        self._open()
        try:
            self._disk.flush_folder("journal:folder", FOLDER)
        except OSError as error:
            raise self._poison(error, "flushing the journal's folder") from error

    def _open(self) -> OpenFile:
        if self._file is None:
            try:
                self._file = self._disk.open_append("journal:open", self._path)
            except OSError as error:
                raise self._poison(error, "opening the journal") from error
        return self._file

    def _write(self, data: bytes) -> None:
        file = self._open()
        try:
            file.append("journal:append", data)
        except OSError as error:
            self._cut_back()
            raise self._poison(error, "writing the journal") from error
        try:
            file.flush("journal:flush")
        except OSError as error:
            raise self._poison(error, "flushing the journal") from error
        self._size += len(data)

    def _cut_back(self) -> None:
        """After a short write: leave no torn line behind, if the disk lets us. Nobody has been told anything."""
        with suppress(OSError):
            self._disk.truncate("journal:cut", self._path, self._size)

    def _poison(self, error: OSError, doing: str) -> MeetkeeperError:
        self.rest()
        self.failed = meaning(self._disk, error, doing, self._path)
        return self.failed
