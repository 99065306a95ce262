"""What every calendar must do that can write how to join into somebody else's items: inherit beside `CalendarContract`.

The point of it all: what we wrote ourselves is no news. Whatever the calendar makes of the body, the item that is read
afterwards has the fingerprint that it had before.
"""

from abc import abstractmethod
from typing import Protocol

from meetkeeper.core.joinblock import block_of
from meetkeeper.ports.calendar import Annotating
from meetkeeper.testing.contracts.calendar import CalendarVenue, Held, text_of

STANDS = block_of(
    "abc", [("Join", "https://meet.example/join/abc"), ("PIN", "135790"), ("Video system", "abc@v.example")]
)
WAITS = block_of("abc", [("", "How to join follows.")])
AGENDA = (
    "DESCRIPTION:Agenda\\, first draft\\n\\n1. Budget æøå\\n"
    "2. A line that is so long that a calendar may well break it\\n"
)


class AnnotatingVenue(CalendarVenue, Protocol):
    """A calendar whose items' bodies can be looked at as another program sees them."""

    @abstractmethod
    async def body(self, name: str) -> str:
        """The text of the body of what stands under this name."""


def _of(venue: AnnotatingVenue) -> Annotating:
    assert isinstance(venue.source, Annotating)
    return venue.source


class AnnotatingContract:
    """The suite. The subclass gives the fixture `venue`, as for `CalendarContract`."""

    async def test_our_own_writing_is_no_news(self, venue: AnnotatingVenue) -> None:
        """Written, corrected and taken out, the item keeps its fingerprint, and nothing else changes or goes."""
        await venue.put("a.ics", text_of("a", "Talk", AGENDA))
        await venue.put("b.ics", text_of("b"))
        held = await Held().follow(venue.source)
        before = held.prints
        for block, inside in ((WAITS, "How to join follows."), (STANDS, "135790"), (None, "")):
            assert await _of(venue).annotate("a", block) is True
            body = await venue.body("a.ics")
            assert inside in body
            assert body.count("Join online [abc]") == (0 if block is None else 1)
            assert "Budget æøå" in body
            await held.follow(venue.source)
            assert (held.prints, held.gone, held.problems) == (before, set(), {})
            (item,) = (one for one in held.items.values() if one.uid == "a")
            assert item.blocks == (() if block is None else ("abc",))
            assert (await Held().follow(venue.standby)).prints == before

    async def test_writing_the_same_again_changes_nothing(self, venue: AnnotatingVenue) -> None:
        """A repeated effect leaves one block, and the fingerprint."""
        await venue.put("a.ics", text_of("a"))
        held = await Held().follow(venue.source)
        before = held.prints
        for _ in range(2):
            assert await _of(venue).annotate("a", STANDS) is True
        assert (await venue.body("a.ics")).count("135790") == 1
        assert (await held.follow(venue.source)).prints == before

    async def test_a_series_says_it_too(self, venue: AnnotatingVenue) -> None:
        """A repeating item takes the block and stays the series that it was."""
        await venue.put("a.ics", text_of("a", "Talk", "RRULE:FREQ=DAILY;COUNT=3", AGENDA))
        held = await Held().follow(venue.source)
        before = held.prints
        assert await _of(venue).annotate("a", STANDS) is True
        assert "135790" in await venue.body("a.ics")
        assert (await held.follow(venue.source)).prints == before

    async def test_what_is_not_there_is_not_written(self, venue: AnnotatingVenue) -> None:
        """An item that has gone meanwhile is told as that, and none is made."""
        await venue.put("a.ics", text_of("a"))
        await venue.delete("a.ics")
        assert await _of(venue).annotate("a", STANDS) is False
        assert await _of(venue).annotate("never-there", None) is False
        assert (await Held().follow(venue.source)).uids == set()

    async def test_a_persons_change_after_ours_is_news(self, venue: AnnotatingVenue) -> None:
        """Ignoring our own hand does not mean ignoring theirs."""
        await venue.put("a.ics", text_of("a", "Talk", AGENDA))
        held = await Held().follow(venue.source)
        before = held.prints
        await _of(venue).annotate("a", STANDS)
        await held.follow(venue.source)
        await venue.put("a.ics", text_of("a", "Talk", "DESCRIPTION:Another agenda"))
        assert (await held.follow(venue.source)).prints != before
