"""From items to meetings: exceptions, moves, days, zones and bounds, with recurring-ical-events as second opinion."""

# ruff: noqa: DTZ001 - wall times are naive on purpose

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import pytest
import recurring_ical_events
from dateutil.rrule import rrulestr
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.core.recurrence import OCCURRENCES_MAX, STARTS_MAX, Expansion, expand, following
from meetkeeper.core.words import (
    DURATION_MAX_S,
    START_MAX_S,
    START_MIN_S,
    CalendarItem,
    Entry,
    Uid,
)
from meetkeeper.core.zones import DAY_S

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
HOUR_S = 3_600


def at(text: str, zone: str = "UTC") -> int:
    """An instant from its wall time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


def entry(start: str | datetime = "2026-03-02 10:00", **fields: Any) -> Entry:
    """An hour in Berlin unless said otherwise."""
    begin = start if isinstance(start, datetime) else datetime.fromisoformat(start)
    return Entry(**{"start": begin, "duration_s": HOUR_S, "zone": BERLIN, **fields})


def item(master: Entry | None, *overrides: Entry) -> CalendarItem:
    """A calendar item."""
    return CalendarItem(href="a.ics", uid=Uid("a"), fingerprint="f", master=master, overrides=overrides)


def wall(text: str) -> datetime:
    """A wall time."""
    return datetime.fromisoformat(text)


def shown(found: Expansion, zone: str = BERLIN) -> list[tuple[str, str]]:
    """(original start, start) as the zone's wall shows them."""
    tz = ZoneInfo(zone)
    return [
        (
            f"{datetime.fromtimestamp(one.original_start_s, tz):%m-%d %H:%M}",
            f"{datetime.fromtimestamp(one.start_s, tz):%m-%d %H:%M}",
        )
        for one in found.occurrences
    ]


SPRING = (at("2026-03-01"), at("2026-04-30"))


# --- one meeting ----------------------------------------------------------------------------------------------


def test_an_item_without_a_rule_is_one_meeting() -> None:
    """A single entry gives its meeting, with its own start as original start."""
    found = expand(item(entry()), "UTC", *SPRING)
    [one] = found.occurrences
    assert one.original_start_s == one.start_s == at("2026-03-02 10:00", BERLIN)
    assert one.end_s - one.start_s == HOUR_S
    assert found.problems == ()


def test_a_window_takes_what_shares_an_instant_with_it() -> None:
    """A meeting that is under way counts, one that ends as the window begins or begins as it ends does not."""
    single, start = item(entry()), at("2026-03-02 10:00", BERLIN)
    assert len(expand(single, "UTC", start + HOUR_S - 1, start + DAY_S).occurrences) == 1
    assert len(expand(single, "UTC", start + HOUR_S, start + DAY_S).occurrences) == 0
    assert len(expand(single, "UTC", start - DAY_S, start).occurrences) == 0
    assert len(expand(single, "UTC", start - DAY_S, start + 1).occurrences) == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"duration_s": 0},
        {"duration_s": -60},
        {"duration_s": DURATION_MAX_S + 1},
        {"duration_s": 10**18},
        {"start": datetime(1969, 12, 31, 12)},
        {"start": datetime(1, 1, 1)},
        {"start": datetime(2100, 1, 1, 12)},
        {"start": datetime(9999, 12, 31, 23, 59)},
    ],
)
def test_what_can_be_no_meeting_is_a_problem(bad: dict[str, Any]) -> None:
    """An entry without a length, or far outside all times, gives a sentence and no meeting, alone or in a series."""
    for rule in ("", "FREQ=WEEKLY;COUNT=3"):
        found = expand(item(entry(**bad, rrule=rule)), "UTC", START_MIN_S, START_MAX_S)
        if rule and "start" in bad and bad["start"].year == 1969:
            assert len(found.occurrences) == 2  # a series may have begun before our time
            continue
        assert found.occurrences == ()
        if not rule or "duration_s" in bad:
            assert len(found.problems) == 1


def test_the_longest_meeting_and_the_earliest_start_are_taken() -> None:
    """The bounds belong to what is taken."""
    longest = item(entry("1970-01-01 00:00", zone="UTC", duration_s=DURATION_MAX_S))
    assert len(expand(longest, "UTC", 0, 1).occurrences) == 1


def test_a_cancelled_entry_is_no_meeting() -> None:
    """Cancelled yields nothing: the whole item by its master, one meeting by its override."""
    weekly = entry(rrule="FREQ=WEEKLY;COUNT=3")
    off = entry(cancelled=True, recurrence_id=wall("2026-03-09 10:00"), start="2026-03-09 10:00")
    assert expand(item(entry(cancelled=True)), "UTC", *SPRING).occurrences == ()
    moved = entry("2026-03-10 12:00", recurrence_id=wall("2026-03-09 10:00"))
    assert expand(item(entry(cancelled=True, rrule="FREQ=WEEKLY"), moved), "UTC", *SPRING).occurrences == ()
    assert [one for one, _ in shown(expand(item(weekly, off), "UTC", *SPRING))] == [
        "03-02 10:00",
        "03-16 10:00",
    ]


# --- zones and days -------------------------------------------------------------------------------------------


def test_a_floating_time_is_read_in_the_room() -> None:
    """Without a zone, ten o'clock is the room's ten o'clock."""
    for zone in (BERLIN, NEW_YORK):
        [one] = expand(item(entry(zone="")), zone, *SPRING).occurrences
        assert one.start_s == at("2026-03-02 10:00", zone)


def test_an_unknown_zone_is_read_in_the_room_and_told() -> None:
    """A zone nobody knows falls back to the room's, an unknown room's to UTC; each with a sentence."""
    found = expand(item(entry(zone="Customized Time Zone")), NEW_YORK, *SPRING)
    assert found.occurrences[0].start_s == at("2026-03-02 10:00", NEW_YORK)
    assert len(found.problems) == 1
    assert "Customized" in found.problems[0]
    found = expand(item(entry(zone="Mars/Olympus")), "Mars/Base", *SPRING)
    assert found.occurrences[0].start_s == at("2026-03-02 10:00")
    assert len(found.problems) == 2


def test_days_begin_at_midnight_in_the_room() -> None:
    """An all-day entry is the room's day, from midnight to midnight, also when the clock changes in between."""
    daily = entry("2026-03-28 00:00", all_day=True, zone="", duration_s=DAY_S, rrule="FREQ=DAILY;COUNT=3")
    found = expand(item(daily), BERLIN, *SPRING).occurrences
    assert [one.start_s for one in found] == [at(f"2026-03-{day}", BERLIN) for day in (28, 29, 30)]
    assert [one.end_s - one.start_s for one in found] == [24 * HOUR_S, 23 * HOUR_S, 24 * HOUR_S]


def test_a_date_is_an_exception_from_days() -> None:
    """An exception date takes out the all-day meeting of that date, wherever the room is."""
    daily = entry(
        "2026-03-28 00:00",
        all_day=True,
        zone="",
        duration_s=DAY_S,
        rrule="FREQ=DAILY;COUNT=3",
        exdates=(wall("2026-03-29"),),
    )
    for zone in (BERLIN, NEW_YORK, "Pacific/Auckland"):
        found = expand(item(daily), zone, *SPRING).occurrences
        assert [one.original_start_s for one in found] == [at("2026-03-28", zone), at("2026-03-30", zone)]


def test_a_date_where_a_time_is_wanted_takes_out_the_day() -> None:
    """Calendars write exception dates without their time; they mean the meeting of that day."""
    found = expand(item(entry(rrule="FREQ=WEEKLY;COUNT=3", exdates=(wall("2026-03-09"),))), "UTC", *SPRING)
    assert [one for one, _ in shown(found)] == ["03-02 10:00", "03-16 10:00"]


def test_a_skipped_hour_and_a_doubled_hour() -> None:
    """RFC 5545 §3.3.10: a start in the gap is read with the offset before it, a doubled one is the first of the two."""
    spring = item(entry("2026-03-28 02:30", rrule="FREQ=DAILY;COUNT=3"))
    assert [one for one, _ in shown(expand(spring, "UTC", *SPRING))] == [
        "03-28 02:30",
        "03-29 03:30",
        "03-30 02:30",
    ]
    autumn = item(entry("2026-10-24 02:30", rrule="FREQ=DAILY;COUNT=3"))
    found = expand(autumn, "UTC", at("2026-10-01"), at("2026-11-01")).occurrences
    first = at("2026-10-24 02:30", BERLIN)
    assert [one.start_s - first for one in found] == [0, 24 * HOUR_S, 49 * HOUR_S]
    assert {one.end_s - one.start_s for one in found} == {HOUR_S}


def test_a_meeting_keeps_its_wall_time_over_the_year() -> None:
    """Weekly at ten stays at ten when the clocks change, and its UTC time moves."""
    found = expand(item(entry(rrule="FREQ=WEEKLY")), "UTC", *SPRING).occurrences
    assert {f"{datetime.fromtimestamp(one.start_s, ZoneInfo(BERLIN)):%H:%M}" for one in found} == {"10:00"}
    assert {one.start_s % DAY_S for one in found} == {9 * HOUR_S, 8 * HOUR_S}


# --- until and count ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("until", "last"),
    [
        ("20260316T090000Z", "03-16 10:00"),
        ("20260316T085959Z", "03-09 10:00"),
        ("20260316T100000", "03-16 10:00"),
        ("20260316T095959", "03-09 10:00"),
        ("20260316", "03-16 10:00"),
        ("20260315", "03-09 10:00"),
        ("20260301", "03-02 10:00"),
    ],
)
def test_until_is_the_last_start(until: str, last: str) -> None:
    """UNTIL includes its instant: in UTC for a zoned start, on the series' own wall, or as a whole day."""
    found = expand(item(entry(rrule=f"FREQ=WEEKLY;UNTIL={until}")), "UTC", *SPRING)
    assert shown(found)[-1][0] == last


@pytest.mark.parametrize(
    ("until", "days"),
    [("20260305", 4), ("20260304T230000Z", 4), ("20260305T000000Z", 4), ("20260304T225959Z", 3)],
)
def test_until_of_days(until: str, days: int) -> None:
    """An all-day series ends with a date, the instant of its midnight, or the date written as midnight UTC."""
    daily = entry("2026-03-02", all_day=True, zone="", duration_s=DAY_S, rrule=f"FREQ=DAILY;UNTIL={until}")
    assert len(expand(item(daily), BERLIN, *SPRING).occurrences) == days


def test_a_count_ends_a_series_wherever_one_looks() -> None:
    """The hundredth daily meeting is the last, also when the window shows only the end."""
    series = item(entry("2026-01-01 10:00", rrule="FREQ=DAILY;COUNT=100"))
    found = expand(series, "UTC", at("2026-04-08"), at("2026-12-31"))
    assert [one for one, _ in shown(found)] == ["04-08 10:00", "04-09 10:00", "04-10 10:00"]


# --- exceptions -----------------------------------------------------------------------------------------------

HEAD = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//x//EN\r\n"
MASTER = (
    "DTSTART;TZID=Europe/Berlin:20260302T100000\r\nDURATION:PT1H\r\n"
    "SUMMARY:weekly\r\nRRULE:FREQ=WEEKLY;COUNT=6\r\n"
)


def ics(*events: str) -> str:
    """A calendar with these events."""
    body = "".join(
        f"BEGIN:VEVENT\r\nUID:a\r\nDTSTAMP:20260101T000000Z\r\n{event}END:VEVENT\r\n" for event in events
    )
    return f"{HEAD}{body}END:VCALENDAR\r\n"


MATRIX = {
    "exception date": ics(MASTER + "EXDATE;TZID=Europe/Berlin:20260309T100000\r\n"),
    "moved": ics(
        MASTER,
        "RECURRENCE-ID;TZID=Europe/Berlin:20260309T100000\r\nDTSTART;TZID=Europe/Berlin:20260310T150000\r\n"
        "DURATION:PT2H\r\nSUMMARY:moved\r\n",
    ),
    "this and future": ics(
        MASTER,
        "RECURRENCE-ID;RANGE=THISANDFUTURE;TZID=Europe/Berlin:20260316T100000\r\n"
        "DTSTART;TZID=Europe/Berlin:20260316T113000\r\nDURATION:PT2H\r\nSUMMARY:later\r\n",
    ),
    "until in UTC": ics(MASTER.replace("COUNT=6", "UNTIL=20260323T090000Z")),
    "spring gap": ics(MASTER.replace("20260302T100000", "20260315T023000")),
    "zone without definition": ics(MASTER.replace("Europe/Berlin", "W. Europe Standard Time")),
    "all-day exception": ics(
        "DTSTART;VALUE=DATE:20260302\r\nDURATION:P1D\r\nSUMMARY:day\r\nRRULE:FREQ=DAILY;COUNT=5\r\n"
        "EXDATE;VALUE=DATE:20260304\r\n"
    ),
    "last working day": ics(
        MASTER.replace("FREQ=WEEKLY;COUNT=6", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1").replace(
            "0302T", "0331T"
        )
    ),
    "dates": ics(MASTER + "RDATE;TZID=Europe/Berlin:20260304T100000,20260309T100000\r\n"),
    "cancelled": ics(
        MASTER,
        "RECURRENCE-ID;TZID=Europe/Berlin:20260309T100000\r\nDTSTART;TZID=Europe/Berlin:20260309T100000\r\n"
        "DURATION:PT1H\r\nSTATUS:CANCELLED\r\nSUMMARY:off\r\n",
    ),
    "orphan": ics(
        "RECURRENCE-ID;TZID=Europe/Berlin:20260309T100000\r\nDTSTART;TZID=Europe/Berlin:20260310T150000\r\n"
        "DURATION:PT2H\r\nSUMMARY:orphan\r\n",
    ),
    "moved into the window": ics(
        MASTER.replace("COUNT=6", "COUNT=60"),
        "RECURRENCE-ID;TZID=Europe/Berlin:20261102T100000\r\nDTSTART;TZID=Europe/Berlin:20260410T150000\r\n"
        "DURATION:PT2H\r\nSUMMARY:moved in\r\n",
    ),
    "exception date in another zone": ics(MASTER + "EXDATE:20260309T090000Z\r\n"),
    "override without the rule's date": ics(
        MASTER,
        "RECURRENCE-ID;TZID=Europe/Berlin:20260311T100000\r\nDTSTART;TZID=Europe/Berlin:20260312T150000\r\n"
        "DURATION:PT2H\r\nSUMMARY:stray\r\n",
    ),
    "override of an exception date": ics(
        MASTER + "EXDATE;TZID=Europe/Berlin:20260309T100000\r\n",
        "RECURRENCE-ID;TZID=Europe/Berlin:20260309T100000\r\nDTSTART;TZID=Europe/Berlin:20260310T150000\r\n"
        "DURATION:PT2H\r\nSUMMARY:moved\r\n",
    ),
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in MATRIX.items()])
def test_exceptions_are_read_as_a_foreign_library_reads_them(text: str) -> None:
    """Every kind of exception gives the meetings (start, length, subject) that recurring-ical-events gives."""
    assert ours(text) == theirs(text)
    assert ours(text)


def ours(text: str) -> list[tuple[int, int, str]]:
    """What we show in spring, and only what shares an instant with it."""
    found = expand(read(text), BERLIN, *SPRING)
    assert found.problems == ()
    return sorted(
        (one.start_s, one.entry.duration_s, one.entry.subject)
        for one in found.occurrences
        if one.start_s < SPRING[1] and one.end_s > SPRING[0]
    )


def theirs(text: str) -> list[tuple[int, int, str]]:
    """What recurring-ical-events shows in spring, cancelled ones left out, days read in Berlin.

    It adds lengths on the wall, so they are taken from the wall: an hour that begins in a gap is an hour all the same.
    """
    window = [datetime.fromtimestamp(instant, UTC) for instant in SPRING]
    calendar = icalendar.Calendar.from_ical(text)
    found = recurring_ical_events.of(calendar, skip_bad_series=False).between(*window)
    return sorted(
        (_instant(one["DTSTART"].dt), _length_s(one), str(one.get("SUMMARY", "")))
        for one in found
        if one.get("STATUS") != "CANCELLED"
    )


def _length_s(event: Any) -> int:
    start, end = (_wall(event[name].dt, "") for name in ("DTSTART", "DTEND"))
    return int((end - start).total_seconds())


def _instant(value: date | datetime) -> int:
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=ZoneInfo(BERLIN))
    if value.tzinfo is not None and getattr(value.tzinfo, "key", None):
        value = value.replace(fold=0)
    return int(value.timestamp())


def read(text: str) -> CalendarItem:
    """The calendar in our words, read plainly."""
    events = [_entry(event) for event in icalendar.Calendar.from_ical(text).walk("VEVENT")]
    masters = [one for one in events if one.recurrence_id is None]
    return item(masters[0] if masters else None, *[one for one in events if one.recurrence_id is not None])


def _entry(event: Any) -> Entry:
    start = event["DTSTART"].dt
    zone = "" if not isinstance(start, datetime) else _zone_name(start)
    rule = event.get("RRULE")
    recurrence_id = event.get("RECURRENCE-ID")
    return Entry(
        start=_wall(start, zone),
        duration_s=int(event["DURATION"].dt.total_seconds()),
        zone=zone,
        all_day=not isinstance(start, datetime),
        subject=str(event.get("SUMMARY", "")),
        cancelled=event.get("STATUS") == "CANCELLED",
        sequence=int(event.get("SEQUENCE", 0)),
        rrule=rule.to_ical().decode() if rule else "",
        exdates=tuple(_wall(one.dt, zone) for one in _dates(event, "EXDATE")),
        rdates=tuple(_wall(one.dt, zone) for one in _dates(event, "RDATE")),
        recurrence_id=None if recurrence_id is None else _wall(recurrence_id.dt, zone),
        this_and_future=recurrence_id is not None and recurrence_id.params.get("RANGE") == "THISANDFUTURE",
    )


def _dates(event: Any, name: str) -> list[Any]:
    value = event.get(name, [])
    return [one for some in (value if isinstance(value, list) else [value]) for one in some.dts]


def _zone_name(value: datetime) -> str:
    name = str(value.tzinfo)
    return {"W. Europe Standard Time": BERLIN}.get(name, name)


def _wall(value: date | datetime, zone: str) -> datetime:
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)
    return value.astimezone(ZoneInfo(zone)).replace(tzinfo=None) if zone else value.replace(tzinfo=None)


MOVES = st.integers(-20_000, 20_000)


@st.composite
def calendars(draw: st.DrawFn) -> str:
    """A weekly or daily series in spring with exception dates, extra dates, moved and cancelled meetings."""
    start = datetime(
        2026, 2, draw(st.integers(16, 28)), draw(st.integers(0, 23)), draw(st.sampled_from([0, 30]))
    )
    rule = draw(
        st.sampled_from(
            [
                "FREQ=DAILY;COUNT=40",
                "FREQ=WEEKLY",
                "FREQ=WEEKLY;BYDAY=MO,TH;COUNT=12",
                "FREQ=DAILY;INTERVAL=3",
            ]
        )
    )
    dates = [*rrulestr(rule, dtstart=start).between(start, start + timedelta(days=70), inc=True)]
    if start not in dates:
        start = dates[0]
    picks = draw(st.lists(st.sampled_from(dates), max_size=5, unique=True))
    stamp = "TZID=Europe/Berlin:{:%Y%m%dT%H%M%S}\r\n"
    master = f"SUMMARY:series\r\nDURATION:PT1H\r\nRRULE:{rule}\r\nDTSTART;" + stamp.format(start)
    events = []
    for pick in picks:
        match draw(st.sampled_from(["EXDATE", "RDATE", "moved", "cancelled"])):
            case "EXDATE":
                master += "EXDATE;" + stamp.format(pick)
            case "RDATE":
                master += "RDATE;" + stamp.format(pick + timedelta(minutes=draw(MOVES)))
            case "moved":
                to = pick + timedelta(minutes=draw(MOVES))
                events.append(
                    "SUMMARY:moved\r\nDURATION:PT2H\r\nDTSTART;"
                    + stamp.format(to)
                    + "RECURRENCE-ID;"
                    + stamp.format(pick)
                )
            case _:
                both = "DTSTART;" + stamp.format(pick) + "RECURRENCE-ID;" + stamp.format(pick)
                events.append("SUMMARY:off\r\nDURATION:PT2H\r\nSTATUS:CANCELLED\r\n" + both)
    return ics(master, *events)


@given(calendars())
def test_any_mixture_of_exceptions_is_read_alike(text: str) -> None:
    """Exception dates, extra dates, moves and cancellations in any number give what recurring-ical-events gives."""
    assert ours(text) == theirs(text)


def test_the_original_start_stays_when_a_meeting_moves() -> None:
    """A moved meeting is known by the start its series gave it."""
    moved = entry("2026-03-10 15:00", recurrence_id=wall("2026-03-09 10:00"), subject="moved")
    found = expand(item(entry(rrule="FREQ=WEEKLY;COUNT=3"), moved), "UTC", *SPRING)
    assert shown(found) == [
        ("03-02 10:00", "03-02 10:00"),
        ("03-09 10:00", "03-10 15:00"),
        ("03-16 10:00", "03-16 10:00"),
    ]
    assert found.occurrences[1].entry.subject == "moved"


def test_a_meeting_moved_out_of_the_window_is_still_told() -> None:
    """Who looks at March learns that a meeting of March is in July now, and in July that one of March is there."""
    moved = entry("2026-07-01 15:00", recurrence_id=wall("2026-03-09 10:00"))
    series = item(entry(rrule="FREQ=WEEKLY;COUNT=3"), moved)
    for window in (SPRING, (at("2026-06-30"), at("2026-07-02"))):
        assert ("03-09 10:00", "07-01 15:00") in shown(expand(series, "UTC", *window))


@given(
    st.sampled_from(["FREQ=WEEKLY", "FREQ=DAILY;COUNT=30", "FREQ=WEEKLY;BYDAY=MO,WE,FR"]),
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(-2_000, 2_000), st.booleans()),
        max_size=4,
        unique_by=lambda one: one[0],
    ),
)
def test_this_and_future_moves_what_follows(rule: str, moves: list[tuple[int, int, bool]]) -> None:
    """Each meeting keeps its own original start, is moved by the last move before it, and a single override wins."""
    master = entry(rrule=rule)
    dates = rrulestr(rule, dtstart=master.start).between(master.start, wall("2026-12-31"), inc=True)[:30]
    overrides = [
        entry(
            recurrence_id=dates[index],
            start=str(dates[index] + timedelta(minutes=by)),
            this_and_future=ranged,
            subject=f"{index}",
        )
        for index, by, ranged in moves
    ]
    expected, by_now, subject = {}, timedelta(), ""
    for index, original in enumerate(dates):
        by, name = by_now, subject
        for at_index, minutes, ranged in moves:
            if at_index == index:
                by, name = timedelta(minutes=minutes), f"{index}"
                if ranged:
                    by_now, subject = by, name
        expected[at(str(original), BERLIN)] = (at(str(original + by), BERLIN), name)
    found = expand(item(master, *overrides), "UTC", at("2026-02-20"), max(expected) + 1).occurrences
    got = {one.original_start_s: (one.start_s, one.entry.subject) for one in found}
    assert {original: got[original] for original in expected} == expected


def test_the_end_of_this_and_future() -> None:
    """A cancelled "this and future" ends the series there, a later one begins it anew with other length and zone."""
    off = entry(
        "2026-03-16 10:00", recurrence_id=wall("2026-03-16 10:00"), this_and_future=True, cancelled=True
    )
    again = entry(
        "2026-03-30 10:00",
        recurrence_id=wall("2026-03-30 10:00"),
        this_and_future=True,
        zone="Europe/London",
        duration_s=60,
    )
    found = expand(item(entry(rrule="FREQ=WEEKLY;COUNT=6"), again, off), "UTC", *SPRING)
    assert shown(found) == [
        ("03-02 10:00", "03-02 10:00"),
        ("03-09 10:00", "03-09 10:00"),
        ("03-30 10:00", "03-30 11:00"),
        ("04-06 10:00", "04-06 11:00"),
    ]
    assert [one.end_s - one.start_s for one in found.occurrences] == [HOUR_S, HOUR_S, 60, 60]


def test_moved_far_ahead_a_series_is_found_where_it_is() -> None:
    """A "this and future" of two years moves the whole rest of a daily series into the window it is looked for in."""
    far = entry("2028-03-16 10:00", recurrence_id=wall("2026-03-16 10:00"), this_and_future=True)
    found = expand(item(entry(rrule="FREQ=DAILY"), far), "UTC", at("2028-03-16"), at("2028-03-19"))
    moved = [one for one in found.occurrences if one.start_s < at("2028-03-19")]
    assert [one.original_start_s for one in moved] == [
        at(f"2026-03-{day} 10:00", BERLIN) for day in (16, 17, 18)
    ]


def test_the_newer_of_two_overrides_counts() -> None:
    """Two overrides of one meeting: the higher sequence, then the later change decides, in any order."""
    old = entry("2026-03-09 12:00", recurrence_id=wall("2026-03-09 10:00"), sequence=1, this_and_future=True)
    new = entry("2026-03-09 14:00", recurrence_id=wall("2026-03-09 10:00"), sequence=2)
    master = entry(rrule="FREQ=WEEKLY;COUNT=3")
    for overrides in ((old, new), (new, old)):
        found = expand(item(master, *overrides), "UTC", *SPRING)
        assert [start for _, start in shown(found)] == ["03-02 10:00", "03-09 14:00", "03-16 10:00"]


def test_exceptions_of_an_earlier_rule_are_swept() -> None:
    """An override that is older than its master and overrides nothing is left from an earlier rule."""
    master = entry("2026-03-03 10:00", rrule="FREQ=WEEKLY;COUNT=3", sequence=2)
    left = entry("2026-03-09 12:00", recurrence_id=wall("2026-03-09 10:00"), sequence=1)
    still = entry("2026-03-10 12:00", recurrence_id=wall("2026-03-10 10:00"), sequence=1)
    found = expand(item(master, left, still), "UTC", *SPRING)
    assert [start for _, start in shown(found)] == ["03-03 10:00", "03-10 12:00", "03-17 10:00"]
    assert len(found.problems) == 1


def test_dates_alone_make_a_series() -> None:
    """Without a rule the first start and the listed dates are the series, each once, overrides and all."""
    dates = (wall("2026-03-09 10:00"), wall("2026-03-02 10:00"), wall("2026-03-05 08:00"))
    moved = entry("2026-03-06 09:00", recurrence_id=wall("2026-03-05 08:00"), sequence=0)
    left = entry("2026-03-07 09:00", recurrence_id=wall("2026-03-07 08:00"), sequence=0)
    found = expand(item(entry(rdates=dates, sequence=1), moved, left), "UTC", *SPRING)
    assert [start for _, start in shown(found)] == ["03-02 10:00", "03-06 09:00", "03-09 10:00"]


def test_overrides_without_a_master_are_meetings() -> None:
    """A room invited to two meetings of a series holds these two, known by their original starts."""
    one = entry("2026-03-09 12:00", recurrence_id=wall("2026-03-09 10:00"))
    two = entry("2026-03-16 10:00", recurrence_id=wall("2026-03-16 10:00"))
    found = expand(item(None, two, one), "UTC", *SPRING)
    assert shown(found) == [("03-09 10:00", "03-09 12:00"), ("03-16 10:00", "03-16 10:00")]


def test_an_override_of_nothing_is_a_problem() -> None:
    """An override that names no meeting is left out with a sentence."""
    found = expand(item(entry(), entry()), "UTC", *SPRING)
    assert len(found.occurrences) == 1
    assert len(found.problems) == 1


# --- bounds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["FREQ=HOURLY", "FREQ=NEVER", "nonsense", "FREQ=WEEKLY;BYDAY=9XX"])
def test_a_rule_that_cannot_be_used_leaves_the_first_meeting(rule: str) -> None:
    """A refused rule is a sentence; the first meeting, extra dates and overrides stand."""
    moved = entry("2026-03-12 12:00", recurrence_id=wall("2026-03-09 10:00"))
    found = expand(item(entry(rrule=rule, rdates=(wall("2026-03-05 10:00"),)), moved), "UTC", *SPRING)
    assert [start for _, start in shown(found)] == ["03-02 10:00", "03-05 10:00", "03-12 12:00"]
    assert len(found.problems) == 1


def test_of_too_many_meetings_the_nearest_are_taken() -> None:
    """Ten thousand meetings in a window give the earliest thousand, among them a moved one, and a sentence."""
    rule = "FREQ=DAILY;BYHOUR=8,9,10,11,12;BYMINUTE=0,3,6,9,12,15,18,21,24,27,30,33,36,39,42,45,48,51,54,57"
    moved = entry("2026-03-03 07:00", recurrence_id=wall("2026-05-03 08:00"))
    start = at("2026-03-02")
    found = expand(item(entry("2026-03-02 08:00", rrule=rule), moved), "UTC", start, start + 100 * DAY_S)
    assert len(found.occurrences) == OCCURRENCES_MAX
    assert len(found.problems) == 1
    assert ("05-03 08:00", "03-03 07:00") in shown(found)
    assert found.occurrences[-1].start_s < start + 11 * DAY_S


def test_exceptions_do_not_use_up_the_bound() -> None:
    """Behind more exception dates than a window may hold meetings, the meetings are found."""
    first = wall("2020-01-01 10:00")
    exdates = tuple(first + timedelta(days=day) for day in range(OCCURRENCES_MAX + 50))
    series = item(entry(str(first), rrule="FREQ=DAILY", exdates=exdates))
    found = expand(series, "UTC", at("2020-01-01"), at("2020-01-01") + (OCCURRENCES_MAX + 60) * DAY_S)
    assert len(found.occurrences) == 10
    assert found.problems == ()


def test_a_walk_looks_at_so_many_starts_and_no_more() -> None:
    """A series moved away by years is searched up to a bound, and a sentence says so."""
    rule = "FREQ=DAILY;BYHOUR=" + ",".join(str(hour) for hour in range(24))
    away = entry(
        "2029-03-02 00:00", recurrence_id=wall("2026-03-02 00:00"), this_and_future=True, cancelled=True
    )
    found = expand(
        item(entry("2026-03-02 00:00", rrule=rule), away), "UTC", at("2029-01-01"), at("2030-01-01")
    )
    assert any(str(STARTS_MAX) in problem for problem in found.problems)


def test_a_series_begun_in_another_age() -> None:
    """A yearly day since 1950 is found today; one since the year 1 is a problem."""
    birthday = entry("1950-03-21 00:00", all_day=True, zone="", duration_s=DAY_S, rrule="FREQ=YEARLY")
    assert [start for _, start in shown(expand(item(birthday), BERLIN, *SPRING))] == ["03-21 00:00"]
    ancient = expand(item(entry("0001-01-01 10:00", rrule="FREQ=YEARLY")), "UTC", *SPRING)
    assert ancient.occurrences == ()
    assert len(ancient.problems) == 1


@given(
    st.builds(
        Entry,
        start=st.datetimes(),
        duration_s=st.integers() | st.integers(1, DAY_S),
        zone=st.sampled_from(["", BERLIN, "Nowhere"]),
        all_day=st.booleans(),
        sequence=st.integers(0, 3),
        rrule=st.sampled_from(
            ["", "FREQ=WEEKLY", "FREQ=DAILY;COUNT=99999", "FREQ=YEARLY;UNTIL=99991231", "x"]
        ),
        rdates=st.lists(st.datetimes(), max_size=3).map(tuple),
        exdates=st.lists(st.datetimes(), max_size=3).map(tuple),
    ),
    st.lists(
        st.builds(
            Entry,
            start=st.datetimes(),
            duration_s=st.just(HOUR_S),
            recurrence_id=st.none() | st.datetimes(),
            this_and_future=st.booleans(),
        ),
        max_size=3,
    ),
    st.integers(START_MIN_S, START_MAX_S),
    st.integers(0, 400 * DAY_S),
)
def test_no_item_can_break_the_reader(
    master: Entry, overrides: list[Entry], from_s: int, span_s: int
) -> None:
    """Whatever an item says, there is an answer within bounds, in order, without double originals, soon."""
    found = expand(item(master, *overrides), BERLIN, from_s, from_s + span_s).occurrences
    assert list(found) == sorted(found, key=lambda one: one.start_s)
    assert len({one.original_start_s for one in found}) == len(found) <= OCCURRENCES_MAX
    assert all(START_MIN_S <= one.start_s < one.end_s for one in found)


# --- what comes next ------------------------------------------------------------------------------------------


def test_what_follows_is_the_next_meeting_that_is_not_over() -> None:
    """The running one, the next one, a moved one before it, and none when the series is over."""
    moved = entry("2026-03-03 09:00", recurrence_id=wall("2026-03-16 10:00"))
    series = item(entry(rrule="FREQ=WEEKLY;COUNT=3"), moved)

    def after(text: str) -> str | None:
        one = following(series, "UTC", at(text, BERLIN))
        return None if one is None else f"{datetime.fromtimestamp(one.start_s, ZoneInfo(BERLIN)):%m-%d %H:%M}"

    assert after("2026-01-01") == "03-02 10:00"
    assert after("2026-03-02 10:59") == "03-02 10:00"
    assert after("2026-03-02 11:00") == "03-03 09:00"
    assert after("2026-03-03 10:00") == "03-09 10:00"
    assert after("2026-03-09 11:00") is None


def test_nothing_follows_from_a_rule_that_never_matches() -> None:
    """Looking for the thirtieth of February ends with the calendar of this house."""
    series = item(
        entry(
            "2016-03-02 10:00",
            rrule="FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
            exdates=(wall("2016-03-02 10:00"),),
        )
    )
    assert following(series, "UTC", at("2026-01-01")) is None
