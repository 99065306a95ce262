"""The pair's heart on one server: the machine, the flow of frames, and what each message means. Synchronous.

Everything that takes time or touches the world is done by `Hands`: the asyncio shell (`pair`) and the simulated world
both drive this very class, so that what is tried there is what runs here. One event is worked off at a time; what an
action brings about at once waits its turn.
"""

import sys
from collections import deque
from collections.abc import Callable
from typing import Protocol, assert_never

from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.core.errors import MeetkeeperError
from meetkeeper.engine.flow import Chunk, Inflow, Outflow, Retreat
from meetkeeper.ha import happenings as ev
from meetkeeper.ha import words
from meetkeeper.ha.machine import step
from meetkeeper.ha.table import Row
from meetkeeper.ha.view import View, may_acknowledge, may_speak, waits_for_peer
from meetkeeper.ha.words import ORIGIN, Facts, Message, Position, Record, Role
from meetkeeper.store.database import Database
from meetkeeper.store.journal import Batch


class Hands(Protocol):
    """What the heart can't do by itself. Nothing here waits: what comes of it comes back by `on` or `tell`."""

    def steady_s(self) -> float:
        """CLOCK_BOOTTIME."""
        ...

    def facts(self) -> Facts:
        """What this server says about itself."""
        ...

    def say(self, message: Message) -> bool:
        """Send to the other server; False when nobody is linked."""
        ...

    def crowded(self) -> bool:
        """More waits than the line takes."""
        ...

    def when_free(self, call: Callable[[], None]) -> None:
        """Call when the line takes more."""
        ...

    def met(self, instance: str) -> None:
        """The home that calls itself the other server is this one: another under its name is refused from now on."""
        ...

    def relink(self, why: str) -> None:
        """Break the line: both begin anew with a hello."""
        ...

    def read_register(self) -> None:
        """Answered by `RegisterSaid`."""
        ...

    def change_register(self, expected: int, record: Record) -> None:
        """Answered by `ChangeEnded`."""
        ...

    def promise(self, epoch: int) -> None:
        """Answered by `Promised`, once it is on disk."""
        ...

    def remember(self, record: Record, version: int) -> None:
        """Write it to `local/standing.json`."""
        ...

    def adopt(self, proof: words.Proof) -> None:
        """Where there is no third place: what the stopped server knew last is what stands."""
        ...

    def ask_proof(self, epoch: int, *, fence: bool) -> None:
        """Answered by `ProofCame`, or not at all."""
        ...

    def begin_reign(self, epoch: int) -> None:
        """Let the engine act; answered by `ReignBegan`, or `ActorFailed`."""
        ...

    def raise_reign(self, epoch: int) -> None:
        """Let the engine go on under this epoch."""
        ...

    def freeze(self) -> None:
        """Let the engine decide nothing more; answered by `Drained`."""
        ...

    def thaw(self, why: str) -> None:
        """Let it go on."""
        ...

    def end_reign(self, why: str, *, in_order: bool) -> None:
        """In order: answered by `ReignEnded`, or the process ends. Else: the process ends."""
        ...

    def answer(self, text: str, *, ok: bool) -> None:
        """Tell the person who asked."""
        ...

    def decided(self, row: Row, event: ev.Event, before: View, after: View) -> None:
        """A row was taken: for the log, the history and the screens."""
        ...

    def look_again(self) -> None:
        """What may be spoken of may have changed."""
        ...

    def released_seq(self) -> int:
        """Up to which frame anybody was told."""
        ...

    def wake_disk(self) -> None:
        """Frames were applied here: make them durable, then call `kept`."""
        ...

    def retreat(self, to: Position) -> None:
        """Set aside what is held after `to`, open the database again, call `reopened`."""
        ...

    def find_common(self, waypoints: tuple[Position, ...], tell: Callable[[Position | None], None]) -> None:
        """Look for the newest waypoint that our journal holds."""
        ...

    def read_chunk(self, after: int, tell: Callable[[Chunk | None], None]) -> None:
        """Read kept frames after this seq."""
        ...

    def offer_snapshot(self) -> None:
        """Send the newest snapshot, then begin anew."""
        ...

    def heard_bulk(self, message: words.Piece | words.WantSnapshot | words.Begin) -> None:
        """A snapshot on its way."""
        ...

    def heard_grant(self, message: words.AskGrant | words.Granted) -> None:
        """Where there is no third place: consent asked or given."""
        ...

    def broken(self, error: MeetkeeperError) -> None:
        """The other server's frames can't be taken, or the disk failed: say so; the process may have to end."""
        ...


class Taken(Struct, frozen=True):
    """A row that was taken, for people: when (steady clock), which, and how the roles moved."""

    at_s: float
    number: int
    before: Role
    after: Role


class Pairing:
    """One server's part in the pair. Is the engine's `Partner` and the line's `PeerEvents`."""

    def __init__(self, view: View, hands: Hands, database: Database, *, instance: str) -> None:
        now_s = hands.steady_s()
        self.view = replace(
            view,
            epoch=database.promised,
            position=database.kept,
            cut_back=database.cut_back,
            heard_s=now_s,
            gone_s=now_s,
        )
        self.database = database
        self.taken: deque[Taken] = deque(maxlen=200)
        self.peer_facts = Facts()
        self.peer_kept = ORIGIN
        """What the other server has acknowledged under our reign."""
        self._instance = instance
        self._hands = hands
        self._events: deque[ev.Event] = deque()
        self._working = False
        self._peer_waypoints: tuple[Position, ...] = ()
        self._beacon_at_s = 0.0
        self._missed = False
        """The other server began to send, and was not listened to."""
        self.outflow = Outflow(_Out(hands), database)
        self.inflow = Inflow(database)

    # --- the machine ------------------------------------------------------------------------------------------

    def on(self, event: ev.Event) -> None:
        """Work it off, now or right after what is being worked off."""
        self._events.append(event)
        if self._working:
            return
        self._working = True
        try:
            while self._events:
                self._step(self._events.popleft())
        finally:
            self._working = False

    def _step(self, event: ev.Event) -> None:
        now_s = self._hands.steady_s()
        before = replace(self.view, position=self.database.kept, cut_back=self.database.cut_back)
        if before.role is Role.PASSIVE and before.epoch < self.database.promised:
            before = replace(before, epoch=self.database.promised)
        took = step(before, event, now_s)
        self.view = took.view
        if took.row is not None and (took.actions or took.view.role is not before.role):
            self.taken.append(Taken(now_s, took.row.number, before.role, took.view.role))
            self._hands.decided(took.row, event, before, took.view)
        for action in took.actions:
            self._do(action)
        self._follow_up(before)

    def _do(self, action: ev.Action) -> None:
        hands = self._hands
        match action:
            case ev.ReadRegister():
                hands.read_register()
            case ev.ChangeRegister():
                hands.change_register(action.expected, action.record)
            case ev.Promise():
                hands.promise(action.epoch)
            case ev.AskProof():
                hands.ask_proof(action.epoch, fence=action.fence)
            case ev.Say():
                hands.say(action.message)
            case ev.BeginReign():
                self.peer_kept = ORIGIN
                self.inflow.stop()
                self._heal()
                hands.begin_reign(action.epoch)
            case ev.RaiseReign():
                self.peer_kept = ORIGIN
                hands.raise_reign(action.epoch)
                self._feed()
            case ev.Freeze():
                hands.freeze()
            case ev.Thaw():
                hands.thaw(action.why)
            case ev.EndReign():
                hands.end_reign(action.why, in_order=action.in_order)
            case ev.Remember():
                hands.remember(action.record, action.version)
            case ev.Answer():
                hands.answer(action.text, ok=action.ok)
            case _ as never:
                assert_never(never)

    def _follow_up(self, before: View) -> None:
        after = self.view
        acts, acted = after.role in _ACTS, before.role in _ACTS
        ready = acts and after.linked and after.peer_role not in _ACTS
        if ready and not (acted and before.linked and before.peer_role not in _ACTS):
            self._feed()
        if not acts and acted:
            self.outflow.stop()
        if self._missed and after.role is Role.PASSIVE:
            self._missed = False
            self._hands.relink("it began to send while we claimed in vain")
        if before.record != after.record:
            self._beacon_at_s = 0.0
        if acts or acted:
            self._hands.look_again()

    def _feed(self) -> None:
        """Frames for the other server, from where its journal stands. What it said may be old: it says it anew."""
        if not self.view.linked or self.view.peer_role in _ACTS:
            return
        self.outflow.start((self.view.peer_position, *self._peer_waypoints), self.view.epoch)

    # --- the engine's partner ---------------------------------------------------------------------------------

    def sending(self, batch: Batch) -> None:
        """See `Partner`. The caller is on the event loop by now."""
        self.outflow.live(batch)

    def bound(self) -> int:
        """See `Partner`."""
        if not may_acknowledge(self.view, self._hands.steady_s()):
            return -1
        return self.peer_kept.seq if waits_for_peer(self.view) else sys.maxsize

    def may_speak(self) -> bool:
        """See `Partner`."""
        return may_speak(self.view, self._hands.steady_s())

    def held_seq(self) -> int:
        """See `Partner`."""
        return self.peer_kept.seq

    # --- the clock and the disk -------------------------------------------------------------------------------

    def tick(self) -> None:
        """Look at the clock; send a beacon when one is due. Call ten times a second."""
        now_s = self._hands.steady_s()
        if self.view.linked and now_s >= self._beacon_at_s and self.view.role is not Role.ENDED:
            self._beacon_at_s = now_s + self.view.timing.beacon_s
            self._hands.say(self._beacon(now_s))
        self.on(ev.Ticked())
        view = self.view
        waits = view.record is not None and view.peer not in view.record.in_sync and view.change is None
        lives = view.linked and now_s < view.lease_until_s
        if view.role is Role.ACTIVE and lives and waits and self.peer_kept != ORIGIN:
            # Nothing new may be decided for hours: what it has is looked at again, so that it is taken in all the same.
            self.on(ev.PeerKept(self.peer_kept, self._hands.released_seq()))

    def _beacon(self, now_s: float) -> words.Beacon:
        view = self.view
        return words.Beacon(
            sent_s=now_s,
            role=view.role,
            epoch=view.epoch,
            position=self.database.kept,
            record=view.record,
            version=view.version,
            facts=self._hands.facts(),
        )

    def kept(self) -> None:
        """More is on this server's disk."""
        if self.view.role in _ACTS:
            self.outflow.kept()
        elif self.inflow.begun:
            self._hands.say(words.Have(self.database.kept, self.view.epoch))

    def reopened(self, database: Database) -> None:
        """The journal was set back, or replaced by a snapshot."""
        self.database = database
        self.inflow = Inflow(database)
        self.outflow = Outflow(_Out(self._hands), database)
        self._hands.relink("the journal was set back")

    # --- the line ---------------------------------------------------------------------------------------------

    def hello(self) -> words.Hello:
        """See `PeerEvents`."""
        view = self.view
        return words.Hello(
            protocol=words.PROTOCOL,
            cluster=view.cluster,
            name=view.me,
            instance=self._instance,
            to=view.peer,
            role=view.role,
            epoch=view.epoch,
            position=self.database.kept,
            waypoints=() if view.role in _ACTS else self._waypoints(),
            record=view.record,
            version=view.version,
            facts=self._hands.facts(),
        )

    def _waypoints(self) -> tuple[Position, ...]:
        try:
            return self.database.waypoints()
        except MeetkeeperError:
            return ()  # The journal is being set back or replaced just now; then both begin anew anyway.

    def linked(self, hello: words.Hello) -> None:
        """See `PeerEvents`."""
        self._hands.met(hello.instance)
        self.peer_facts = hello.facts
        self._peer_waypoints = hello.waypoints
        self._beacon_at_s = 0.0
        self.peer_kept = ORIGIN
        self.on(ev.Linked(hello))
        self.tick()

    def unlinked(self, why: str) -> None:
        """See `PeerEvents`."""
        self.outflow.stop()
        self.inflow.stop()
        self._missed = False
        self.on(ev.Unlinked(why))

    def heard(self, message: Message) -> None:
        """See `PeerEvents`."""
        match message:
            case words.Beacon():
                self.peer_facts = message.facts
                self._hands.say(words.Echo(message.sent_s, self.view.epoch))
                self.on(ev.BeaconHeard(message))
                self._compare(message)
            case words.Echo():
                self.on(ev.Echoed(message.sent_s, message.epoch))
            case words.Have():
                self._peer_has(message)
            case words.Begin():
                self._begin(message)
            case words.Frames():
                self._frames(message.data)
            case words.Yielded():
                if message.proof.server == self.view.peer:
                    before, self.view = self.view, replace(self.view, peer_role=Role.PASSIVE)
                    self._follow_up(before)
                    self._hands.adopt(message.proof)
                    self.on(ev.ProofCame(message.proof))
            case words.Leaving():
                self.on(ev.PeerLeft(message))
            case words.Piece() | words.WantSnapshot():
                self._hands.heard_bulk(message)
            case words.AskGrant() | words.Granted():
                self._hands.heard_grant(message)
            case words.Hello() | words.Refusal():
                pass
            case _ as never:
                assert_never(never)

    def _peer_has(self, have: words.Have) -> None:
        """R1: only what is held under our own epoch counts."""
        view = self.view
        if view.role not in _ACTS or have.epoch != view.epoch:
            return
        self.peer_kept = have.position
        if view.record is not None and view.peer in view.record.in_sync:
            self.view = replace(view, peer_position=have.position)
            self._hands.look_again()
        else:
            self.on(ev.PeerKept(have.position, self._hands.released_seq()))

    def _begin(self, begin: words.Begin) -> None:
        if self.view.role is not Role.PASSIVE or begin.epoch < self.view.epoch:
            self._missed = self.view.role is Role.CLAIMING
            return
        if begin.snapshot_seq:
            self._hands.heard_bulk(begin)
            return
        try:
            self.inflow.begin(begin)
        except MeetkeeperError as error:
            self._hands.broken(error)
            return
        self.view = replace(self.view, epoch=max(self.view.epoch, begin.epoch))
        self._hands.say(words.Have(self._common_kept(begin), self.view.epoch))

    def _common_kept(self, begin: words.Begin) -> Position:
        """What certainly stands here as it stands there: nothing after the comparison's beginning yet."""
        return self.database.kept if self.database.kept == begin.after else begin.after

    def _frames(self, data: bytes) -> None:
        if self.view.role is not Role.PASSIVE or not self.inflow.begun or self.inflow.epoch < self.view.epoch:
            return
        try:
            set_back = self.inflow.take(data)
        except MeetkeeperError as error:
            self._hands.broken(error)
            return
        if isinstance(set_back, Retreat):
            self.inflow.stop()
            self._hands.retreat(set_back.to)
            return
        if self.inflow.comparing:
            return
        if self.database.kept == self.database.position:
            self.kept()
        else:
            self._hands.wake_disk()

    def _compare(self, beacon: words.Beacon) -> None:
        """Chain hashes with every beacon: two journals that say the same number must say the same hash."""
        if self.view.role in _ACTS or not self.inflow.begun or self.inflow.comparing:
            return
        theirs = beacon.position
        mine = next((one for one in self.database.recent if one.seq == theirs.seq), None)
        if beacon.role in _ACTS and mine is not None and mine != theirs:
            self._hands.relink(f"seq {theirs.seq} differs from the active's")
        elif self.database.cut_back and beacon.role in _ACTS and self.database.kept.seq >= theirs.seq:
            self._heal()

    def _heal(self) -> None:
        """Everything that the active had is here: what was cut for damage is back. Or a person has let us act."""
        try:
            self.database.heal()
        except MeetkeeperError as error:
            self._hands.broken(error)


class _Out:
    """The outgoing flow's line."""

    def __init__(self, hands: Hands) -> None:
        self.say = hands.say
        self.crowded = hands.crowded
        self.when_free = hands.when_free
        self.find_common = hands.find_common
        self.read_chunk = hands.read_chunk
        self.offer_snapshot = hands.offer_snapshot


_ACTS = (Role.ACTIVE, Role.YIELDING)
