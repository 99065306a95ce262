"""Frames from one journal into another: behind, live, crowded, compared, set back."""

from collections.abc import Callable

import pytest

from meetkeeper.core.errors import Corrupt, OurMistake, Refused
from meetkeeper.core.plan import Plan
from meetkeeper.engine.flow import Chunk, Inflow, Outflow, Retreat, Stage
from meetkeeper.ha import lineage
from meetkeeper.ha.words import ORIGIN, Begin, Frames, Message, Position
from meetkeeper.store.database import Database
from meetkeeper.store.retreat import retreat
from meetkeeper.testing.disk import CrashDisk
from tests.codec.plans import meeting_kept


def reigning(epoch: int = 1, frames: int = 0, disk: CrashDisk | None = None) -> Database:
    """A database that holds some kept frames of this epoch."""
    database = Database.open(disk or CrashDisk())
    database.open_reign(epoch)
    write(database, frames)
    return database


def write(database: Database, count: int) -> None:
    """Commit and keep so many plans."""
    for _ in range(count):
        database.commit(Plan(1.0, (meeting_kept(database.position.seq + 1),)))
    database.flush_now()


def stage_of(out: Outflow) -> Stage:
    """As it is now."""
    return out.stage


class Wire:
    """The outgoing side's line: what was said, and the journal's reader."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.said: list[Message] = []
        self.full = False
        self.waiting: list[Callable[[], None]] = []
        self.snapshots = 0
        self.chunk_frames = 3

    def say(self, message: Message) -> bool:
        """Take it."""
        self.said.append(message)
        return True

    def crowded(self) -> bool:
        """As set."""
        return self.full

    def when_free(self, call: Callable[[], None]) -> None:
        """Remember who waits."""
        self.waiting.append(call)

    def find_common(self, waypoints: tuple[Position, ...], tell: Callable[[Position | None], None]) -> None:
        """At once."""
        tell(lineage.common_of(waypoints, self.database.positions({one.seq for one in waypoints})))

    def read_chunk(self, after: int, tell: Callable[[Chunk | None], None]) -> None:
        """At once, a few frames at a time."""
        frames = list(self.database.frames_since(after))[: self.chunk_frames]
        last = frames[-1].position if frames else None
        tell(Chunk(b"".join(one.line for one in frames), last))

    def offer_snapshot(self) -> None:
        """Count."""
        self.snapshots += 1

    def free(self) -> None:
        """The line takes more."""
        self.full = False
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            call()

    def deliver(self, inflow: Inflow) -> Retreat | None:
        """Hand everything that was said to the other side."""
        said, self.said = self.said, []
        for one in said:
            if isinstance(one, Begin):
                inflow.begin(one)
            elif isinstance(one, Frames):
                back = inflow.take(one.data)
                if back is not None:
                    return back
        return None


class SlowWire(Wire):
    """A wire whose journal's reader answers when it is told to."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._ends: list[Callable[[], None]] = []

    @property
    def reads(self) -> int:
        """How many chunks are being read."""
        return len(self._ends)

    def read_chunk(self, after: int, tell: Callable[[Chunk | None], None]) -> None:
        """What is kept now, told later."""
        frames = list(self.database.frames_since(after))[: self.chunk_frames]
        last = frames[-1].position if frames else None
        self._ends.append(lambda: tell(Chunk(b"".join(one.line for one in frames), last)))

    def end_read(self) -> None:
        """The chunk is there."""
        self._ends.pop(0)()


def test_a_server_that_is_behind_catches_up_and_goes_live() -> None:
    """From the journal in parts, then as they are written; the other journal holds the same bytes."""
    ours, theirs = reigning(frames=10), Database.open(CrashDisk())
    wire = Wire(ours)
    out, inflow = Outflow(wire, ours), Inflow(theirs)
    out.start(theirs.waypoints(), 1)
    assert stage_of(out) is Stage.LIVE
    ours.commit(Plan(1.0, (meeting_kept(99),)))
    batch = ours.take_batch()
    assert batch is not None
    out.live(batch)
    assert wire.deliver(inflow) is None
    ours.flush(batch)
    assert theirs.flush_now() == ours.kept
    assert inflow.epoch == theirs.promised == 1


def test_frames_that_are_being_written_while_it_is_behind_are_not_forgotten() -> None:
    """What was handed to the disk before the journal's end was reached is read from the journal once it is kept."""
    ours, theirs = reigning(frames=4), Database.open(CrashDisk())
    wire = Wire(ours)
    wire.full = True
    out, inflow = Outflow(wire, ours), Inflow(theirs)
    out.start((), 1)
    ours.commit(Plan(1.0, (meeting_kept(99),)))
    batch = ours.take_batch()
    assert batch is not None
    out.live(batch)
    wire.free()
    assert stage_of(out) is Stage.BEHIND
    ours.flush(batch)
    out.kept()
    assert stage_of(out) is Stage.LIVE
    wire.deliver(inflow)
    assert theirs.flush_now() == ours.kept


def test_frames_that_come_faster_than_a_chunk_is_read_do_not_keep_it_from_ending() -> None:
    """On a busy machine a chunk takes longer than the time between two flushes: the passive catches up all the same."""
    ours, theirs = reigning(frames=4), Database.open(CrashDisk())
    wire = SlowWire(ours)
    out, inflow = Outflow(wire, ours), Inflow(theirs)
    out.start((), 1)
    for _ in range(6):
        for _ in range(3):
            write(ours, 1)
            out.kept()
        assert wire.reads == 1, "one chunk is read at a time"
        wire.end_read()
    while stage_of(out) is Stage.BEHIND:
        wire.end_read()
    wire.deliver(inflow)
    assert theirs.flush_now() == ours.kept


def test_a_crowded_line_makes_it_fall_behind_and_catch_up_again() -> None:
    """Nothing piles up in memory: frames wait in the journal."""
    ours, theirs = reigning(frames=2), Database.open(CrashDisk())
    wire = Wire(ours)
    out, inflow = Outflow(wire, ours), Inflow(theirs)
    out.start((), 1)
    wire.full = True
    for _ in range(5):
        ours.commit(Plan(1.0, (meeting_kept(ours.position.seq + 1),)))
        batch = ours.take_batch()
        assert batch is not None
        out.live(batch)
        ours.flush(batch)
        out.kept()
    assert stage_of(out) is Stage.BEHIND
    wire.free()
    assert stage_of(out) is Stage.LIVE
    wire.deliver(inflow)
    assert theirs.flush_now() == ours.kept


def test_a_tail_that_lost_the_race_is_found_exactly() -> None:
    """What both hold is compared and stays; the first difference is where to go back to."""
    disk = CrashDisk()
    theirs = reigning(frames=6, disk=disk)
    ours = Database.open(CrashDisk())
    ours.follow(b"".join(one.line for one in list(theirs.frames())[:4]), 1)
    ours.flush_now()
    ours.open_reign(2)
    write(ours, 3)
    wire = Wire(ours)
    out, inflow = Outflow(wire, ours), Inflow(theirs)
    out.start(theirs.waypoints(), 2)
    back = wire.deliver(inflow)
    assert back is not None
    assert back.to == list(ours.frames())[3].position
    theirs.close()
    assert len(retreat(disk, back.to)) == 1
    again = Database.open(disk)
    out.start(again.waypoints(), 2)
    assert wire.deliver(Inflow(again)) is None
    assert again.flush_now() == ours.kept


def test_records_of_the_reigning_epoch_are_never_cut() -> None:
    """R6: two histories under one epoch are somebody's mistake, and nothing is changed."""
    ours, theirs = reigning(frames=2), reigning()
    theirs.commit(Plan(7.0, (meeting_kept(77),)))
    theirs.flush_now()
    wire = Wire(ours)
    Outflow(wire, ours).start((), 1)
    before = theirs.kept
    with pytest.raises(OurMistake, match="epoch 1"):
        wire.deliver(Inflow(theirs))
    assert theirs.kept == before


def test_a_lower_reign_than_promised_is_refused() -> None:
    """R3: who has promised takes nothing of a lower epoch, neither its beginning nor its frames."""
    ours, theirs = reigning(frames=2), Database.open(CrashDisk())
    wire = Wire(ours)
    Outflow(wire, ours).start((), 1)
    inflow = Inflow(theirs)
    inflow.begin(Begin(ORIGIN, 1))
    theirs.promise(2)
    with pytest.raises(Refused, match="below the promised 2"):
        wire.deliver(inflow)
    assert theirs.position == ORIGIN


def test_frames_without_a_beginning_and_damaged_ones_are_refused() -> None:
    """Whatever is not the next of what was begun changes nothing."""
    ours, theirs = reigning(frames=3), Database.open(CrashDisk())
    lines = [one.line for one in ours.frames()]
    inflow = Inflow(theirs)
    with pytest.raises(Corrupt):
        inflow.take(lines[0])
    inflow.begin(Begin(ORIGIN, 1))
    for data in (lines[1], lines[0][:-1], b"nonsense\n"):
        with pytest.raises(Corrupt):
            inflow.take(data)
    assert theirs.position == ORIGIN


def test_a_journal_that_does_not_reach_back_offers_its_snapshot() -> None:
    """Nothing in common, and nothing from the beginning on: the snapshot is the way."""
    ours = reigning(frames=3)
    wire = Wire(ours)
    out = Outflow(wire, ours)
    out.start((Position(7, 9, "elsewhere"),), 1)
    assert (out.stage, wire.snapshots) == (Stage.SNAPSHOT, 1)
