"""A file per meeting for people, written behind the journal on request: `view/meetings/<shard>/<id>.json`.

Place in the journey: the engine notes every kept plan, a thread of its own writes what has changed. It is a view, never
the commit point: nobody waits for it, several changes of one meeting become one write, and it may be removed at any
time. Rules: a file shows only what is kept; each file is replaced in one step; `view/at.json` holds the position up to
which the view is complete and on disk, and the next start goes on from there, or writes everything anew.
"""

import zlib
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Lock, Thread

import msgspec
from msgspec import Raw, Struct

from meetkeeper.codec import record
from meetkeeper.core.changes import MeetingForgotten, MeetingKept, MeetingStepped
from meetkeeper.core.errors import MeetkeeperError, Refused
from meetkeeper.core.plan import Plan
from meetkeeper.core.state import Kept
from meetkeeper.core.words import MeetingId, Step
from meetkeeper.ports.disk import Disk
from meetkeeper.store.database import Database
from meetkeeper.store.trouble import translated

FOLDER = "view/meetings"
MARK = "view/at.json"
PART = ".part"
SHARDS = 256
BATCH_FILES = 64
"""Files written between two looks at whether to stop."""
PAUSE_S = 1.0
"""Changes of one meeting within this time become one write."""


AGAIN_S = 60.0
"""Until the next try after the disk refused."""


class Shown(Struct, frozen=True):
    """What a file says."""

    step: Step
    meeting: Raw


class _Mark(Struct, frozen=True):
    lineage: str
    epoch: int
    seq: int


class _Due(Struct, frozen=True, gc=False):
    """A file to write (or, without a row, to remove), once the frame of `seq` is kept."""

    row: Kept | None
    seq: int


def file_of(meeting_id: MeetingId) -> str:
    """Where the meeting's file stands."""
    return f"{_shard(zlib.crc32(meeting_id.encode('utf-8', 'surrogatepass')) % SHARDS)}/{meeting_id}.json"


class View:
    """The files, and the thread that writes them. `note` belongs to the deciding thread."""

    def __init__(
        self, disk: Disk, database: Database, on_trouble: Callable[[MeetkeeperError], None] = lambda _: None
    ) -> None:
        """`on_trouble` is told, in the view's thread, when the disk refused a file; it is tried again later."""
        self._on_trouble = on_trouble
        self._disk = disk
        self._database = database
        self._changed: dict[MeetingId, _Due] = {}
        self._noted = (0, 0)
        self._hand = Lock()
        self._stop: SimpleQueue[None] = SimpleQueue()
        self._folders: set[str] = set()
        self._thread = Thread(target=self._run, name="view", daemon=True)

    def begin(self) -> int:
        """Note what the view lacks; the number of files to write. Before `start`, in the deciding thread."""
        mark = self._read_mark()
        try:
            if (
                mark is None
                or mark.lineage != self._database.state.lineage
                or mark.seq > self._database.kept.seq
            ):
                raise Refused("view.anew", "The view is of another history; it is written anew.")
            for one in self._database.frames_since(mark.seq - 1):
                if one.position.seq == mark.seq and one.position.epoch != mark.epoch:
                    raise Refused("view.anew", "The view is of another reign; it is written anew.")
                self.note(record.decode(one.body).plan, one.position.epoch, one.position.seq)
        except Refused:
            kept = self._database.kept
            self._note([*self._shown(), *self._database.state.meetings], kept.epoch, kept.seq)
        return len(self._changed)

    def note(self, plan: Plan, epoch: int, seq: int) -> None:
        """The plan of this frame is kept. Frames are noted in their order."""
        changes = plan.changes
        ids = [one.id for one in changes if isinstance(one, MeetingKept | MeetingStepped | MeetingForgotten)]
        self._note(ids, epoch, seq)

    def _note(self, ids: list[MeetingId], epoch: int, seq: int) -> None:
        # The row may be newer than the frame, so it is shown when everything applied by now is kept.
        applied, meetings = self._database.position.seq, self._database.state.meetings
        with self._hand:
            self._noted = (epoch, seq)
            for one in ids:
                self._changed[one] = _Due(meetings.get(one), applied)

    def start(self) -> None:
        """Begin to write, a pause after each round."""
        self._thread.start()

    def stop(self) -> None:
        """Leave the rest for the next start."""
        self._stop.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def write_some(self) -> bool:
        """Write a batch of files; True when more wait. Raises `Unavailable` or `Refused` when the disk objects."""
        with self._hand:
            due = {one: self._changed.pop(one) for one in list(islice(self._changed, BATCH_FILES))}
            noted, complete = self._noted, not self._changed
        done = False
        try:
            self._database.wait_kept(max((one.seq for one in due.values()), default=0))
            with translated(self._disk, "writing the view", FOLDER):
                self._bring_out(due)
                if complete:
                    self._write_mark(*noted)
            done = True
        finally:
            if not done:
                with self._hand:
                    self._changed = {**due, **self._changed}
        return not complete

    def _bring_out(self, due: dict[MeetingId, _Due]) -> None:
        for meeting_id, one in due.items():
            if one.row is None:
                self._remove(file_of(meeting_id))
            else:
                self._write(file_of(meeting_id), Shown(one.row.step, Raw(one.row.body)))
        for folder in sorted({file_of(meeting_id).rpartition("/")[0] for meeting_id in due} & self._folders):
            self._disk.flush_folder("view:folder", folder)

    def _run(self) -> None:
        while True:
            try:
                pause_s = 0.0 if self._changed and self.write_some() else PAUSE_S
            except MeetkeeperError as trouble:
                self._on_trouble(trouble)
                pause_s = AGAIN_S
            with suppress(Empty):
                self._stop.get(timeout=pause_s)
                return

    def _write(self, path: str, shown: Shown) -> None:
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            self._disk.make_folder("view:make", folder)
            self._folders.add(folder)
        text = msgspec.json.format(msgspec.json.encode(shown), indent=2) + b"\n"
        self._disk.write_new("view:write", path + PART, text)
        self._disk.rename("view:rename", path + PART, path)

    def _remove(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._disk.remove("view:remove", path)
            self._folders.add(path.rpartition("/")[0])

    def _shown(self) -> list[MeetingId]:
        """Meetings that have a file, known to the state or not."""
        with translated(self._disk, "listing the view", FOLDER):
            names = [
                name for shard in range(SHARDS) for name in self._disk.listing("view:listing", _shard(shard))
            ]
        return [MeetingId(name.removesuffix(".json")) for name in names if name.endswith(".json")]

    def _read_mark(self) -> _Mark | None:
        with translated(self._disk, "reading the view's mark", MARK):
            try:
                return msgspec.json.decode(self._disk.read("view:mark", MARK), type=_Mark)
            except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
                return None

    def _write_mark(self, epoch: int, seq: int) -> None:
        mark = msgspec.json.encode(_Mark(self._database.state.lineage, epoch, seq))
        self._disk.make_folder("view:make", "view")
        self._disk.write_new("view:mark", MARK + PART, mark)
        self._disk.rename("view:mark", MARK + PART, MARK)


def _shard(number: int) -> str:
    return f"{FOLDER}/{number:02x}"
