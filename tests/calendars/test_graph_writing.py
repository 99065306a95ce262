"""Our own bookings in a room mailbox in Microsoft 365: written once, known again, moved by hand, mailed to nobody."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from meetkeeper.calendars.graph.ours import ITEM_PROPERTY
from meetkeeper.core.errors import MeetkeeperError, Refused, TheirMistake
from meetkeeper.core.identity import fingerprint
from meetkeeper.core.recurrence import expand
from meetkeeper.core.words import CalendarItem, Entry, Person, Uid
from meetkeeper.itemtext.writing import Venue, item_of, to_calendar
from meetkeeper.testing.contracts.calendar import ROOM_EMAIL, Held, booked, text_of, written
from meetkeeper.testing.fakes.graph.server import Request
from meetkeeper.testing.fakes.mailbox import Answer
from tests.calendars.graphvenue import GraphVenue


@pytest.fixture
async def venue() -> AsyncIterator[GraphVenue]:
    """A mailbox for each test."""
    venue = GraphVenue()
    await venue.open()
    yield venue
    await venue.close()


def series(*, moved: bool = False, rrule: str = "FREQ=WEEKLY;COUNT=4") -> CalendarItem:
    """A series booked here, with a date taken out and perhaps one moved."""
    at = datetime(2026, 12, 1, 10)  # noqa: DTZ001 - a wall time
    master = Entry(
        start=at,
        duration_s=3_600,
        zone="Europe/Oslo",
        subject="Weekly",
        organizer=Person("ada@example.org"),
        attendees=(Person("bo@example.org"),),
        modified_s=1_795_000_000,
        rrule=rrule,
        exdates=(at + timedelta(days=7),),
    )
    other = replace(
        master,
        start=at + timedelta(days=14, hours=3),
        recurrence_id=at + timedelta(days=14),
        rrule="",
        exdates=(),
    )
    overrides = (other,) if moved else ()
    return CalendarItem(
        href="", uid=Uid("s"), fingerprint=fingerprint(master, overrides), master=master, overrides=overrides
    )


def text(item: CalendarItem) -> bytes:
    """The item as the outbox writes it."""
    return to_calendar(item, Venue(rooms=(Person(ROOM_EMAIL, "Room"),)))


@pytest.mark.parametrize("moved", [False, True])
async def test_a_series_is_written_and_known_again(venue: GraphVenue, moved: bool) -> None:
    """Rule, missing and moved dates stand in the mailbox as they were booked, and come back as no news."""
    item = series(moved=moved)
    await venue.source.write("s", text(item))
    (stored,) = venue.mailbox.items.values()
    span = (1_795_000_000, 1_800_000_000)
    there = CalendarItem(
        href="", uid=Uid("-"), fingerprint="", master=stored.master, overrides=stored.overrides
    )
    times = [(one.start_s, one.end_s) for one in expand(item, "UTC", *span).occurrences]
    assert [(one.start_s, one.end_s) for one in expand(there, "UTC", *span).occurrences] == times
    assert len(times) == 3
    held = await Held().follow(venue.standby)
    assert held.prints == {"s": item.fingerprint}


async def test_a_series_written_again_keeps_no_old_exceptions(venue: GraphVenue) -> None:
    """A changed series replaces the old one whole, and is there once."""
    await venue.source.write("s", text(series(moved=True)))
    held = await Held().follow(venue.source)
    plain = series(rrule="FREQ=DAILY;COUNT=9")
    await venue.source.write("s", text(plain))
    await held.follow(venue.source)
    assert held.prints == {"s": plain.fingerprint}
    assert len(venue.mailbox.items) == 1


async def test_a_rule_that_graph_lacks_is_refused_before_anything_is_written(venue: GraphVenue) -> None:
    """A series without counterpart is refused in a sentence; the calendar stays as it was."""
    with pytest.raises(TheirMistake, match="no recurrence like"):
        await venue.source.write("s", text(series(rrule="FREQ=DAILY;BYDAY=MO;COUNT=3")))
    assert not venue.mailbox.items


async def test_nobody_is_mailed(venue: GraphVenue) -> None:
    """Written, written again, moved to a series and removed: no mail leaves the mailbox, because nobody is in it."""
    await venue.source.write("w", written(booked("w")))
    await venue.source.write("w", written(booked("w", "Later")))
    await venue.source.write("s", text(series(moved=True)))
    assert all(not stored.master.attendees for stored in venue.mailbox.items.values())
    await venue.source.remove("w")
    await venue.source.remove("s")
    assert (venue.mailbox.items, venue.mailbox.mails) == ({}, [])


async def test_the_way_in_stands_in_the_text(venue: GraphVenue) -> None:
    """What people read in Outlook is the description and the block with the way in."""
    await venue.source.write("w", written(booked("w")))
    (stored,) = venue.mailbox.items.values()
    assert "Second; with, signs \\ and æøå" in stored.master.description
    assert "Join: https://meet.example/join/abc" in stored.master.description


async def test_a_hand_in_outlook_is_a_newer_copy(venue: GraphVenue) -> None:
    """Moved by a person, the booking keeps UID, people and text, has the new time, and is newer than what we wrote."""
    meeting = booked("w")
    await venue.source.write("w", written(meeting))
    (stored,) = venue.mailbox.items.values()
    moved = replace(stored.master, start=stored.master.start + timedelta(hours=2))
    venue.mailbox.put(stored.uid, moved, item_id=stored.id)
    held = await Held().follow(venue.source)
    (item,) = held.items.values()
    told = item_of(meeting).master
    assert item.master is not None
    assert told is not None
    assert item.uid == "w"
    assert item.master.start == told.start + timedelta(hours=2)
    assert (item.master.organizer, item.master.attendees) == (told.organizer, told.attendees)
    assert item.master.description == told.description
    assert (item.master.sequence, item.master.modified_s) > (told.sequence, told.modified_s)
    before = held.prints
    venue.clock.now_s += 60
    venue.mailbox.put(stored.uid, moved, item_id=stored.id)
    assert (await held.follow(venue.source)).prints == before


async def test_a_deleted_booking_is_gone_and_can_be_written_anew(venue: GraphVenue) -> None:
    """A person deletes it in Outlook: it is gone; written again it is there again, though the request is the same."""
    await venue.source.write("w", written(booked("w")))
    held = await Held().follow(venue.source)
    (stored,) = venue.mailbox.items.values()
    venue.mailbox.remove(stored.id)
    await held.follow(venue.source)
    assert not held.items
    await venue.source.write("w", written(booked("w")))
    await held.follow(venue.source)
    assert held.prints == {"w": item_of(booked("w")).fingerprint}


async def test_an_answer_that_got_lost_makes_no_second_item(venue: GraphVenue) -> None:
    """Cut off after the mailbox had taken it, the same booking written again stands there once."""

    async def takes_and_hangs_up(writer: asyncio.StreamWriter, request: Request) -> None:
        await venue.graph.honest(request)
        writer.close()

    venue.graph.tricks["create"] = takes_and_hangs_up
    with pytest.raises(MeetkeeperError):
        await venue.source.write("w", written(booked("w")))
    venue.graph.tricks.clear()
    await venue.source.write("w", written(booked("w")))
    assert len(venue.mailbox.items) == 1


async def test_two_servers_that_write_at_once_make_one_item(venue: GraphVenue) -> None:
    """Both find nothing and create: the mailbox knows the second request as the first one again."""
    venue.graph.slow_s = 0.05
    both = (venue.source, venue.standby)
    await asyncio.gather(*(source.write("w", written(booked("w"))) for source in both))
    assert venue.graph.kinds["create"] == 2
    assert len(venue.mailbox.items) == 1


async def test_other_peoples_meetings_are_left_alone(venue: GraphVenue) -> None:
    """A meeting with people in it that the room organizes is not touched: Exchange would mail them."""
    organized = Entry(
        start=datetime(2026, 12, 1, 10),  # noqa: DTZ001 - a wall time
        duration_s=3_600,
        zone="UTC",
        organizer=Person(ROOM_EMAIL),
        attendees=(Person("bo@example.org"),),
    )
    venue.mailbox.put("theirs", organized, answer=Answer.ORGANIZER)
    for verb in (venue.source.write("theirs", written(booked("theirs"))), venue.source.remove("theirs")):
        with pytest.raises(Refused, match="decide by hand"):
            await verb
    assert (len(venue.mailbox.items), venue.mailbox.mails) == (1, [])


async def test_a_calendar_that_is_not_to_be_written_is_not(venue: GraphVenue) -> None:
    """Without `write` nothing is sent."""
    source = venue.look(write=False)
    for verb in (source.write("w", written(booked("w"))), source.remove("w")):
        with pytest.raises(Refused, match="not to be written"):
            await verb
    assert not venue.graph.requests


@pytest.mark.parametrize("value", ["", "junk", "eJw=", "x" * 2_000_000])
async def test_a_spoilt_property_costs_nothing_but_itself(venue: GraphVenue, value: str) -> None:
    """Somebody wrote over our property: what the calendar shows is taken as it is."""
    await venue.source.write("w", written(booked("w")))
    (stored,) = venue.mailbox.items.values()
    properties = dict(stored.properties) | {ITEM_PROPERTY: value}
    venue.mailbox.put(stored.uid, stored.master, item_id=stored.id, properties=tuple(properties.items()))
    (item,) = (await Held().follow(venue.source)).items.values()
    assert item.master is not None
    assert item.master.subject == "Booked here"
    assert item.master.duration_s == 5_400


async def test_quotes_in_a_uid_harm_nothing(venue: GraphVenue) -> None:
    """A UID with OData's own signs finds itself and nothing else."""
    await venue.put("a.ics", text_of("a"))
    odd = "x' or type eq 'singleInstance"
    await venue.source.write(odd, written(booked(odd)))
    assert len(venue.mailbox.items) == 2
    await venue.source.remove(odd)
    assert [stored.uid for stored in venue.mailbox.items.values()] == ["a"]
