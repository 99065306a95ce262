"""One loop per room: ask its calendar what changed since the cookie, hand every page to the core, remember how it went.

An error is never "empty": a pass that breaks yields no listing and its cookie is not kept. A refused or damaged cookie
costs a full pass. Where many rooms are read whole at once, the next day of each comes first (`NearestFirst`); when that
of all rooms on the same server is read, the rooms whose meetings are nearest. Waiting for a busy neighbour happens
here, not inside an adapter.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

import msgspec
import structlog

from meetkeeper.core import cookie as cookies
from meetkeeper.core.errors import MeetkeeperError, Unavailable
from meetkeeper.core.events import Event
from meetkeeper.core.judging import rules_to_judge_by
from meetkeeper.core.state import RoomNews, State
from meetkeeper.core.words import RoomId
from meetkeeper.engine.audit import Auditor
from meetkeeper.engine.gate import Gate, Vanguard
from meetkeeper.engine.neighbours import Neighbours, RoomCalendar
from meetkeeper.engine.node import Handled
from meetkeeper.engine.reading import event_of, guarded, read
from meetkeeper.engine.status import RoomStatus
from meetkeeper.ports.calendar import CookieRefused, Hinting, NearestFirst, Page

log = structlog.get_logger("calendars")

BACK_OFF_MAX_S = 300.0
PASSES_AT_ONCE_MAX = 32
PROBLEMS_SHOWN_MAX = 20
SOON_S = 86_400
"""What begins within this time is read first where everything has to be read."""
SOON_WAITED_S = 60.0
"""A full pass waits so long at most until the next day of every other room on its server is read."""
GIVES_WAY_S = 60.0
"""A full pass lets polls of other rooms go before it that come within so long."""


class Desk(Protocol):
    """What the poller needs of the loop."""

    @property
    def state(self) -> State:
        """The state as decided so far."""
        ...

    @property
    def neighbours(self) -> Neighbours:
        """Everybody outside."""
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

    def spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None] | None:
        """Run something beside."""
        ...


class Poller:
    """All rooms' loops."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._statuses: dict[RoomId, RoomStatus] = {}
        self._wake: dict[RoomId, asyncio.Event] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._gate = Gate(PASSES_AT_ONCE_MAX)
        self._turns: dict[RoomId, asyncio.Lock] = {}
        self._vanguards: dict[str, Vanguard] = {}
        self._auditor = Auditor(desk, desk.now_s())

    def start(self) -> None:
        """Begin to poll every room that has a calendar."""
        for calendar in self._desk.neighbours.calendars:
            self._wake[calendar.room] = asyncio.Event()
            self._statuses.setdefault(calendar.room, RoomStatus(calendar.room, calendar.name))
            task = self._desk.spawn(f"calendar {calendar.room}", lambda one=calendar: self._follow(one))  # type: ignore[misc]
            if task is not None:
                self._tasks.append(task)
            if isinstance(calendar.source, Hinting):
                calendar.source.listen(partial(self.poke, calendar.room))

    def stop(self) -> None:
        """Stop polling at once; what was decided stays."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()

    def restart(self) -> None:
        """The configuration has changed."""
        self.stop()
        known = {calendar.room for calendar in self._desk.neighbours.calendars}
        self._statuses = {room: status for room, status in self._statuses.items() if room in known}
        self._auditor = Auditor(self._desk, self._desk.now_s())
        self.start()

    def poke(self, room: RoomId) -> None:
        """Poll this room now."""
        wake = self._wake.get(room)
        if wake is not None:
            wake.set()

    def statuses(self) -> tuple[RoomStatus, ...]:
        """How each room's calendar stands."""
        news = self._desk.state.rooms_news
        return tuple(_with_news(status, news.get(room)) for room, status in sorted(self._statuses.items()))

    def turn_of(self, room: RoomId) -> asyncio.Lock:
        """Held while the room's calendar is read: one read of a room at a time."""
        return self._turns.setdefault(room, asyncio.Lock())

    # --- one room's loop ---------------------------------------------------------------------------------------------

    async def _follow(self, calendar: RoomCalendar) -> None:
        failures = 0
        wake = self._wake[calendar.room]
        while True:
            pause_s = calendar.poll_s
            try:
                async with self.turn_of(calendar.room):
                    await self._pass(calendar)
                    await self._audit(calendar)
                failures = 0
            except MeetkeeperError as trouble:
                failures += 1
                pause_s = min(
                    max(calendar.poll_s, calendar.poll_s * 2.0 ** min(failures - 1, 10)), BACK_OFF_MAX_S
                )
                if isinstance(trouble, Unavailable):
                    pause_s = max(pause_s, trouble.retry_after_s)
                self._note_trouble(calendar.room, trouble)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await wake.wait()
            wake.clear()

    def _note_trouble(self, room: RoomId, trouble: MeetkeeperError) -> None:
        before = self._statuses[room]
        if before.error != trouble.message:
            log.warning("calendar.trouble", room=room, code=trouble.code, text=trouble.message)
        self._statuses[room] = msgspec.structs.replace(before, error=trouble.message, reading=None)

    async def _audit(self, calendar: RoomCalendar) -> None:
        now_s = self._desk.now_s()
        if self._auditor.is_due(calendar, now_s):
            async with self._gate.turn(now_s + 2 * GIVES_WAY_S):
                await self._auditor.audit(calendar, lambda page: self._progress(calendar.room, page), now_s)
            self._set(calendar.room, reading=None)

    async def _pass(self, calendar: RoomCalendar) -> None:
        """One pass: from the kept cookie, or complete when there is none that the source takes.

        Complete as well when the rules for the way into meetings have changed since the room was last read whole.
        """
        state, room = self._desk.state, calendar.room
        envelope = state.cookies.get(room, "")
        mark = cookies.unseal(room, calendar.name, envelope, state.epoch)
        if mark is None and envelope:
            log.warning("cookie.damaged", room=room, text="the kept cookie is not ours or damaged: full pass")
        if mark is not None and mark.text:
            older = mark.epoch and mark.epoch != state.epoch
            said = f"kept in reign {mark.epoch}, now is reign {state.epoch}" if older else ""
            self._set(room, cookie=said)
            try:
                async with self._gate.turn(self._desk.now_s()):
                    await self._read(calendar, mark.text)
                if not rules_to_judge_by(state, room):
                    return
                log.info("rules.changed", room=room, text="all items are judged by the new rules: full pass")
            except CookieRefused:
                log.info("cookie.refused", room=room, text="the calendar does not know our cookie: full pass")
                self._set(room, refused=self._statuses[room].refused + 1)
        await self._read_whole(calendar)

    async def _read_whole(self, calendar: RoomCalendar) -> None:
        """The next day first, so that nearest meetings of all rooms wait for nobody's archive; then everything.

        It is the server that is waited for: requests that lie there already go before all that come later.
        """
        now_s, room = self._desk.now_s(), calendar.room
        vanguard = self._vanguards.setdefault(calendar.server, Vanguard())
        self._auditor.forget(room)
        if isinstance(calendar.source, NearestFirst):
            with vanguard.ahead():
                async with self._gate.turn(now_s - SOON_S):
                    try:
                        await self._read_soon(calendar, calendar.source, int(now_s))
                    except MeetkeeperError as trouble:
                        # Nothing depends on it; what is really wrong the full pass will say.
                        log.info("calendar.not-soon", room=room, code=trouble.code, text=trouble.message)
        await vanguard.wait(SOON_WAITED_S)
        now_s = self._desk.now_s()
        nearest = self._desk.state.agenda(room, int(now_s), int(now_s) + SOON_S)
        ahead_s = max(0.0, nearest[0].start_s - now_s) if nearest else SOON_S
        async with self._gate.turn(now_s + GIVES_WAY_S * (1.0 + ahead_s / SOON_S)):
            await self._read(calendar, "")

    async def _read_soon(self, calendar: RoomCalendar, source: NearestFirst, now_s: int) -> None:
        judged_by = rules_to_judge_by(self._desk.state, calendar.room)
        async for page in guarded(calendar.room, source.soon(now_s, now_s + SOON_S)):
            # Neither mark nor listing: what a span leaves out is not gone.
            seen = Page(items=page.items, problems=page.problems)
            handled = self._desk.handle(event_of(self._desk.state, calendar, seen, None, judged_by))
            await self._desk.until_kept(handled.seq)

    async def _read(self, calendar: RoomCalendar, mark: str) -> None:
        room = calendar.room

        def look(page: Page) -> None:
            self._auditor.reported(room, page)
            self._progress(room, page)

        done = await read(self._desk, calendar, mark, look)
        now_s = self._desk.now_s()
        before = self._statuses[room]
        if before.error:
            log.info("calendar.well-again", room=room)
        self._set(
            room,
            last_pass_s=now_s,
            last_change_s=now_s if done.changed else before.last_change_s,
            problems=done.problems[:PROBLEMS_SHOWN_MAX] if done.problems or not mark else before.problems,
            full_passes=before.full_passes + (0 if mark else 1),
            passes=before.passes + 1,
            error="",
            reading=None,
        )

    def _progress(self, room: RoomId, page: Page) -> None:
        self._set(room, reading=(self._statuses[room].reading or 0) + len(page.items))

    def _set(self, room: RoomId, **fields: object) -> None:
        self._statuses[room] = msgspec.structs.replace(self._statuses[room], **fields)


def _with_news(status: RoomStatus, news: RoomNews | None) -> RoomStatus:
    if news is None:
        return status
    return msgspec.structs.replace(
        status, held=news.held, audited_s=news.audited_s, unreported=news.unreported, mended=news.mended
    )
