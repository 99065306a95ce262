"""What must hold of a pair, after everything that happens. The judges keep their own books and trust no server's.

Every frame ever decided is known by its chain hash and the hash before it, so "this journal holds that frame" is a
walk along the chain and not a server's word. A frame counts as told from the moment that anybody could see it: an
answer, a read, a call to a bridge.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.core.state import State
from meetkeeper.ha.words import ORIGIN, Found, Mode, Position, Proof, Witness
from meetkeeper.store.database import Database
from meetkeeper.testing.disk import CrashDisk
from meetkeeper.testing.world import happenings as seen
from meetkeeper.testing.world.happenings import Violation
from meetkeeper.testing.world.readback import StateIsJournal

if TYPE_CHECKING:
    from meetkeeper.testing.pairworld.process import Process
    from meetkeeper.testing.pairworld.run import World

SET_ASIDE = "local/set-aside/"


class Chain:
    """Every frame that was ever decided, anywhere."""

    def __init__(self) -> None:
        self._before: dict[str, Position] = {}
        self._of: dict[tuple[int, int], Position] = {}

    def add(self, before: Position, after: Position) -> None:
        """A frame was decided. Of one epoch and seq there is one, ever: an epoch has one writer."""
        known = self._of.setdefault((after.epoch, after.seq), after)
        if known != after:
            raise Violation(f"seq {after.seq} was written twice under epoch {after.epoch}")
        self._before[after.hash] = before

    def at(self, tip: Position, seq: int) -> Position:
        """The frame with this seq in the history that ends with `tip`."""
        while tip.seq > seq:
            tip = self._before[tip.hash]
        return tip

    def holds(self, tip: Position, frame: Position) -> bool:
        """This history has this frame."""
        return tip.seq >= frame.seq and self.at(tip, frame.seq) == frame

    def after(self, tip: Position, other: Position) -> Iterator[Position]:
        """Frames of the history of `tip` that the history of `other` lacks, newest first."""
        while not self.holds(other, tip):
            yield tip
            tip = self._before[tip.hash]


class Judges:
    """All of them. `told` is the newest frame that anybody could see and that may not be lost."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.chain = Chain()
        self.told = ORIGIN
        self.acks = 0
        self.reads = 0
        self.calls = 0
        self.losses = 0
        """Frames whose loss a person accepted, or that async mode counted as possible."""
        self.going_back: set[str] = set()
        """Who is taking frames back just now: a crash may find the work half done."""
        self.put_back: set[str] = set()
        """Whose disk is an old copy that the register counts on as if it were the one before."""
        self.disks = dict.fromkeys(world.names, ORIGIN)
        """What each server has made durable, as far as was seen."""
        self._readback = StateIsJournal()
        self._actors: dict[int, str] = {}
        self._acted_epoch = 0
        self._tips: dict[int, Position] = {}
        """By epoch: the newest frame decided under it."""
        self._register_epoch = 0
        self._promised = dict.fromkeys(world.names, 0)

    # --- what is told -----------------------------------------------------------------------------------------

    def happened(self, process: "Process", happening: seen.Happening) -> None:
        """An acting server did something."""
        match happening:
            case seen.Decided():
                self.decided(process, happening.position)
            case seen.Answered():
                self.acks += 1
                waits = isinstance(happening.answer, str)
                self._tell(process, happening.seq, "answers a caller", waits=waits)
            case seen.Called():
                self.calls += 1
                actor = process.actor
                self._tell(process, actor.kept_seq if actor else 0, "calls a bridge", waits=False)
            case seen.Kept():
                self.durable(process.name, process.database.kept)
            case _:
                pass

    def decided(self, process: "Process", position: Position) -> None:
        self.world.trace(position.hash)
        self.chain.add(process.decided_to, position)
        process.decided_to = position
        self._tips[position.epoch] = position

    def read_answered(self, process: "Process", at: Position, told_before: Position) -> None:
        """A reader hears what was seen at `at`; what had been told before it asked must be in it."""
        self.reads += 1
        accepted = not self.chain.holds(self.told, told_before)
        if not accepted and not self.chain.holds(at, told_before):
            raise Violation(
                f"{process.name} answers a read as of seq {at.seq}, and seq {told_before.seq} was told before"
            )
        self._tell(process, at.seq, "answers a reader", waits=False)

    def _tell(self, process: "Process", seq: int, doing: str, *, waits: bool) -> None:
        """Somebody hears of everything up to `seq`. `waits`: rests on both disks, so a late one is harmless."""
        actor = process.actor
        assert actor is not None
        assert actor.epoch is not None
        frame = self.chain.at(process.database.position, seq)
        name, epoch = process.name, actor.epoch
        if frame.seq > process.database.kept.seq:
            raise Violation(f"{name} {doing} about seq {frame.seq}, kept is {process.database.kept.seq}")
        if self._actors.setdefault(epoch, name) != name:
            raise Violation(f"{name} and {self._actors[epoch]} both act under epoch {epoch}")
        if epoch < self._acted_epoch:
            self._acts_late(name, epoch, frame, doing, waits=waits)
        self._acted_epoch = max(self._acted_epoch, epoch)
        if self.chain.holds(frame, self.told):
            self.told = frame
        elif not self.chain.holds(self.told, frame):
            raise Violation(f"{name} {doing} about seq {frame.seq}, which is not in what others were told")
        self.check()

    def _acts_late(self, name: str, epoch: int, frame: Position, doing: str, *, waits: bool) -> None:
        newer = self._actors[self._acted_epoch]
        if newer == name:
            return
        if (
            waits
            and self.world.weather.mode is not Mode.ASYNC
            and self.chain.holds(self._tips[self._acted_epoch], frame)
        ):
            return  # It stands on the newer one's disk: an answer that was late, and true.
        if self.world.weather.drifts_too_much:
            return
        raise Violation(
            f"{name} {doing} under epoch {epoch}, and {newer} has acted under {self._acted_epoch}"
        )

    # --- what is held -----------------------------------------------------------------------------------------

    def check(self) -> None:
        """Whoever may be promoted by the register holds everything that was told."""
        place = self.world.place
        if place is None:
            return
        record = place.record
        if record is None:
            return
        if record.mode is Mode.ASYNC or self.world.loss_accepted == record.active:
            return
        for name in record.in_sync:
            if name in self.put_back:
                continue
            if not self.chain.holds(self.disks[name], self.told):
                raise Violation(
                    f"{name} may be promoted (epoch {record.epoch}, in sync {record.in_sync}) and holds seq "
                    f"{self.disks[name].seq}; seq {self.told.seq} was told"
                )

    def register_moved(self) -> None:
        """The register says something else."""
        place = self.world.place
        assert place is not None
        standing = place.fake.standing
        if isinstance(standing, Found):
            if standing.record.epoch < self._register_epoch:
                raise Violation(f"the register's epoch falls to {standing.record.epoch}")
            self._register_epoch = standing.record.epoch
            self.put_back.intersection_update(standing.record.in_sync)
        self.check()

    def old_copy(self, name: str) -> None:
        """Somebody has put an old copy of a server's disk in place: it knows neither its frames nor its promises."""
        self.put_back.add(name)
        self.disks[name] = ORIGIN
        self._promised[name] = 0

    def durable(self, name: str, position: Position) -> None:
        """A server has flushed this far."""
        self.disks[name] = position

    def has(self, name: str, claimed: Position, kept: Position) -> None:
        """A passive says what it has on its disk."""
        if not self.chain.holds(self.disks[name], claimed):
            raise Violation(
                f"{name} says that it has seq {claimed.seq}; on its disk is seq {self.disks[name].seq}"
            )

    def opened(self, name: str, database: Database, disk: CrashDisk) -> None:
        """A server starts: what it had on its disk is there."""
        found, had = database.kept, self.disks[name]
        if not self.chain.holds(found, had) and name in self.going_back:
            self._must_be_aside(name, had, found, disk)
        elif not self.chain.holds(found, had):
            raise Violation(
                f"{name} had seq {had.seq} of epoch {had.epoch} on its disk and finds seq {found.seq}"
            )
        if database.promised < self._promised[name]:
            raise Violation(f"{name} promised epoch {self._promised[name]} and remembers {database.promised}")
        self.going_back.discard(name)
        self.disks[name] = found
        self._readback._fits(database.state)

    def promised(self, name: str, epoch: int) -> None:
        """A promise is durable from here on."""
        if epoch < self._promised[name]:
            raise Violation(f"{name} falls back to epoch {epoch} from {self._promised[name]}")
        self._promised[name] = epoch

    def set_back(self, name: str, was: Position, now: Position, disk: CrashDisk) -> None:
        """A passive has taken frames back: they are set aside, and nobody was told of any of them."""
        self.world.told(None, f"{name} goes back from seq {was.seq} to {now.seq}")
        self.going_back.discard(name)
        self.disks[name] = now
        self._must_be_aside(name, was, now, disk)
        self.check()

    def _must_be_aside(self, name: str, was: Position, now: Position, disk: CrashDisk) -> None:
        files = disk.files().items()
        aside = [(path, data) for path, data in files if path.startswith(SET_ASIDE)]
        frames = b"".join(data for path, data in aside if not path.endswith(".snap"))
        pictures = b"".join(data for path, data in aside if path.endswith(".snap"))
        pictured = False
        for one in self.chain.after(was, now):
            pictured = pictured or one.hash.encode() in pictures
            if not pictured and one.hash.encode() not in frames:
                raise Violation(
                    f"seq {one.seq} of epoch {one.epoch} has vanished from {name} and is not set aside"
                )

    # --- who reigns -------------------------------------------------------------------------------------------

    def reigns(self, name: str, epoch: int, kept: Position) -> None:
        """A server begins a reign: it holds everything that was told, unless its loss was accepted."""
        if not self.chain.holds(kept, self.told):
            lost = list(self.chain.after(self.told, kept))
            if self.world.weather.mode is not Mode.ASYNC and self.world.loss_accepted != name:
                raise Violation(
                    f"{name} begins epoch {epoch} with seq {kept.seq}; seq {self.told.seq} of epoch "
                    f"{self.told.epoch} was told"
                )
            self.losses += len(lost)
            self.told = self.chain.at(self.told, self.told.seq - len(lost))
        self.world.loss_accepted = ""
        self.world.reigns += 1
        self.disks[name] = kept

    def proven(self, proof: Proof, process: "Process | None") -> None:
        """A proof of stop is given while nothing runs."""
        if proof.witness is Witness.AGENT and process is not None:
            raise Violation(f"{proof.server} is proven to have stopped, and runs")

    def our_mistake(self, name: str, error: MeetkeeperError) -> None:
        """What must never be: the product itself says so."""
        raise Violation(f"{name}: {error.code}: {error.message}")

    # --- the end ----------------------------------------------------------------------------------------------

    def read_back(self, process: "Process") -> None:
        """State = apply(journal)."""
        database = process.database
        if database.kept == database.position:
            found = Database.inspect(process.host.disk)
            self._readback.on_read_back(seen.ReadBack(database.state, found.state))

    def same(self, one: State, other: State) -> None:
        """Both servers' states are the same."""
        self._readback.on_read_back(seen.ReadBack(one, other))
