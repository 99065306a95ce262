"""One life of a server of the pair: the heart that runs in production, and hands that work in simulated time.

It follows `engine.pair` and `engine.journals`, hop by hop: what they give to a thread or a task happens here a moment
later, and everything else may happen in between. Frozen, it does nothing and lets what comes wait in a row; gone, it
does nothing ever.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from meetkeeper.core.errors import MeetkeeperError, OurMistake, Unavailable
from meetkeeper.engine.flow import Chunk
from meetkeeper.engine.pair import GRANT_S_MAX, JUMP_S, PAUSE_S, TICK_S, RoleLost
from meetkeeper.engine.pairing import Pairing
from meetkeeper.ha import happenings as ev
from meetkeeper.ha import words
from meetkeeper.ha.table import Row
from meetkeeper.ha.view import View
from meetkeeper.ha.words import (
    Facts,
    Found,
    Message,
    Outcome,
    Position,
    Proof,
    Record,
    Role,
    Unknown,
    Witness,
)
from meetkeeper.registers.standing import NeedsGrant, StandingRegister
from meetkeeper.store.database import Database
from meetkeeper.testing.pairworld.papers import Papers
from meetkeeper.testing.pairworld.stage import Acting, Stage

if TYPE_CHECKING:
    from meetkeeper.testing.pairworld.host import Host
    from meetkeeper.testing.pairworld.run import World

BROKEN_AGAIN_S = 1.0


class Process:
    """A server's process. `alive` until it ends, is killed, or its host is."""

    def __init__(self, world: "World", host: "Host", database: Database, *, consents: bool) -> None:
        self.world, self.host, self.database = world, host, database
        self.name = host.name
        self.alive = True
        self.frozen = False
        self.actor: Acting | None = None
        self.began = False
        self.over = False
        self.failure: MeetkeeperError | None = None
        self.decided_to = database.position
        """The newest frame that was decided here, as the judges know."""
        self._waiting: deque[Callable[[], None]] = deque()
        self.papers = Papers(self)
        self._proving = False
        self._grants: dict[int, Callable[[Outcome], None]] = {}
        self._grant_count = 0
        self._changes = 0
        self.standing = StandingRegister(
            host.disk, _no_grant, me=host.name, founds=host.name == "a", consents=consents
        )
        self.way = None if world.place is None else world.place.way(self)
        self._seen_s = (host.clock.steady_s(), host.clock.now_s())
        self.heart = Pairing(
            self._view(consents=consents), self, database, instance=f"home-{host.name}-{host.lives}"
        )

    def _view(self, *, consents: bool) -> View:
        reading = self.standing.read_now()
        known, arbitrates = isinstance(reading, Found), self.way is not None
        return View(
            me=self.name,
            peer=self.host.other,
            cluster="pair",
            mode=self.world.weather.mode,
            timing=self.world.timing,
            arbitrates=arbitrates,
            founds=self.name == "a",
            consents=consents,
            record=reading.record if isinstance(reading, Found) else None,
            version=reading.version if isinstance(reading, Found) and known and not arbitrates else 0,
        )

    # --- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take part."""
        self.world.wire.join(self)
        self._tick()

    def let(self, call: Callable[[], None]) -> None:
        """Do something: now, after the pause, or never."""
        if not self.alive:
            return
        if self.frozen:
            self._waiting.append(call)
            return
        self.host.guarded(call)

    def at(self, delay_s: float, call: Callable[[], None]) -> None:
        """The same in so many seconds by this host's steady clock."""
        self.world.at(self.host.clock.true_delay_s(delay_s), lambda: self.let(call))

    def soon(self, call: Callable[[], None]) -> None:
        """A thread does something and its answer comes back: other things happen before."""
        self.at(self.world.hop_s(), call)

    def freeze_process(self) -> None:
        """SIGSTOP, or a paused machine: nothing is done any more."""
        self.frozen = True
        if self.actor is not None:
            self.actor.break_off()

    def go_on(self) -> None:
        """SIGCONT: everything that came meanwhile, in the order it came."""
        self.frozen = False
        waiting, self._waiting = self._waiting, deque()
        for call in waiting:
            self.let(call)

    def die(self, *, host_died: bool = False) -> None:
        """Nothing is done ever after."""
        if not self.alive:
            return
        self.alive = False
        if self.actor is not None:
            self.actor.die()
        self.world.wire.leave(self, host_died=host_died)

    def fail(self, error: MeetkeeperError) -> None:
        """This process can't go on: it ends, as `engine.pair` does."""
        if self.over:
            return
        self.over, self.failure = True, error
        if self.actor is not None:
            self.actor.die()
        self.world.told(self, f"fails: {error.code}: {error.message}")
        if isinstance(error, OurMistake):
            self.world.judges.our_mistake(self.name, error)
        self.soon(lambda: self.world.ended(self))

    def _tick(self) -> None:
        clock = self.host.clock
        steady_s, wall_s = clock.steady_s(), clock.now_s()
        gap_s, wall_gap_s = steady_s - self._seen_s[0], wall_s - self._seen_s[1]
        self._seen_s = (steady_s, wall_s)
        if gap_s > PAUSE_S or abs(wall_gap_s - gap_s) > JUMP_S:
            self.heart.on(ev.Paused(gap_s))
        self.heart.tick()
        self.at(TICK_S, self._tick)

    # --- hands: the line --------------------------------------------------------------------------------------

    def steady_s(self) -> float:
        """See `Hands`."""
        return self.host.clock.steady_s()

    def facts(self) -> Facts:
        """See `Hands`."""
        return _FACTS

    def say(self, message: Message) -> bool:
        """See `Hands`."""
        if isinstance(message, words.Have):
            self.world.judges.has(self.name, message.position, self.database.kept)
        if isinstance(message, words.Yielded):
            self.standing.gave_word()
        return self.world.wire.say(self, message)

    def crowded(self) -> bool:
        """See `Hands`."""
        return self.world.wire.crowded(self)

    def when_free(self, call: Callable[[], None]) -> None:
        """See `Hands`."""
        self.world.wire.when_free(self, call)

    def relink(self, why: str) -> None:
        """See `Hands`."""
        self.world.wire.drop(self, why)

    # --- hands: who may act -----------------------------------------------------------------------------------

    def read_register(self) -> None:
        """See `Hands`."""
        if self.way is not None:
            self.way.read(lambda reading: self.heart.on(ev.RegisterSaid(reading)))
        else:
            self.soon(lambda: self.heart.on(ev.RegisterSaid(self.standing.read_now())))

    def change_register(self, expected: int, record: Record) -> None:
        """See `Hands`."""
        self._changes += 1
        stamped = replace(
            record, at_s=self.host.clock.now_s(), nonce=f"{self.name}{self.host.lives}.{self._changes}"
        )

        def ended(outcome: Outcome) -> None:
            self.world.told(self, f"{record.why}: {type(outcome).__name__} {record.epoch} {record.in_sync}")
            self.heart.on(ev.ChangeEnded(outcome, record))

        if self.way is not None:
            self.way.change(expected, stamped, ended)
        else:
            self.soon(lambda: self._stand(expected, stamped, ended))

    def _stand(self, expected: int, record: Record, ended: Callable[[Outcome], None]) -> None:
        step = self.standing.prepare(expected, record)
        if not isinstance(step, NeedsGrant):
            self.soon(lambda: ended(step))
            return
        self._grant_count += 1
        number = self._grant_count

        def answer(outcome: Outcome) -> None:
            if self._grants.pop(number, None) is not None:
                done = self.standing.finish(step, outcome)
                self.soon(lambda: ended(done))

        self._grants[number] = answer
        if not self.say(words.AskGrant(number, expected, record)):
            self.soon(lambda: answer(Unknown("The other server is not there to be asked.")))
            return
        self.at(GRANT_S_MAX, lambda: answer(Unknown("The other server did not answer.")))

    def met(self, instance: str) -> None:
        """See `Hands`. A host has one home here."""

    def heard_grant(self, message: words.AskGrant | words.Granted) -> None:
        """See `Hands`."""
        if isinstance(message, words.AskGrant):
            self._consent(message)
            return
        waiting = self._grants.get(message.number)
        if waiting is not None:
            version = message.version
            found = words.Empty(version) if message.record is None else Found(message.record, version)
            waiting(words.Won(version) if message.ok else words.Lost(found))

    def _consent(self, asked: words.AskGrant) -> None:
        acting = self.heart.view.role is not Role.PASSIVE

        def answer() -> None:
            ok, found = self.standing.consent(asked.expected, asked.record, acting=acting)
            record = found.record if isinstance(found, Found) else None
            self.say(words.Granted(asked.number, ok, record, found.version))

        if acting:
            answer()
            return

        def promise() -> None:
            self.database.promise(asked.record.epoch)
            self.soon(answer)

        self.soon(lambda: self.guarded(promise))

    def promise(self, epoch: int) -> None:
        """See `Hands`."""

        def write() -> None:
            self.database.promise(epoch)
            self.soon(lambda: self.heart.on(ev.Promised(epoch)))

        self.at(self.world.flush_s(self.host), lambda: self.or_fail(write))

    def remember(self, record: Record, version: int) -> None:
        """See `Hands`."""
        if self.way is not None:
            self.standing.mirror(record)
        else:
            self.standing.remember(record, version)

    def adopt(self, proof: Proof) -> None:
        """See `Hands`."""
        if self.way is None:
            self.standing.adopt(proof)

    def ask_proof(self, epoch: int, *, fence: bool) -> None:
        """See `Hands`."""
        if self._proving:
            return
        self._proving = True

        def came(proof: Proof | None) -> None:
            if proof is None and fence and self.world.weather.fence:
                self.world.fence(self, epoch, lambda one: self.let(lambda: proven(one)))
                return
            proven(proof)

        def proven(proof: Proof | None) -> None:
            self._proving = False
            if proof is not None:
                self.world.told(self, f"has a proof by {proof.witness} for epoch {proof.epoch}")
                self.adopt(proof)
                self.heart.on(ev.ProofCame(proof))

        self.world.ask_agent(self, epoch, lambda proof: self.let(lambda: came(proof)))

    # --- hands: the engine ------------------------------------------------------------------------------------

    def begin_reign(self, epoch: int) -> None:
        """See `Hands`."""

        def reign() -> None:
            self.papers.stop()
            self.soon(lambda: self.or_fail(act))

        def act() -> None:
            if self.over:
                return
            self.decided_to = self.database.position
            self.actor = Acting(Stage(self), self.database, partner=self.heart, epoch=epoch, name=self.name)
            self.world.judges.reigns(self.name, epoch, self.database.kept)
            self.actor.start()

        self.soon(lambda: self.or_fail(reign))

    def acts(self, epoch: int) -> None:
        """The engine is ready: its first frame may be spoken of."""
        self.began = True
        self.heart.on(ev.ReignBegan(epoch))

    def actor_failed(self, error: MeetkeeperError) -> None:
        """The engine has dropped the role."""

        def tell() -> None:
            self.heart.on(ev.ActorFailed(error.message))
            self.fail(error)

        self.began = False
        if self.actor is not None:
            self.actor.die()
        self.soon(tell)

    def raise_reign(self, epoch: int) -> None:
        """See `Hands`."""
        if self.actor is not None:
            self.actor.raise_reign(epoch)

    def freeze(self) -> None:
        """See `Hands`."""
        if self.actor is not None and self.began:
            self.actor.freeze(lambda: self.heart.on(ev.Drained()))

    def thaw(self, why: str) -> None:
        """See `Hands`."""
        if self.actor is not None:
            self.actor.thaw()

    def end_reign(self, why: str, *, in_order: bool) -> None:
        """See `Hands`."""
        if not in_order:
            if self.actor is not None:
                self.actor.die()
            self.fail(RoleLost("role.lost", why))
        elif self.heart.view.role is Role.ENDED or self.actor is None:
            self.over = True
            self.soon(lambda: self.world.ended(self))
        else:
            self.soon(self._end_in_order)

    def _end_in_order(self) -> None:
        actor = self.actor
        if actor is None:
            return

        def stopped() -> None:
            self.soon(lambda: self.or_fail(ended))

        def ended() -> None:
            if self.over:
                return
            self.database.flush_now()
            self.actor, self.began = None, False
            self.papers.committing = True
            self.heart.on(ev.ReignEnded(self.database.kept))

        actor.stop(stopped)

    def answer(self, text: str, *, ok: bool) -> None:
        """See `Hands`."""
        self.world.told(self, f"answers {'yes' if ok else 'no'}: {text}")

    def decided(self, row: Row, event: ev.Event, before: View, after: View) -> None:
        """See `Hands`."""
        self.world.row(self, row, before, after)

    def look_again(self) -> None:
        """See `Hands`."""
        if self.actor is not None:
            self.actor.look_again()

    def released_seq(self) -> int:
        """See `Hands`."""
        return self.database.kept.seq if self.actor is None else self.actor.kept_seq

    # --- hands: the disk --------------------------------------------------------------------------------------

    def wake_disk(self) -> None:
        """See `Hands`."""
        self.papers.wake()

    def retreat(self, to: Position) -> None:
        """See `Hands`."""
        self.papers.retreat(to)

    def find_common(self, waypoints: tuple[Position, ...], tell: Callable[[Position | None], None]) -> None:
        """See `Hands`."""
        self.papers.find_common(waypoints, tell)

    def read_chunk(self, after: int, tell: Callable[[Chunk | None], None]) -> None:
        """See `Hands`."""
        self.papers.read_chunk(after, tell)

    def offer_snapshot(self) -> None:
        """See `Hands`."""
        self.papers.offer_snapshot()

    def heard_bulk(self, message: words.Piece | words.WantSnapshot | words.Begin) -> None:
        """See `Hands`."""
        self.papers.heard_bulk(message)

    def broken(self, error: MeetkeeperError) -> None:
        """See `Hands`."""
        self.world.told(self, f"refuses frames: {error.code}: {error.message}")
        if isinstance(error, OurMistake):
            self.world.judges.our_mistake(self.name, error)
        if isinstance(error, Unavailable) or error.code.startswith(("disk", "store")):
            self.fail(error)
        else:
            self.at(BROKEN_AGAIN_S, lambda: self.relink(error.message))

    # --- errors -----------------------------------------------------------------------------------------------

    def guarded(self, call: Callable[[], None]) -> None:
        """As a task of `engine.pair`: known troubles are logged."""
        try:
            call()
        except MeetkeeperError as trouble:
            self.world.told(self, f"trouble: {trouble.code}: {trouble.message}")

    def or_fail(self, call: Callable[[], None]) -> None:
        """A trouble ends the process."""
        try:
            call()
        except MeetkeeperError as error:
            self.fail(error)


async def _no_grant(_: int, __: Record) -> Outcome:
    """The world asks by `prepare` and `finish`."""
    return Unknown("nobody is asked this way")


_FACTS = Facts()


def operators_word(server: str, epoch: int, why: str, *, accept_loss: bool) -> Proof:
    """What a person states."""
    return Proof(server, epoch, Witness.OPERATOR, None, None, why, 0.0, accept_loss=accept_loss)
