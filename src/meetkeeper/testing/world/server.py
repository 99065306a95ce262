"""One life of a server in the world: the real node and store, and around them the shell's rules without asyncio.

It follows `engine.loop`, `engine.poll` and `engine.survey` and uses the rules of `engine.dispatch`: decide, keep, then
answer and carry out. Waiting is a fiber's, time is the world's, and a crash is the end of every fiber at once.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from heapq import heappop, heappush

from meetkeeper.core import cookie as cookies
from meetkeeper.core.commands import Command
from meetkeeper.core.effects import AnnotateItem, Announce, EnsureVmr, RetireVmr, SendMail, WriteItem
from meetkeeper.core.errors import MeetkeeperError, Unavailable
from meetkeeper.core.events import (
    BridgeSurveyed,
    Done,
    EffectReported,
    EffectStarted,
    Event,
    Outcome,
    PageSeen,
    ReignStarted,
    Ticked,
)
from meetkeeper.core.keeping import is_needed
from meetkeeper.core.state import OutboxRow, State
from meetkeeper.core.words import EffectKey
from meetkeeper.engine import dispatch
from meetkeeper.engine.node import Handled, Node, touched_effects
from meetkeeper.engine.partner import Alone, Partner
from meetkeeper.engine.poll import BACK_OFF_MAX_S
from meetkeeper.engine.reading import event_of
from meetkeeper.ports.bridge import WantedVmr
from meetkeeper.ports.calendar import CookieRefused
from meetkeeper.ports.mailer import FateUnknown
from meetkeeper.store.database import Database
from meetkeeper.testing.world import happenings as seen
from meetkeeper.testing.world.audits import Audits
from meetkeeper.testing.world.calendars import RoomSource
from meetkeeper.testing.world.fibers import Answer, Fiber, Pause, Turn, UntilKept, UntilMaySpeak
from meetkeeper.testing.world.outside import Outside, TimedOut, once

TIME_OUT_S = 10.0
EFFECTS_GRACE_S = 0.5
"""As in `engine.loop`."""


class Server:
    """A process that acts, alone or for its pair. `alive` is False once it has crashed or dropped its role."""

    def __init__(
        self,
        outside: Outside,
        database: Database,
        *,
        partner: Partner | None = None,
        epoch: int | None = None,
        name: str = "simulated",
    ) -> None:
        """`partner` is the pair (none: a server by itself), `epoch` what the register gave (none: the next one)."""
        self.node = Node(database)
        self.name = name
        self.epoch = epoch
        self.frozen = False
        """It decides nothing more: a switchover has begun."""
        self.stopping = False
        self.kept_seq = database.kept.seq
        """The newest frame that may be spoken of: on disk, and on the other server's where that is waited for."""
        self.alive = True
        self.ready = False
        """True once the reign is kept: only then does anybody listen."""
        self.failure: MeetkeeperError | None = None
        self._outside = outside
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._asked: dict[int, Callable[[Answer], None]] = {}
        self._asked_count = 0
        self._due: list[tuple[float, EffectKey]] = []
        self._running: set[EffectKey] = set()
        self._turns: dict[str, deque[Callable[[], None]]] = {}
        self._inside: dict[str, int] = {}
        self._flushing = False
        self._tick_number = 0
        self._under_way: dict[int, Callable[[], object]] = {}
        self._way_count = 0
        self._partner: Partner = partner or Alone()
        self._silent: list[Fiber[None]] = []
        self._drained: Callable[[], None] | None = None
        self._patient = True
        self._stopped: Callable[[], None] | None = None
        self._audits = Audits(self, outside.clock.now_s())

    @property
    def state(self) -> State:
        """As decided so far."""
        return self.node.state

    # --- life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open a reign; act once it is kept."""
        database = self.node.database
        epoch = database.promised + 1 if self.epoch is None else self.epoch
        database.open_reign(epoch)
        self.epoch = epoch
        self.handle(ReignStarted(epoch, self.name, "0", "simulated"))
        self._when_kept(self.node.applied_seq, self._begin)

    def _begin(self) -> None:
        self.ready = True
        self._offer(list(self.state.outbox))
        for source in self._outside.sources(self.state):
            self.spawn(self._follow_calendar(source))
        for bridge in self.state.settings().bridges:
            self.spawn(self._follow_bridge(bridge.id))
        self._tick_in(0.0)

    def raise_reign(self, epoch: int) -> None:
        """Go on under a higher epoch."""
        if not self.alive or self.stopping:
            return
        try:
            self.node.raise_reign(epoch, self.name, "0", "simulated", self._now_s())
        except MeetkeeperError as error:
            self._fail(error)
            return
        self.epoch = epoch
        self._wake()

    def freeze(self, drained: Callable[[], None]) -> None:
        """Decide nothing more, and call when everything decided is kept wherever it must be."""
        self.frozen, self._drained, self._patient = True, drained, True

        def lose_patience() -> None:
            self._patient = False
            self._look_drained()

        self._outside.at(EFFECTS_GRACE_S, lose_patience)
        self._look_drained()

    def thaw(self) -> None:
        """Go on."""
        self.frozen, self._drained = False, None
        self._pump()
        self._tick_in(0.0)

    def stop(self, stopped: Callable[[], None]) -> None:
        """End the reign in good order: calls are broken off, what is decided is kept; then call."""
        self.stopping, self._stopped = True, stopped
        self._look_stopped()

    def look_again(self) -> None:
        """The partner may have moved what can be spoken of."""
        if not self.alive:
            return
        if self._silent and self._partner.may_speak():
            silent, self._silent = self._silent, []
            for fiber in silent:
                self.spawn(fiber)
        self._let_out()
        self._look_drained()

    def _look_drained(self) -> None:
        busy = self._running and self._patient
        applied = self.node.applied_seq
        if self._drained is None or busy or not self.alive:
            return
        if min(self.kept_seq, self._partner.held_seq()) < applied:
            return
        drained, self._drained = self._drained, None
        drained()

    def _look_stopped(self) -> None:
        if self._stopped is None or not self.alive or self.kept_seq < self.node.applied_seq:
            return
        stopped, self._stopped = self._stopped, None
        self.die()
        stopped()

    def break_off(self) -> None:
        """The process stands still: what is under way to a neighbour arrives all the same."""
        for arrive in list(self._under_way.values()):
            with suppress(MeetkeeperError, FateUnknown, TimedOut):
                arrive()

    def die(self) -> None:
        """The process is gone. What was under way to a neighbour may arrive all the same."""
        if not self.alive:
            return
        self.alive = False
        for arrive in list(self._under_way.values()):
            if self._outside.chance(0.5):
                try:
                    arrive()
                except (MeetkeeperError, FateUnknown, TimedOut):
                    continue
        asked = list(self._asked.values())
        self._asked.clear()
        for tell in asked:
            tell(Unavailable("gone", "The connection broke."))

    def _fail(self, error: MeetkeeperError) -> None:
        """The disk has failed: the role is dropped and the process exits."""
        self.failure = error
        self._outside.failed(self, error)

    # --- the front door -----------------------------------------------------------------------------------------------

    def handle(self, event: Event) -> Handled:
        """Decide now; the disk is woken when there is something to keep."""
        now_s = self._now_s()
        try:
            handled = self.node.handle(event, now_s)
        except MeetkeeperError as error:
            if isinstance(event, Command):
                raise
            raise seen.Violation(f"an event that is no command was refused: {error}") from error
        if not handled.decision.plan.empty:
            self._outside.happened(
                seen.Decided(event, handled.decision.plan, self.node.database.position, self.state, now_s)
            )
            self._wake()
        return handled

    def submit(self, command: Command, tell: Callable[[Answer], None]) -> None:
        """Ask something; the answer comes once what it rests on is on disk."""
        if self.frozen:
            tell(Unavailable("switching", "Another server takes over now. Ask again at once."))
            return
        self._asked_count += 1
        number = self._asked_count
        self._asked[number] = tell
        answer: Answer
        try:
            handled = self.handle(command)
        except MeetkeeperError as refused:
            answer, seq, looks = refused, self.node.applied_seq, True
        else:
            answer, seq, looks = handled.decision.answer, handled.seq, handled.decision.plan.empty

        def answering() -> Fiber[None]:
            yield UntilKept(seq)
            if looks:
                yield UntilMaySpeak()
            self._answer(number, command, answer, seq)

        self.spawn(answering())

    def read(self, tell: Callable[[], None]) -> None:
        """Tell when everything decided so far may be spoken of, and a reader may be answered."""

        def reading() -> Fiber[None]:
            yield UntilKept(self.node.applied_seq)
            yield UntilMaySpeak()
            tell()

        self.spawn(reading())

    def _answer(self, number: int, command: Command, answer: Answer, seq: int) -> None:
        tell = self._asked.pop(number, None)
        if tell is not None:
            self._outside.happened(seen.Answered(command, answer, seq, self.state))
            tell(answer)

    # --- the disk --------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._flushing:
            return
        batch = self.node.database.take_batch()
        if batch is None:
            return
        self._flushing = True
        self._partner.sending(batch)

        def flushed() -> None:
            if not self.alive:
                return
            self._flushing = False
            try:
                self.node.database.flush(batch)
            except MeetkeeperError as error:
                self._fail(error)
                return
            self._outside.happened(seen.Kept(self.node.database.kept))
            self._partner.kept()
            self._let_out()
            self._wake()

        self._outside.at(self._outside.flush_s(), flushed)

    def _let_out(self) -> None:
        """Speak of what everybody holds who must."""
        seq = min(self.node.database.kept.seq, self._partner.bound())
        if seq <= self.kept_seq:
            return
        self.kept_seq = seq
        frames = self.node.kept_until(seq)
        waiting = self._waiting
        while self.alive and waiting and waiting[0][0] <= seq:
            waiting.popleft()[1]()
        for frame in frames:
            self._offer(touched_effects(frame.plan))
        self._look_drained()
        self._look_stopped()
        if self.alive and not self.stopping:
            self._wake()
            self._pump()
            self._tick_in(0.0)

    def _when_kept(self, seq: int, then: Callable[[], None]) -> None:
        if seq <= self.kept_seq:
            then()
        else:
            self._waiting.append((seq, then))

    def checkpoint(self) -> None:
        """Take the picture now; write it once what it shows is kept."""
        database = self.node.database
        database.rest()
        begun = database.begin_checkpoint()

        def finish() -> None:
            if self.alive:
                with suppress(MeetkeeperError):
                    database.finish_checkpoint(begun)

        self._when_kept(begun.seq, lambda: self._outside.at(self._outside.flush_s(), finish))

    # --- the clock -------------------------------------------------------------------------------------------------

    def _now_s(self) -> float:
        return self._outside.clock.now_s()

    def _tick_in(self, delay_s: float) -> None:
        self._tick_number += 1
        number = self._tick_number
        self._outside.at(delay_s, lambda: self._tick(number))

    def _tick(self, number: int) -> None:
        if not self.alive or number != self._tick_number or self.frozen or self.stopping:
            return
        handled = self.handle(Ticked())
        self._outside.happened(seen.Ticked(self.state, self._now_s()))
        self._pump()
        if number == self._tick_number:
            self._tick_in(0.001 if not handled.decision.plan.empty else self._idle_s())

    def _idle_s(self) -> float:
        now_s = self._now_s()
        wake_s = min(now_s + self._outside.tick_s, self.state.due.next_s(now_s))
        if self._due:
            wake_s = min(wake_s, self._due[0][0])
        if self.state.unsettled:
            wake_s = min(wake_s, *self.state.unsettled.values())
        return max(0.001, wake_s - now_s)

    # --- fibers ----------------------------------------------------------------------------------------------------

    def spawn(self, fiber: Fiber[None]) -> None:
        """Let it run until it has to wait, and on from there when it may."""
        while self.alive:
            try:
                wait = next(fiber)
            except (StopIteration, MeetkeeperError):
                return
            match wait:
                case Pause():
                    self._outside.at(wait.s, lambda: self.spawn(fiber))
                    return
                case UntilKept():
                    if wait.seq > self.kept_seq:
                        self._waiting.append((wait.seq, lambda: self.spawn(fiber)))
                        return
                case Turn():
                    queue = self._turns.setdefault(wait.of, deque())
                    if self._inside.get(wait.of, 0) >= wait.width:
                        queue.append(lambda: self.spawn(fiber))
                        return
                    self._inside[wait.of] = self._inside.get(wait.of, 0) + 1
                case UntilMaySpeak():
                    if not self._partner.may_speak():
                        self._silent.append(fiber)
                        return

    def _leave(self, of: str) -> None:
        queue = self._turns[of]
        if queue:
            self._outside.at(0.0, queue.popleft())
        else:
            self._inside[of] -= 1

    def _travel(self, one_way_s: float, arrive: Callable[[], object]) -> Fiber[None]:
        """A request on its way: if the server dies meanwhile, it may arrive all the same."""
        self._way_count += 1
        number = self._way_count
        self._under_way[number] = arrive
        yield Pause(one_way_s)
        del self._under_way[number]

    # --- effects, by the rules of engine.dispatch ---------------------------------------------------------------------

    def _offer(self, keys: list[EffectKey]) -> None:
        outbox = self.state.outbox
        for key in keys:
            row = outbox.get(key)
            if row is not None and row.status in dispatch.TO_DO:
                heappush(self._due, (row.again_at_s, key))

    def _pump(self) -> None:
        now_s = self._now_s()
        while self.alive and not self.frozen and self._due and self._due[0][0] <= now_s:
            _, key = heappop(self._due)
            row = self.state.outbox.get(key)
            if row is None or key in self._running or row.status not in dispatch.TO_DO:
                continue
            if row.again_at_s > now_s:
                heappush(self._due, (row.again_at_s, key))
                continue
            if isinstance(row.effect, Announce):
                self.handle(EffectReported(key, Done()))
                continue
            self._running.add(key)
            self.spawn(self._carry_out(key, row))

    def _carry_out(self, key: EffectKey, row: OutboxRow) -> Fiber[None]:
        outcome: Outcome | None
        try:
            outcome = yield from self._outcome(key, row)
        except (MeetkeeperError, FateUnknown) as trouble:
            outcome = dispatch.outcome_of(trouble)
        self._running.discard(key)
        if outcome is not None:
            self.handle(EffectReported(key, outcome))
        self._look_drained()

    def _outcome(self, key: EffectKey, row: OutboxRow) -> Fiber[Outcome | None]:
        match row.effect:
            case EnsureVmr():
                return (yield from self._ensure(key, row.effect))
            case RetireVmr():
                return (yield from self._retire(key, row.effect))
            case SendMail():
                return (yield from self._send(key, row.effect))
            case WriteItem() | AnnotateItem():
                return (yield from self._write(key, row.effect))
            case Announce():
                return Done()

    def _ensure(self, key: EffectKey, effect: EnsureVmr) -> Fiber[Outcome]:
        bridge_id = dispatch.bridge_of(self.state, effect.alias)
        if bridge_id is None:
            return dispatch.UNNEEDED
        bridge = self._outside.bridge(bridge_id)
        yield Turn(f"alias {effect.alias}")
        try:
            wanted = None
            while (asked := dispatch.wanted_vmr(self.state, effect.alias, effect.phase)) != wanted:
                wanted = asked
                yield UntilKept(self.node.applied_seq)
            if wanted is None:
                return dispatch.UNNEEDED
            yield UntilMaySpeak()
            self._called(key, effect, wanted)
            arrive = once(partial(bridge.ensure, wanted))
            yield from self._travel(bridge.one_way_s(), arrive)
            answer = arrive()
            yield Pause(bridge.one_way_s())
            return dispatch.ensured(effect.alias, answer)
        except TimedOut as lost:
            yield Pause(TIME_OUT_S)
            raise lost.error from None
        finally:
            if self.alive:
                self._leave(f"alias {effect.alias}")

    def _retire(self, key: EffectKey, effect: RetireVmr) -> Fiber[Outcome]:
        bridge = self._outside.bridge(effect.bridge)
        yield Turn(f"alias {effect.alias}")
        try:
            yield UntilKept(self.node.applied_seq)
            if is_needed(self.state, effect.alias, self._now_s()):
                return Done("a meeting needs it again", idle=True)
            yield UntilMaySpeak()
            self._called(key, effect, None)
            arrive = once(partial(bridge.retire, effect.alias))
            yield from self._travel(bridge.one_way_s(), arrive)
            arrive()
            yield Pause(bridge.one_way_s())
            return Done("taken off the bridge")
        except TimedOut as lost:
            yield Pause(TIME_OUT_S)
            raise lost.error from None
        finally:
            if self.alive:
                self._leave(f"alias {effect.alias}")

    def _called(self, key: EffectKey, effect: EnsureVmr | RetireVmr, wanted: WantedVmr | None) -> None:
        self._outside.happened(seen.Called(key, effect.alias, wanted, self.state))

    def _send(self, key: EffectKey, effect: SendMail) -> Fiber[Outcome | None]:
        yield Turn("mail", self.state.settings().mail.concurrency)
        try:
            found = dispatch.told_by(self.state, effect)
            if isinstance(found, Done):
                return found
            meeting, series = found
            handled = self.handle(EffectStarted(key))
            yield UntilKept(handled.seq)
            yield UntilMaySpeak()
            if not dispatch.may_hand_over(self.state, key):
                return None
            post = self._outside.post
            self._outside.happened(seen.HandedOver(key))
            arrive = once(partial(post.take, key, effect, meeting, series))
            yield from self._travel(post.one_way_s(), arrive)
            said = arrive()
            yield Pause(post.one_way_s())
            return Done(said)
        finally:
            if self.alive:
                self._leave("mail")

    def _write(self, key: EffectKey, effect: WriteItem | AnnotateItem) -> Fiber[Outcome]:
        source = self._outside.source(self.state, effect.room)
        if source is None:
            return Done("the room has no calendar any more", idle=True)
        turn = f"{effect.room}/{effect.meeting or effect.series}"
        yield Turn(turn)
        try:
            act = source.act(self.state, effect)
            if isinstance(act, Done):
                return act
            yield UntilMaySpeak()
            self._outside.happened(seen.Wrote(key, effect.room))
            arrive = once(act)
            yield from self._travel(source.one_way_s(), arrive)
            outcome = arrive()
            yield Pause(source.one_way_s())
            return outcome
        finally:
            if self.alive:
                self._leave(turn)

    # --- looking outside, as engine.poll and engine.survey do ---------------------------------------------------------

    def _follow_calendar(self, source: RoomSource) -> Fiber[None]:
        failures = 0
        yield Pause(source.first_s())
        while True:
            pause_s = source.poll_s
            try:
                yield from self._pass(source)
                failures = 0
                yield from self._audits.when_due(source, self._now_s())
            except MeetkeeperError as trouble:
                failures += 1
                backed_off_s = source.poll_s * 2.0 ** min(failures - 1, 10)
                pause_s = min(max(source.poll_s, backed_off_s), BACK_OFF_MAX_S)
                if isinstance(trouble, Unavailable):
                    pause_s = max(pause_s, trouble.retry_after_s)
            yield Pause(pause_s)

    def _pass(self, source: RoomSource) -> Fiber[None]:
        envelope = self.state.cookies.get(source.room, "")
        mark = cookies.unseal(source.room, source.name, envelope, self.state.epoch)
        if mark is not None and mark.text:
            with suppress(CookieRefused):
                yield from self._read(source, mark.text)
                return
        self._audits.forget(source.room)
        yield from self._read(source, "")

    def _read(self, source: RoomSource, mark: str) -> Fiber[None]:
        for event in self.pages_of(source, mark):
            yield Pause(source.one_way_s())
            self._audits.reported(event)
            handled = self.handle(event)
            yield UntilKept(handled.seq)

    def pages_of(self, source: RoomSource, mark: str = "") -> Iterator[PageSeen]:
        """What a calendar says since a mark, as events."""
        for page in source.changes(mark):
            yield event_of(self.state, source, page, page.cookie)

    def _follow_bridge(self, bridge_id: str) -> Fiber[None]:
        bridge = self._outside.bridge(bridge_id)
        while True:
            try:
                found = bridge.survey()
                yield Pause(2 * bridge.one_way_s())
                self.handle(BridgeSurveyed(bridge_id, {one.alias: one.marker for one in found}))
            except (MeetkeeperError, TimedOut):
                pass
            yield Pause(self._outside.survey_s)
