"""Times, places and repetition as an English reader expects them; the vocabulary of `core.invitation`.

Words come from the tables below, never from the machine's locale, so both servers of a pair write the same mail. A
recurrence rule is put into words only when the words say all of it; any other rule sends the reader to the calendar.
"""

import calendar
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

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
_DAY_CODES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_NTH = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", -1: "last", -2: "second to last"}
_UNITS = {"DAILY": "day", "WEEKLY": "week", "MONTHLY": "month", "YEARLY": "year"}
_SAYABLE = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "WKST"}
_WORKING_WEEK = ["MO", "TU", "WE", "TH", "FR"]


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
    """An RFC 5545 §3.3.10 rule in a sentence without its full stop; `SEE_CALENDAR` when words would not say all of it.

    `first` is the wall time of the first occurrence, from which a rule takes what it does not say itself.
    """
    parts = _parts_of(rrule)
    unit = _UNITS.get(parts.get("FREQ", ""))
    if unit is None or not parts.keys() <= _SAYABLE:
        return SEE_CALENDAR
    try:
        every = int(parts.get("INTERVAL", "1"))
        rhythm = f"Every {unit}" if every == 1 else f"Every {every} {unit}s"
        where = _place_in(unit, parts, first)
        until = _end_of(parts, first)
    except (ValueError, KeyError, IndexError):
        return SEE_CALENDAR
    if where is None:
        return SEE_CALENDAR
    if where == _EVERY_WEEKDAY:
        rhythm, where = (
            ("Every weekday (Monday to Friday)", "") if every == 1 else (rhythm, " on every weekday")
        )
    return rhythm + where + until


_EVERY_WEEKDAY = "weekdays"


def _parts_of(rrule: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in rrule.strip().upper().removeprefix("RRULE:").split(";") if part)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _place_in(unit: str, parts: Mapping[str, str], first: datetime) -> str | None:
    """Which days of the unit: ` on Monday and Friday`, ` on the 15th`; None for what words would not say whole."""
    if unit == "day":
        return _days_of_daily(parts)
    if unit == "week":
        return _days_of_week(parts, first)
    if unit == "month":
        return None if "BYMONTH" in parts else _day_of_month(parts, first)
    return _day_of_year(parts, first)


def _days_of_daily(parts: Mapping[str, str]) -> str | None:
    if parts.keys() & {"BYMONTHDAY", "BYMONTH", "BYSETPOS"}:
        return None
    if "BYDAY" not in parts:
        return ""
    days = parts["BYDAY"].split(",")
    if int(parts.get("INTERVAL", "1")) != 1 or not set(days) <= set(_DAY_CODES):
        return None
    return _EVERY_WEEKDAY if sorted(days) == sorted(_WORKING_WEEK) else " that is a " + _either(days)


def _either(days: Sequence[str]) -> str:
    names = [WEEKDAYS[_DAY_CODES.index(day)] for day in sorted(days, key=_DAY_CODES.index)]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _days_of_week(parts: Mapping[str, str], first: datetime) -> str | None:
    if parts.keys() & {"BYMONTHDAY", "BYMONTH", "BYSETPOS"}:
        return None
    days = sorted(parts.get("BYDAY", _DAY_CODES[first.weekday()]).split(","), key=_DAY_CODES.index)
    if days == _WORKING_WEEK:
        return _EVERY_WEEKDAY
    return " on " + say_list([WEEKDAYS[_DAY_CODES.index(day)] for day in days])


def _day_of_month(parts: Mapping[str, str], first: datetime) -> str | None:
    if "BYDAY" not in parts:
        if "BYSETPOS" in parts:
            return None
        return " on the " + say_list([_ordinal_day(int(day)) for day in _month_days(parts, first)])
    if "BYMONTHDAY" in parts:
        return None
    position = parts.get("BYSETPOS", "")
    days = parts["BYDAY"].split(",")
    if position:
        nth = _NTH[int(position)]
        if sorted(days) == sorted(_WORKING_WEEK):
            return f" on the {nth} weekday"
        return f" on the {nth} {WEEKDAYS[_DAY_CODES.index(days[0])]}" if len(days) == 1 else None
    if any(day in _DAY_CODES for day in days):
        if not all(day in _DAY_CODES for day in days):
            return None
        return " on every " + say_list([WEEKDAYS[_DAY_CODES.index(day)] for day in days])
    return " on the " + say_list(
        [f"{_NTH[int(day[:-2])]} {WEEKDAYS[_DAY_CODES.index(day[-2:])]}" for day in days]
    )


def _month_days(parts: Mapping[str, str], first: datetime) -> list[str]:
    return parts.get("BYMONTHDAY", str(first.day)).split(",")


def _ordinal_day(day: int) -> str:
    if day == -1:
        return "last day"
    if not 1 <= day <= 31:
        raise ValueError(day)
    suffix = "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{suffix}"


def _day_of_year(parts: Mapping[str, str], first: datetime) -> str | None:
    months = parts.get("BYMONTH", str(first.month)).split(",")
    if len(months) != 1 or ("BYMONTH" not in parts and parts.keys() & {"BYDAY", "BYMONTHDAY", "BYSETPOS"}):
        return None
    month = MONTHS[int(months[0]) - 1]
    if "BYDAY" in parts:
        day = _day_of_month(parts, first)
        return None if day is None else f"{day} of {month}"
    days = _month_days(parts, first)
    if len(days) != 1 or "BYSETPOS" in parts:
        return None
    day_number = int(days[0])
    if not 1 <= day_number <= calendar.monthrange(2024, int(months[0]))[1]:
        return None
    return f" on {day_number} {month}"


def _end_of(parts: Mapping[str, str], first: datetime) -> str:
    if "COUNT" in parts:
        times = int(parts["COUNT"])
        return ", once" if times == 1 else f", {times} times"
    if "UNTIL" not in parts:
        return ""
    return f", until {say_day(_until(parts['UNTIL'], first))}"


def _until(text: str, first: datetime) -> date:
    """The last day of a rule, in the zone of `first` when the rule gives an instant (RFC 5545: UNTIL is UTC then)."""
    if len(text) == 8:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    moment = datetime.strptime(text[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return moment.astimezone(first.tzinfo).date() if text.endswith("Z") and first.tzinfo else moment.date()
