"""EWS' six patterns of recurrence ↔ RRULE values (MS-OXOCAL 2.2.1.44, RFC 5545 section 3.3.10). Pure.

Exchange's "day 31" means the last day of shorter months; iCalendar would skip those, so such a rule is written as the
last of several days. Regenerating patterns are for tasks and are not understood.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from meetkeeper.calendars.exchange.soap import Node
from meetkeeper.itemtext.lines import Unreadable
from meetkeeper.itemtext.times import read_stamp

_DAYS = {
    "Monday": "MO",
    "Tuesday": "TU",
    "Wednesday": "WE",
    "Thursday": "TH",
    "Friday": "FR",
    "Saturday": "SA",
    "Sunday": "SU",
}
_GROUPS = {
    "Day": tuple(_DAYS.values()),
    "Weekday": ("MO", "TU", "WE", "TH", "FR"),
    "WeekendDay": ("SA", "SU"),
}
_INDEX = {"First": 1, "Second": 2, "Third": 3, "Fourth": 4, "Last": -1}
_MONTHS = {
    name: number
    for number, name in enumerate(
        (
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
        ),
        start=1,
    )
}
_SHORTEST = {2: 28, 4: 30, 6: 30, 9: 30, 11: 30}
NUMBER_MAX = 9_999


def rule_of(recurrence: Node) -> str:
    """The RRULE of a Recurrence element; an end is a day (UNTIL=20261224). Raises `Unreadable`."""
    pattern = next((node for node in recurrence.inside if node.name in _PATTERNS), None)
    if pattern is None:
        raise Unreadable("It repeats by a pattern that is not known.")
    return ";".join([*_PATTERNS[pattern.name](pattern), *_end(recurrence)])


def _daily(pattern: Node) -> list[str]:
    return ["FREQ=DAILY", *_interval(pattern)]


def _weekly(pattern: Node) -> list[str]:
    days = _days(pattern)
    interval = _interval(pattern)
    first = _DAYS.get(pattern.say("FirstDayOfWeek"), "MO")
    week = [f"WKST={first}"] if interval and first != "MO" else []
    return ["FREQ=WEEKLY", *interval, f"BYDAY={','.join(days)}", *week]


def _monthly_by_day(pattern: Node) -> list[str]:
    return ["FREQ=MONTHLY", *_interval(pattern), *_day_of_month(pattern, 28)]


def _monthly_by_weekday(pattern: Node) -> list[str]:
    return ["FREQ=MONTHLY", *_interval(pattern), *_relative(pattern)]


def _yearly_by_day(pattern: Node) -> list[str]:
    month = _month(pattern)
    shortest = _SHORTEST.get(month, 31)
    return ["FREQ=YEARLY", f"BYMONTH={month}", *_day_of_month(pattern, shortest)]


def _yearly_by_weekday(pattern: Node) -> list[str]:
    return ["FREQ=YEARLY", f"BYMONTH={_month(pattern)}", *_relative(pattern)]


_PATTERNS = {
    "DailyRecurrence": _daily,
    "WeeklyRecurrence": _weekly,
    "AbsoluteMonthlyRecurrence": _monthly_by_day,
    "RelativeMonthlyRecurrence": _monthly_by_weekday,
    "AbsoluteYearlyRecurrence": _yearly_by_day,
    "RelativeYearlyRecurrence": _yearly_by_weekday,
}


def _interval(pattern: Node) -> list[str]:
    number = _number(pattern, "Interval", 1, NUMBER_MAX) if pattern.child("Interval") else 1
    return [] if number == 1 else [f"INTERVAL={number}"]


def _days(pattern: Node) -> list[str]:
    found: list[str] = []
    for word in pattern.say("DaysOfWeek").split():
        days = _GROUPS.get(word) or ((_DAYS[word],) if word in _DAYS else ())
        if not days:
            raise Unreadable("It repeats on a day of the week that is not known.")
        found.extend(day for day in days if day not in found)
    if not found:
        raise Unreadable("It repeats weekly and names no day.")
    return sorted(found, key=list(_DAYS.values()).index)


def _relative(pattern: Node) -> list[str]:
    """The second Tuesday, the last working day."""
    index = _INDEX.get(pattern.say("DayOfWeekIndex"))
    days = _days(pattern)
    if index is None:
        raise Unreadable("It repeats by a week of the month that is not known.")
    if len(days) == 1:
        return [f"BYDAY={index}{days[0]}"]
    return [f"BYDAY={','.join(days)}", f"BYSETPOS={index}"]


def _day_of_month(pattern: Node, shortest: int) -> list[str]:
    day = _number(pattern, "DayOfMonth", 1, 31)
    if day <= shortest:
        return [f"BYMONTHDAY={day}"]
    days = ",".join(str(one) for one in range(shortest, day + 1))
    return [f"BYMONTHDAY={days}", "BYSETPOS=-1"]


def _month(pattern: Node) -> int:
    number = _MONTHS.get(pattern.say("Month"))
    if number is None:
        raise Unreadable("It repeats in a month that is not known.")
    return number


def _number(pattern: Node, name: str, least: int, most: int) -> int:
    text = pattern.say(name)
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 8 else -1
    if not least <= number <= most:
        raise Unreadable(f"It repeats with a {name} that makes no sense.")
    return number


def _end(recurrence: Node) -> list[str]:
    if recurrence.child("NoEndRecurrence") is not None:
        return []
    numbered = recurrence.child("NumberedRecurrence")
    if numbered is not None:
        return [f"COUNT={_number(numbered, 'NumberOfOccurrences', 1, NUMBER_MAX)}"]
    day = recurrence.say("EndDateRecurrence", "EndDate")[:10]
    if len(day) != 10 or not day.replace("-", "").isdigit():
        raise Unreadable("It repeats with an end that can't be read.")
    return [f"UNTIL={day.replace('-', '')}"]


# --- RRULE → a pattern ----------------------------------------------------------------------------------------------

Tree = tuple[str, "str | tuple[Tree, ...]"]
"""An element to be written: its name, and its text or the elements inside."""
_FULL = {short: name for name, short in _DAYS.items()}
_BY_INDEX = {str(number): name for name, number in _INDEX.items()}
_GROUP_OF = {frozenset(days): name for name, days in _GROUPS.items()}


def recurrence_of(rrule: str, start: datetime, zone: str) -> Tree:
    """The Recurrence element of a rule. Raises `Unreadable` for one that Exchange has no pattern for."""
    parts = dict(part.partition("=")[::2] for part in rrule.split(";"))
    known = {"FREQ", "INTERVAL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "WKST", "COUNT", "UNTIL"}
    try:
        if not parts.keys() <= known:
            raise KeyError
        pattern = _pattern_of(parts, start)
    except (KeyError, ValueError):
        raise Unreadable("Exchange has no pattern for the way it repeats.") from None
    return "Recurrence", (pattern, _range_of(parts, start, zone))


def _pattern_of(parts: dict[str, str], start: datetime) -> Tree:
    interval: Tree = ("Interval", parts.get("INTERVAL", "1"))
    days = parts["BYDAY"].split(",") if "BYDAY" in parts else []
    kind = parts["FREQ"]
    if kind == "DAILY" and parts.keys() <= {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST"}:
        return "DailyRecurrence", (interval,)
    if kind == "WEEKLY" and not {"BYMONTH", "BYMONTHDAY", "BYSETPOS"} & parts.keys():
        named = " ".join(_FULL[day] for day in days or [_WEEK[start.weekday()]])
        first: Tree = ("FirstDayOfWeek", _FULL[parts.get("WKST", "MO")])
        return "WeeklyRecurrence", (interval, ("DaysOfWeek", named), first)
    if kind == "MONTHLY" and "BYMONTH" not in parts:
        if days:
            return "RelativeMonthlyRecurrence", (interval, *_relative_of(days, parts))
        return "AbsoluteMonthlyRecurrence", (interval, ("DayOfMonth", _day_of(parts, start)))
    if kind == "YEARLY" and parts.get("INTERVAL", "1") == "1":
        months = {number: name for name, number in _MONTHS.items()}
        month: Tree = ("Month", months[int(parts.get("BYMONTH", start.month))])
        if days:
            if "BYMONTH" not in parts:
                raise KeyError
            return "RelativeYearlyRecurrence", (*_relative_of(days, parts), month)
        return "AbsoluteYearlyRecurrence", (("DayOfMonth", _day_of(parts, start)), month)
    raise KeyError


def _relative_of(days: list[str], parts: dict[str, str]) -> tuple[Tree, Tree]:
    if "BYMONTHDAY" in parts:
        raise KeyError
    if "BYSETPOS" in parts:
        named = _GROUP_OF.get(frozenset(days)) or _FULL["".join(days)]
        return ("DaysOfWeek", named), ("DayOfWeekIndex", _BY_INDEX[parts["BYSETPOS"]])
    (day,) = days
    return ("DaysOfWeek", _FULL[day[-2:]]), ("DayOfWeekIndex", _BY_INDEX[day[:-2].lstrip("+")])


def _day_of(parts: dict[str, str], start: datetime) -> str:
    """One day up to the 28th; a later one only where the rule says what shorter months do."""
    days = [int(day) for day in parts.get("BYMONTHDAY", str(start.day)).split(",")]
    if "BYSETPOS" in parts:
        if parts["BYSETPOS"] != "-1" or days != list(range(days[0], days[-1] + 1)):
            raise KeyError
        return str(days[-1])
    (day,) = days
    if not 1 <= day <= 28:
        raise KeyError
    return str(day)


def _range_of(parts: dict[str, str], start: datetime, zone: str) -> Tree:
    begin: Tree = ("StartDate", f"{start:%Y-%m-%d}")
    if "COUNT" in parts:
        return "NumberedRecurrence", (begin, ("NumberOfOccurrences", parts["COUNT"]))
    if "UNTIL" not in parts:
        return "NoEndRecurrence", (begin,)
    stamp = read_stamp(parts["UNTIL"])
    last = stamp.wall
    if stamp.utc:
        last = stamp.wall.replace(tzinfo=UTC).astimezone(ZoneInfo(zone or "UTC")).replace(tzinfo=None)
    if not stamp.is_date and last.time() < start.time():
        last -= timedelta(days=1)
    return "EndDateRecurrence", (begin, ("EndDate", f"{last:%Y-%m-%d}"))


_WEEK = tuple(_FULL)
