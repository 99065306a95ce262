"""Recurrence rules against two judges who know nothing of each other: python-dateutil and a walk over every day."""

# ruff: noqa: DTZ001 - wall times are naive on purpose

import contextlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given
from hypothesis import strategies as st

from meetkeeper.core.errors import TheirMistake
from meetkeeper.core.rrule import RULE_CHARS_MAX, STARTS_PER_DAY_MAX, Rule, read_rule
from meetkeeper.core.walk import PERIODS_MAX, walk
from meetkeeper.core.zones import DAY_S, find_zone, to_instant, to_wall, wall_of, wall_s

NAMES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
EARLY, LATE = datetime(1990, 1, 1), datetime(2040, 1, 1)


def numbers(low: int, high: int, most: int = 3, *, signed: bool = True) -> st.SearchStrategy[list[int]]:
    """A few distinct numbers, perhaps negative."""
    one = st.integers(low, high)
    return st.lists(one | one.map(int.__neg__) if signed else one, min_size=1, max_size=most, unique=True)


@st.composite
def rules(draw: st.DrawFn) -> str:
    """A rule that RFC 5545 allows and both judges read alike (no mixed ordinals, no week without its days)."""
    frequency = draw(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]))
    parts = {"FREQ": frequency}
    if draw(st.booleans()):
        parts["INTERVAL"] = str(draw(st.integers(1, 5)))
    if draw(st.booleans()):
        parts["WKST"] = draw(st.sampled_from(NAMES))
    wanted = draw(
        st.sets(st.sampled_from(["month", "monthday", "day", "yearday", "weekno", "hour", "setpos"]))
    )
    if "month" in wanted:
        parts["BYMONTH"] = _join(draw(numbers(1, 12, signed=False)))
    if "monthday" in wanted and frequency != "WEEKLY":
        parts["BYMONTHDAY"] = _join(draw(numbers(1, 31)))
    if "yearday" in wanted and frequency == "YEARLY":
        parts["BYYEARDAY"] = _join(draw(numbers(1, 366, 6)))
    if "weekno" in wanted and frequency == "YEARLY":
        parts["BYWEEKNO"] = _join(draw(numbers(1, 53)))
    if "day" in wanted or "BYWEEKNO" in parts:
        days = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
        if frequency in ("MONTHLY", "YEARLY") and "BYWEEKNO" not in parts and draw(st.booleans()):
            days = [f"{draw(st.sampled_from([-5, -2, -1, 1, 2, 4, 5]))}{day}" for day in days]
        parts["BYDAY"] = ",".join(days)
    if "hour" in wanted:
        parts["BYHOUR"] = _join(draw(numbers(0, 23, signed=False)))
        parts["BYMINUTE"] = _join(draw(numbers(0, 59, 2, signed=False)))
    if "setpos" in wanted and len(parts.keys() - {"FREQ", "INTERVAL", "WKST"}):
        parts["BYSETPOS"] = _join(draw(numbers(1, 4)))
    return ";".join(f"{name}={value}" for name, value in parts.items())


def _join(values: list[int]) -> str:
    return ",".join(str(value) for value in values)


starts = st.datetimes(EARLY, LATE).map(lambda at: at.replace(microsecond=0))


def ours(text: str, start: datetime, low: datetime, high: datetime) -> list[datetime]:
    """What our walk gives."""
    return [wall_of(at) for at in walk(read_rule(text), wall_s(start), wall_s(low), wall_s(high))]


def theirs(text: str, start: datetime, low: datetime, high: datetime) -> list[datetime]:
    """What python-dateutil gives, the first start added as RFC 5545 counts it."""
    found = rrulestr(text, dtstart=start).between(low, high, inc=True)
    return sorted({*found, *([start] if low <= start <= high else [])})


@given(rules(), starts, st.integers(-400, 4_000), st.integers(0, 900))
def test_starts_are_those_of_a_foreign_library(text: str, start: datetime, after: int, days: int) -> None:
    """Whatever rule, first start and window: the walk gives the starts that python-dateutil gives."""
    if "WEEKLY" in text and "BYSETPOS" in text:
        start -= timedelta(days=(start.weekday() - read_rule(text).week_start) % 7)  # it cuts the first week
    low = start + timedelta(days=after)
    high = low + timedelta(days=days)
    if not ours(text, start, start + timedelta(seconds=1), start + timedelta(days=5_000)):
        return  # a rule that never matches keeps the other library busy until the year 9999
    assert ours(text, start, low, high) == theirs(text, start, low, high)


@given(rules(), starts, st.integers(1, 60), st.integers(0, 4_000), st.integers(0, 900))
def test_a_count_is_kept_from_any_window(
    text: str, start: datetime, count: int, after: int, days: int
) -> None:
    """With COUNT, a window far from the first start shows exactly the counted starts that lie in it."""
    low = start + timedelta(days=after)
    high = low + timedelta(days=days)
    every = ours(text, start, start, high)[:count]
    assert ours(f"{text};COUNT={count}", start, low, high) == [at for at in every if at >= low]


@given(rules(), starts, st.integers(0, 1_500))
def test_starts_are_those_of_a_walk_over_every_day(text: str, start: datetime, days: int) -> None:
    """Looking at each day in turn, and asking of it what the rule says, gives the same starts."""
    high = start + timedelta(days=days)
    expected = sorted({start, *_every_day(read_rule(text), start, high)})
    assert ours(text, start, start, high) == expected


def _every_day(rule: Rule, start: datetime, high: datetime) -> Iterator[datetime]:
    periods: dict[int, list[datetime]] = {}
    first = date(start.year - 1, 1, 1)
    for offset in range((high.date() - first).days + 400):
        day = first + timedelta(days=offset)
        number = _period(rule, start.date(), day)
        if number is not None and _wanted(rule, start.date(), day):
            periods.setdefault(number, []).extend(_times(rule, start, day))
    for found in periods.values():
        found.sort()
        for at, one in enumerate(found):
            picked = not rule.positions or at + 1 in rule.positions or at - len(found) in rule.positions
            if picked and start <= one <= high:
                yield one


def _times(rule: Rule, start: datetime, day: date) -> list[datetime]:
    return [
        datetime(day.year, day.month, day.day, hour, minute, start.second)
        for hour in rule.hours or (start.hour,)
        for minute in rule.minutes or (start.minute,)
    ]


def _period(rule: Rule, first: date, day: date) -> int | None:
    match rule.frequency:
        case "DAILY":
            number = (day - first).days
        case "WEEKLY":
            number = (_week(rule, day) - _week(rule, first)).days // 7
        case "MONTHLY":
            number = (day.year - first.year) * 12 + day.month - first.month
        case _:
            number = day.year - first.year
    return number if number >= 0 and number % rule.interval == 0 else None


def _week(rule: Rule, day: date) -> date:
    return day - timedelta(days=(day.weekday() - rule.week_start) % 7)


def _wanted(rule: Rule, first: date, day: date) -> bool:
    by_day = rule.week_days or rule.month_days or rule.year_days or rule.week_numbers
    yearly, monthly = rule.frequency == "YEARLY", rule.frequency == "MONTHLY"
    if rule.months and day.month not in rule.months:
        return False
    if yearly and not by_day and not rule.months and day.month != first.month:
        return False
    if (yearly or monthly) and not by_day and day.day != first.day:
        return False
    if rule.frequency == "WEEKLY" and not rule.week_days and day.weekday() != first.weekday():
        return False
    length = (date(day.year + day.month // 12, day.month % 12 + 1, 1) - timedelta(days=1)).day
    if rule.month_days and not {day.day, day.day - length - 1} & set(rule.month_days):
        return False
    year_length = (date(day.year + 1, 1, 1) - date(day.year, 1, 1)).days
    year_day = (day - date(day.year, 1, 1)).days + 1
    if rule.year_days and not {year_day, year_day - year_length - 1} & set(rule.year_days):
        return False
    if rule.week_numbers and not _numbers_of_week(rule, day) & set(rule.week_numbers):
        return False
    if not rule.week_days:
        return True
    place, size = (day.day, length) if monthly or rule.months else (year_day, year_length)
    numbered = {0, (place - 1) // 7 + 1, -((size - place) // 7 + 1)}
    return any(number in numbered and weekday == day.weekday() for number, weekday in rule.week_days)


def _numbers_of_week(rule: Rule, day: date) -> set[int]:
    """A week belongs to the year that holds its fourth day."""
    begin = _week(rule, day)
    owner = (begin + timedelta(days=3)).year
    number = 0
    weeks = 0
    at = date(owner, 1, 1) - timedelta(days=7)
    while at < date(owner + 1, 1, 10):
        if _week(rule, at) == at and (at + timedelta(days=3)).year == owner:
            weeks += 1
            if at <= begin:
                number = weeks
        at += timedelta(days=1)
    return {number, number - weeks - 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "WEEKLY",
        "FREQ=",
        "FREQ=HOURLY",
        "FREQ=SECONDLY;COUNT=9",
        "FREQ=FORTNIGHTLY",
        "INTERVAL=2",
        "FREQ=DAILY;FREQ=DAILY",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=-1",
        "FREQ=DAILY;INTERVAL=9999999999999",
        "FREQ=DAILY;INTERVAL=\N{SUPERSCRIPT TWO}",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;COUNT=x",
        "FREQ=DAILY;UNTIL=tomorrow",
        "FREQ=DAILY;UNTIL=20261332",
        "FREQ=DAILY;UNTIL=20261231T250000Z",
        "FREQ=DAILY;UNTIL=20261231T1000",
        "FREQ=DAILY;UNTIL=20261231T",
        "FREQ=DAILY;BYMONTH=13",
        "FREQ=DAILY;BYMONTH=-1",
        "FREQ=DAILY;BYMONTH=1,,2",
        "FREQ=MONTHLY;BYMONTHDAY=0",
        "FREQ=MONTHLY;BYMONTHDAY=32",
        "FREQ=MONTHLY;BYDAY=0MO",
        "FREQ=MONTHLY;BYDAY=54MO",
        "FREQ=MONTHLY;BYDAY=XX",
        "FREQ=WEEKLY;BYDAY=1MO",
        "FREQ=WEEKLY;BYMONTHDAY=1",
        "FREQ=MONTHLY;BYWEEKNO=1",
        "FREQ=MONTHLY;BYYEARDAY=1",
        "FREQ=YEARLY;BYWEEKNO=1;BYDAY=1MO",
        "FREQ=MONTHLY;BYSETPOS=1",
        "FREQ=WEEKLY;WKST=XX",
        "FREQ=DAILY;BYEASTER=1",
        "FREQ=YEARLY;RSCALE=CHINESE",
        "FREQ=DAILY;BYHOUR=0,1,2,3;BYMINUTE=" + _join(list(range(60))),
        "FREQ=DAILY;" + "X" * RULE_CHARS_MAX + "=1",
    ],
)
def test_what_is_no_rule_is_refused_with_a_sentence(text: str) -> None:
    """A malformed rule, or one that no meeting follows, is somebody's mistake with a reason and a way out."""
    with pytest.raises(TheirMistake) as mistake:
        read_rule(text)
    assert mistake.value.code == "recurrence"
    assert mistake.value.message.endswith("Correct the rule.")
    assert len(mistake.value.message) < 300


@given(st.text(st.sampled_from("FREQ=DAILYWKMOTHUNBS;,-0123456789Z"), max_size=60) | st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Reading any text as a rule gives a rule or a refusal, and nothing else."""
    with contextlib.suppress(TheirMistake):
        assert isinstance(read_rule(text), Rule)


def test_a_rule_is_read_as_people_write_it() -> None:
    """Small letters, the property's name, blanks and a last semicolon do no harm, and X- strangers neither."""
    expected = read_rule("FREQ=WEEKLY;BYDAY=MO,WE")
    assert read_rule(" rrule:freq=weekly; byday=mo, we; ") == expected
    assert read_rule("FREQ=WEEKLY;BYDAY=WE,MO;X-COLOUR=RED;SKIP=OMIT;RSCALE=GREGORIAN") == expected


def test_a_rule_that_never_matches_ends_at_the_window() -> None:
    """The thirtieth of February is looked for in the window alone, and found nowhere."""
    start = wall_s(datetime(2016, 1, 1, 10))
    low = wall_s(datetime(2026, 1, 1))
    for text in ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=3"):
        assert list(walk(read_rule(text), start, low, low + 60 * DAY_S)) == []


def test_a_walk_ends_after_so_many_periods() -> None:
    """A span beyond all bounds is refused after PERIODS_MAX periods and not walked to its end."""
    start = wall_s(datetime(1970, 1, 1))
    found = walk(
        read_rule("FREQ=DAILY;INTERVAL=1;BYSETPOS=2;BYHOUR=1"), start, start + 1, start + 400 * 366 * DAY_S
    )
    with pytest.raises(TheirMistake, match=str(PERIODS_MAX)):
        list(found)


def test_a_walk_stops_where_the_calendar_stops() -> None:
    """Steps so wide that the next period lies beyond every calendar just end the series."""
    start = wall_s(datetime(2026, 1, 31, 9))
    for frequency in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY"):
        rule = read_rule(f"FREQ={frequency};INTERVAL=999999999")
        assert list(walk(rule, start, start, start + 200 * 366 * DAY_S)) == [start]


def test_what_a_rule_leaves_open_comes_from_the_first_start() -> None:
    """A week by its number alone is that week's day on which the series began (RFC 5545 §3.3.10)."""
    found = ours(
        "FREQ=YEARLY;BYWEEKNO=20", datetime(1997, 5, 12, 9), datetime(1997, 1, 1), datetime(1999, 12, 31)
    )
    assert found == [datetime(1997, 5, 12, 9), datetime(1998, 5, 11, 9), datetime(1999, 5, 17, 9)]


def test_numbered_and_plain_weekdays_go_together() -> None:
    """Every Monday and the first Tuesday: both, not neither."""
    found = ours(
        "FREQ=MONTHLY;BYDAY=MO,1TU", datetime(2026, 6, 1, 9), datetime(2026, 6, 1), datetime(2026, 6, 30)
    )
    assert [at.day for at in found] == [1, 2, 8, 15, 22, 29]


def test_many_starts_a_day_are_walked() -> None:
    """A day may hold as many starts as the bound says."""
    text = "FREQ=DAILY;BYHOUR=" + _join(list(range(20))) + ";BYMINUTE=" + _join([0, 10, 20, 30, 40])
    start = datetime(2026, 1, 1)
    assert len(ours(text, start, start, start + timedelta(hours=23))) == STARTS_PER_DAY_MAX


# --- zones ---------------------------------------------------------------------------------------------------

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
)


@given(st.sampled_from(ZONES), st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1)))
def test_walls_are_read_like_the_standard_library_reads_them(name: str, wall: datetime) -> None:
    """A wall time is the instant that an aware datetime with fold=0 stands for, gaps and doubled hours included."""
    zone = find_zone(name)
    assert zone is not None
    wall = wall.replace(microsecond=0)
    instant = to_instant(wall_s(wall), zone)
    assert instant == int(wall.replace(tzinfo=zone).timestamp())
    assert wall_of(to_wall(instant, zone)) == datetime.fromtimestamp(instant, zone).replace(tzinfo=None)


def test_gaps_and_doubled_hours_are_read_as_the_standard_says() -> None:
    """RFC 5545 §3.3.5: 02:30 skipped in New York is 03:30 summer time, 01:30 twice is the first of the two."""
    zone = find_zone("America/New_York")
    assert zone is not None
    skipped = to_instant(wall_s(datetime(2007, 3, 11, 2, 30)), zone)
    doubled = to_instant(wall_s(datetime(2007, 11, 4, 1, 30, fold=1)), zone)
    assert skipped == int(datetime(2007, 3, 11, 7, 30, tzinfo=UTC).timestamp())
    assert doubled == int(datetime(2007, 11, 4, 5, 30, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "Europe", "a\0b", "x" * 5_000, "é"]
)
def test_names_nobody_knows_are_no_zone(name: str) -> None:
    """Whatever stands where a zone's name should: it is a known zone or none, never an error."""
    assert find_zone(name) is None
