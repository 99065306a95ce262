"""Looking at one room's calendar because a person asks: what a resync would do, and what is wrong with the room.

Both read the calendar and keep nothing. A room is read by one hand at a time, so a poll under way is waited for.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, TypeVar

from meetkeeper.core import roomsettings
from meetkeeper.core.errors import NotFound
from meetkeeper.core.events import PageSeen
from meetkeeper.core.judging import rules_to_judge_by
from meetkeeper.core.preview import Preview, picture, preview
from meetkeeper.core.roomsettings import Examined, Finding
from meetkeeper.core.state import State
from meetkeeper.core.words import RoomId
from meetkeeper.engine.neighbours import Neighbours, RoomCalendar
from meetkeeper.engine.reading import event_of, guarded
from meetkeeper.engine.status import RoomStatus
from meetkeeper.ports.calendar import Doctor

T = TypeVar("T")


class Desk(Protocol):
    """What looking needs of the loop."""

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

    def read(self, look: Callable[[State], T]) -> Awaitable[T]:
        """Look at the state; the answer leaves when everything it may have seen is on disk."""
        ...


async def preview_resync(desk: Desk, turn: asyncio.Lock, room: RoomId) -> Preview:
    """What a resync of the room would do. Raises `NotFound` without a calendar, and what its source raises."""
    pages = await _read_all(desk, turn, _calendar_of(desk, room))
    uids = {item.uid for page in pages for item in page.items}
    now_s = desk.now_s()
    copy = await desk.read(lambda state: picture(state, room, uids, now_s))
    return await asyncio.to_thread(partial(preview, copy, pages, now_s))


async def examine(desk: Desk, turn: asyncio.Lock, room: RoomId, status: RoomStatus | None) -> Examined:
    """What a doctor finds in the room's settings, on the way to its calendar and in its items. Raises as above.

    A calendar that can't be read is a finding of its own where its source can say why.
    """
    calendar = _calendar_of(desk, room)
    found: tuple[Finding, ...] = ()
    if isinstance(calendar.source, Doctor):
        async with turn:
            found = await calendar.source.doctor()
    if any(finding.level == "red" for finding in found):
        return Examined(findings=found, items=0)
    begin_s = asyncio.get_running_loop().time()
    pages = await _read_all(desk, turn, calendar)
    took_s = asyncio.get_running_loop().time() - begin_s
    items = [item for page in pages for item in page.items]
    own = desk.state.rooms[room]
    seen = roomsettings.diagnose(items, own.email)
    passes = (status.passes, status.refused) if status is not None else (0, 0)
    read = roomsettings.reading(len(items), sum(len(page.problems) for page in pages), took_s, *passes)
    return Examined(findings=(*found, *read, *seen), items=len(items))


def _calendar_of(desk: Desk, room: RoomId) -> RoomCalendar:
    calendar = desk.neighbours.calendar(room)
    if calendar is None:
        raise NotFound(
            "no-calendar", f"The room {room!r} has no calendar here. `meetkeeper rooms` lists the rooms."
        )
    return calendar


async def _read_all(desk: Desk, turn: asyncio.Lock, calendar: RoomCalendar) -> list[PageSeen]:
    async with turn:
        pages = guarded(calendar.room, calendar.source.changes(""))
        judged_by = rules_to_judge_by(desk.state, calendar.room)
        return [event_of(desk.state, calendar, page, None, judged_by) async for page in pages]
