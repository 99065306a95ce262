"""From the outbox to the neighbours: carries out effects whose frames are kept and reports what became of them.

The effect says what ought to be looked after, State says how: a VMR's wanted phase is read when its turn comes, so a
late or repeated effect can only bring about what is right now. Calls for one alias, or for one meeting in one room's
calendar, run one after the other.

The rules are functions without I/O at the end of this file, shared with the simulated world; the class before them
waits, calls and counts.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from typing import Protocol, assert_never

from meetkeeper.core import vmr as vmrs
from meetkeeper.core.effects import AnnotateItem, Announce, EnsureVmr, Phase, RetireVmr, SendMail, WriteItem
from meetkeeper.core.errors import MeetkeeperError, Refused, TheirMistake, Unavailable
from meetkeeper.core.events import (
    Done,
    EffectReported,
    EffectStarted,
    Event,
    Later,
    Never,
    Outcome,
    Taken,
    Unclear,
)
from meetkeeper.core.identity import meeting_id
from meetkeeper.core.invitation import PRIVATE_TITLE, Kind, block_for, of_meeting, of_series
from meetkeeper.core.joinblock import JoinBlock
from meetkeeper.core.keeping import is_needed, is_untold
from meetkeeper.core.state import OutboxRow, Series, State, Status
from meetkeeper.core.words import OPEN_STEPS, RUNNING_STEPS, Alias, EffectKey, Meeting, Uid
from meetkeeper.engine.neighbours import NamedBridge, Neighbours
from meetkeeper.engine.node import Handled
from meetkeeper.ports.bridge import AliasTaken, Ensured, WantedVmr
from meetkeeper.ports.calendar import Annotating
from meetkeeper.ports.mailer import FateUnknown

CALENDAR_WRITES_MAX = 8
TO_DO = frozenset({Status.OPEN, Status.WAITING})
UNNEEDED = Done("no meeting needs it any more", idle=True)


class Desk(Protocol):
    """What the dispatcher needs of the loop."""

    @property
    def state(self) -> State:
        """The state as decided so far."""
        ...

    @property
    def neighbours(self) -> Neighbours:
        """Everybody outside."""
        ...

    @property
    def applied_seq(self) -> int:
        """The newest decision, kept or not."""
        ...

    def now_s(self) -> float:
        """Wall clock."""
        ...

    def handle(self, event: Event) -> Handled:
        """Decide about an event."""
        ...

    async def until_kept(self, seq: int) -> None:
        """Wait until the frame is on disk."""
        ...

    async def until_may_speak(self) -> None:
        """Wait until nobody else can have taken over: a late call by a server of the past is a second actor's."""
        ...

    def spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None] | None:
        """Run something beside; a failure of it is a failure of this server."""
        ...

    def opened(self, lag_s: float) -> None:
        """A meeting became joinable so long after its time."""
        ...


class Dispatcher:
    """Takes rows whose time has come, one task each, bounded per neighbour."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._due: list[tuple[float, EffectKey]] = []
        self._running: set[EffectKey] = set()
        self._under_way = 0
        self._gates: dict[tuple[str, int], asyncio.Semaphore] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: dict[str, int] = {}
        self._held = False

    @property
    def busy(self) -> bool:
        """A neighbour is being spoken to. Rows that wait for their turn are not counted."""
        return self._under_way > 0

    def hold(self) -> None:
        """Begin nothing more, not even what waits for its turn already; what is under way goes on."""
        self._held = True

    def go_on(self) -> None:
        """Begin again."""
        self._held = False
        self.pump()

    def offer(self, keys: Iterable[EffectKey]) -> None:
        """These rows were put or moved by kept frames."""
        outbox = self._desk.state.outbox
        for key in keys:
            row = outbox.get(key)
            if row is not None and row.status in TO_DO:
                heappush(self._due, (row.again_at_s, key))

    def next_s(self) -> float | None:
        """When the earliest row wants its turn."""
        return self._due[0][0] if self._due else None

    def pump(self) -> None:
        """Start every row whose time has come."""
        now_s = self._desk.now_s()
        while not self._held and self._due and self._due[0][0] <= now_s:
            _, key = heappop(self._due)
            row = self._desk.state.outbox.get(key)
            if row is None or key in self._running or row.status not in TO_DO:
                continue
            if row.again_at_s > now_s:
                heappush(self._due, (row.again_at_s, key))
                continue
            if isinstance(row.effect, Announce):
                self._desk.handle(EffectReported(key, Done()))
                continue
            self._running.add(key)
            self._desk.spawn(f"effect {key}", lambda key=key, row=row: self._carry_out(key, row))  # type: ignore[misc]

    async def _carry_out(self, key: EffectKey, row: OutboxRow) -> None:
        outcome = None
        try:
            outcome = await self._outcome(key, row)
        except _Held:
            heappush(self._due, (row.again_at_s, key))
        finally:
            self._running.discard(key)
        if outcome is not None:
            self._desk.handle(EffectReported(key, outcome))

    async def _outcome(self, key: EffectKey, row: OutboxRow) -> Outcome | None:
        """Do it, and put whatever happens into our words."""
        try:
            match row.effect:
                case EnsureVmr():
                    return await self._ensure(row.effect)
                case RetireVmr():
                    return await self._retire(row.effect)
                case SendMail():
                    return await self._send(key, row.effect)
                case WriteItem():
                    return await self._write(row.effect)
                case AnnotateItem():
                    return await self._annotate(row.effect)
                case Announce():
                    return Done()
                case _ as never:
                    assert_never(never)
        except (MeetkeeperError, FateUnknown) as trouble:
            return outcome_of(trouble)

    # --- bridges ---------------------------------------------------------------------------------------------------

    async def _ensure(self, effect: EnsureVmr) -> Outcome:
        bridge_id = bridge_of(self._desk.state, effect.alias)
        if bridge_id is None:
            return UNNEEDED
        named = self._bridge(bridge_id)
        async with self._turn(effect.alias), self._gate(f"bridge {named.id}", named.concurrency):
            wanted = await self._wanted(effect)
            if wanted is None:
                return UNNEEDED
            await self._desk.until_may_speak()
            answer = await named.bridge.ensure(wanted)
        if isinstance(answer, Ensured) and wanted.phase is Phase.OPEN and effect.phase is Phase.OPEN:
            self._note_opening(effect)
        return ensured(effect.alias, answer)

    async def _wanted(self, effect: EnsureVmr) -> WantedVmr | None:
        """How the VMR ought to stand by what is kept: a bridge is not shown what was decided and may still be lost."""
        desk, wanted = self._desk, None
        while (asked := wanted_vmr(desk.state, effect.alias, effect.phase)) != wanted:
            wanted = asked
            await desk.until_kept(desk.applied_seq)
        return wanted

    def _note_opening(self, effect: EnsureVmr) -> None:
        state = self._desk.state
        row = state.meetings.get(effect.of)
        if row is not None:
            due_s = row.start_s - state.settings().time.open_before_s
            self._desk.opened(max(0.0, self._desk.now_s() - due_s))

    async def _retire(self, effect: RetireVmr) -> Outcome:
        named = self._bridge(effect.bridge)
        async with self._turn(effect.alias), self._gate(f"bridge {named.id}", named.concurrency):
            await self._desk.until_kept(self._desk.applied_seq)
            if is_needed(self._desk.state, effect.alias, self._desk.now_s()):
                return Done("a meeting needs it again", idle=True)
            await self._desk.until_may_speak()
            await named.bridge.retire(effect.alias)
        return Done("taken off the bridge")

    def _bridge(self, bridge_id: str) -> NamedBridge:
        named = self._desk.neighbours.bridge(bridge_id)
        if named is None:
            raise Unavailable(
                "no-bridge",
                f"No bridge {bridge_id!r} is configured. Configure it, or move its rooms to another bridge.",
                retry_after_s=60.0,
            )
        return named

    def _turn(self, of: str) -> "_OneAtATime":
        return _OneAtATime(of, self._locks, self._users)

    @asynccontextmanager
    async def _gate(self, name: str, width: int) -> AsyncIterator[None]:
        """One of so many places at a neighbour. Raises `_Held` when nothing more is to be begun."""
        gate = self._gates.get((name, width))
        if gate is None:
            gate = self._gates[name, width] = asyncio.Semaphore(width)
        async with gate:
            if self._held:
                raise _Held
            self._under_way += 1
            try:
                yield
            finally:
                self._under_way -= 1

    # --- mail and calendars ------------------------------------------------------------------------------------------

    async def _send(self, key: EffectKey, effect: SendMail) -> Outcome | None:
        desk = self._desk
        config = desk.state.settings()
        async with self._gate("mail", config.mail.concurrency):
            found = told_by(desk.state, effect)
            if isinstance(found, Done):
                return found
            meeting, series = found
            mailer = desk.neighbours.mailer
            if mailer is None:
                raise Unavailable("no-mail", "No mail server is configured.", retry_after_s=60.0)
            message = desk.neighbours.compose(config, effect, meeting, series, desk.now_s())
            handled = desk.handle(EffectStarted(key))
            await desk.until_kept(handled.seq)
            await desk.until_may_speak()
            if not may_hand_over(desk.state, key):
                return None
            return Done(await mailer.send(message, effect.to))

    async def _write(self, effect: WriteItem) -> Outcome:
        desk = self._desk
        calendar = desk.neighbours.calendar(effect.room)
        if calendar is None:
            return Done("the room has no calendar any more", idle=True)
        turn = self._turn(f"{effect.room}/{effect.meeting or effect.series}")
        async with turn, self._gate(f"calendar {calendar.name}", CALENDAR_WRITES_MAX):
            found = written_by(desk.state, effect)
            if isinstance(found, Done):
                return found
            meeting, series = found
            await desk.until_may_speak()
            if effect.remove:
                await calendar.source.remove(uid_of(meeting, series))
                return Done("removed")
            uid, text = desk.neighbours.item_text(desk.state.settings(), meeting, series, desk.now_s())
            await calendar.source.write(uid, text)
        return Done("written")

    async def _annotate(self, effect: AnnotateItem) -> Outcome:
        """Write how to join into the room's copy as it stands now; nobody is mailed by it."""
        desk = self._desk
        calendar = desk.neighbours.calendar(effect.room)
        if calendar is None:
            return Done("the room has no calendar any more", idle=True)
        if not isinstance(calendar.source, Annotating):
            return Never(
                f"The calendar of {effect.room} can't take what is written back. Set write_back to none."
            )
        turn = self._turn(f"{effect.room}/{effect.meeting or effect.series}")
        async with turn, self._gate(f"calendar {calendar.name}", CALENDAR_WRITES_MAX):
            found = noted_by(desk.state, effect)
            if isinstance(found, Done):
                return found
            uid, block = found
            await desk.until_may_speak()
            return annotated(block, found=await calendar.source.annotate(uid, block))


class _Held(Exception):
    """A row whose turn came when nothing more was to be begun: nothing of it has been done."""


class _OneAtATime:
    """A lock per alias or calendar item that is forgotten when nobody holds or awaits it."""

    def __init__(self, of: str, locks: dict[str, asyncio.Lock], users: dict[str, int]) -> None:
        self._of, self._locks, self._users = of, locks, users

    async def __aenter__(self) -> None:
        self._users[self._of] = self._users.get(self._of, 0) + 1
        lock = self._locks.setdefault(self._of, asyncio.Lock())
        taken = False
        try:
            taken = await lock.acquire()
        finally:
            if not taken:
                self._leave()

    async def __aexit__(self, *_: object) -> None:
        self._locks[self._of].release()
        self._leave()

    def _leave(self) -> None:
        self._users[self._of] -= 1
        if not self._users[self._of]:
            del self._users[self._of], self._locks[self._of]


# --- the rules, without I/O ------------------------------------------------------------------------------------------


def outcome_of(trouble: MeetkeeperError | FateUnknown) -> Outcome:
    """What a neighbour's error means for the effect."""
    match trouble:
        case Unavailable():
            return Later(trouble.message, trouble.retry_after_s)
        case Refused():
            return Never(trouble.message)
        case FateUnknown():
            return Unclear(str(trouble))
        case TheirMistake():
            return Later(trouble.message)
        case _:
            return Never(trouble.message)


def bridge_of(state: State, alias: Alias) -> str | None:
    """The bridge that carries the VMR; None when nobody is left that meets in it."""
    told = _meets_in(state, alias)
    return None if told is None or told.vmr is None else told.vmr.bridge


def wanted_vmr(state: State, alias: Alias, asked: Phase) -> WantedVmr | None:
    """How a VMR ought to stand now: open while one of its meetings runs, else as asked, else booked."""
    told = _meets_in(state, alias)
    if told is None or told.vmr is None:
        return None
    if any(row.step in RUNNING_STEPS for row in state.meetings_by_alias(alias)):
        phase = Phase.OPEN
    else:
        phase = Phase.CLOSED if asked is Phase.CLOSED else Phase.BOOKED
    title = PRIVATE_TITLE if told.private else told.subject
    marker = vmrs.marker(state.lineage, told.vmr)
    return WantedVmr(alias, told.vmr.numeric_id, told.vmr.pin, title, marker, phase)


def _meets_in(state: State, alias: Alias) -> Meeting | Series | None:
    """Who meets in the VMR: the running meeting, else the first one, else a series that has yet to bring one."""
    rows = state.meetings_by_alias(alias)
    if rows:
        return state.decode(next((row for row in rows if row.step in RUNNING_STEPS), rows[0]))
    uid = state.series_by_alias.get(alias)
    return None if uid is None else state.one_series(uid)


def ensured(alias: Alias, answer: Ensured | AliasTaken) -> Outcome:
    """What the bridge's answer means for the effect."""
    if isinstance(answer, AliasTaken):
        return Taken(answer.found)
    if answer.marker is None:
        return Done("created")
    return Done("found", vmrs.marker_lineage(answer.marker, alias))


def told_by(state: State, effect: SendMail) -> tuple[Meeting | None, Series | None] | Done:
    """What a mail tells about as it stands now; `Done` when there is nothing left to tell."""
    meeting, series = _about(state, effect)
    told = meeting or series
    if told is None:
        return Done("the meeting is forgotten", idle=True)
    if effect.method == "REQUEST" and told.revision > effect.revision:
        return Done(f"superseded by revision {told.revision}", idle=True)
    if effect.method == "REQUEST" and _goes_on_otherwise(state, told):
        return Done("superseded: it goes on as another kind of meeting", idle=True)
    return meeting, series


def _goes_on_otherwise(state: State, told: Meeting | Series) -> bool:
    """A single meeting that is over while a series goes by its UID, or the other way."""
    row = state.meetings.get(meeting_id(told.uid, None))
    single_is_open = row is not None and row.step in OPEN_STEPS
    if isinstance(told, Series):
        return told.over and single_is_open
    series = state.one_series(told.uid) if told.original_start_s is None else None
    return series is not None and not series.over and not single_is_open


def may_hand_over(state: State, key: EffectKey) -> bool:
    """True while a mail whose "sending" has been kept is still to be sent."""
    row = state.outbox.get(key)
    return row is not None and row.status is Status.SENDING


def written_by(state: State, effect: WriteItem) -> tuple[Meeting | None, Series | None] | Done:
    """What a calendar is to show now; `Done` when a later effect shows it."""
    meeting, series = _about(state, effect)
    told = meeting or series
    if told is None or told.revision > effect.revision:
        return Done("superseded", idle=True)
    return meeting, series


def noted_by(state: State, effect: AnnotateItem) -> tuple[Uid, JoinBlock | None] | Done:
    """The block that a room's copy is to show now, None for no block; `Done` when a later effect shows it."""
    meeting, series = _about(state, effect)
    told = meeting or series
    if told is None or told.revision > effect.revision:
        return Done("superseded", idle=True)
    row = None if meeting is None else state.meetings.get(meeting.id)
    if (series is not None and series.over) or (row is not None and row.step not in OPEN_STEPS):
        return Done("it is over", idle=True)
    if effect.room not in told.rooms:
        return Done("the room is no longer in it", idle=True)
    config = state.settings()
    if series is not None:
        invitation = of_series(config, series, Kind.NEW)
    else:
        assert meeting is not None
        invitation = of_meeting(config, meeting, Kind.NEW)
    waits = told.vmr is not None and is_untold(state, told.vmr.alias)
    return told.uid, block_for(invitation, waits=waits)


def annotated(block: JoinBlock | None, *, found: bool) -> Outcome:
    """What the calendar's answer means for the effect; `found` is False when it does not show the item any more."""
    if not found:
        return Done("the calendar does not show it any more", idle=True)
    return Done("written" if block is not None else "taken out")


def uid_of(meeting: Meeting | None, series: Series | None) -> Uid:
    """The UID under which calendars show it."""
    if meeting is not None:
        return meeting.uid
    assert series is not None
    return series.uid


def _about(state: State, effect: SendMail | WriteItem | AnnotateItem) -> tuple[Meeting | None, Series | None]:
    meeting = None if effect.meeting is None else state.meeting(effect.meeting)
    series = None if effect.series is None else state.one_series(effect.series)
    return meeting, series
