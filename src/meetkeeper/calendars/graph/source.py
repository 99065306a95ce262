"""A room's calendar in Microsoft 365: what changed, everything, write, remove.

Asked by `engine.poll` and the outbox through `ports.calendar`. A cookie is a window and the address of the next round
of changes in it. What lies beyond the window is listed once a night, when the window is made anew, and is reported
between as removed, like what is gone: so whatever is said to be removed is looked at before it counts as gone. An
occurrence that disappears is named by its own id alone; when in doubt a complete pass says how things are.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable

from msgspec.structs import replace

from meetkeeper.calendars.graph import mapping, marks, patterns, wire
from meetkeeper.calendars.graph.client import GraphClient
from meetkeeper.calendars.graph.intake import Intake
from meetkeeper.calendars.graph.mailbox import Mailbox
from meetkeeper.calendars.graph.mapping import Reader
from meetkeeper.calendars.graph.marks import Place, Window
from meetkeeper.calendars.graph.notices import Notices
from meetkeeper.calendars.graph.series import Shown
from meetkeeper.calendars.graph.wire import Broken, Event
from meetkeeper.calendars.graph.writing import Writer
from meetkeeper.core.configuration import GraphCalendar
from meetkeeper.core.errors import Refused
from meetkeeper.core.joinblock import JoinBlock
from meetkeeper.core.roomsettings import Finding
from meetkeeper.itemtext.lines import Unreadable
from meetkeeper.ports.calendar import CookieRefused, Page

SERIES_AT_ONCE = 60
KNOWN_MAX = 200_000
SLOW_S = 5.0
_LAST = 1 << 60


class GraphSource:
    """One room's mailbox. Rooms on one server share its `GraphClient`."""

    def __init__(
        self,
        config: GraphCalendar,
        client: GraphClient,
        reader: Reader,
        *,
        horizon_days: int = 60,
        notices: Notices | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """No I/O. `reader` says whose mailbox it is and in which zone the room lives; `notices` wake whoever polls."""
        self._notices = notices
        self._config = config
        self._client = client
        self._reader = reader
        self._horizon_days = horizon_days
        self._now_s = now_s
        self._place = Place(client.endpoint, reader.mailbox)
        self._mailbox = Mailbox(client, reader.mailbox)
        self._intake = Intake(self._mailbox, reader, now_s)
        self._writer = Writer(self._mailbox, now_s)
        self._known: set[str] = set()
        self._closed = False
        client.join()

    # --- reading ---------------------------------------------------------------------------------------------------

    async def changes(self, cookie: str) -> AsyncIterator[Page]:
        """Pages of what changed since `cookie`; a complete pass for "", and when the cookie's window is of yesterday.

        Raises what `ports.calendar` says.
        """
        until = asyncio.get_running_loop().time() + self._client.limits.pass_s
        opened = marks.unseal(self._place, cookie) if cookie else None
        if cookie and opened is None:
            raise CookieRefused
        stale = opened is None or marks.is_stale(opened[0], self._place, self._reader.zone, self._now_s())
        pages = self._everything(until) if opened is None or stale else self._since(*opened, until)
        async for page in pages:
            yield page
        if self._notices is not None:
            await self._notices.keep(until)

    async def _everything(self, until: float) -> AsyncIterator[Page]:
        """A complete pass over a new window, the soonest first."""
        window = marks.window_at(self._now_s(), self._horizon_days)
        found = await self._mailbox.round(self._mailbox.first_link(window), until, full=True)
        beyond = f"type eq 'seriesMaster' or start/dateTime ge '{marks.text_of(window.until_s)}'"
        entries = {**await self._mailbox.listing(beyond, until), **found.entries}
        self._remember(entries.values())
        singles: dict[str, Event | Broken] = {}
        soonest: dict[str, int] = {}
        shown: dict[str, set[int]] = {}
        for event in entries.values():
            self._sort(event, window, singles, soonest, shown)
        listing: set[str] = set()
        names = sorted(
            [*singles, *soonest], key=lambda name: soonest.get(name) or _start_s(singles.get(name))
        )
        for at in range(0, len(names), SERIES_AT_ONCE):
            some = names[at : at + SERIES_AT_ONCE]
            views = {
                name: Shown(window.from_s, window.until_s, frozenset(shown[name]))
                for name in some
                if name in shown
            }
            read = await self._intake.series([name for name in some if name in soonest], window, until, views)
            await self._intake.singles([singles[name] for name in some if name in singles], until, read)
            listing |= read.there
            for page in read.pages():
                yield page
        mark = marks.seal(self._place, window, found.link)
        yield Page(cookie=mark, listing=frozenset(listing))

    def _sort(
        self,
        event: Event | Broken,
        window: Window,
        singles: dict[str, Event | Broken],
        soonest: dict[str, int],
        shown: dict[str, set[int]],
    ) -> None:
        """One event of a complete pass: a meeting of its own, or a sign of a series and when that comes next."""
        if isinstance(event, Broken) or event.type not in ("seriesMaster", "occurrence", "exception"):
            singles[event.id] = event
            return
        start_s = _start_s(event)
        if event.type == "seriesMaster":
            if _may_go_on(event, window):
                soonest.setdefault(event.id, max(start_s, window.until_s))
                shown.setdefault(event.id, set())
        elif event.master_id:
            soonest[event.master_id] = min(start_s, soonest.get(event.master_id, _LAST))
            starts = shown.setdefault(event.master_id, set())
            if event.type == "occurrence" and start_s < _LAST:
                starts.add(start_s)

    async def _since(self, window: Window, link: str, until: float) -> AsyncIterator[Page]:
        """What changed in a window, as one round says.

        A complete pass when something is removed that this source has never seen: it may be an occurrence, of which
        nothing but its own id is told, or a meeting beyond the window.
        """
        found = await self._mailbox.round(link, until, full=False)
        if not found.removed <= self._known:
            async for page in self._everything(until):
                yield page
            return
        fresh = found.entries.keys() - self._known
        self._remember(found.entries.values())
        series = {_series_of(event) for event in found.entries.values()} - {""}
        singles = {name: one for name, one in found.entries.items() if not _series_of(one)}
        there = await self._mailbox.events(sorted(found.removed), until)
        gone = found.removed - there.keys()
        for name, event in there.items():
            singles.pop(name, None)
            if isinstance(event, Event) and not await self._stays(event, window, until):
                gone.add(name)
            elif _series_of(event):
                series.add(name)
            else:
                singles[name] = event
        read = await self._intake.series(sorted(series - gone), window, until, None)
        gone |= series - read.there - gone
        await self._intake.singles(list(singles.values()), until, read)
        # What is new comes last, beside what is gone: a meeting that was saved anew under another id is one change.
        read.items.sort(key=lambda one: one[0].href in fresh)
        *pages, last = [*read.pages()] or [Page()]
        for page in pages:
            yield page
        mark = marks.seal(self._place, window, found.link)
        yield replace(last, gone=tuple(sorted(gone)), cookie=mark)

    async def soon(self, from_s: int, until_s: int) -> AsyncIterator[Page]:
        """Pages of items with a meeting in the span, series whole; no cookie (`ports.calendar.NearestFirst`)."""
        until = self._deadline()
        window = marks.window_at(self._now_s(), self._horizon_days)
        found = await self._mailbox.view(from_s, until_s, until)
        series = {_series_of(event) for event in found.values()} - {""}
        read = await self._intake.series(sorted(series), window, until, None)
        await self._intake.singles([one for one in found.values() if not _series_of(one)], until, read)
        for page in read.pages():
            yield page

    async def _stays(self, event: Event, window: Window, until: float) -> bool:
        """What was said to be removed and can be read is in the calendar still: then it lies outside of the window."""
        if event.uid:
            return await self._mailbox.is_listed(event, until)
        return _start_s(event) >= window.until_s or _end_s(event) <= window.from_s

    def _remember(self, events: Iterable[Event | Broken]) -> None:
        """The ids of singles and series; an occurrence's own would be too many."""
        if len(self._known) > KNOWN_MAX:
            self._known.clear()
        for event in events:
            self._known.add(_series_of(event) or event.id)

    # --- writing ---------------------------------------------------------------------------------------------------

    async def write(self, uid: str, calendar_text: bytes) -> None:
        """Create the item of this UID, or replace the one that has it. Nobody is mailed. Raises `Refused`."""
        self._check_may_write()
        await self._writer.write(uid, calendar_text, self._deadline())

    async def remove(self, uid: str) -> None:
        """Remove the item of this UID; one that is not there is removed already."""
        self._check_may_write()
        await self._writer.remove(uid, self._deadline())

    async def annotate(self, uid: str, block: JoinBlock | None) -> bool:
        """`Annotating.annotate`: the body of the room's copy; changed occurrences keep the bodies they have."""
        return await self._writer.annotate(uid, block, self._deadline())

    def _check_may_write(self) -> None:
        if not self._config.write:
            raise Refused(
                "calendar.read-only",
                f"The calendar of {self._reader.mailbox} is not to be written; allow it (write) in the configuration.",
            )

    # --- reaching --------------------------------------------------------------------------------------------------

    async def probe(self) -> str:
        """Get a token and reach the calendar; a sentence about what answered."""
        name = await self._mailbox.name(self._deadline())
        return f"Microsoft Graph at {self._client.host} answers for {name or 'the calendar'} of {self._reader.mailbox}."

    async def doctor(self) -> tuple[Finding, ...]:
        """The app's login, its right to the calendar, and how long an answer takes (`ports.calendar.Doctor`)."""
        began_s = time.monotonic()
        said = await self.probe()
        took_s = time.monotonic() - began_s
        await self._mailbox.listing(
            f"start/dateTime ge '{marks.text_of(int(self._now_s()))}'", self._deadline(), "id"
        )
        found = [Finding(code="graph.reached", level="good", text=f"{said} The app may read it.")]
        if took_s > SLOW_S:
            found.append(
                Finding(
                    code="graph.slow",
                    level="amber",
                    text=f"Microsoft Graph took {took_s:.1f} s to answer.",
                    symptom="Changes are seen late.",
                    mend="Look at the way out: proxy, firewall, name resolution.",
                )
            )
        if self._notices is not None and self._notices.trouble:
            found.append(
                Finding(
                    code="graph.notify",
                    level="amber",
                    text=self._notices.trouble,
                    symptom="Changes are seen when the room is polled, not at once.",
                    mend="Let Microsoft 365 reach cluster.public_url by HTTPS, or switch notify off.",
                )
            )
        return tuple(found)

    async def close(self) -> None:
        """Let go of the server; the last room closes its connections."""
        if not self._closed:
            self._closed = True
            await self._client.leave()

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._client.limits.request_s


def _series_of(event: Event | Broken) -> str:
    """The id of the series an event belongs to, a master's own; "" for a meeting of its own."""
    if isinstance(event, Broken):
        return ""
    return event.id if event.type == "seriesMaster" else (event.master_id or "")


def _may_go_on(master: Event, window: Window) -> bool:
    """Not over for certain: a series without an end, or with one that the window has not passed."""
    span = None if master.recurrence is None else master.recurrence.range
    end = patterns.day_of(getattr(span, "endDate", None))
    return getattr(span, "type", "") != "endDate" or end is None or end >= marks.day_of(window.from_s)


def _start_s(event: Event | Broken | None) -> int:
    return _instant_s(event.start) if isinstance(event, Event) else _LAST


def _end_s(event: Event) -> int:
    return _instant_s(event.end)


def _instant_s(moment: wire.Moment | None) -> int:
    try:
        return mapping.instant_s(moment)
    except Unreadable:
        return _LAST
