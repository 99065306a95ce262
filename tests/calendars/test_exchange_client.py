"""A room mailbox of the fake Exchange keeps the contract of every calendar."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from meetkeeper.calendars.exchange.annotating import annotate
from meetkeeper.calendars.exchange.soap import Node, check
from meetkeeper.calendars.exchange.terms import Ask
from meetkeeper.ports.calendar import Annotating
from meetkeeper.testing.contracts.annotating import STANDS, AnnotatingContract
from meetkeeper.testing.contracts.calendar import ROOM_EMAIL, CalendarContract, Held, text_of
from tests.calendars.exchangevenue import ExchangeVenue, fresh, server_of


@pytest.fixture
async def venue() -> AsyncIterator[ExchangeVenue]:
    """A fresh fake with an empty mailbox."""
    async with fresh() as venue:
        yield venue


class TestExchange(CalendarContract, AnnotatingContract):
    """The suite on EWS."""


ONLINE = (
    '<html><body><p>Agenda</p><p>1. Budget</p><div class="me-email-text">____<br>'
    '<a href="https://teams.example/l/meetup-join/x?a=1&amp;b=2">Join the meeting now</a></div></body></html>'
)


async def test_an_online_meetings_html_stays_what_it_was(venue: ExchangeVenue) -> None:
    """Our block comes before the end of the body and goes again; the platform's own part keeps every character."""
    await venue.put("a.ics", text_of("a"))
    stored = venue.mailbox.find("a")
    assert stored is not None
    venue.mailbox.put("a", stored.master, item_id=stored.id, body_html=ONLINE)
    held = await Held().follow(venue.source)
    source = venue.source
    assert isinstance(source, Annotating)
    assert await source.annotate("a", STANDS)
    body = await venue.body("a.ics")
    assert body.startswith(ONLINE.removesuffix("</body></html>"))
    assert "135790" in body
    before = held.prints
    assert (await held.follow(venue.source)).prints == before
    assert await source.annotate("a", None)
    assert await venue.body("a.ics") == ONLINE
    assert venue.mailbox.mails == []


async def test_place_links_and_resources_of_an_item_are_read(venue: ExchangeVenue) -> None:
    """Location and the online meeting's own property reach the entry: a stripped body hides no link."""
    lines = ("LOCATION:Oslo 3", "URL:https://teams.microsoft.com/l/meetup-join/19%3ax/0")
    await venue.put("a.ics", text_of("a", "Talk", *lines))
    (item,) = (await Held().follow(venue.source)).items.values()
    assert item.master is not None
    assert item.master.location == "Oslo 3"
    assert item.master.links == ("https://teams.microsoft.com/l/meetup-join/19%3ax/0",)
    assert item.master.resources == ()


async def test_the_time_of_the_last_change_is_no_change(venue: ExchangeVenue) -> None:
    """Every write moves LastModifiedTime; the item stays the one it was."""
    await venue.put("a.ics", text_of("a"))
    held = await Held().follow(venue.source)
    before = held.prints
    stored = venue.mailbox.find("a")
    assert stored is not None
    touched = replace(stored.master, modified_s=stored.master.modified_s + 60)
    venue.mailbox.put("a", touched, item_id=stored.id)
    assert (await held.follow(venue.source)).prints == before


async def test_somebody_who_is_quicker_loses_nothing(venue: ExchangeVenue) -> None:
    """Between our reading of a body and our writing somebody saves the item: it is read again, and both stand there."""
    await venue.put("a.ics", text_of("a", "Talk", "DESCRIPTION:First"))
    stored = venue.mailbox.find("a")
    assert stored is not None
    server = server_of(venue.fake)
    server.join()
    asked: list[Ask] = []

    async def ask(make: Ask) -> tuple[Node, ...]:
        asked.append(make)
        if len(asked) == 2:
            venue.mailbox.put("a", replace(stored.master, description="Second"), item_id=stored.id)
        until = asyncio.get_running_loop().time() + 60
        return tuple(check(one) for one in await server.ask(ROOM_EMAIL, make, until))

    assert await annotate(ask, stored.id, STANDS, "the fake")
    assert len(asked) == 4
    body = await venue.body("a.ics")
    assert body.startswith("Second")
    assert "135790" in body
    assert not await annotate(ask, "nothing-there", STANDS, "the fake")
    await server.leave()
