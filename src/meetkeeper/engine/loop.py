"""The asyncio shell around the node: feeds events in, waits for the disk, lets effects and answers out.

Contains no rule about meetings. Requests are decided on the event loop while the committer thread flushes the plans
before them; one flush serves everybody who was heard in one turn of the loop (`bell`). A failed flush ends this server:
nobody is told anything it could not keep.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import structlog
from prometheus_client import CollectorRegistry, Histogram

from meetkeeper.codec.frame import Frame
from meetkeeper.core.changes import ConfigDeployed
from meetkeeper.core.commands import Command
from meetkeeper.core.configuration import Config
from meetkeeper.core.effects import Phase, SendMail
from meetkeeper.core.errors import MeetkeeperError, Unavailable
from meetkeeper.core.events import Event, Ticked
from meetkeeper.core.plan import Decision
from meetkeeper.core.preview import Preview
from meetkeeper.core.roomsettings import Examined
from meetkeeper.core.state import State, Status
from meetkeeper.core.words import Alias, RoomId
from meetkeeper.engine import examine as looking
from meetkeeper.engine.bell import Bell
from meetkeeper.engine.dispatch import Dispatcher, wanted_vmr
from meetkeeper.engine.history import find_history
from meetkeeper.engine.neighbours import Neighbours
from meetkeeper.engine.node import Handled, KeptFrame, Node, touched_effects
from meetkeeper.engine.partner import Alone, Partner
from meetkeeper.engine.poll import Poller
from meetkeeper.engine.status import EngineStatus, HistoryRow, MailStatus
from meetkeeper.engine.survey import Surveyor
from meetkeeper.ha.words import Position
from meetkeeper.ports.bridge import Door
from meetkeeper.ports.clock import Clock
from meetkeeper.store.committer import Committer
from meetkeeper.store.journal import Batch

T = TypeVar("T")
TICK_S = 1.0
"""The wall clock is looked at this often at least: it may jump."""
SUBSCRIBER_FRAMES_MAX = 1_000
EFFECTS_GRACE_S = 0.5
"""So long a switchover waits for calls that are under way; what they bring about is found by the next active."""
HELD_S_MAX = 10.0
"""In a pair a caller is held so long for the other disk or the right to speak, then told to ask again."""
CHECKPOINT_AGAIN_S = 60.0
"""Pause after a snapshot that could not be written."""
LOUD = frozenset({"sync.mended", "sync.brake"})
"""Notes that are warnings: somebody ought to look at a calendar's server."""
LAG_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)

log = structlog.get_logger("engine")


def new_start_lag(registry: CollectorRegistry | None = None) -> Histogram:
    """The histogram of how late meetings open; one outlives many reigns."""
    return Histogram(
        "meetkeeper_start_lag_seconds",
        "Time from a meeting's scheduled opening until people could get in.",
        registry=registry,
        buckets=LAG_BUCKETS_S,
    )


class FellBehind(Exception):
    """A subscriber did not keep up; it must read everything anew."""


class Subscription:
    """Kept frames as they become kept, for one reader."""

    def __init__(self) -> None:
        self._frames: asyncio.Queue[KeptFrame | None] = asyncio.Queue(SUBSCRIBER_FRAMES_MAX)
        self._behind = False

    def put(self, frame: KeptFrame | None) -> None:
        """Hand over a frame; None ends the stream."""
        try:
            self._frames.put_nowait(frame)
        except asyncio.QueueFull:
            self._behind = True

    def __aiter__(self) -> AsyncIterator[KeptFrame]:
        return self

    async def __anext__(self) -> KeptFrame:
        if self._behind:
            raise FellBehind
        frame = await self._frames.get()
        if frame is None:
            raise StopAsyncIteration
        return frame


class Engine:
    """One acting server."""

    def __init__(
        self,
        node: Node,
        clock: Clock,
        build_neighbours: Callable[[Config], Neighbours],
        *,
        server: str,
        release: str,
        tzdata: str,
        registry: CollectorRegistry | None = None,
        partner: Partner | None = None,
        epoch: int | None = None,
        start_lag: Histogram | None = None,
    ) -> None:
        """`partner` is the pair (none: a server by itself), `epoch` what the register gave (none: the next one)."""
        self._node = node
        self._clock = clock
        self._build = build_neighbours
        self._server, self._release, self._tzdata = server, release, tzdata
        self._partner: Partner = partner or Alone()
        self._epoch = epoch
        self._loop: asyncio.AbstractEventLoop | None = None
        self._committer = Committer(
            node.database,
            self._kept_from_thread,
            self._failed_from_thread,
            before_flush=None if partner is None else self._sending_from_thread,
        )
        self._bell = Bell(self._committer.wake)
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._silent: list[asyncio.Future[None]] = []
        self._paired = partner is not None
        self._held: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._subscribers: set[Subscription] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._alarm = asyncio.Event()
        self._stop = asyncio.Event()
        self.stopping = False
        self.failure: Exception | None = None
        self._started_at_s = 0.0
        self._checkpoint_from_s = 0.0
        self._kept_seq = 0
        self._disk_seq = 0
        self._frozen = False
        self._patient = True
        self._hurried = False
        self._drained: Callable[[], None] | None = None
        self._beside: set[asyncio.Task[None]] = set()
        self.neighbours = build_neighbours(node.state.settings())
        self._dispatcher = Dispatcher(self)
        self._poller = Poller(self)
        self._surveyor = Surveyor(self)
        self.start_lag = start_lag or new_start_lag(registry)

    # --- for people and programs -------------------------------------------------------------------------------------

    def now_s(self) -> float:
        """Seconds since 1970-01-01 UTC by this server's clock."""
        return self._clock.now_s()

    @property
    def state(self) -> State:
        """Everything applied, kept or not. Readers use `read`."""
        return self._node.state

    @property
    def applied_seq(self) -> int:
        """The newest decision, kept or not."""
        return self._node.applied_seq

    @property
    def released_seq(self) -> int:
        """Up to here anybody may have been told."""
        return self._kept_seq

    async def submit(self, command: Command) -> Decision:
        """Decide about a command; returns once the decision is on disk. Raises `core.errors`.

        A refusal, and an answer that needs no new frame, are looks at the state: they leave as a reader's answer does.
        """
        if self._frozen:
            raise Unavailable(
                "switching", "Another server takes over now. Ask again at once.", retry_after_s=1.0
            )
        try:
            handled = self.handle(command)
        except MeetkeeperError:
            if self.failure is None:
                await self.read(lambda _: None)
            raise
        await self.until_kept(handled.seq, held=True)
        if handled.decision.plan.empty:
            await self.until_may_speak(held=True)
        return handled.decision

    async def read(self, look: Callable[[State], T]) -> T:
        """Look at the state; the answer leaves when everything it may have seen is on disk."""
        seen = look(self._node.state)
        await self.until_kept(self._node.applied_seq, held=True)
        await self.until_may_speak(held=True)
        return seen

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[Subscription]:
        """Kept frames from now on. Raises `FellBehind` from the iterator when the reader is too slow."""
        subscription = Subscription()
        self._subscribers.add(subscription)
        try:
            yield subscription
        finally:
            self._subscribers.discard(subscription)

    def poke(self, room: RoomId) -> None:
        """Poll this room now."""
        self._poller.poke(room)

    async def preview_resync(self, room: RoomId) -> Preview:
        """What a resync of the room would do; reads its calendar, keeps nothing. Raises `core.errors`."""
        return await looking.preview_resync(self, self._poller.turn_of(room), room)

    async def examine(self, room: RoomId) -> Examined:
        """What a doctor finds: settings, the way there, the items. Raises `core.errors`."""
        status = next((one for one in self._poller.statuses() if one.room == room), None)
        return await looking.examine(self, self._poller.turn_of(room), room, status)

    async def door(self, alias: Alias) -> Door | None:
        """Where this VMR's meeting is held; None when no meeting is known or nothing carries it."""
        wanted = await self.read(lambda state: wanted_vmr(state, alias, Phase.BOOKED))
        if wanted is None:
            return None
        rows = self.state.meetings_by_alias(alias)
        meeting = self.state.decode(rows[0])
        named = None if meeting.vmr is None else self.neighbours.bridge(meeting.vmr.bridge)
        return None if named is None else named.bridge.door(wanted)

    async def history(self, about: str, limit: int) -> list[HistoryRow]:
        """Frames that touch a meeting, room, alias or effect, newest first."""
        await self.until_kept(self._node.applied_seq, held=True)
        return await asyncio.to_thread(find_history, self._node.database, about, limit)

    def frames(self) -> Iterator[Frame]:
        """Every kept frame the journal still holds, oldest first. Reads the disk: call it in a thread."""
        return self._node.database.frames()

    def status(self) -> EngineStatus:
        """How the server stands."""
        state = self._node.state
        counts = dict.fromkeys(Status, 0)
        for row in state.outbox.values():
            if isinstance(row.effect, SendMail):
                counts[row.status] += 1
        configured = state.settings().mail.host
        mail_text = self._surveyor.mail_text or (
            f"not yet reached ({configured})" if configured else "not configured"
        )
        return EngineStatus(
            role="stopped" if self.failure is not None else "active",
            server=self._server,
            release=self._release,
            epoch=state.epoch,
            seq=self._kept_seq,
            started_at_s=self._started_at_s,
            rooms=self._poller.statuses(),
            bridges=self._surveyor.statuses(),
            mail=MailStatus(
                ok=self._surveyor.mail_ok,
                text=mail_text,
                queued=counts[Status.OPEN] + counts[Status.SENDING],
                waiting=counts[Status.WAITING],
                parked=counts[Status.PARKED],
                unknown=counts[Status.UNKNOWN],
            ),
            stopping=self.stopping,
            failed="" if self.failure is None else str(self.failure),
        )

    # --- for the rooms of the engine ----------------------------------------------------------------------------------

    def handle(self, event: Event) -> Handled:
        """Decide now; the committer is called when there is something to keep."""
        if self.failure is not None:
            raise Unavailable(
                "stopped", f"This server may not act any more: {self.failure}", retry_after_s=10.0
            )
        handled = self._node.handle(event, self._clock.now_s())
        if handled.seq > self._kept_seq:
            self._bell.ring()
        return handled

    async def until_kept(self, seq: int, *, held: bool = False) -> None:
        """Wait for the disk. Raises `Unavailable` when this server fails before; `held`: after `HELD_S_MAX` too."""
        if seq <= self._kept_seq:
            return
        if self.failure is not None or self._loop is None:
            raise Unavailable(
                "stopped", f"This server may not act any more: {self.failure}", retry_after_s=10.0
            )
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((seq, future))
        if held:
            self._hold(future)
        await future

    async def until_may_speak(self, *, held: bool = False) -> None:
        """Wait until nobody else can have taken over (R8). Raises as `until_kept`."""
        while not self._partner.may_speak():
            if self.failure is not None or self._loop is None:
                raise Unavailable(
                    "stopped", f"This server may not act any more: {self.failure}", retry_after_s=10.0
                )
            future: asyncio.Future[None] = self._loop.create_future()
            self._silent.append(future)
            if held:
                self._hold(future)
            await future

    def _hold(self, future: "asyncio.Future[None]") -> None:
        if self._paired and self._loop is not None:
            self._held.append((self._loop.time() + HELD_S_MAX, future))

    def _let_go(self) -> None:
        """Whoever was held too long is told: what was decided may stand or not, and asking again does no harm."""
        held = self._held
        if not held or self._loop is None:
            return
        now_s = self._loop.time()
        while held and (held[0][1].done() or now_s >= held[0][0]):
            future = held.popleft()[1]
            if not future.done():
                future.set_exception(
                    Unavailable(
                        "held",
                        "The other server's disk, or the right to act, is waited for. What was asked may still come "
                        "about: ask again with the same Idempotency-Key.",
                        retry_after_s=1.0,
                    )
                )

    def look_again(self) -> None:
        """The partner may have moved what can be spoken of. Called several times a second while this server acts."""
        self._let_go()
        if self._partner.may_speak():
            silent, self._silent = self._silent, []
            for future in silent:
                if not future.done():
                    future.set_result(None)
        if self._kept_seq < self._disk_seq:
            self._let_out()
        self._look_drained()

    def spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None] | None:
        """Run something beside. A `MeetkeeperError` in it is logged; any other failure ends this server."""
        if self._tasks is None or self.stopping:
            return None
        task = self._tasks.create_task(self._guarded(name, work), name=name)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    def opened(self, lag_s: float) -> None:
        """A meeting became joinable so long after its time."""
        self.start_lag.observe(lag_s)

    # --- life ---------------------------------------------------------------------------------------------------------

    async def run(self, ready: Callable[[], None] | None = None) -> None:
        """Open a reign and act until `stop`. Raises what made the server fail."""
        self._loop = asyncio.get_running_loop()
        self._started_at_s = self.now_s()
        self._kept_seq = self._disk_seq = self._node.database.kept.seq
        self._committer.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                epoch = self._node.open_reign(
                    self._server, self._release, self._tzdata, self.now_s(), self._epoch
                )
                self._committer.wake()
                await self.until_kept(self._node.applied_seq)
                log.info("reign.opened", epoch=epoch, server=self._server, seq=self._kept_seq)
                self._dispatcher.offer(list(self.state.outbox))
                self._poller.start()
                self._surveyor.start()
                ticker = tasks.create_task(self._guarded("ticker", self._tick_until_stopped), name="ticker")
                if ready is not None:
                    ready()
                await self._stop.wait()
                ticker.cancel()
                await self._wind_down()
        finally:
            self._tasks = None
            self.stopping = True
            for subscriber in self._subscribers:
                subscriber.put(None)
            self._committer.stop()
            self._refuse_waiting("the server has stopped")
            await self.neighbours.close()
        if self.failure is not None:
            raise self.failure

    def stop(self, *, hurried: bool = False) -> None:
        """End the reign in good order: no new work, what is decided is kept. Hurried: calls are broken off."""
        self.stopping = True
        self._hurried = self._hurried or hurried
        self._stop.set()

    def raise_reign(self, epoch: int) -> None:
        """Go on under a higher epoch."""
        if self.failure is not None or self.stopping:
            return
        try:
            self._node.raise_reign(epoch, self._server, self._release, self._tzdata, self.now_s())
        except MeetkeeperError as error:
            self._fail(
                error
            )  # The register has given up the old epoch, and the disk does not take the new one.
            return
        self._committer.wake()

    def freeze(self, drained: Callable[[], None]) -> None:
        """Decide nothing more, and call when everything decided is kept wherever it must be."""
        assert self._loop is not None
        self._frozen, self._drained = True, drained
        self._patient = True
        self._dispatcher.hold()
        self._loop.call_later(EFFECTS_GRACE_S, self._look_drained, False)
        self._alarm.set()
        self._look_drained()

    def thaw(self) -> None:
        """Go on."""
        self._frozen, self._drained = False, None
        self._dispatcher.go_on()
        self._alarm.set()

    def _look_drained(self, patient: bool = True) -> None:  # noqa: FBT001, FBT002 - called by timers
        self._patient = self._patient and patient
        busy = self._dispatcher.busy and self._patient
        applied = self._node.applied_seq
        if self._drained is None or busy or min(self._kept_seq, self._partner.held_seq()) < applied:
            return
        drained, self._drained = self._drained, None
        drained()

    def drop(self, error: Exception) -> None:
        """Lose the role at once: whoever waits is refused, nothing more is decided or sent."""
        self._fail(error)

    async def _wind_down(self) -> None:
        self._poller.stop()
        self._surveyor.stop()
        if self.failure is None:
            # The disk always gets its time; in a pair the other server may be gone, and nobody waits for it for good.
            with suppress(TimeoutError):
                async with asyncio.timeout(EFFECTS_GRACE_S if self._hurried else None):
                    await self.until_kept(self._node.applied_seq)
        if self._hurried or self.failure is not None:
            for task in self._beside:
                task.cancel()

    async def _guarded(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """The top of every task: known troubles are logged, anything else is a fault of ours and ends the server."""
        try:
            await work()
        except MeetkeeperError as trouble:
            log.warning("task.trouble", task=name, code=trouble.code, text=trouble.message)
        except asyncio.CancelledError:
            raise
        except Exception as fault:
            log.exception("task.fault", task=name)
            self._fail(fault)

    async def _tick_until_stopped(self) -> None:
        while not self.stopping:
            if self._frozen:
                await self._nap(TICK_S)
                continue
            busy = not self.handle(Ticked()).decision.plan.empty
            self._dispatcher.pump()
            await self._nap(0.0 if busy else self._idle_s())

    async def _nap(self, wait_s: float) -> None:
        self._alarm.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self._alarm.wait()
        except TimeoutError:
            pass

    def _idle_s(self) -> float:
        """Until the next thing is due; a second at most, for the clock may jump."""
        now_s = self.now_s()
        wake_s = min(now_s + TICK_S, self.state.due.next_s(now_s))
        next_effect_s = self._dispatcher.next_s()
        if next_effect_s is not None:
            wake_s = min(wake_s, next_effect_s)
        if self.state.unsettled:
            wake_s = min(wake_s, *self.state.unsettled.values())
        return max(0.001, wake_s - now_s)

    # --- the disk has answered ----------------------------------------------------------------------------------------

    def _sending_from_thread(self, batch: Batch) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._partner.sending, batch)

    def _kept_from_thread(self, position: Position) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._on_kept, position.seq)

    def _failed_from_thread(self, error: Exception) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._fail, error)

    def _on_kept(self, seq: int) -> None:
        self._disk_seq = max(self._disk_seq, seq)
        self._partner.kept()
        self._let_out()

    def _let_out(self) -> None:
        """Speak of what everybody holds who must."""
        seq = min(self._disk_seq, self._partner.bound())
        if seq <= self._kept_seq:
            return
        self._kept_seq = seq
        waiting = self._waiting
        while waiting and waiting[0][0] <= seq:
            future = waiting.popleft()[1]
            if not future.done():
                future.set_result(None)
        for frame in self._node.kept_until(seq):
            self._dispatcher.offer(touched_effects(frame.plan))
            for note in frame.plan.notes:
                say = log.warning if note.code in LOUD else log.info
                say(note.code, about=note.about, why=note.why)
            for subscriber in self._subscribers:
                subscriber.put(frame)
            if any(type(change) is ConfigDeployed for change in frame.plan.changes):
                self.spawn("reconfigure", self._reconfigure)
        if not self.stopping:
            self._dispatcher.pump()
            if self._node.database.checkpoint_due and self.now_s() >= self._checkpoint_from_s:
                self._checkpoint_from_s = float("inf")
                self.spawn("checkpoint", self._checkpoint)
        self._look_drained()
        self._alarm.set()

    async def _checkpoint(self) -> None:
        """The picture is taken here, at once; another thread spells it out. A failure costs the snapshot alone."""
        begun = self._node.database.begin_checkpoint()
        try:
            await asyncio.to_thread(self._node.database.finish_checkpoint, begun)
            log.info("checkpoint.written", seq=begun.seq)
            self._checkpoint_from_s = 0.0
        except MeetkeeperError as trouble:
            log.warning("checkpoint.failed", code=trouble.code, text=trouble.message)
            self._checkpoint_from_s = self.now_s() + CHECKPOINT_AGAIN_S

    async def _reconfigure(self) -> None:
        """A configuration was deployed: meet the neighbours anew."""
        old, self.neighbours = self.neighbours, self._build(self.state.settings())
        self._poller.restart()
        self._surveyor.restart()
        await old.close()
        log.info("config.in-force", revision=self.state.config_revision)

    def _fail(self, error: Exception) -> None:
        """This server drops its role: whoever waits is told so, nothing more is decided."""
        if self.failure is not None:
            return
        self.failure = error
        log.error("role.dropped", why=str(error))
        self._refuse_waiting(str(error))
        self.stop()

    def _refuse_waiting(self, why: str) -> None:
        """Nobody waits for a disk that will not answer."""
        while self._waiting:
            future = self._waiting.popleft()[1]
            if not future.done():
                future.set_exception(
                    Unavailable("stopped", f"This server dropped its role: {why}", retry_after_s=10.0)
                )
        silent, self._silent = self._silent, []
        for future in silent:
            if not future.done():
                future.set_result(None)
