"""A room mailbox in Microsoft 365 keeps the contract, as the fake Graph serves it over real HTTP."""

from asyncio import StreamWriter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from meetkeeper.core.errors import Refused, TheirMistake, Unavailable
from meetkeeper.core.words import Entry, Person
from meetkeeper.ports.calendar import Annotating
from meetkeeper.testing.contracts.annotating import STANDS, AnnotatingContract
from meetkeeper.testing.contracts.calendar import CalendarContract, Held, text_of
from meetkeeper.testing.fakes.graph.server import Request, spelled
from meetkeeper.testing.fakes.mailbox import Answer
from tests.calendars.graphvenue import GraphVenue


@pytest.fixture
async def graph_venue() -> AsyncIterator[GraphVenue]:
    """A mailbox for each test."""
    venue = GraphVenue()
    await venue.open()
    yield venue
    await venue.close()


class TestGraph(CalendarContract, AnnotatingContract):
    """The whole contract."""

    @pytest.fixture
    def venue(self, graph_venue: GraphVenue) -> GraphVenue:
        """Honest in every way."""
        return graph_venue


class TestGraphRepeating(CalendarContract):
    """The contract where every entry of a round comes twice, an older version last, on pages of three."""

    @pytest.fixture
    def venue(self, graph_venue: GraphVenue) -> GraphVenue:
        """As Graph may do by its own documentation."""
        graph_venue.graph.api.repeats = True
        graph_venue.graph.api.page_max = 3
        return graph_venue


class TestGraphElsewhere(CalendarContract):
    """The contract on a cloud that lacks exceptionOccurrences, sends HTML, and leaves masters out of rounds."""

    @pytest.fixture
    def venue(self, graph_venue: GraphVenue) -> GraphVenue:
        """A national cloud a release behind."""
        graph_venue.graph.api.knows_exceptions = False
        graph_venue.graph.api.html_only = True
        graph_venue.graph.api.masters_in_rounds = False
        return graph_venue


ONLINE = (
    "<html><body><p>Agenda</p><div>____<br>"
    '<a href="https://teams.example/l/meetup-join/x?a=1&amp;b=2">Join the meeting now</a></div></body></html>'
)


async def test_an_online_meetings_html_stays_what_it_was() -> None:
    """Our block comes before the end of the body and goes again; the platform's own part keeps every character."""
    venue = GraphVenue()
    await venue.open()
    try:
        await venue.put("a.ics", text_of("a"))
        stored = venue.mailbox.items[venue.ids["a.ics"]]
        venue.mailbox.put("a", stored.master, item_id=stored.id, body_html=ONLINE)
        held = await Held().follow(venue.source)
        before = held.prints
        source = venue.source
        assert isinstance(source, Annotating)
        assert await source.annotate("a", STANDS)
        body = await venue.body("a.ics")
        assert body.startswith(ONLINE.removesuffix("</body></html>"))
        assert "135790" in body
        assert (await held.follow(source)).prints == before
        assert await source.annotate("a", None)
        assert await venue.body("a.ics") == ONLINE
        assert venue.mailbox.mails == []
    finally:
        await venue.close()


@pytest.mark.parametrize("times", [1, 100])
async def test_somebody_who_is_quicker_loses_nothing(times: int) -> None:
    """Between our reading of a body and our writing somebody saves the item: it is read again, never overwritten."""
    venue = GraphVenue()
    await venue.open()
    try:
        await venue.put("a.ics", text_of("a", "Talk", "DESCRIPTION:First"))
        saved: list[str] = []

        async def quicker(writer: StreamWriter, request: Request) -> None:
            if len(saved) < times:
                saved.append(f"Save {len(saved)}")
                stored = venue.mailbox.items[venue.ids["a.ics"]]
                newer = replace(stored.master, description=saved[-1])
                venue.mailbox.put("a", newer, item_id=stored.id)
            writer.write(spelled(await venue.graph.honest(request)))

        venue.graph.tricks["patch"] = quicker
        source = venue.source
        assert isinstance(source, Annotating)
        if times == 1:
            assert await source.annotate("a", STANDS)
        else:
            with pytest.raises(Unavailable, match="changes all the time"):
                await source.annotate("a", STANDS)
        body = await venue.body("a.ics")
        assert body.startswith(saved[-1])
        assert ("135790" in body) == (times == 1)
    finally:
        await venue.close()


async def test_changed_occurrences_say_how_to_join_too() -> None:
    """Master and what lies ahead, each in its own kind; what is over keeps its words; taken out, all is as before."""
    venue = GraphVenue()
    await venue.open()
    try:
        start = datetime.fromtimestamp(venue.clock() // 86_400 * 86_400 - 14 * 86_400, UTC).replace(
            tzinfo=None
        )
        master = Entry(
            start=start, duration_s=1_800, zone="UTC", description="Agenda", rrule="FREQ=DAILY;COUNT=60"
        )

        def changed(day: int, words: str) -> Entry:
            original = start + timedelta(days=day)
            return replace(
                master,
                start=original + timedelta(hours=1),
                rrule="",
                description=words,
                recurrence_id=original,
            )

        past, plain, rich = changed(2, "It was so"), changed(20, "Bring cake"), changed(21, "")
        assert rich.recurrence_id is not None
        stored = venue.mailbox.put("s", master, (past, plain, rich), bodies=((rich.recurrence_id, ONLINE),))
        held = await Held().follow(venue.source)
        before = held.prints
        source = venue.source
        assert isinstance(source, Annotating)
        assert await source.annotate("s", STANDS)
        after = venue.mailbox.items[stored.id]
        words = {one.recurrence_id: one.description for one in after.overrides}
        assert "135790" in after.master.description
        assert words[plain.recurrence_id].startswith("Bring cake")
        assert "135790" in words[plain.recurrence_id]
        assert words[past.recurrence_id] == "It was so"
        ((_, html),) = after.bodies
        assert html.startswith(ONLINE.removesuffix("</body></html>"))
        assert "135790" in html
        assert (await held.follow(source)).prints == before
        assert await source.annotate("s", None)
        gone = venue.mailbox.items[stored.id]
        assert {one.recurrence_id: one.description for one in gone.overrides} == {
            one.recurrence_id: one.description for one in stored.overrides
        }
        assert (gone.master.description, gone.bodies) == ("Agenda", stored.bodies)
        assert not venue.mailbox.mails
    finally:
        await venue.close()


async def test_an_item_without_an_etag_is_not_written() -> None:
    """What can't be changed safely is left as it is, with a sentence."""
    venue = GraphVenue()
    await venue.open()
    try:
        await venue.put("a.ics", text_of("a", "Talk", "DESCRIPTION:First"))

        async def nameless(writer: StreamWriter, request: Request) -> None:
            reply = await venue.graph.honest(request)
            assert isinstance(reply.body, dict)
            reply.body.pop("@odata.etag", None)
            writer.write(spelled(reply))

        venue.graph.tricks["get"] = nameless
        source = venue.source
        assert isinstance(source, Annotating)
        with pytest.raises(TheirMistake, match="etag"):
            await source.annotate("a", STANDS)
        assert await venue.body("a.ics") == "First"
    finally:
        await venue.close()


async def test_a_copy_that_would_mail_people_is_left_alone() -> None:
    """An item that the room itself organizes for others is refused, and nobody is mailed."""
    venue = GraphVenue()
    await venue.open()
    try:
        await venue.put("a.ics", text_of("a"))
        stored = venue.mailbox.items[venue.ids["a.ics"]]
        asked = replace(stored.master, organizer=None, attendees=(Person("bo@example.org"),))
        venue.mailbox.put("a", asked, item_id=stored.id, answer=Answer.ORGANIZER)
        source = venue.source
        assert isinstance(source, Annotating)
        with pytest.raises(Refused):
            await source.annotate("a", STANDS)
        assert venue.mailbox.mails == []
    finally:
        await venue.close()
