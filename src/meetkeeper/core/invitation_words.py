"""Times, places and repetition as an English reader expects them; the vocabulary of `core.invitation`.

Words come from the tables below, never from the machine's locale, so both servers of a pair write the same mail. A
recurrence rule is put into words only when the words say all of it; any other rule sends the reader to the calendar.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import assert_never

from meetkeeper.core.errors import TheirMistake
from meetkeeper.core.rrule import Rule, read_rule
from meetkeeper.core.words import START_MAX_S

SEE_CALENDAR = "Repeats; your calendar shows every date."
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NTH = {0: "", 1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", -1: "last", -2: "second to last"}
_UNITS = {"DAILY": "day", "WEEKLY": "week", "MONTHLY": "month", "YEARLY": "year"}
_WORKING_WEEK = tuple((0, day) for day in range(5))
_EVERY_WEEKDAY = "weekdays"


def say_day(day: date) -> str:
    """`Tuesday 6 October 2026`."""
    return f"{WEEKDAYS[day.weekday()]} {day.day} {MONTHS[day.month - 1]} {day.year}"


def say_span(start: datetime, end: datetime) -> str:
    """`Tuesday 6 October 2026, 10:00–11:00`; the second day is named when it is another one."""
    if start.date() == end.date():
        return f"{say_day(start)}, {start:%H:%M}–{end:%H:%M}"
    return f"{say_day(start)}, {start:%H:%M} – {say_day(end)}, {end:%H:%M}"


def say_days(first: date, last: date) -> str:
    """`Tuesday 6 October 2026, all day`, or both days and what lies between."""
    if first >= last:
        return f"{say_day(first)}, all day"
    return f"{say_day(first)} – {say_day(last)}, all day"


def say_offset(moment: datetime) -> str:
    """The distance from UTC as people write it: `UTC+02:00`."""
    offset = moment.utcoffset() or timedelta()
    sign = "-" if offset < timedelta() else "+"
    minutes = abs(offset) // timedelta(minutes=1)
    return f"UTC{sign}{minutes // 60:02}:{minutes % 60:02}"


def say_list(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def say_recurrence(rrule: str, first: datetime) -> str:
    """An RFC 5545 §3.3.10 rule in words, without a full stop; `SEE_CALENDAR` when words would not say all of it.

    `first` is the first occurrence, aware, in the series' zone: a rule takes from it what it does not say itself.
    """
    try:
        rule = read_rule(rrule.strip().removeprefix("RRULE:"))
    except TheirMistake:
        return SEE_CALENDAR
    if rule.year_days or rule.week_numbers or rule.hours or rule.minutes or rule.seconds:
        return SEE_CALENDAR
    days = _days_of(rule, first)
    if days is None:
        return SEE_CALENDAR
    unit = _UNITS[rule.frequency]
    rhythm = f"Every {unit}" if rule.interval == 1 else f"Every {rule.interval} {unit}s"
    if days == _EVERY_WEEKDAY:
        every_weekday = rule.interval == 1
        rhythm, days = (
            ("Every weekday (Monday to Friday)", "") if every_weekday else (rhythm, " on every weekday")
        )
    return rhythm + days + _end_of(rule, first)


def _days_of(rule: Rule, first: datetime) -> str | None:
    """Which days: ` on Monday and Friday`, ` on the 15th`; None for what words would not say whole."""
    match rule.frequency:
        case "DAILY":
            return _daily(rule)
        case "WEEKLY":
            return _weekly(rule, first)
        case "MONTHLY":
            return None if rule.months else _monthly(rule, first)
        case "YEARLY":
            return _yearly(rule, first)
        case _ as never:
            assert_never(never)


def _daily(rule: Rule) -> str | None:
    if not (rule.week_days or rule.months or rule.month_days or rule.positions):
        return ""
    return _EVERY_WEEKDAY if _is_working_week(rule) and rule.interval == 1 else None


def _weekly(rule: Rule, first: datetime) -> str | None:
    if rule.months or rule.month_days or rule.positions:
        return None
    if _is_working_week(rule):
        return _EVERY_WEEKDAY
    days = [day for _, day in rule.week_days] or [first.weekday()]
    return " on " + say_list([WEEKDAYS[day] for day in days])


def _monthly(rule: Rule, first: datetime) -> str | None:
    if not rule.week_days:
        days = rule.month_days or (first.day,)
        if rule.positions or not all(day == -1 or 1 <= day <= 31 for day in days):
            return None
        return " on the " + say_list([_ordinal(day) for day in days])
    if rule.month_days or not all(nth in _NTH for nth, _ in rule.week_days):
        return None
    if rule.positions:
        return _positioned(rule)
    if all(nth == 0 for nth, _ in rule.week_days):
        return " on every " + say_list([WEEKDAYS[day] for _, day in rule.week_days])
    if any(nth == 0 for nth, _ in rule.week_days):
        return None
    return " on the " + say_list([f"{_NTH[nth]} {WEEKDAYS[day]}" for nth, day in rule.week_days])


def _positioned(rule: Rule) -> str | None:
    """The second Tuesday, or the last weekday, of a month, said by BYSETPOS."""
    if len(rule.positions) != 1 or not _NTH.get(rule.positions[0]) or any(nth for nth, _ in rule.week_days):
        return None
    nth = _NTH[rule.positions[0]]
    if _is_working_week(rule):
        return f" on the {nth} weekday"
    return f" on the {nth} {WEEKDAYS[rule.week_days[0][1]]}" if len(rule.week_days) == 1 else None


def _yearly(rule: Rule, first: datetime) -> str | None:
    said = rule.week_days or rule.month_days or rule.positions
    if len(rule.months) > 1 or (not rule.months and said):
        return None
    month = rule.months[0] if rule.months else first.month
    if rule.week_days:
        days = _monthly(rule, first)
        return None if days is None else f"{days} of {MONTHS[month - 1]}"
    days_of_month = rule.month_days or (first.day,)
    if rule.positions or len(days_of_month) != 1 or not 1 <= days_of_month[0] <= 31:
        return None
    return f" on {days_of_month[0]} {MONTHS[month - 1]}"


def _is_working_week(rule: Rule) -> bool:
    return rule.week_days == _WORKING_WEEK


def _ordinal(day: int) -> str:
    if day == -1:
        return "last day"
    suffix = "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{suffix}"


def _end_of(rule: Rule, first: datetime) -> str:
    if rule.count is not None:
        return ", once" if rule.count == 1 else f", {rule.count} times"
    if rule.until is None or rule.until.seconds >= START_MAX_S:
        return ""
    last = datetime.fromtimestamp(rule.until.seconds, UTC)
    if rule.until.utc:
        last = last.astimezone(first.tzinfo)
    return f", until {say_day(last)}"
