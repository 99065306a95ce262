"""Writing: what we write reads back as what we meant, in our reader and in a foreign one."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import msgspec
import pytest
import recurring_ical_events
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.core.configuration import ClusterConfig, Config, RoomConfig
from meetkeeper.core.errors import OurMistake
from meetkeeper.core.identity import fingerprint, meeting_id
from meetkeeper.core.state import Series
from meetkeeper.core.words import Alias, CalendarItem, Entry, Meeting, Person, RoomId, Uid, Vmr
from meetkeeper.itemtext.reading import read_item
from meetkeeper.itemtext.roomitem import room_item
from meetkeeper.itemtext.writing import Conference, Venue, entry_of, item_of, to_calendar
from tests.calendars.texts import wall

ROOM = Person("room@example.org", "Big, room")
VENUE = Venue(
    rooms=(ROOM, Person("", "No address")),
    conference=(Conference("https://meet.example/join/abc", "Join; now"), Conference("sip:abc@meet.example")),
    join_block="---- Join online [abc] ----\nJoin: x\n---- End [abc] ----\n",
)
ZONES = ["UTC", "Europe/Oslo", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca"]
_TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]) | st.just(" "),
    max_size=80,
)
ONE_LINE = _TEXTS.map(lambda text: " ".join(text.split())).filter(
    lambda text: "\ufffe" not in text and "\uffff" not in text
)
PEOPLE = st.lists(
    st.builds(Person, st.from_regex(r"[a-z0-9._+%&'-]{1,20}@[a-z]{1,10}\.org", fullmatch=True), ONE_LINE),
    max_size=4,
).map(lambda people: tuple({person.email: person for person in people}.values()))
MEETINGS = st.builds(
    Meeting,
    id=st.just(meeting_id(Uid("u"), None)),
    uid=ONE_LINE.filter(bool).map(Uid),
    subject=ONE_LINE,
    organizer=st.builds(Person, st.just("ada@example.org"), ONE_LINE),
    rooms=st.just((RoomId("a"),)),
    start_s=st.integers(1_700_000_000, 2_000_000_000),
    end_s=st.integers(2_000_000_001, 2_000_000_000 + 86_400),
    time_zone=st.sampled_from(ZONES),
    invitees=PEOPLE,
    sequence=st.integers(0, 1000),
    modified_s=st.integers(0, 2_000_000_000),
    description=st.lists(ONE_LINE, max_size=4).map(lambda lines: "\n".join(lines).strip()),
    private=st.booleans(),
)


def read(text: bytes) -> CalendarItem:
    """What we ourselves read in it, as the room it was written for."""
    item = read_item("a.ics", text, own_email=ROOM.email)
    assert isinstance(item, CalendarItem), item
    return item


def echoed(item: CalendarItem) -> CalendarItem:
    """The item written and read back."""
    return read(to_calendar(item, VENUE))


@given(MEETINGS, st.integers(60, 86_400))
def test_a_meeting_comes_back_as_it_was_written(meeting: Meeting, seconds: int) -> None:
    """Writing a meeting and reading it back gives the same entry, fingerprint and instants, in any zone, on any day."""
    meeting = msgspec.structs.replace(meeting, end_s=meeting.start_s + seconds)
    item = item_of(meeting)
    back = echoed(item)
    assert (back.master, back.fingerprint, back.uid) == (item.master, item.fingerprint, item.uid)
    assert back.remarks == ()
    assert back.master is not None
    begin = back.master.start.replace(tzinfo=ZoneInfo(back.master.zone))
    assert (begin.timestamp(), back.master.duration_s) == (meeting.start_s, seconds)


@given(st.integers(0, 20_000), st.integers(1, 30), st.sampled_from(ZONES))
def test_whole_days_come_back_as_days(day: int, days: int, zone: str) -> None:
    """An all-day meeting is written as dates and read as the same dates, however clocks change in between."""
    begin = datetime(1990, 1, 1, tzinfo=ZoneInfo(zone)) + timedelta(days=day)
    meeting = _meeting(
        int(begin.timestamp()), int((begin + timedelta(days=days)).timestamp()), zone, all_day=True
    )
    item = item_of(meeting)
    assert echoed(item).master == item.master
    assert item.master is not None
    assert (item.master.start.date(), item.master.duration_s) == (begin.date(), days * 86_400)


@given(
    st.sampled_from([*ZONES, ""]),
    st.sampled_from(["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO,TU;INTERVAL=2", "FREQ=MONTHLY;BYDAY=-1FR;COUNT=9"]),
    st.lists(st.integers(0, 400), max_size=5, unique=True).map(sorted),
    st.booleans(),
    st.booleans(),
)
def test_a_series_comes_back_as_it_was_written(
    zone: str, rule: str, days: list[int], all_day: bool, with_master: bool
) -> None:
    """Rules, single dates, exceptions and overrides come back the same, with and without a master."""
    zone = "" if all_day else zone
    start = wall(2026, 1, 5) if all_day else wall(2026, 1, 5, 9, 30)
    dates = tuple(start + timedelta(days=day) for day in days)
    seconds = 86_400 if all_day else 3600
    master = Entry(
        start=start,
        duration_s=seconds,
        zone=zone,
        all_day=all_day,
        rrule=rule,
        rdates=dates[1:],
        exdates=dates[:2],
    )
    overrides = tuple(
        Entry(
            start=date + timedelta(days=1),
            duration_s=seconds,
            zone=zone,
            all_day=all_day,
            subject="moved",
            recurrence_id=date,
            cancelled=number == 1,
            this_and_future=number == 0,
        )
        for number, date in enumerate(dates)
    )
    kept = master if with_master or not overrides else None
    item = CalendarItem(
        href="", uid=Uid("s"), fingerprint=fingerprint(kept, overrides), master=kept, overrides=overrides
    )
    back = echoed(item)
    assert (back.master, back.overrides, back.fingerprint) == (item.master, item.overrides, item.fingerprint)


def test_a_time_that_clocks_show_twice_is_the_right_one() -> None:
    """The second 02:30 of the night when summer time ends is written in UTC, a second end as a duration."""
    second = int(datetime(2026, 10, 25, 1, 30, tzinfo=UTC).timestamp())
    back = echoed(item_of(_meeting(second, second + 3600, "Europe/Oslo"))).master
    assert back is not None
    assert (back.zone, back.start) == ("UTC", wall(2026, 10, 25, 1, 30))
    ends_twice = item_of(_meeting(second - 7200, second, "Europe/Oslo"))
    assert b"DURATION:PT7200S" in to_calendar(ends_twice, VENUE)
    assert echoed(ends_twice).master == ends_twice.master


def test_nobodys_server_is_to_mail_our_invitees() -> None:
    """Organizer and every attendee, rooms among them, are marked SCHEDULE-AGENT=CLIENT, and there is no METHOD."""
    text = to_calendar(item_of(_meeting(1_790_000_000, 1_790_003_600, "UTC")), VENUE).replace(b"\r\n ", b"")
    people = [line for line in text.splitlines() if line.startswith((b"ORGANIZER", b"ATTENDEE"))]
    assert len(people) == 3
    assert all(b"SCHEDULE-AGENT=CLIENT" in line for line in people)
    assert b"METHOD" not in text
    assert b"CUTYPE=ROOM" in people[-1]


def test_a_foreign_reader_sees_the_same_meeting() -> None:
    """The icalendar package and its expander find rooms, doors and the very instants we meant."""
    start_s = int(datetime(2026, 3, 27, 8, tzinfo=UTC).timestamp())
    entry = entry_of(_meeting(start_s, start_s + 3600, "Europe/Oslo"))
    master = msgspec.structs.replace(entry, rrule="FREQ=DAILY;COUNT=4", exdates=(wall(2026, 3, 28, 9),))
    item = CalendarItem(href="", uid=Uid("s"), fingerprint="", master=master)
    foreign: Any = icalendar.Calendar.from_ical(to_calendar(item, VENUE))
    found = recurring_ical_events.of(foreign).between((2026, 3, 1), (2026, 4, 30))
    assert [event["DTSTART"].dt.astimezone(UTC).hour for event in found] == [8, 7, 7]
    assert [str(way) for way in found[0]["CONFERENCE"]] == [
        "https://meet.example/join/abc",
        "sip:abc@meet.example",
    ]
    assert found[0]["LOCATION"] == "Big, room, No address"
    assert "---- Join online [abc] ----" in found[0]["DESCRIPTION"]


def test_texts_can_not_break_out_of_their_lines() -> None:
    """Line breaks and control characters in names, addresses and doors stay inside their property."""
    evil = "x\r\nATTENDEE:mailto:evil@example.org\r\n"
    meeting = msgspec.structs.replace(
        _meeting(1_790_000_000, 1_790_003_600, "UTC"),
        subject=evil,
        description=evil,
        organizer=Person("ada@example.org\r\nX:y", evil),
        invitees=(Person("bo@example.org", evil),),
    )
    venue = Venue(rooms=(Person("", evil),), conference=(Conference(evil, evil),))
    text = to_calendar(item_of(meeting), venue).replace(b"\r\n ", b"")
    assert text.count(b"\r\nATTENDEE") == 1
    assert b"\r\nX:y" not in text


def test_a_rule_is_written_as_servers_want_it() -> None:
    """UNTIL of a zoned series is an instant in UTC; a rule that is none is our own mistake."""
    entry = Entry(
        start=wall(2026, 1, 5, 9),
        duration_s=60,
        zone="Europe/Oslo",
        rrule="UNTIL=20260601T090000;FREQ=DAILY",
    )
    item = CalendarItem(href="", uid=Uid("s"), fingerprint="", master=entry)
    assert b"RRULE:FREQ=DAILY;UNTIL=20260601T070000Z\r\n" in to_calendar(item, VENUE)
    broken = msgspec.structs.replace(item, master=msgspec.structs.replace(entry, rrule="now and then"))
    with pytest.raises(OurMistake, match="RRULE"):
        to_calendar(broken, VENUE)


def test_a_room_item_names_rooms_and_doors() -> None:
    """What the outbox has written into a room's calendar: UID, rooms, join block; the same bytes at any time."""
    config = Config(
        cluster=ClusterConfig(secret="s" * 32, public_url="https://meet.example"),
        rooms=(RoomConfig(id="a", name="Fjord", email="Fjord@example.org"), RoomConfig(id="b")),
    )
    meeting = msgspec.structs.replace(
        _meeting(1_790_000_000, 1_790_003_600, "Europe/Oslo"), vmr=Vmr(Alias("abc"), "123", "4711", "x")
    )
    uid, text = room_item(config, meeting, None, 1.0)
    assert (uid, text) == room_item(config, meeting, None, 2.0)
    unfolded = text.replace(b"\r\n ", b"")
    assert uid == meeting.uid
    assert b"LOCATION:Fjord\r\n" in unfolded
    assert b"mailto:fjord@example.org" in unfolded
    assert b"https://meet.example/join/abc" in unfolded
    assert b"PIN: 4711" in unfolded
    with pytest.raises(OurMistake):
        room_item(config, None, None, 1.0)


def test_a_series_item_fills_what_overrides_leave_out() -> None:
    """An override made here carries only what it changes; the room's calendar shows it whole."""
    config = Config(cluster=ClusterConfig(secret="s" * 32), rooms=(RoomConfig(id="a", name="Fjord"),))
    master = Entry(start=wall(2026, 1, 5, 9), duration_s=3600, zone="Europe/Oslo", rrule="FREQ=DAILY")
    moved = Entry(
        start=wall(2026, 1, 6, 11),
        duration_s=3600,
        zone="Europe/Oslo",
        recurrence_id=wall(2026, 1, 6, 9),
    )
    item = CalendarItem(href="", uid=Uid("s"), fingerprint="", master=master, overrides=(moved,))
    series = Series(
        uid=Uid("s"),
        subject="Daily",
        organizer=Person("ada@example.org"),
        rooms=(RoomId("a"),),
        sequence=3,
        item=item,
    )
    uid, text = room_item(config, None, series, 1.0)
    back = read(text)
    assert uid == "s"
    assert [(entry.subject, entry.sequence) for entry in (back.master, *back.overrides) if entry] == [
        ("Daily", 3)
    ] * 2


def _meeting(start_s: int, end_s: int, zone: str, *, all_day: bool = False) -> Meeting:
    return Meeting(
        id=meeting_id(Uid("u"), None),
        uid=Uid("u@example.org"),
        subject="Talk",
        organizer=Person("ada@example.org", "Ada"),
        rooms=(RoomId("a"),),
        start_s=start_s,
        end_s=end_s,
        time_zone=zone,
        invitees=(Person("bo@example.org"),),
        all_day=all_day,
    )
