"""How to join, written into a series in a room mailbox: its master says it, and what was changed says it too."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from meetkeeper.calendars.exchange.mapping import AHEAD_MAX
from meetkeeper.core.words import Entry, Person
from meetkeeper.ports.calendar import Annotating
from meetkeeper.testing.contracts.annotating import STANDS
from meetkeeper.testing.contracts.calendar import Held
from meetkeeper.testing.fakes.exchange import soap
from meetkeeper.testing.fakes.exchange.items import occurrence_id
from meetkeeper.testing.fakes.exchange.server import FakeExchange
from meetkeeper.testing.fakes.exchange.wire import Reply, Request
from meetkeeper.testing.fakes.mailbox import Stored
from tests.calendars.exchangevenue import PASSWORD, USER, ExchangeVenue

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
    fake = FakeExchange()
    fake.logins[USER] = PASSWORD
    fake.impersonators = {USER}
    await fake.start()
    venue = ExchangeVenue(fake)
    yield venue
    await venue.close()
    assert not fake.complaints


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
