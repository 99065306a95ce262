"""Events become items: what can be told, what can't be read, and what the room has yet to answer.

Between `source`, which knows what a pass is, and the pure `mapping`, `series` and `ours`. A series is read whole, with
its exceptions; one that changes while it is read is left for the next round, which tells of it again.
"""

from collections.abc import Callable, Iterable

from msgspec import Struct

from meetkeeper.calendars.graph.mailbox import Mailbox, Whole
from meetkeeper.calendars.graph.mapping import Reader, Standing, moment_s, single_item, standing
from meetkeeper.calendars.graph.marks import Window
from meetkeeper.calendars.graph.ours import echo_of
from meetkeeper.calendars.graph.series import Shown, agrees, refused, series_item
from meetkeeper.calendars.graph.wire import Broken, Event
from meetkeeper.core.recurrence import following
from meetkeeper.core.words import CalendarItem
from meetkeeper.itemtext.lines import Unreadable
from meetkeeper.itemtext.portions import portions
from meetkeeper.ports.calendar import Page

PAGE_ITEMS = 25
PATIENCE_S = 600
"""A room answers within seconds. What it has not accepted for so long is told as a problem."""


class Taken(Struct):
    """What became of some events: items with their sizes, problems, and names that are there and say nothing yet."""

    items: list[tuple[CalendarItem, int]]
    problems: list[tuple[str, str]]
    there: set[str]

    def pages(self) -> Iterable[Page]:
        """Pages of items and problems."""
        things = [((item, None), size) for item, size in self.items]
        problems = [((None, problem), 0) for problem in self.problems]
        for portion in portions([*problems, *things], PAGE_ITEMS):
            yield Page(
                items=tuple(item for item, _ in portion if item is not None),
                problems=tuple(problem for _, problem in portion if problem is not None),
            )


class Intake:
    """Reads the events of one mailbox."""

    def __init__(self, mailbox: Mailbox, reader: Reader, now_s: Callable[[], float]) -> None:
        self._mailbox = mailbox
        self._reader = reader
        self._now_s = now_s

    async def singles(self, events: list[Event | Broken], until: float, read: Taken) -> None:
        """Meetings of their own."""
        ours = [event.id for event in events if isinstance(event, Event) and event.is_ours]
        whole = await self._mailbox.events(ours, until) if ours else {}
        for event in events:
            one = whole.get(event.id, event)
            read.there.add(one.id)
            if isinstance(one, Broken):
                read.problems.append((one.id, one.sentence))
            elif standing(one, self._reader) is Standing.WAITS:
                self._wait(one, read)
            else:
                self._take(one, lambda one=one: single_item(one, self._reader), read)  # type: ignore[misc]

    async def series(
        self, ids: list[str], window: Window, until: float, views: dict[str, Shown] | None
    ) -> Taken:
        """Whole series. `views` are what a complete pass has shown of them; without, the server is asked."""
        read = Taken([], [], set())
        careful: list[str] = []
        quick = {} if views is None else await self._mailbox.series(ids, until, None)
        for name in ids:
            whole, view = quick.get(name), (views or {}).get(name)
            unsure = isinstance(whole, Whole) and view is not None and not self._agrees(whole, view)
            if name not in quick or unsure or not self._mailbox.knows_exceptions:
                careful.append(name)
            else:
                self._take_series(name, whole, read)
        if careful:
            found = await self._mailbox.series(careful, until, window)
            for name in careful:
                if name in found:
                    self._take_series(name, found[name], read)
                else:
                    read.there.add(name)  # it changes while it is read: the next round tells of it again
        if views is not None:
            self._leave_out_what_is_over(read, window)
        return read

    def _leave_out_what_is_over(self, read: Taken, window: Window) -> None:
        """A series without a date from the window on may leave like any meeting of last week."""
        for item, size in tuple(read.items):
            if following(item, self._reader.zone, window.from_s) is None:
                read.items.remove((item, size))
                read.there.discard(item.href)

    def _agrees(self, whole: Whole, view: Shown) -> bool:
        """The series' own rule and exceptions give what the window has shown."""
        try:
            item = series_item(whole.master, whole.exceptions, None, self._reader)
        except Unreadable:
            return True
        return agrees(item, view, self._reader)

    def _take_series(self, name: str, whole: Whole | Broken | None, read: Taken) -> None:
        if whole is None:
            return
        if isinstance(whole, Broken):
            read.there.add(name)
            read.problems.append((name, whole.sentence))
            return
        read.there.add(name)
        waiting = [
            one for one in (whole.master, *whole.exceptions) if standing(one, self._reader) is Standing.WAITS
        ]
        if waiting and (whole.master in waiting or any(map(self._is_fresh, waiting))):
            self._wait(whole.master if whole.master in waiting else waiting[0], read, name)
            return
        kept = tuple(refused(one) if one in waiting else one for one in whole.exceptions)
        self._take(whole.master, lambda: series_item(whole.master, kept, whole.shown, self._reader), read)

    def _take(self, event: Event, make: Callable[[], CalendarItem], read: Taken) -> None:
        try:
            item = make()
        except Unreadable as unreadable:
            read.problems.append((event.id, str(unreadable)))
            return
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            read.problems.append(
                (event.id, f"It can't be understood ({type(error).__name__}); open and save it.")
            )
            return
        read.items.append((echo_of(item, event, self._reader) if event.is_ours else item, event.size))

    def _wait(self, event: Event, read: Taken, name: str = "") -> None:
        """The room has not answered yet: neither shown nor gone; told when that lasts."""
        if not self._is_fresh(event):
            why = "The room has not accepted it; let the mailbox answer by itself (AutomateProcessing AutoAccept)."
            read.problems.append((name or event.id, why))

    def _is_fresh(self, event: Event) -> bool:
        return self._now_s() - moment_s(event.modified) < PATIENCE_S
