"""One mailbox as Graph answers for it: rounds of changes, listings, items and whole series, each as events.

Between `client`, which knows bytes and limits, and `source`, which knows what a pass is. Every address that an answer
names is checked by the client before anything is sent there.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote, urlencode

from msgspec import Struct

from meetkeeper.calendars.graph import mapping, wire
from meetkeeper.calendars.graph.answers import Answer, to_error
from meetkeeper.calendars.graph.client import BATCH_MAX, Call, GraphClient
from meetkeeper.calendars.graph.marks import Window, lies_within, text_of
from meetkeeper.calendars.graph.ours import ITEM_PROPERTY, UID_PROPERTY
from meetkeeper.calendars.graph.series import Shown
from meetkeeper.calendars.graph.wire import Broken, Event
from meetkeeper.core.errors import MeetkeeperError, TheirMistake, Unavailable
from meetkeeper.itemtext.lines import Unreadable
from meetkeeper.ports.calendar import CookieRefused

PAGES_MAX = 3_000
EVENTS_MAX = 100_000
"""Most entries of one round or listing."""
BATCHES_AT_ONCE = 3
"""One place of the mailbox stays free for whoever writes."""
STABLE_TRIES = 4
LOOK_BACK_S = 400 * 86_400
_FIELDS = (
    "id,type,subject,body,start,end,isAllDay,isCancelled,isOrganizer,responseStatus,sensitivity,organizer,attendees,"
    "iCalUId,seriesMasterId,recurrence,originalStart,originalStartTimeZone,lastModifiedDateTime,changeKey,categories,"
    "location,onlineMeeting,onlineMeetingUrl"
)
_ALL_EXCEPTIONS = f"{_FIELDS},occurrenceId,exceptionOccurrences,cancelledOccurrences"
_OURS = f"singleValueExtendedProperties($filter=id eq '{UID_PROPERTY}' or id eq '{ITEM_PROPERTY}')"
_LOST = frozenset({"syncstatenotfound", "syncstateinvalid", "resyncrequired", "errorinvalididmalformed"})
"""Error codes that mean an unknown cookie, in lower case; seen with 400, 404 and 410."""


class Round(Struct):
    """What a round of changes said: entries by id (of several the newest), ids removed, where to ask next time."""

    entries: dict[str, Event | Broken]
    removed: set[str]
    link: str


class Whole(Struct, frozen=True):
    """A series: its master, its exceptions, and what the server shows of it (None: it was not asked)."""

    master: Event
    exceptions: tuple[Event, ...]
    shown: Shown | None = None


class Moving(Struct, frozen=True):
    """A series that changed while it was read."""


class Mailbox:
    """The mailbox. `until` is always the loop's time when the pass must end."""

    def __init__(self, client: GraphClient, address: str) -> None:
        self.address = address
        self.client = client
        self.path = f"/users/{quote(address, safe='@')}"
        self.knows_exceptions = True
        """Series are told with all their exceptions; else only those near the window are found."""

    # --- collections -----------------------------------------------------------------------------------------------

    def first_link(self, window: Window) -> str:
        """Where a round begins that says everything."""
        span = urlencode({"startDateTime": text_of(window.from_s), "endDateTime": text_of(window.until_s)})
        return f"{self.client.endpoint}{self.path}/calendarView/delta?{span}"

    async def round(self, link: str, until: float, *, full: bool) -> Round:
        """All pages from this address on. Raises `CookieRefused` when the server does not know it."""
        found = Round({}, set(), "")
        async for page in self._pages(link, until, full=full, delta=True):
            for raw in page.value:
                event = self._read(wire.read_event(raw))
                if isinstance(event, Event) and event.removed is not None:
                    found.removed.add(event.id)
                    continue
                before = found.entries.get(event.id)
                if before is None or _modified_s(event) >= _modified_s(before):
                    found.entries[event.id] = event
            self._bound(len(found.entries) + len(found.removed))
            found.link = page.delta_link or ""
        if not lies_within(self.client.endpoint, found.link):
            raise self._odd("the link to its next round leads elsewhere, where our token must not go")
        return found

    async def listing(self, where: str, until: float, fields: str = "") -> dict[str, Event | Broken]:
        """Singles and series masters of the calendar for which an OData condition holds."""
        query = {"$filter": where, "$top": "100"} | ({"$select": fields} if fields else {})
        return await self._collect(f"/calendar/events?{urlencode(query, quote_via=quote)}", until)

    async def view(self, from_s: int, until_s: int, until: float) -> dict[str, Event | Broken]:
        """What takes place in a span: singles, occurrences and exceptions."""
        span = urlencode({"startDateTime": text_of(from_s), "endDateTime": text_of(until_s), "$top": "100"})
        return await self._collect(f"/calendarView?{span}", until)

    async def _collect(self, path: str, until: float) -> dict[str, Event | Broken]:
        link = f"{self.client.endpoint}{self.path}{path}"
        found: dict[str, Event | Broken] = {}
        async for page in self._pages(link, until, full=True, delta=False):
            for raw in page.value:
                event = self._read(wire.read_event(raw))
                found[event.id] = event
            self._bound(len(found))
        return found

    async def _pages(self, link: str, until: float, *, full: bool, delta: bool) -> AsyncIterator[wire.Page]:
        """The pages of a collection; the last of a delta query names where to ask next time."""
        seen = {link}
        for _ in range(PAGES_MAX):
            answer = await self.client.ask(Call("GET", link), self.address, until)
            page = self._page(answer, full=full, first=len(seen) == 1)
            yield page
            if page.next_link is None:
                if delta and not page.delta_link:
                    raise self._odd("a round of changes ended without a link to the next")
                return
            link = page.next_link
            if link in seen:
                break
            seen.add(link)
        raise TheirMistake(
            "calendar.circles",
            f"{self.address} is answered in pages without end; look at what stands between.",
        )

    def _page(self, answer: Answer, *, full: bool, first: bool) -> wire.Page:
        if answer.status != 200:
            lost = answer.status == 410 or answer.code.lower() in _LOST or answer.status == 400
            if lost and not full:
                raise CookieRefused
            if lost and not first:
                raise Unavailable(
                    "calendar.forgotten",
                    f"{self.client.host} forgot its own place in a listing of {self.address}; it is read anew.",
                )
            raise self.error(answer)
        page = wire.read_page(answer.body)
        if page is None:
            raise self._odd("it sent something that is no list of events")
        return page

    # --- items -----------------------------------------------------------------------------------------------------

    async def events(self, ids: Sequence[str], until: float) -> dict[str, Event | Broken]:
        """These items, our own properties included; what is not there is left out."""
        urls = [f"{self._event(one)}?{urlencode({'$expand': _OURS}, quote_via=quote)}" for one in ids]
        answers = await self.client.batch(urls, self.address, until, side_by_side=True)
        found: dict[str, Event | Broken] = {}
        for name, answer in zip(ids, answers, strict=True):
            event = self._one(answer)
            if event is not None:
                found[name] = event
        return found

    async def name(self, until: float) -> str:
        """What the calendar is called."""
        url = f"{self.client.endpoint}{self.path}/calendar?$select=id,name"
        answer = await self.client.ask(Call("GET", url), self.address, until)
        if answer.status != 200:
            raise self.error(answer)
        return wire.read_name(answer.body)

    async def is_listed(self, event: Event, until: float) -> bool:
        """It stands in the calendar: what was thrown away can still be read by its id."""
        listed = await self.listing(f"iCalUId eq {literal(event.uid or '')}", until, "id,type")
        return event.id in listed

    async def series(
        self, ids: Sequence[str], until: float, shown: Window | None
    ) -> dict[str, Whole | Broken | None]:
        """These series; None for one that is not there, left out for one that does not hold still.

        With `shown`, what the server shows of each in that window is read with it.
        """
        parts = 1 if shown is None else 3
        step = BATCH_MAX // parts
        groups = [ids[at : at + step] for at in range(0, len(ids), step)]
        found: dict[str, Whole | Broken | None] = {}
        for at in range(0, len(groups), BATCHES_AT_ONCE):
            asked = (self._series(group, until, shown) for group in groups[at : at + BATCHES_AT_ONCE])
            for one in await asyncio.gather(*asked):
                found |= one
        return found

    async def _series(
        self, ids: Sequence[str], until: float, shown: Window | None
    ) -> dict[str, Whole | Broken | None]:
        found: dict[str, Whole | Broken | None] = {}
        left = list(ids)
        for _ in range(STABLE_TRIES):
            asked = self.knows_exceptions
            urls = [url for one in left for url in self._urls_of(one, shown)]
            answers = await self.client.batch(urls, self.address, until)
            if asked and any(answer.status == 400 and not _is_malformed_id(answer) for answer in answers):
                self.knows_exceptions = False  # a cloud that does not have them yet
                continue
            size = 1 if shown is None else 3
            again: list[str] = []
            for number, name in enumerate(left):
                got = answers[number * size : (number + 1) * size]
                whole = await self._whole(name, got, until, shown)
                if isinstance(whole, Moving):
                    again.append(name)
                else:
                    found[name] = whole
            left = again
            if not left:
                break
        return found

    def _urls_of(self, name: str, shown: Window | None) -> list[str]:
        if self.knows_exceptions:
            query = {"$select": _ALL_EXCEPTIONS, "$expand": f"exceptionOccurrences,{_OURS}"}
        else:
            query = {"$select": _FIELDS, "$expand": _OURS}
        urls = [f"{self._event(name)}?{urlencode(query, quote_via=quote)}"]
        if shown is not None:
            span = {
                "startDateTime": text_of(self._from_s(shown)),
                "endDateTime": text_of(shown.until_s),
                "$top": "500",
            }
            urls.append(f"{self._event(name)}/instances?{urlencode(span, quote_via=quote)}")
            urls.append(f"{self._event(name)}?{urlencode({'$select': 'id,changeKey'}, quote_via=quote)}")
        return urls

    async def _whole(
        self, name: str, answers: Sequence[Answer], until: float, shown: Window | None
    ) -> Whole | Broken | Moving | None:
        """The series in these answers."""
        master = self._one(answers[0])
        if not isinstance(master, Event):
            return master
        exceptions = {}
        for raw in master.exceptions or ():
            event = wire.read_event(raw)
            if not isinstance(event, Event):
                return Broken(name)
            exceptions[event.id] = event
        if shown is None:
            return Whole(master, tuple(exceptions.values()))
        again = self._one(answers[2])
        if not isinstance(again, Event) or again.change_key != master.change_key or answers[1].status == 404:
            return Moving()
        starts: set[int] = set()
        for event in await self._instances(answers[1], until):
            if isinstance(event, Broken):
                return Broken(name)
            if event.type == "exception":
                exceptions.setdefault(event.id, event)
            elif not event.is_cancelled:
                try:
                    starts.add(mapping.instant_s(event.start))
                except Unreadable as unreadable:
                    return Broken(name, str(unreadable))
        view = Shown(self._from_s(shown), shown.until_s, frozenset(starts))
        return Whole(master, tuple(exceptions.values()), view)

    def _from_s(self, window: Window) -> int:
        """Since when occurrences are looked at: far back where nothing else tells of old exceptions."""
        return window.from_s if self.knows_exceptions else window.from_s - LOOK_BACK_S

    async def _instances(self, answer: Answer, until: float) -> list[Event | Broken]:
        """The occurrences in this answer and on the pages that follow it."""
        page = self._page(answer, full=True, first=True)
        values = list(page.value)
        if page.next_link is not None:
            async for more in self._pages(page.next_link, until, full=True, delta=False):
                values += more.value
                self._bound(len(values))
        return [self._read(wire.read_event(raw)) for raw in values]

    # --- answers ---------------------------------------------------------------------------------------------------

    def _event(self, name: str) -> str:
        return f"{self.path}/events/{quote(name, safe='')}"

    def _one(self, answer: Answer) -> Event | Broken | None:
        if answer.status in (404, 410):
            return None
        if answer.status == 400 and _is_malformed_id(answer):
            return None
        if answer.status != 200:
            raise self.error(answer)
        return self._read(wire.read_event(answer.body))

    def _read(self, event: Event | Broken | None) -> Event | Broken:
        if event is None:
            raise self._odd("it sent an event without an id")
        return event

    def _bound(self, count: int) -> None:
        if count > EVENTS_MAX:
            raise TheirMistake(
                "calendar.too-many",
                f"{self.address} holds more than {EVENTS_MAX} items; remove old ones from the calendar.",
            )

    def error(self, answer: Answer) -> MeetkeeperError:
        """What this answer means."""
        return to_error(answer, f"{self.client.host} for {self.address}")

    def _odd(self, why: str) -> TheirMistake:
        return TheirMistake(
            "calendar.odd-answer", f"{self.client.host} answered for {self.address} oddly: {why}. Look there."
        )


def literal(text: str) -> str:
    """A text in an OData condition."""
    return "'" + text.replace("'", "''") + "'"


def _is_malformed_id(answer: Answer) -> bool:
    return answer.code.lower() == "errorinvalididmalformed"


def _modified_s(event: Event | Broken) -> int:
    return mapping.moment_s(event.modified) if isinstance(event, Event) else 0
