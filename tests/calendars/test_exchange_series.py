"""Writing into series in a room mailbox: our own with their exceptions, and how to join into other people's."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from meetkeeper.calendars.exchange import writing
from meetkeeper.calendars.exchange.mapping import AHEAD_MAX
from meetkeeper.core.errors import Refused, Unavailable
from meetkeeper.core.recurrence import expand
from meetkeeper.core.words import CalendarItem, Entry, Person, Uid
from meetkeeper.itemtext.reading import read_item
from meetkeeper.itemtext.writing import Venue, to_calendar
from meetkeeper.ports.calendar import Annotating
from meetkeeper.testing.contracts.annotating import STANDS
from meetkeeper.testing.contracts.calendar import Held
from meetkeeper.testing.fakes.exchange import soap
from meetkeeper.testing.fakes.exchange.items import occurrence_id
from meetkeeper.testing.fakes.exchange.wire import Reply, Request
from meetkeeper.testing.fakes.mailbox import Stored
from tests.calendars.exchangevenue import ExchangeVenue, fresh, server_of, source_of

BEGAN = (datetime.now(UTC) - timedelta(days=14)).replace(
    hour=10, minute=0, second=0, microsecond=0, tzinfo=None
)
DAILY = Entry(
    start=BEGAN,
    duration_s=1_800,
    zone="UTC",
    subject="Daily",
    description="Agenda",
    organizer=Person("ada@example.org", "Ada"),
    attendees=(Person("bo@example.org", "Bo"),),
    rrule="FREQ=DAILY;COUNT=200",
)
HTML = "<html><body><p>Another agenda</p></body></html>"


def changed(day: int, words: str) -> Entry:
    """The occurrence of this day, an hour later and with other words."""
    original = BEGAN + timedelta(days=day)
    return replace(
        DAILY, start=original + timedelta(hours=1), rrule="", description=words, recurrence_id=original
    )


PAST, PLAIN, RICH = changed(3, "It was so"), changed(20, "Bring cake"), changed(21, "")


@pytest.fixture
async def venue() -> AsyncIterator[ExchangeVenue]:
    """A fresh fake with an empty mailbox."""
    async with fresh() as venue:
        yield venue


def put(venue: ExchangeVenue, *overrides: Entry) -> Stored:
    """Somebody's series stands in the room; the changed occurrence of day 21 has a body in HTML."""
    assert RICH.recurrence_id is not None
    return venue.mailbox.put("s", DAILY, overrides, bodies=((RICH.recurrence_id, HTML),))


def words(stored: Stored, entry: Entry) -> str:
    """The text of a changed occurrence as it is now."""
    return next(one.description for one in stored.overrides if one.recurrence_id == entry.recurrence_id)


async def test_master_and_changed_occurrences_say_how_to_join(venue: ExchangeVenue) -> None:
    """Each body in its own kind; what is over stays as it was; taken out, every word is as before; no mail, no news."""
    stored = put(venue, PAST, PLAIN, RICH)
    source = venue.source
    assert isinstance(source, Annotating)
    held = await Held().follow(source)
    before = held.prints
    assert await source.annotate("s", STANDS)
    after = venue.mailbox.items[stored.id]
    assert "135790" in after.master.description
    assert words(after, PLAIN).startswith("Bring cake")
    assert "135790" in words(after, PLAIN)
    assert words(after, PAST) == "It was so"
    ((_, html),) = after.bodies
    assert html.startswith("<html><body><p>Another agenda</p>")
    assert "135790" in html
    assert words(after, RICH) == ""
    assert after.master.rrule == DAILY.rrule
    assert [one.start for one in after.overrides] == [one.start for one in (PAST, PLAIN, RICH)]
    assert (await held.follow(source)).prints == before
    writes = venue.fake.count("UpdateItem")
    assert await source.annotate("s", STANDS)
    assert venue.fake.count("UpdateItem") == writes == 3
    assert await source.annotate("s", None)
    gone = venue.mailbox.items[stored.id]
    assert (gone.master.description, words(gone, PLAIN), gone.bodies) == (
        "Agenda",
        "Bring cake",
        stored.bodies,
    )
    assert (await held.follow(source)).prints == before
    assert not venue.mailbox.mails


async def test_an_occurrence_that_shows_the_masters_body_is_not_written(venue: ExchangeVenue) -> None:
    """It inherits the way in with the rest of the body, and goes on doing so."""
    inheriting = changed(22, "")
    stored = venue.mailbox.put("s", replace(DAILY, description=""), (inheriting,), body_html=HTML)
    source = venue.source
    assert isinstance(source, Annotating)
    assert await source.annotate("s", STANDS)
    after = venue.mailbox.items[stored.id]
    assert "135790" in after.body_html
    assert not after.bodies
    assert venue.fake.count("UpdateItem") == 1


async def test_an_occurrence_that_goes_meanwhile_stops_nothing(venue: ExchangeVenue) -> None:
    """The master and the other occurrences are written all the same."""
    stored = put(venue, PLAIN, RICH)
    gone = occurrence_id(stored, PLAIN)

    async def without(request: Request, asked: soap.Asked | None) -> Reply | None:
        if asked is not None and asked.name == "UpdateItem":
            venue.fake.vanishing.add(gone)
        return None

    venue.fake.trick = without
    source = venue.source
    assert isinstance(source, Annotating)
    assert await source.annotate("s", STANDS)
    after = venue.mailbox.items[stored.id]
    assert words(after, PLAIN) == "Bring cake"
    assert "135790" in after.bodies[0][1]


async def test_only_the_nearest_changed_occurrences_are_written(venue: ExchangeVenue) -> None:
    """However many were changed by hand, one effect writes a bounded number of bodies."""
    many = tuple(changed(day, f"Words {day}") for day in range(15, 15 + AHEAD_MAX + 5))
    stored = venue.mailbox.put("s", DAILY, many)
    source = venue.source
    assert isinstance(source, Annotating)
    assert await source.annotate("s", STANDS)
    after = venue.mailbox.items[stored.id]
    assert ["135790" in one.description for one in after.overrides] == [True] * AHEAD_MAX + [False] * 5


# --- series of our own ------------------------------------------------------------------------------------------------


def ours(rrule: str = "FREQ=DAILY;COUNT=6", *, moved: int = 2, missing: int = 4) -> CalendarItem:
    """A series booked here that crosses a change of clocks; one date is moved and renamed, one is left out."""
    start = datetime(2027, 3, 26, 10)  # noqa: DTZ001 - a wall time
    master = Entry(
        start=start,
        duration_s=1_800,
        zone="Europe/Oslo",
        subject="Stand-up",
        organizer=Person("ada@example.org", "Ada"),
        rrule=rrule,
        exdates=(start + timedelta(days=missing),),
    )
    original = start + timedelta(days=moved)
    other = replace(
        master,
        start=original + timedelta(hours=3),
        duration_s=3_600,
        subject="Stand-up, longer",
        rrule="",
        exdates=(),
        recurrence_id=original,
    )
    item = read_item(
        "s",
        to_calendar(
            CalendarItem(href="s", uid=Uid("s"), fingerprint="", master=master, overrides=(other,)), Venue()
        ),
    )
    assert isinstance(item, CalendarItem)
    return item


def text(item: CalendarItem) -> bytes:
    """The item as the outbox writes it."""
    return to_calendar(item, Venue())


def times(item: CalendarItem) -> list[tuple[int, int]]:
    """When it takes place."""
    found = expand(item, "UTC", 1_795_000_000, 1_900_000_000).occurrences
    return [(one.start_s, one.end_s) for one in found]


async def test_a_series_with_exceptions_is_written_and_known_again(venue: ExchangeVenue) -> None:
    """The moved and the missing date stand in the mailbox as they were booked, and come back as no news; no mail."""
    item = ours()
    await venue.source.write("s", text(item))
    (stored,) = venue.mailbox.items.values()
    there = replace(item, master=stored.master, overrides=stored.overrides)
    assert len(times(item)) == 5
    assert times(there) == times(item)
    (changed_one,) = stored.overrides
    assert changed_one.subject == "Stand-up, longer"
    for source in (venue.source, venue.standby):
        assert (await Held().follow(source)).prints == {"s": item.fingerprint}
    writes = len(venue.fake.requests)
    await venue.source.write("s", text(item))
    operations = {one.operation for one in venue.fake.requests[writes:]}
    assert operations == {"FindItem", "GetItem"}
    assert not venue.mailbox.mails


async def test_a_series_written_again_keeps_no_old_exceptions(venue: ExchangeVenue) -> None:
    """Other exceptions take the place of the old ones; the series is there once."""
    await venue.source.write("s", text(ours()))
    held = await Held().follow(venue.source)
    other = ours(moved=1, missing=5)
    await venue.source.write("s", text(other))
    await held.follow(venue.source)
    assert held.prints == {"s": other.fingerprint}
    (stored,) = venue.mailbox.items.values()
    assert [one.recurrence_id for one in stored.overrides] == [other.overrides[0].recurrence_id]
    assert stored.master.exdates == other.master.exdates if other.master else False


async def test_a_persons_exception_in_our_series_is_news(venue: ExchangeVenue) -> None:
    """What somebody moves in Outlook afterwards is theirs, beside what we had moved."""
    item = ours()
    await venue.source.write("s", text(item))
    held = await Held().follow(venue.source)
    (stored,) = venue.mailbox.items.values()
    original = stored.master.start + timedelta(days=1)
    theirs = replace(
        stored.master, start=original + timedelta(hours=1), rrule="", exdates=(), recurrence_id=original
    )
    venue.mailbox.put("s", stored.master, (*stored.overrides, theirs), item_id=stored.id)
    await held.follow(venue.source)
    assert held.prints["s"] != item.fingerprint
    (seen,) = held.items.values()
    assert len(seen.overrides) == 2


async def test_a_series_broken_off_in_the_middle_is_written_anew(venue: ExchangeVenue) -> None:
    """The server goes away after the master: tried again, the series is whole, and there once."""
    item = ours()
    cut = True

    async def breaks(_request: Request, asked: soap.Asked | None) -> Reply | None:
        if cut and asked is not None and asked.name == "DeleteItem":
            return Reply(503)
        return None

    venue.fake.trick = breaks
    with pytest.raises(Unavailable):
        await venue.source.write("s", text(item))
    cut = False
    fresh = source_of(server_of(venue.fake))
    await fresh.write("s", text(item))
    (stored,) = venue.mailbox.items.values()
    assert times(replace(item, master=stored.master, overrides=stored.overrides)) == times(item)
    assert (await Held().follow(fresh)).prints == {"s": item.fingerprint}
    await fresh.close()


async def test_one_occurrence_that_exchange_objects_to_keeps_no_other_back(venue: ExchangeVenue) -> None:
    """Moved over its neighbour: the rest of the series stands there, and a person is told."""
    item = ours()
    told = soap.response("UpdateItem", soap.failure("UpdateItem", "ErrorOccurrenceCrossingBoundary"))

    async def objects(request: Request, asked: soap.Asked | None) -> Reply | None:
        crossing = asked is not None and asked.name == "UpdateItem" and b"OccurrenceItemId" in request.body
        return Reply(200, told) if crossing else None

    venue.fake.trick = objects
    with pytest.raises(Refused, match="ErrorOccurrenceCrossingBoundary"):
        await venue.source.write("s", text(item))
    (stored,) = venue.mailbox.items.values()
    assert item.master is not None
    assert stored.master.exdates == item.master.exdates
    assert not stored.overrides


def test_occurrences_are_counted_by_the_pattern() -> None:
    """From 1, whatever is left out, over changes of clocks, and far beyond what one window of the calendar shows."""
    draft = writing.draft("s", text(ours(rrule="FREQ=DAILY;COUNT=3000", moved=2, missing=2_500)))
    assert [(index, fields is None) for index, fields in draft.changes] == [(3, False), (2_501, True)]
    weekly = writing.draft("s", text(ours(rrule="FREQ=WEEKLY;BYDAY=FR,SU;COUNT=9", moved=2, missing=7)))
    assert [index for index, _ in weekly.changes] == [2, 3]


async def test_what_exchange_can_not_hold_is_refused_before_anything_is_written(venue: ExchangeVenue) -> None:
    """An exception where the pattern has no meeting, and single dates beside a pattern, are sentences."""
    stray = ours(rrule="FREQ=WEEKLY;BYDAY=FR;COUNT=6", moved=2)
    assert stray.master is not None
    beside = replace(stray.master, exdates=(), rdates=(stray.master.start + timedelta(days=1),))
    for item in (stray, replace(stray, master=beside, overrides=())):
        with pytest.raises(Refused, match=r"by itself|by themselves"):
            await venue.source.write("s", text(item))
    assert not venue.mailbox.items
