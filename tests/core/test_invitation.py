"""What an invitee must read, as values: times, places, doors and changes, and nothing that is private."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.core.invitation import (
    PRIVATE_TITLE,
    UNTITLED,
    Change,
    Kind,
    changes_between,
    first_span,
    join_block,
    of_meeting,
    of_series,
    one_line,
    person_name,
    say_when,
    title_of,
)
from meetkeeper.core.joinblock import without_block
from meetkeeper.core.words import START_MAX_S, Person, RoomId
from tests.mail.samples import CONFIG, at, entry, meeting, series, wall


def test_when_is_said_in_the_zone_and_in_utc() -> None:
    """Weekday, day and hours on the meeting's own wall, its zone and offset, and the same in UTC."""
    when = say_when(at("2026-10-06 10:00"), at("2026-10-06 11:30"), "Europe/Oslo")
    assert when.local == "Tuesday 6 October 2026, 10:00–11:30"
    assert (when.zone, when.offset) == ("Europe/Oslo", "UTC+02:00")
    assert when.utc == "08:00–09:30 UTC"
    assert not when.is_utc


def test_utc_names_its_day_where_it_is_another() -> None:
    """Half past midnight in Oslo is the evening before in UTC, and that is said."""
    when = say_when(at("2026-10-06 00:30"), at("2026-10-06 01:30"), "Europe/Oslo")
    assert when.utc == "Monday 5 October 2026, 22:30–23:30 UTC"


def test_a_meeting_over_midnight_names_both_days() -> None:
    """Nobody has to guess on which day it ends."""
    when = say_when(at("2026-10-06 22:00"), at("2026-10-07 01:00"), "Europe/Oslo")
    assert when.local == "Tuesday 6 October 2026, 22:00 – Wednesday 7 October 2026, 01:00"


def test_a_change_of_clocks_shows_both_offsets() -> None:
    """A meeting during which the clocks change says so."""
    when = say_when(at("2026-10-25 00:30"), at("2026-10-25 04:00"), "Europe/Oslo")
    assert when.offset == "UTC+02:00 → UTC+01:00"
    assert when.utc.endswith("03:00 UTC")


@pytest.mark.parametrize(
    ("first", "end", "said"),
    [
        ("2026-10-06 00:00", "2026-10-07 00:00", "Tuesday 6 October 2026, all day"),
        (
            "2026-10-24 00:00",
            "2026-10-26 00:00",
            "Saturday 24 October 2026 – Sunday 25 October 2026, all day",
        ),
    ],
)
def test_all_day_is_said_in_days(first: str, end: str, said: str) -> None:
    """Whole days have no hours, and no UTC, which would move them."""
    when = say_when(at(first), at(end), "Europe/Oslo", all_day=True)
    assert when.local == said
    assert when.utc == ""


@pytest.mark.parametrize("zone", ["", "Nowhere/Land", "../etc/passwd", "W. Europe Standard Time", "\x00"])
def test_a_zone_nobody_knows_is_read_as_utc(zone: str) -> None:
    """The instant is right whatever the zone is called."""
    when = say_when(0, 3_600, zone)
    assert (when.zone, when.local) == ("UTC", "Thursday 1 January 1970, 00:00–01:00")
    assert when.is_utc


@given(
    start_s=st.integers(0, START_MAX_S - 90_000), zone=st.sampled_from(sorted(available_timezones())[:400:7])
)
def test_hours_are_those_of_the_zone(start_s: int, zone: str) -> None:
    """In any zone and year the words name the hour on that zone's wall and the hour in UTC."""
    when = say_when(start_s, start_s + 3_600, zone)
    local = datetime.fromtimestamp(start_s, ZoneInfo(zone))
    assert f"{local:%H:%M}" in when.local
    assert f"{datetime.fromtimestamp(start_s, UTC):%H:%M}" in when.utc


def test_a_private_meeting_gives_nothing_away() -> None:
    """Title and description of a private meeting appear in no field."""
    told = meeting(private=True, subject="Salary")
    invitation = of_meeting(
        CONFIG, told, Kind.NEW, description="Secret words", old=meeting(subject="Salary, old")
    )
    assert invitation.title == PRIVATE_TITLE
    said = msgspec.json.encode(invitation).decode()
    assert "Secret" not in said
    assert invitation.private


def test_a_private_meeting_that_was_public_does_not_tell_its_new_title() -> None:
    """The change of a title into a private one shows only that it is private now."""
    (change,) = changes_between(CONFIG, meeting(subject="Plan"), meeting(subject="Salary", private=True))
    assert change == Change("Title", "Plan", PRIVATE_TITLE)


@pytest.mark.parametrize(
    ("subject", "title"),
    [("", UNTITLED), (" \r\n ", UNTITLED), ("a\r\nb\tc\x00 d\u2028e", "a b c d e"), ("é", "é")],
)
def test_a_title_is_one_line(subject: str, title: str) -> None:
    """Line breaks and control characters become one space; nothing at all becomes a word."""
    assert title_of(subject, private=False) == title


@given(st.text())
def test_one_line_is_one_line(text: str) -> None:
    """Whatever comes in, what comes out is printable on one line, and doing it twice changes nothing."""
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert line == line.strip()
    assert one_line(line) == line
    line.encode("utf-8")


def test_moved_says_from_when_to_when() -> None:
    """A meeting that was told before and has another time now is `moved`, with both times."""
    old = meeting()
    new = meeting(start_s=at("2026-10-07 10:00"), end_s=at("2026-10-07 11:00"), revision=2)
    invitation = of_meeting(CONFIG, new, Kind.CHANGED, old=old)
    assert invitation.kind is Kind.MOVED
    assert invitation.changes == (
        Change(
            "When",
            "Tuesday 6 October 2026, 10:00–11:00 (Europe/Oslo)",
            "Wednesday 7 October 2026, 10:00–11:00 (Europe/Oslo)",
        ),
    )


def test_other_changes_are_listed_and_not_called_a_move() -> None:
    """Room, title and organizer are told as old and new; what is the same is left out."""
    old = meeting()
    new = meeting(rooms=(RoomId("bay"),), subject="Budget", organizer=Person("per@firm.example", "Per"))
    invitation = of_meeting(CONFIG, new, Kind.CHANGED, old=old)
    assert invitation.kind is Kind.CHANGED
    assert invitation.changes == (
        Change("Where", "Bay, 2nd floor, Fjord", "Bay, 2nd floor"),
        Change("Title", "Planning", "Budget"),
        Change("Organizer", "Ola Nordmann", "Per"),
    )


def test_a_room_that_is_no_longer_configured_keeps_its_id() -> None:
    """A mail about a room of yesterday still names it."""
    assert of_meeting(CONFIG, meeting(rooms=(RoomId("attic"),)), Kind.NEW).where == ("attic",)


def test_without_a_vmr_there_is_no_door() -> None:
    """No address is made up for a meeting without a VMR, and no block is written."""
    invitation = of_meeting(CONFIG, meeting(vmr=None), Kind.NEW)
    assert invitation.join is None
    assert join_block(invitation) == ""


def test_a_person_without_a_name_is_the_address() -> None:
    """Somebody is always called something."""
    assert person_name(Person("a@b.example")) == "a@b.example"
    assert person_name(Person("a@b.example", "A\r\nB")) == "A B"


# --- series ----------------------------------------------------------------------------------------------------------


def test_a_series_says_its_next_date_and_its_rule() -> None:
    """The reader sees when it is next and how it goes on."""
    told = series(entry("2026-10-06 10:00", rrule="FREQ=WEEKLY;BYDAY=TU"))
    span = (at("2026-10-27 10:00"), at("2026-10-27 11:00"))
    invitation = of_series(CONFIG, told, Kind.NEW, next_s=span)
    assert invitation.when.local == "Tuesday 27 October 2026, 10:00–11:00"
    assert invitation.when.offset == "UTC+01:00"
    assert invitation.repeats == "Every week on Tuesday."


def test_a_series_without_a_next_date_says_its_first() -> None:
    """When nothing lies ahead the series is told from where it begins."""
    told = series(entry("2026-10-06 10:00", rrule="FREQ=WEEKLY"))
    assert first_span(told) == (at("2026-10-06 10:00"), at("2026-10-06 11:00"))
    assert of_series(CONFIG, told, Kind.CANCELLED).when.local == "Tuesday 6 October 2026, 10:00–11:00"


def test_exceptions_are_hinted_at() -> None:
    """A rule with exceptions is not told as if it had none."""
    told = series(entry("2026-10-06 10:00", rrule="FREQ=WEEKLY", exdates=(wall("2026-10-13 10:00"),)))
    assert of_series(CONFIG, told, Kind.NEW).repeats == (
        "Every week on Tuesday. Some dates differ; your calendar shows every date."
    )


@pytest.mark.parametrize(
    "told",
    [
        series(entry("2026-10-06 10:00", rdates=(wall("2026-10-08 10:00"),))),
        series(entry("2026-10-06 10:00", rrule="FREQ=YEARLY;BYWEEKNO=20")),
        series(None, entry("2026-10-06 10:00", recurrence_id=wall("2026-10-06 10:00"))),
    ],
    ids=["dates", "odd rule", "overrides"],
)
def test_what_words_would_not_say_whole_is_left_to_the_calendar(told: object) -> None:
    """No rule is told half."""
    assert isinstance(told, type(series(None)))
    assert of_series(CONFIG, told, Kind.NEW).repeats == "Repeats; your calendar shows every date."


# --- the block in calendar bodies ---------------------------------------------------------------------------------


def test_the_block_can_be_found_and_taken_out() -> None:
    """What we wrote into a body is taken out again before anybody is told, however often it stands there."""
    block = join_block(of_meeting(CONFIG, meeting(), Kind.NEW))
    assert "https://meet.example/join/3v60krenc1" in block
    assert "PIN: 909475" in block
    assert without_block(f"Before.\n{block}After.\n{block}") == "Before.\nAfter."
    assert without_block(block.replace("\n", "\r\n")) == ""


def test_a_damaged_block_is_left_alone() -> None:
    """A block whose end somebody has deleted is text like any other: nothing after it is lost."""
    text = "---- Join online [abc] ----\nPIN: 1\nThe agenda follows.\n---- End [other] ----"
    assert without_block(text) == text


def test_a_cancelled_meeting_has_no_block() -> None:
    """Nobody is shown the way to a door that is gone."""
    assert join_block(of_meeting(CONFIG, meeting(), Kind.CANCELLED)) == ""


@given(st.text(max_size=200))
def test_taking_the_block_out_twice_changes_nothing(text: str) -> None:
    """Bodies come back from calendars again and again."""
    once = without_block(text)
    assert without_block(once) == once
