"""One loop per room: ask its calendar what changed since the cookie, hand every page to the core, remember how it went.

An error is never "empty": a pass that breaks yields no listing and its cookie is not kept. A refused or damaged cookie
costs a full pass. Waiting for a busy neighbour happens here, not inside an adapter.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import msgspec
import structlog

from meetkeeper.core import cookie as cookies
from meetkeeper.core.errors import MeetkeeperError, TheirMistake, Unavailable
from meetkeeper.core.events import Event, PageSeen
from meetkeeper.core.state import State
from meetkeeper.core.words import RoomId
from meetkeeper.engine.neighbours import Neighbours, RoomCalendar
from meetkeeper.engine.node import Handled
from meetkeeper.engine.status import RoomStatus
from meetkeeper.ports.calendar import CookieRefused

log = structlog.get_logger("calendars")

BACK_OFF_MAX_S = 300.0
PAGES_MAX = 10_000
"""More pages than this in one pass is a calendar that goes round in circles."""
PASSES_AT_ONCE_MAX = 32
PROBLEMS_SHOWN_MAX = 20


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
        self._passes = asyncio.Semaphore(PASSES_AT_ONCE_MAX)

    def start(self) -> None:
        """Begin to poll every room that has a calendar."""
        for calendar in self._desk.neighbours.calendars:
            self._wake[calendar.room] = asyncio.Event()
            self._statuses.setdefault(calendar.room, RoomStatus(calendar.room, calendar.name))
            task = self._desk.spawn(f"calendar {calendar.room}", lambda one=calendar: self._follow(one))  # type: ignore[misc]
            if task is not None:
                self._tasks.append(task)

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
        self.start()

    def poke(self, room: RoomId) -> None:
        """Poll this room now."""
        wake = self._wake.get(room)
        if wake is not None:
            wake.set()

    def statuses(self) -> tuple[RoomStatus, ...]:
        """How each room's calendar stands."""
        news = self._desk.state.rooms_news
        return tuple(
            msgspec.structs.replace(status, held=news[room].held) if room in news else status
            for room, status in sorted(self._statuses.items())
        )

    async def _follow(self, calendar: RoomCalendar) -> None:
        failures = 0
        wake = self._wake[calendar.room]
        while True:
            pause_s = calendar.poll_s
            try:
                async with self._passes:
                    await self._pass(calendar)
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
        self._statuses[room] = msgspec.structs.replace(before, error=trouble.message)

    async def _pass(self, calendar: RoomCalendar) -> None:
        """One pass: from the kept cookie, or complete when there is none that the source takes."""
        envelope = self._desk.state.cookies.get(calendar.room, "")
        mark = cookies.unseal(calendar.room, calendar.name, envelope)
        if mark is None and envelope:
            log.warning(
                "cookie.damaged", room=calendar.room, text="the kept cookie is not ours or damaged: full pass"
            )
        try:
            await self._read(calendar, mark or "")
        except CookieRefused:
            log.info(
                "cookie.refused", room=calendar.room, text="the calendar does not know our cookie: full pass"
            )
            await self._read(calendar, "")

    async def _read(self, calendar: RoomCalendar, mark: str) -> None:
        room, pages, changed = calendar.room, 0, False
        problems: list[str] = []
        async for page in calendar.source.changes(mark):
            pages += 1
            if pages > PAGES_MAX:
                raise TheirMistake(
                    "endless", f"The calendar of {room} sends pages without end. Look at its server."
                )
            sealed = None if page.cookie is None else cookies.seal(room, calendar.name, page.cookie)
            event = PageSeen(room, page.items, page.gone, sealed, page.listing, page.problems)
            handled = self._desk.handle(event)
            changed = changed or bool(page.items or page.gone)
            problems.extend(f"{href}: {text}" for href, text in page.problems)
            await self._desk.until_kept(handled.seq)
        now_s = self._desk.now_s()
        before = self._statuses[room]
        if before.error:
            log.info("calendar.well-again", room=room)
        self._statuses[room] = RoomStatus(
            room=room,
            source=calendar.name,
            last_pass_s=now_s,
            last_change_s=now_s if changed else before.last_change_s,
            problems=tuple(problems[:PROBLEMS_SHOWN_MAX]) if problems or not mark else before.problems,
            full_passes=before.full_passes + (0 if mark else 1),
        )
