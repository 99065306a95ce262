"""The iCalendar part, read back by a judge and by a foreign program."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meetkeeper.core.effects import SendMail
from meetkeeper.core.recurrence import expand
from meetkeeper.core.state import Series
from meetkeeper.core.words import Entry, Meeting, Person
from meetkeeper.mail.compose import compose
from meetkeeper.mail.templates import Templates
from tests.mail.itip import calendar_of, judged, starts_between
from tests.mail.samples import (
    CONFIG,
    KARI,
    NOW_S,
    OLA,
    PER,
    at,
    cancel,
    entry,
    meeting,
    request,
    series,
    wall,
)

SHIPPED = Templates()


def part(of: Meeting | Series, effect: SendMail | None = None) -> bytes:
    """The judged part of the mail about it."""
    one = of if isinstance(of, Meeting) else None
    many = of if isinstance(of, Series) else None
    return calendar_of(compose(CONFIG, effect or request(of), one, many, NOW_S, templates=SHIPPED))


def events(data: bytes) -> list[Any]:
    """The events of a part."""
    return list(judged(data).walk("VEVENT"))


def test_a_meeting_updates_the_entry_the_invitee_has() -> None:
    """Same UID, the organizer's number, and the organizer as organizer: no second entry comes to be."""
    (event,) = events(part(meeting(sequence=4, revision=2)))
    assert event["UID"] == "one@firm.example"
    assert event["SEQUENCE"] == 4
    assert str(event["ORGANIZER"]) == "mailto:ola@firm.example"
    assert event["ORGANIZER"].params["SENT-BY"] == "mailto:meetings@meet.example"
    assert event["DTSTAMP"].dt == datetime.fromtimestamp(NOW_S, UTC)
    assert "RECURRENCE-ID" not in event


def test_the_number_never_falls_behind_the_revisions() -> None:
    """A source that does not count its changes still gets a growing SEQUENCE."""
    numbers = [events(part(meeting(revision=revision)))[0]["SEQUENCE"] for revision in (1, 2, 3)]
    assert numbers == [0, 1, 2]


def test_times_stand_in_the_meetings_own_zone() -> None:
    """Start and end carry the zone's name, and its description gives the right instants."""
    data = part(meeting())
    (event,) = events(data)
    assert event["DTSTART"].params["TZID"] == "Europe/Oslo"
    assert event["DTSTART"].dt == datetime(2026, 10, 6, 8, tzinfo=UTC)
    assert event["DTEND"].dt == datetime(2026, 10, 6, 9, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["UTC", "Etc/UTC", "No/Such_Zone", ""])
def test_without_a_zone_of_its_own_times_are_utc_or_the_clusters(zone: str) -> None:
    """UTC is written as UTC, and a zone nobody knows never costs the right instant."""
    (event,) = events(part(meeting(time_zone=zone)))
    assert event["DTSTART"].dt == datetime(2026, 10, 6, 8, tzinfo=UTC)


def test_the_door_stands_in_body_and_machine_fields() -> None:
    """Join address, SIP URI and PIN are in the description, and both addresses in CONFERENCE lines."""
    (event,) = events(part(meeting(description="Bring cake.")))
    text = str(event["DESCRIPTION"])
    assert "https://meet.example/join/3v60krenc1" in text
    assert "909475" in text
    assert text.endswith("Bring cake.")
    conferences = {str(one): one.params for one in event["CONFERENCE"]}
    assert set(conferences) == {"https://meet.example/join/3v60krenc1", "sip:3v60krenc1@meet.example"}
    assert all(params["FEATURE"] == ["AUDIO", "VIDEO"] for params in conferences.values())


def test_everybody_is_named_and_rooms_are_rooms() -> None:
    """Invitees and rooms with an address are attendees, the room as a room that has accepted."""
    (event,) = events(part(meeting()))
    people = {str(one): one.params for one in event["ATTENDEE"]}
    assert set(people) == {
        "mailto:kari@guests.example",
        "mailto:per@guests.example",
        "mailto:fjord@firm.example",
    }
    assert people["mailto:kari@guests.example"]["CN"] == "Kari Gjest"
    assert people["mailto:fjord@firm.example"]["CUTYPE"] == "ROOM"
    assert str(event["LOCATION"]) == "Bay, 2nd floor, Fjord"


@pytest.mark.parametrize(("origin", "asked"), [("api", True), ("calendar", False)])
def test_only_our_own_meetings_ask_for_an_answer(origin: str, asked: bool) -> None:
    """The organizer's own invitation has asked already; ours asks only where there is no other."""
    (event,) = events(part(meeting(origin=origin)))
    assert [("RSVP" in one.params) for one in event["ATTENDEE"]][:2] == [asked, asked]


def test_a_meeting_without_organizer_comes_from_us() -> None:
    """Nobody known as organizer: the sender stands in, so that the part stays valid."""
    (event,) = events(part(meeting(organizer=Person(""))))
    assert str(event["ORGANIZER"]) == "mailto:meetings@meet.example"
    assert "SENT-BY" not in event["ORGANIZER"].params


def test_private_stays_private() -> None:
    """A private meeting says when and where, and neither title nor description."""
    data = part(meeting(private=True, subject="Salary of Per", description="He asked for more."))
    (event,) = events(data)
    assert event["CLASS"] == "PRIVATE"
    assert event["SUMMARY"] == "Private meeting"
    assert b"Salary" not in data.replace(b"\r\n ", b"")
    assert b"asked for more" not in data.replace(b"\r\n ", b"")


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [("2026-10-06 00:00", "2026-10-07 00:00", 1), ("2026-10-24 00:00", "2026-10-27 00:00", 3)],
)
def test_all_day_is_a_date(first: str, last: str, days: int) -> None:
    """An all-day meeting is written as days, also over a change of clocks, and its end is the day after."""
    (event,) = events(part(meeting(start_s=at(first), end_s=at(last), all_day=True)))
    assert event["DTSTART"].dt.isoformat() == first[:10]
    assert event["DTEND"].dt - event["DTSTART"].dt == timedelta(days=days)
    assert event["DTSTART"].params["VALUE"] == "DATE"


def test_the_hour_that_comes_twice_is_told_apart() -> None:
    """A meeting in the second of two equal hours is written in UTC, the only way to say it (RFC 5545 §3.3.5)."""
    start_s = int(datetime(2026, 10, 25, 1, 30, tzinfo=UTC).timestamp())
    data = part(meeting(start_s=start_s, end_s=start_s + 1_800))
    assert b"DTSTART:20261025T013000Z" in data


def test_a_weekly_series_keeps_its_wall_time_over_the_change_of_clocks() -> None:
    """Ten o'clock stays ten o'clock in Oslo: 08:00 UTC in summer, 09:00 in winter, as a foreign program sees it."""
    data = part(series(entry("2026-10-20 10:00", rrule="FREQ=WEEKLY;COUNT=3")))
    assert starts_between(data, datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)) == [
        datetime(2026, 10, 20, 8, tzinfo=UTC),
        datetime(2026, 10, 27, 9, tzinfo=UTC),
        datetime(2026, 11, 3, 9, tzinfo=UTC),
    ]


def test_a_series_with_exceptions_is_told_whole() -> None:
    """Master, exception dates, extra dates, a moved and a cancelled occurrence arrive as they are meant."""
    told = series(
        entry(
            "2026-10-06 10:00",
            rrule="FREQ=WEEKLY;UNTIL=20261103",
            exdates=(wall("2026-10-13 10:00"),),
            rdates=(wall("2026-10-08 09:00"),),
        ),
        entry("2026-10-20 14:00", recurrence_id=wall("2026-10-20 10:00"), subject="Weekly, moved"),
        entry("2026-10-27 10:00", recurrence_id=wall("2026-10-27 10:00"), cancelled=True),
    )
    data = part(told)
    assert starts_between(data, datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)) == [
        datetime(2026, 10, 6, 8, tzinfo=UTC),
        datetime(2026, 10, 8, 7, tzinfo=UTC),
        datetime(2026, 10, 20, 12, tzinfo=UTC),
        datetime(2026, 11, 3, 9, tzinfo=UTC),
    ]
    master, moved = events(data)
    assert "RRULE" in master
    assert moved["RECURRENCE-ID"].dt == datetime(2026, 10, 20, 8, tzinfo=UTC)
    assert moved["SUMMARY"] == "Weekly, moved"


def test_an_override_invites_its_own_people() -> None:
    """An occurrence with other invitees than the series names those."""
    told = series(
        entry("2026-10-06 10:00", rrule="FREQ=WEEKLY"),
        entry("2026-10-13 10:00", recurrence_id=wall("2026-10-13 10:00"), attendees=(KARI, PER)),
    )
    _, override = events(part(told))
    assert "mailto:per@guests.example" in [str(one) for one in override["ATTENDEE"]]


def test_an_all_day_series_is_dates_throughout() -> None:
    """Rule, exceptions and recurrence ids of an all-day series are dates."""
    told = series(
        entry(
            "2026-10-06 00:00",
            minutes=1_440,
            zone="",
            all_day=True,
            rrule="FREQ=WEEKLY;UNTIL=20261103T000000Z",
            exdates=(wall("2026-10-13 00:00"),),
        ),
        entry("2026-10-21 00:00", 1_440, zone="", all_day=True, recurrence_id=wall("2026-10-20 00:00")),
    )
    data = part(told)
    assert [
        one.date().isoformat()
        for one in starts_between(data, wall("2026-10-01 00:00"), wall("2026-12-01 00:00"))
    ] == [
        "2026-10-06",
        "2026-10-21",
        "2026-10-27",
        "2026-11-03",
    ]


def test_this_and_future_is_passed_on() -> None:
    """An override for all that follow says so (RFC 5545 §3.2.13)."""
    told = series(
        entry("2026-10-06 10:00", rrule="FREQ=WEEKLY"),
        entry("2026-10-20 14:00", recurrence_id=wall("2026-10-20 10:00"), this_and_future=True),
    )
    _, override = events(part(told))
    assert override["RECURRENCE-ID"].params["RANGE"] == "THISANDFUTURE"


def test_a_floating_series_is_read_in_the_rooms_zone() -> None:
    """Times without a zone belong to the room, so they are written in its zone."""
    (event,) = events(part(series(entry("2026-10-06 10:00", zone="", rrule="FREQ=DAILY"))))
    assert event["DTSTART"].params["TZID"] == "Europe/Oslo"


def test_single_dates_of_a_series_we_never_saw_whole() -> None:
    """A room that was invited to two dates of a series alone tells of these two."""
    told = series(
        None,
        entry("2026-10-06 10:00", recurrence_id=wall("2026-10-06 09:00")),
        entry("2026-10-13 10:00", recurrence_id=wall("2026-10-13 09:00")),
    )
    assert [event["RECURRENCE-ID"].dt.hour for event in events(part(told))] == [9, 9]


def test_an_occurrence_of_its_own_names_itself() -> None:
    """One occurrence told by itself carries the series' UID and its original start."""
    told = meeting(
        uid="weekly@firm.example", original_start_s=at("2026-10-06 10:00"), start_s=at("2026-10-06 10:30")
    )
    (event,) = events(part(told))
    assert event["UID"] == "weekly@firm.example"
    assert event["RECURRENCE-ID"].dt == datetime(2026, 10, 6, 8, tzinfo=UTC)
    assert event["RECURRENCE-ID"].params["TZID"] == "Europe/Oslo"


def test_cancelling_one_occurrence_leaves_the_others() -> None:
    """A CANCEL for one occurrence names it, and has no rule that could take the series along."""
    told = meeting(uid="weekly@firm.example", original_start_s=at("2026-10-06 10:00"), sequence=2)
    (event,) = events(part(told, cancel(told)))
    assert event["STATUS"] == "CANCELLED"
    assert "RECURRENCE-ID" in event
    assert "RRULE" not in event
    assert "CONFERENCE" not in event
    assert "909475" not in str(event.get("DESCRIPTION", ""))


def test_cancelling_a_series_takes_all_of_it() -> None:
    """A CANCEL for a series is its master alone: whatever has its UID goes."""
    told = series(
        entry("2026-10-06 10:00", rrule="FREQ=WEEKLY"),
        entry("2026-10-20 14:00", recurrence_id=wall("2026-10-20 10:00")),
    )
    (event,) = events(part(told, cancel(told)))
    assert event["STATUS"] == "CANCELLED"
    assert "RECURRENCE-ID" not in event


def test_somebody_dropped_is_uninvited_and_the_meeting_stands() -> None:
    """A CANCEL to one who is no longer invited names him alone and does not call the meeting off (RFC 5546 §3.2.5)."""
    told = meeting()
    (event,) = events(part(told, SendMail("gone@guests.example", 2, "CANCEL", meeting=told.id)))
    assert "STATUS" not in event
    assert str(event["ATTENDEE"]) == "mailto:gone@guests.example"


def test_a_rule_nobody_can_read_costs_the_part_and_not_the_mail() -> None:
    """Words go out even when the rule can't be spelled."""
    told = series(entry("2026-10-06 10:00", rrule="FREQ=SOMETIMES;BYDAY=XX"))
    message = compose(CONFIG, request(told), None, told, NOW_S, templates=SHIPPED)
    types = [one.get_content_type() for one in message.walk()]
    assert "text/plain" in types
    assert "text/calendar" not in types


@pytest.mark.parametrize("until", ["99991231T235959Z", "99991231", "99991231T235959"])
def test_a_rule_that_ends_in_the_year_9999_does_not_end(until: str) -> None:
    """Some programs write "for ever" so; it must not break the reckoning with zones."""
    (event,) = events(part(series(entry("2026-10-06 10:00", rrule=f"FREQ=WEEKLY;UNTIL={until}"))))
    assert "UNTIL" not in event["RRULE"]


def test_an_occurrence_that_ends_in_the_second_equal_hour_says_how_long() -> None:
    """Where DTEND can't be said in the zone, a duration says it."""
    (event,) = events(part(series(entry("2026-10-25 02:30", 60, rrule="FREQ=DAILY"))))
    assert event["DURATION"].dt == timedelta(hours=1)


def test_a_start_that_the_clocks_skip_keeps_its_wall_time() -> None:
    """A daily series at half past two begins on the wall even on the night when there is no such time."""
    data = part(series(entry("2027-03-28 02:30", 60, rrule="FREQ=DAILY;COUNT=2")))
    assert b"DTSTART;TZID=Europe/Oslo:20270328T023000" in data
    assert datetime(2027, 3, 29, 0, 30, tzinfo=UTC) in starts_between(
        data, datetime(2027, 3, 27, tzinfo=UTC), datetime(2027, 4, 2, tzinfo=UTC)
    )


RULES = st.builds(
    lambda rule, interval, end: (f"{rule[0]};INTERVAL={interval}{end}", rule[1]),
    st.sampled_from(
        [
            ("FREQ=DAILY", "2026-09-29"),
            ("FREQ=WEEKLY", "2026-09-29"),
            ("FREQ=MONTHLY", "2026-09-29"),
            ("FREQ=WEEKLY;BYDAY=MO,WE,FR", "2026-09-28"),
            ("FREQ=MONTHLY;BYDAY=2TU", "2026-10-13"),
            ("FREQ=MONTHLY;BYDAY=-1FR", "2026-10-30"),
        ]
    ),
    st.integers(1, 3),
    st.sampled_from(["", ";COUNT=5", ";UNTIL=20270110", ";UNTIL=20270110T120000Z"]),
)
"""Rules with a first day on which they fall: what a rule means that does not, the RFC leaves open."""


@given(
    rule=RULES,
    zone=st.sampled_from(["Europe/Oslo", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"]),
    hour=st.integers(4, 22),
    skipped=st.sets(st.integers(0, 6), max_size=2),
)
@settings(max_examples=40)
def test_a_foreign_program_sees_the_dates_we_see(
    rule: tuple[str, str], zone: str, hour: int, skipped: set[int]
) -> None:
    """Whatever the rule, zone and exceptions: the part stands for the very meetings that we keep."""
    start = wall(f"{rule[1]} {hour:02}:00")
    begin, end = datetime(2026, 9, 1, tzinfo=UTC), datetime(2027, 4, 1, tzinfo=UTC)

    def told_with(exdates: tuple[datetime, ...]) -> tuple[Series, list[int]]:
        plain = Entry(start=start, duration_s=1_800, zone=zone, rrule=rule[0], exdates=exdates)
        told = series(plain, time_zone=zone)
        ours = expand(told.item, zone, int(begin.timestamp()), int(end.timestamp()))
        return told, [one.start_s for one in ours.occurrences]

    _, whole = told_with(())
    walls = [datetime.fromtimestamp(start_s, ZoneInfo(zone)).replace(tzinfo=None) for start_s in whole]
    told, expected = told_with(tuple(day for number, day in enumerate(walls) if number in skipped))
    assert [int(one.timestamp()) for one in starts_between(part(told), begin, end)] == expected


HOSTILE = st.text(max_size=80) | st.sampled_from(
    [
        "a\r\nATTENDEE:mailto:evil@x.example",
        'x";y=z',
        "\u2028END:VEVENT",
        "é" * 90,
        "\\n;,:",
        "\x00\x07",
        "^n^'",
    ]
)


@given(subject=HOSTILE, name=HOSTILE, words=HOSTILE, email=HOSTILE)
@settings(max_examples=80)
def test_hostile_values_stay_values(subject: str, name: str, words: str, email: str) -> None:
    """No title, name, address or description adds a line, a person or an event to the part."""
    told = meeting(
        subject=subject,
        organizer=Person(OLA.email, name),
        invitees=(Person(KARI.email, name), Person(f"{email}@x.example", name)),
        description=words,
    )
    (event,) = events(part(told))
    assert len(event["ATTENDEE"]) == 3
    assert event["UID"] == "one@firm.example"
