"""Recurrence in Microsoft Graph ↔ RRULE (RFC 5545 section 3.3.10), pure.

Graph has six kinds of pattern (learn.microsoft.com "recurrencePattern", "recurrenceRange"). Two things are not what
they look like: a day that a month lacks is the month's last one, and several weekdays with an index are one occurrence.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from meetkeeper.core.errors import TheirMistake
from meetkeeper.core.rrule import Rule, read_rule
from meetkeeper.core.zones import DAY_S, find_zone, to_wall, wall_of
from meetkeeper.itemtext.lines import Unreadable
from meetkeeper.itemtext.rules import ordered_rule
from meetkeeper.itemtext.times import When

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CODES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_INDEXES = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}
_YEAR_NONE = 1601
"""Dates before this year mean "none"."""


class Pattern(Struct, frozen=True):
    """`recurrencePattern`."""

    type: str = ""
    interval: int = 1
    month: int | None = None
    dayOfMonth: int | None = None  # noqa: N815 - as on the wire
    daysOfWeek: tuple[str, ...] | None = None  # noqa: N815
    firstDayOfWeek: str | None = None  # noqa: N815
    index: str | None = None


class Range(Struct, frozen=True):
    """`recurrenceRange`."""

    type: str = ""
    startDate: str | None = None  # noqa: N815
    endDate: str | None = None  # noqa: N815
    recurrenceTimeZone: str | None = None  # noqa: N815
    numberOfOccurrences: int | None = None  # noqa: N815


class Recurrence(Struct, frozen=True):
    """`patternedRecurrence`."""

    pattern: Pattern | UnsetType = UNSET
    range: Range | UnsetType = UNSET


def rule_of(recurrence: Recurrence, start: When) -> str:
    """The RRULE of a series that starts there. Raises `Unreadable`."""
    pattern, span = recurrence.pattern, recurrence.range
    if isinstance(pattern, UnsetType) or isinstance(span, UnsetType):
        raise Unreadable("Its recurrence has no pattern or no range.")
    parts = _frequency(pattern)
    if pattern.interval < 1 or pattern.interval > 999:
        raise Unreadable("Its recurrence has an interval that makes no sense.")
    if pattern.interval > 1:
        parts["INTERVAL"] = str(pattern.interval)
    match span.type:
        case "noEnd":
            pass
        case "numbered" if span.numberOfOccurrences and span.numberOfOccurrences > 0:
            parts["COUNT"] = str(span.numberOfOccurrences)
        case "endDate" if (end := day_of(span.endDate)) is not None:
            parts["UNTIL"] = f"{end:%Y%m%d}"
        case _:
            raise Unreadable("Its recurrence does not say how it ends.")
    return ordered_rule(";".join(f"{name}={value}" for name, value in parts.items()), start)


def day_of(text: str | None) -> date | None:
    """`2026-11-22`; None for what is no day, or the year 1 that means none."""
    try:
        day = date.fromisoformat((text or "")[:10])
    except ValueError:
        return None
    return day if day.year >= _YEAR_NONE else None


def _frequency(pattern: Pattern) -> dict[str, str]:
    match pattern.type:
        case "daily":
            return {"FREQ": "DAILY"}
        case "weekly":
            parts = {"FREQ": "WEEKLY", "BYDAY": ",".join(_days(pattern))}
            first = _weekday(pattern.firstDayOfWeek or "sunday")
            if pattern.interval > 1 and first:
                parts["WKST"] = _CODES[first]
            return parts
        case "absoluteMonthly":
            return {"FREQ": "MONTHLY", **_month_day(pattern, 28)}
        case "absoluteYearly":
            month = _month(pattern)
            longest = 28 if month == 2 else 30
            return {"FREQ": "YEARLY", "BYMONTH": str(month), **_month_day(pattern, longest)}
        case "relativeMonthly":
            return {"FREQ": "MONTHLY", **_week_day(pattern)}
        case "relativeYearly":
            return {"FREQ": "YEARLY", "BYMONTH": str(_month(pattern)), **_week_day(pattern)}
        case _:
            raise Unreadable("Its recurrence is of a kind that is not known here.")


def _month(pattern: Pattern) -> int:
    if pattern.month is None or not 1 <= pattern.month <= 12:
        raise Unreadable("Its recurrence names no month.")
    return pattern.month


def _month_day(pattern: Pattern, shortest: int) -> dict[str, str]:
    """The day of the month; where a month has fewer, its last."""
    day = pattern.dayOfMonth or 0
    if not 1 <= day <= 31:
        raise Unreadable("Its recurrence names no day of the month.")
    if day <= shortest:
        return {"BYMONTHDAY": str(day)}
    return {"BYMONTHDAY": ",".join(str(one) for one in range(shortest, day + 1)), "BYSETPOS": "-1"}


def _week_day(pattern: Pattern) -> dict[str, str]:
    days, index = _days(pattern), _INDEXES.get(pattern.index or "first")
    if index is None:
        raise Unreadable("Its recurrence names a week of the month that is not known here.")
    if len(days) == 1:
        return {"BYDAY": f"{index}{days[0]}"}
    return {"BYDAY": ",".join(days), "BYSETPOS": str(index)}


def _days(pattern: Pattern) -> list[str]:
    days = sorted({_weekday(name) for name in pattern.daysOfWeek or ()})
    if not days:
        raise Unreadable("Its recurrence names no weekday.")
    return [_CODES[day] for day in days]


def _weekday(name: str) -> int:
    try:
        return WEEKDAYS.index(name.lower())
    except ValueError:
        raise Unreadable("Its recurrence names a weekday that is not known here.") from None


# --- the other way ---------------------------------------------------------------------------------------------------


def recurrence_of(text: str, start: datetime, zone: str) -> dict[str, Any]:
    """The RRULE of a series with this wall start as `patternedRecurrence`. Raises `TheirMistake` when there is none.

    Only what means the same there is translated; nothing is rounded.
    """
    rule = read_rule(text)
    pattern = _pattern_for(rule, start)
    if pattern is None:
        raise TheirMistake(
            "calendar.rule",
            f"Microsoft 365 has no recurrence like {text[:100]}; book the dates one by one or with a plainer rule.",
        )
    span: dict[str, Any] = {
        "type": "noEnd",
        "startDate": f"{start:%Y-%m-%d}",
        "recurrenceTimeZone": zone or "UTC",
    }
    if rule.count is not None:
        span |= {"type": "numbered", "numberOfOccurrences": rule.count}
    elif rule.until is not None:
        last = wall_of(rule.until.seconds)
        if rule.until.utc and rule.until.seconds % DAY_S:
            last = wall_of(to_wall(rule.until.seconds, find_zone(zone) or UTC))
        if last.time() < start.time():
            last -= timedelta(days=1)
        span |= {"type": "endDate", "endDate": f"{last:%Y-%m-%d}"}
    return {"pattern": pattern, "range": span}


def _pattern_for(rule: Rule, start: datetime) -> dict[str, Any] | None:
    odd = rule.year_days or rule.week_numbers or rule.hours or rule.minutes or rule.seconds
    if odd or len(rule.months) > 1:
        return None
    base: dict[str, Any] = {"interval": rule.interval}
    plain = [day for ordinal, day in rule.week_days if not ordinal]
    ordinals = [one for one in rule.week_days if one[0]]
    months = rule.months in ((), (start.month,))
    match rule.frequency:
        case "DAILY" if not (rule.week_days or rule.month_days or rule.months or rule.positions):
            return {**base, "type": "daily"}
        case "WEEKLY" if not (ordinals or rule.month_days or rule.months or rule.positions):
            days = plain or [start.weekday()]
            named = [WEEKDAYS[day] for day in days]
            return {
                **base,
                "type": "weekly",
                "daysOfWeek": named,
                "firstDayOfWeek": WEEKDAYS[rule.week_start],
            }
        case "MONTHLY" | "YEARLY" if months and not (rule.months and rule.frequency == "MONTHLY"):
            kind = "Monthly" if rule.frequency == "MONTHLY" else "Yearly"
            month = {} if kind == "Monthly" else {"month": start.month}
            return _in_month(rule, start, {**base, **month}, kind)
        case _:
            return None


def _in_month(rule: Rule, start: datetime, base: dict[str, Any], kind: str) -> dict[str, Any] | None:
    names = {number: name for name, number in _INDEXES.items()}
    if not rule.week_days:
        days = rule.month_days or (start.day,)
        if len(days) == 1 and not rule.positions and 1 <= days[0] <= 28 and days[0] == start.day:
            return {**base, "type": f"absolute{kind}", "dayOfMonth": days[0]}
        last = rule.positions == (-1,) and days == tuple(range(28, days[-1] + 1)) and kind == "Monthly"
        if last or days == (-1,):
            return {**base, "type": f"absolute{kind}", "dayOfMonth": 31 if days == (-1,) else days[-1]}
        return None
    if rule.month_days or (kind == "Yearly" and not rule.months):
        return None
    if len(rule.week_days) == 1 and rule.week_days[0][0] in names and not rule.positions:
        ordinal, day = rule.week_days[0]
        return {**base, "type": f"relative{kind}", "daysOfWeek": [WEEKDAYS[day]], "index": names[ordinal]}
    plain = all(not ordinal for ordinal, _ in rule.week_days)
    if plain and len(rule.positions) == 1 and rule.positions[0] in names:
        named = [WEEKDAYS[day] for _, day in rule.week_days]
        return {**base, "type": f"relative{kind}", "daysOfWeek": named, "index": names[rule.positions[0]]}
    return None
