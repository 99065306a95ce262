"""Graph's recurrence patterns mean the same dates here as there, both ways."""

from datetime import datetime
from typing import Any

import msgspec
import pytest

from meetkeeper.calendars.graph.patterns import Recurrence, day_of, recurrence_of, rule_of
from meetkeeper.core.errors import TheirMistake
from meetkeeper.core.recurrence import expand
from meetkeeper.core.words import CalendarItem, Entry, Uid
from meetkeeper.itemtext.times import When

START = datetime(2026, 1, 31, 10)  # noqa: DTZ001 - a wall time
FOR_EVER = {"type": "noEnd", "startDate": "2026-01-31"}


def rule(pattern: dict[str, Any], span: dict[str, Any] | None = None, zone: str = "Europe/Oslo") -> str:
    """The RRULE of a pattern."""
    recurrence = msgspec.convert(
        {"pattern": {"interval": 1} | pattern, "range": span or FOR_EVER}, Recurrence
    )
    return rule_of(recurrence, When(START, zone))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"type": "daily"}, "FREQ=DAILY"),
        ({"type": "daily", "interval": 3}, "FREQ=DAILY;INTERVAL=3"),
        ({"type": "weekly", "daysOfWeek": ["Friday", "monday"]}, "FREQ=WEEKLY;BYDAY=MO,FR"),
        (
            {
                "type": "weekly",
                "interval": 2,
                "daysOfWeek": ["tuesday", "sunday"],
                "firstDayOfWeek": "sunday",
            },
            "FREQ=WEEKLY;BYDAY=TU,SU;INTERVAL=2;WKST=SU",
        ),
        (
            {"type": "weekly", "interval": 2, "daysOfWeek": ["tuesday"], "firstDayOfWeek": "monday"},
            "FREQ=WEEKLY;BYDAY=TU;INTERVAL=2",
        ),
        (
            {"type": "absoluteMonthly", "dayOfMonth": 15, "interval": 3},
            "FREQ=MONTHLY;BYMONTHDAY=15;INTERVAL=3",
        ),
        ({"type": "absoluteMonthly", "dayOfMonth": 31}, "FREQ=MONTHLY;BYMONTHDAY=28,29,30,31;BYSETPOS=-1"),
        (
            {"type": "relativeMonthly", "daysOfWeek": ["thursday"], "index": "second"},
            "FREQ=MONTHLY;BYDAY=2TH",
        ),
        ({"type": "relativeMonthly", "daysOfWeek": ["monday"], "index": "last"}, "FREQ=MONTHLY;BYDAY=-1MO"),
        (
            {"type": "relativeMonthly", "daysOfWeek": ["saturday", "sunday"], "index": "last"},
            "FREQ=MONTHLY;BYDAY=SA,SU;BYSETPOS=-1",
        ),
        ({"type": "relativeMonthly", "daysOfWeek": ["friday"]}, "FREQ=MONTHLY;BYDAY=1FR"),
        (
            {"type": "absoluteYearly", "dayOfMonth": 15, "month": 3},
            "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=15",
        ),
        (
            {"type": "absoluteYearly", "dayOfMonth": 29, "month": 2},
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=28,29;BYSETPOS=-1",
        ),
        (
            {"type": "relativeYearly", "daysOfWeek": ["monday"], "index": "first", "month": 9},
            "FREQ=YEARLY;BYDAY=1MO;BYMONTH=9",
        ),
    ],
)
def test_each_kind_of_pattern_is_a_rule(pattern: dict[str, Any], expected: str) -> None:
    """All six kinds, written out by hand."""
    assert rule(pattern) == expected


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ({"type": "numbered", "numberOfOccurrences": 7, "startDate": "2026-01-31"}, "FREQ=DAILY;COUNT=7"),
        (
            {"type": "endDate", "endDate": "2026-03-01", "startDate": "2026-01-31"},
            "FREQ=DAILY;UNTIL=20260301T225959Z",
        ),
        (FOR_EVER | {"endDate": "0001-01-01"}, "FREQ=DAILY"),
    ],
)
def test_each_kind_of_range_is_an_end(span: dict[str, Any], expected: str) -> None:
    """A day as end means the end of that day on the series' own wall."""
    assert rule({"type": "daily"}, span) == expected


def dates(text: str, start: datetime, months: int = 8) -> list[str]:
    """The days of a rule."""
    entry = Entry(start=start, duration_s=3_600, zone="UTC", rrule=text)
    item = CalendarItem(href="", uid=Uid("-"), fingerprint="", master=entry)
    from_s = int(start.timestamp()) - 86_400
    found = expand(item, "UTC", from_s, from_s + months * 31 * 86_400).occurrences
    return [f"{datetime.utcfromtimestamp(one.start_s):%m-%d}" for one in found]  # noqa: DTZ004 - a wall in UTC


def test_a_month_that_lacks_the_day_has_its_last() -> None:
    """The 31st of every month is the last of each, as in Outlook."""
    text = rule({"type": "absoluteMonthly", "dayOfMonth": 31})
    assert dates(text, START, 6)[:5] == ["01-31", "02-28", "03-31", "04-30", "05-31"]


ROUND = [
    "FREQ=DAILY",
    "FREQ=DAILY;COUNT=5",
    "FREQ=DAILY;INTERVAL=2;UNTIL=20260401T080000Z",
    "FREQ=DAILY;UNTIL=20260401T070000Z",
    "FREQ=DAILY;UNTIL=20260401",
    "FREQ=WEEKLY",
    "FREQ=WEEKLY;BYDAY=MO,WE;INTERVAL=2;WKST=SU",
    "FREQ=MONTHLY;BYMONTHDAY=-1",
    "FREQ=MONTHLY;BYDAY=2TH",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
    "FREQ=YEARLY;BYMONTH=1;BYDAY=-1SA",
]


@pytest.mark.parametrize("text", ROUND)
def test_there_and_back_is_the_same_dates(text: str) -> None:
    """A rule written into Graph and read back gives the same dates."""
    start = datetime(2026, 1, 31, 9)  # noqa: DTZ001 - a wall time, a Saturday and the last of its month
    back = rule_of(msgspec.convert(recurrence_of(text, start, "UTC"), Recurrence), When(start, "UTC"))
    assert dates(back, start) == dates(text, start)


@pytest.mark.parametrize(
    "text",
    [
        "FREQ=YEARLY;BYYEARDAY=100",
        "FREQ=YEARLY;BYWEEKNO=20",
        "FREQ=MONTHLY;BYMONTHDAY=1,15",
        "FREQ=MONTHLY;BYMONTHDAY=31",
        "FREQ=MONTHLY;BYDAY=5MO",
        "FREQ=MONTHLY;BYDAY=1MO,3MO",
        "FREQ=DAILY;BYDAY=MO",
        "FREQ=DAILY;BYHOUR=9,15",
        "FREQ=YEARLY;BYMONTH=3,9",
        "FREQ=WEEKLY;BYMONTH=1",
        "FREQ=YEARLY;BYDAY=1MO",
    ],
)
def test_what_graph_can_not_say_is_refused(text: str) -> None:
    """A rule without a counterpart is refused in a sentence, never rounded."""
    with pytest.raises(TheirMistake, match="no recurrence like"):
        recurrence_of(text, START, "UTC")


def test_days() -> None:
    """The year 1 is no day, a time is cut off."""
    assert day_of("0001-01-01") is None
    assert day_of("2026-13-01") is None
    assert day_of(None) is None
    assert str(day_of("2026-11-22T00:00:00Z")) == "2026-11-22"
