"""One read of one room's calendar: pages into the core, each kept before the next is asked for.

Below `engine.poll` and `engine.audit`. Guards against calendars that never end live here: a pass has at most
`PAGES_MAX` pages, and of those that bring nothing at most `EMPTY_PAGES_MAX` in a row.
"""

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from msgspec import Struct

from meetkeeper.core import cookie as cookies
from meetkeeper.core.errors import TheirMistake
from meetkeeper.core.events import Event, PageSeen
from meetkeeper.core.judging import rules_to_judge_by
from meetkeeper.core.state import State
from meetkeeper.core.words import RoomId
from meetkeeper.engine.neighbours import RoomCalendar
from meetkeeper.engine.node import Handled
from meetkeeper.ports.calendar import Page

PAGES_MAX = 10_000
"""More pages than this in one pass is a calendar that goes round in circles."""
EMPTY_PAGES_MAX = 100
"""Pages in a row that bring neither items nor a new mark: it goes round in circles too."""

Look = Callable[[Page], None]
"""Called with each page before it is kept."""


class Desk(Protocol):
    """What reading needs of the loop."""

    @property
    def state(self) -> State:
        """The state as decided so far."""
        ...

    def handle(self, event: Event) -> Handled:
        """Decide about an event."""
        ...

    async def until_kept(self, seq: int) -> None:
        """Wait until the frame is on disk."""
        ...


class Named(Protocol):
    """Whose cookie it is."""

    @property
    def room(self) -> RoomId:
        """The room."""
        ...

    @property
    def name(self) -> str:
        """What identifies its calendar in cookies."""
        ...


class Read(Struct, frozen=True, kw_only=True):
    """How a read ended. `cookie` is the calendar's mark after it, `whole` is True when it named everything there is."""

    changed: bool
    problems: tuple[str, ...]
    cookie: str | None
    whole: bool


async def guarded(room: RoomId, pages: AsyncIterator[Page]) -> AsyncIterator[Page]:
    """The same pages. Raises `TheirMistake` for a calendar that goes on for ever."""
    count = idle = 0
    mark: str | None = None
    async for page in pages:
        count += 1
        news = bool(page.items or page.gone or page.problems) or page.listing is not None
        idle = 0 if news or page.cookie not in (None, mark) else idle + 1
        mark = page.cookie or mark
        if count > PAGES_MAX or idle > EMPTY_PAGES_MAX:
            raise TheirMistake(
                "endless", f"The calendar of {room} sends pages without end. Look at its server."
            )
        yield page


async def read(
    desk: Desk, calendar: RoomCalendar, mark: str, look: Look, *, moves_cookie: bool = True
) -> Read:
    """Read what changed since `mark`, all of it for "". Raises what the source raises.

    Without `moves_cookie` what is seen is kept and the room's cookie stays as it is. What is read whole is judged by
    the rules as they are now, unless it has been.
    """
    judged_by = "" if mark else rules_to_judge_by(desk.state, calendar.room)
    room, changed, whole = calendar.room, False, False
    problems: list[str] = []
    cookie: str | None = None
    async for page in guarded(room, calendar.source.changes(mark)):
        look(page)
        final = page.listing is not None or page.unswept
        # A complete pass taken up in its middle could never say what is gone.
        passes_on = page.cookie if mark or final else None
        cookie, whole = passes_on or cookie, whole or final
        event = event_of(desk.state, calendar, page, passes_on if moves_cookie else None, judged_by)
        handled = desk.handle(event)
        changed = changed or bool(page.items or page.gone)
        problems.extend(f"{href}: {text}" for href, text in page.problems)
        await desk.until_kept(handled.seq)
    return Read(changed=changed, problems=tuple(problems), cookie=cookie, whole=whole)


def event_of(state: State, calendar: Named, page: Page, cookie: str | None, judged_by: str = "") -> PageSeen:
    """A page as the core takes it, its mark in our envelope. `judged_by` as in `PageSeen`."""
    sealed = None if cookie is None else cookies.seal(calendar.room, calendar.name, cookie, state.epoch)
    return PageSeen(
        calendar.room, page.items, page.gone, sealed, page.listing, page.problems, judged_by=judged_by
    )
