"""Frames on their way from the active's journal to the passive's: what goes out, and what is done with what comes in.

Synchronous and without a clock: `pair` drives it with a real line and real threads, the simulation by hand. Bytes are
the journal's own. While the passive is behind, frames are read from the journal; once it has caught up they go out the
moment before they are written here (`live`). When the line is crowded, it is behind again.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from meetkeeper.codec import frame
from meetkeeper.codec.frame import Why
from meetkeeper.core.errors import Corrupt, OurMistake
from meetkeeper.ha import lineage
from meetkeeper.ha.words import ORIGIN, Begin, Frames, Message, Position
from meetkeeper.store.database import Database
from meetkeeper.store.journal import Batch

CHUNK_BYTES = 1024 * 1024
"""Frames are read from the journal and sent in parts of about this size."""


class Stage(StrEnum):
    """How frames go out."""

    IDLE = "idle"
    SEEKING = "seeking"
    """It is being found out where the two histories part."""
    BEHIND = "behind"
    """From the journal."""
    SNAPSHOT = "snapshot"
    """The journal does not reach back: the snapshot first."""
    LIVE = "live"
    """As they are written."""


class Chunk(Struct, frozen=True):
    """Frames read from the journal: their bytes, and the position after them. Empty: nothing newer is kept."""

    data: bytes
    last: Position | None


class Line(Protocol):
    """What the outgoing side needs."""

    def say(self, message: Message) -> bool:
        """Send; False when nobody is linked."""
        ...

    def crowded(self) -> bool:
        """More waits than the line takes."""
        ...

    def when_free(self, call: Callable[[], None]) -> None:
        """Call when the line takes more."""
        ...

    def find_common(self, waypoints: tuple[Position, ...], tell: Callable[[Position | None], None]) -> None:
        """Look for the newest waypoint that our journal holds; None: it holds none."""
        ...

    def read_chunk(self, after: int, tell: Callable[[Chunk | None], None]) -> None:
        """Read kept frames after this seq; None when the journal no longer reaches back that far."""
        ...

    def offer_snapshot(self) -> None:
        """The other server lacks what our journal no longer has."""
        ...


class Outflow:
    """The active's side. `sent` is the position up to which frames were handed to the line."""

    def __init__(self, line: Line, database: Database) -> None:
        self._line = line
        self._database = database
        self.stage = Stage.IDLE
        self.sent = ORIGIN
        self._epoch = 0
        self._number = 0
        self._newest_live = 0
        self._reading = False
        """A chunk is being read, or waits for room on the line. Frames kept meanwhile must not begin it anew: where
        they come faster than it is read, it would never end."""

    def start(self, waypoints: tuple[Position, ...], epoch: int) -> None:
        """Begin anew, for a server whose journal holds these positions."""
        self.stop()
        self._epoch = epoch
        self.stage = Stage.SEEKING
        number = self._number
        self._line.find_common(waypoints, lambda common: self._found(number, common))

    def stop(self) -> None:
        """Nobody is there."""
        self.stage = Stage.IDLE
        self._number += 1
        self._reading = False

    def _found(self, number: int, common: Position | None) -> None:
        if number != self._number:
            return
        if common is None:
            self.stage = Stage.SNAPSHOT
            self._line.offer_snapshot()
            return
        self.sent = common
        self._line.say(Begin(common, self._epoch))
        self._fall_behind()

    def _fall_behind(self) -> None:
        self.stage = Stage.BEHIND
        self._read_on()

    def _read_on(self) -> None:
        number, self._reading = self._number, True
        if self._line.crowded():
            self._line.when_free(lambda: self._read_on() if number == self._number else None)
            return
        self._line.read_chunk(self.sent.seq, lambda chunk: self._take_chunk(number, chunk))

    def _take_chunk(self, number: int, chunk: Chunk | None) -> None:
        if number != self._number or self.stage is not Stage.BEHIND:
            return
        self._reading = False
        if chunk is None:
            self.stage = Stage.SNAPSHOT
            self._line.offer_snapshot()
            return
        if chunk.last is not None:
            self._line.say(Frames(chunk.data))
            self.sent = chunk.last
            self._read_on()
            return
        if self.sent.seq >= max(self._newest_live, self._database.kept.seq):
            self.stage = Stage.LIVE
        elif self.sent.seq < self._database.kept.seq:
            self._read_on()  # it was kept while we read

    def live(self, batch: Batch) -> None:
        """These frames are being written here now."""
        self._newest_live = batch.last.seq
        if self.stage is not Stage.LIVE:
            return
        if batch.first_seq != self.sent.seq + 1 or self._line.crowded():
            self._fall_behind()
            return
        self._line.say(Frames(batch.lines[0] if len(batch.lines) == 1 else b"".join(batch.lines)))
        self.sent = batch.last

    def kept(self) -> None:
        """More is kept here: whoever was waiting at the end of the journal reads on."""
        if self.stage is Stage.BEHIND and not self._reading and self.sent.seq < self._database.kept.seq:
            self._read_on()


class Retreat(Struct, frozen=True):
    """What is held after `to` lost the race: set it aside before anything else."""

    to: Position


class Inflow:
    """The passive's side: compares what it may hold already, applies the rest."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.epoch = 0
        """Under which it was begun."""
        self._at = ORIGIN
        self._held: dict[int, Position] = {}
        self.begun = False

    def begin(self, begin: Begin) -> None:
        """Frames follow. Durably promises their epoch first; raises `Refused` when a higher one is promised."""
        database = self._database
        database.promise(begin.epoch)
        self.epoch, self._at, self.begun = begin.epoch, begin.after, True
        wanted = range(begin.after.seq + 1, database.position.seq + 1)
        self._held = database.positions(wanted) if wanted else {}

    @property
    def comparing(self) -> bool:
        """Something that is held here may have lost the race."""
        return bool(self._held)

    def stop(self) -> None:
        """The line is gone; what was begun is begun anew."""
        self.begun = False
        self._held = {}

    def take(self, data: bytes) -> Retreat | None:
        """Apply frames, or say what has to be set aside first.

        Raises `Corrupt` for bytes that do not follow, `Refused` when a higher epoch is promised, `OurMistake` for
        histories that must never part (R6).
        """
        if not self.begun:
            raise Corrupt("stream.begin", "Frames came before it was said where they begin. Begin anew.")
        if not self._held and self._at == self._database.position:
            self._at = self._database.follow(data, self.epoch)
            return None
        return self._compare(data)

    def _compare(self, data: bytes) -> Retreat | None:
        scan = frame.scan(data, self._at)
        if scan.why is not Why.END:
            raise Corrupt("stream.damaged", f"What came does not follow: {scan.said}. Begin anew.")
        offered = [one.position for one in scan.frames]
        last = self._database.position
        match lineage.compare(self._held, last, offered, self._at, self.epoch):
            case lineage.Parts(common):
                return Retreat(common)
            case lineage.Forbidden(_, why):
                raise OurMistake(
                    "lineage.forbidden", f"{why}. Neither server changes anything; compare the journals."
                )
            case lineage.Follows(count):
                self._at = offered[count - 1] if count else self._at
                rest = b"".join(one.line for one in scan.frames[count:])
                if self._at.seq >= last.seq:
                    self._held = {}
                if rest:
                    self._at = self._database.follow(rest, self.epoch)
        return None
