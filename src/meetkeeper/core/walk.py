"""From a recurrence rule to starts, within bounds: the walk below `core.recurrence`.

Starts are *wall seconds* (`core.zones`), so a walk is whole-number arithmetic and a rule that never matches ends at
the far end of the span asked for. It begins near the near end: an old series costs no more than a young one, except
for a COUNT that has to be counted.

Rules of this file (RFC 5545 §3.3.10). A set of days is made per period (day, week, month, year), multiplied by the
times of day, and BYSETPOS picks from the whole set, also in the first period. What a rule leaves open is taken from
the first start. The first start always belongs to the series and counts (§3.8.5.3), even when the rule does not
produce it.
"""

from calendar import isleap, monthrange
from collections.abc import Iterator
from datetime import date
from functools import lru_cache

from msgspec.structs import replace

from meetkeeper.core.rrule import Rule, refusal
from meetkeeper.core.zones import DAY_S

PERIODS_MAX = 50_000
"""Periods looked at in one walk: every day between 1970 and 2100 fits, and it ends within a tenth of a second."""

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_LAST_YEAR = 9_998
_LAST_ORDINAL = date(_LAST_YEAR, 12, 31).toordinal()


def walk(rule: Rule, start: int, low: int, high: int) -> Iterator[int]:
    """The rule's starts from `low` to `high` inclusive, ascending, all in wall seconds; `start` is the first of all.

    COUNT is kept, UNTIL is the caller's. Raises `TheirMistake` after `PERIODS_MAX` periods.
    """
    if low <= start <= high:
        yield start
    rule = _widened(rule)
    times = _times(rule, start)
    first = _period_of(rule, start, low)
    left = None if rule.count is None else rule.count - _count_before(rule, start, times, first)
    if left is not None and left <= 0:
        return
    for _, begin, days in _periods(rule, start, first):
        if (begin - _EPOCH_ORDINAL) * DAY_S > high:
            return
        for found in _starts(rule, days, times):
            if found <= start:
                continue
            if found > high:
                return
            if found >= low:
                yield found
            if left is not None:
                left -= 1
                if not left:
                    return


@lru_cache(maxsize=4_096)
def _widened(rule: Rule) -> Rule:
    """The same starts in fewer periods: "every day that is a Monday" is every week's Monday."""
    if rule.frequency != "DAILY" or rule.interval != 1 or rule.positions:
        return rule
    if rule.month_days or rule.months:
        return replace(rule, frequency="MONTHLY", month_days=rule.month_days or tuple(range(1, 32)))
    return replace(rule, frequency="WEEKLY") if rule.week_days else rule


def _count_before(rule: Rule, start: int, times: tuple[int, ...], until: int) -> int:
    """How many starts lie in the periods before number `until`; the first start of all counts wherever it is."""
    counted = 1
    if until == 0:
        return counted
    each = _each_period(rule, start, times)
    for number, _, days in _periods(rule, start, 0):
        if number >= until:
            break
        if number > 0 and each is not None:
            return counted + each * (until - number)
        if number > 0 and not rule.positions:
            counted += len(days) * len(times)
        else:
            counted += sum(found > start for found in _starts(rule, days, times))
        if rule.count is not None and counted >= rule.count:
            break
    return counted


def _each_period(rule: Rule, start: int, times: tuple[int, ...]) -> int | None:
    """How many starts every period but the first has; None where that differs from period to period."""
    if rule.year_days or rule.week_numbers or (rule.months and rule.frequency != "YEARLY"):
        return None
    day = _date_of(start).day
    plain = not (rule.week_days or rule.month_days)
    days: int | None = None
    if rule.frequency == "DAILY" and plain:
        days = 1
    elif rule.frequency == "WEEKLY":
        days = max(1, len(rule.week_days))
    elif rule.frequency == "MONTHLY" and not rule.week_days:
        by_day = rule.month_days or (day,)
        days = 1 if len(by_day) == 1 and abs(by_day[0]) <= 28 else None
    elif rule.frequency == "MONTHLY" and not rule.month_days and len(rule.week_days) == 1:
        days = 1 if 1 <= abs(rule.week_days[0][0]) <= 4 else None
    elif rule.frequency == "YEARLY" and plain and day <= 28:
        days = max(1, len(rule.months))
    if days is None or not rule.positions:
        return None if days is None else days * len(times)
    size = days * len(times)
    return len({at - 1 if at > 0 else size + at for at in rule.positions if abs(at) <= size})


def _starts(rule: Rule, days: list[int], times: tuple[int, ...]) -> Iterator[int]:
    """The starts of one period, ascending: its days times the times of day, BYSETPOS applied."""
    base = _EPOCH_ORDINAL
    if not rule.positions:
        for day in days:
            for time in times:
                yield (day - base) * DAY_S + time
        return
    width = len(times)
    size = len(days) * width
    picked = {at - 1 if at > 0 else size + at for at in rule.positions if abs(at) <= size}
    for index in sorted(picked):
        yield (days[index // width] - base) * DAY_S + times[index % width]


def _times(rule: Rule, start: int) -> tuple[int, ...]:
    """The times of day, in seconds after midnight; what the rule leaves open is the first start's."""
    second = start % DAY_S
    hours = rule.hours or (second // 3_600,)
    minutes = rule.minutes or (second // 60 % 60,)
    seconds = rule.seconds or (second % 60,)
    return tuple(
        hour * 3_600 + minute * 60 + second for hour in hours for minute in minutes for second in seconds
    )


def _date_of(seconds: int) -> date:
    return date.fromordinal(seconds // DAY_S + _EPOCH_ORDINAL)


# --- periods ---------------------------------------------------------------------------------------------------------


def _period_of(rule: Rule, start: int, low: int) -> int:
    """A period that surely begins no later than the first start at or after `low`."""
    if low <= start:
        return 0
    first, wanted = _date_of(start), _date_of(low)
    days = wanted.toordinal() - first.toordinal()
    years = wanted.year - first.year
    passed = {
        "DAILY": days,
        "WEEKLY": days // 7 - 1,
        "MONTHLY": years * 12 + wanted.month - first.month,
        "YEARLY": years,
    }
    return max(0, passed[rule.frequency] // rule.interval)


def _periods(rule: Rule, start: int, number: int) -> Iterator[tuple[int, int, list[int]]]:
    """Periods from `number` on: (number, the day it begins, its days that the rule wants), days as ordinals.

    Days of a DAILY rule whose month the rule does not name are passed over without being looked at.
    """
    first = _date_of(start)
    for _ in range(PERIODS_MAX):
        begin = _begin(rule, first, number)
        if begin is None:
            return
        days, jump = _days_of(rule, first, begin)
        yield number, begin, days
        number += max(1, -(-jump // rule.interval))
    raise refusal(f"it gives nothing in {PERIODS_MAX} periods")


def _begin(rule: Rule, first: date, number: int) -> int | None:
    """The day on which a period begins, as ordinal; None when that is beyond all calendars."""
    match rule.frequency:
        case "DAILY":
            ordinal = first.toordinal() + number * rule.interval
        case "WEEKLY":
            week = first.toordinal() - (first.weekday() - rule.week_start) % 7
            ordinal = week + 7 * rule.interval * number
        case "MONTHLY":
            year, month = divmod(first.year * 12 + first.month - 1 + number * rule.interval, 12)
            return None if year > _LAST_YEAR else date(year, month + 1, 1).toordinal()
        case _:
            year = first.year + number * rule.interval
            return None if year > _LAST_YEAR else date(year, 1, 1).toordinal()
    return None if ordinal > _LAST_ORDINAL else ordinal


def _days_of(rule: Rule, first: date, begin: int) -> tuple[list[int], int]:
    """The wanted days of the period that begins on this day, and how many days a DAILY rule may pass over."""
    match rule.frequency:
        case "DAILY":
            return _day(rule, begin)
        case "WEEKLY":
            weekdays = {day for _, day in rule.week_days} or {first.weekday()}
            days = sorted(begin + (day - rule.week_start) % 7 for day in weekdays)
            if rule.months:
                days = [day for day in days if date.fromordinal(day).month in rule.months]
            return days, 0
        case "MONTHLY":
            return _month(rule, first, date.fromordinal(begin)), 0
        case "YEARLY":
            return _year(rule, first, date.fromordinal(begin)), 0


def _day(rule: Rule, ordinal: int) -> tuple[list[int], int]:
    if not (rule.months or rule.month_days or rule.week_days):
        return [ordinal], 0
    if rule.week_days and all(day != (ordinal - 1) % 7 for _, day in rule.week_days):
        return [], 0
    if not (rule.months or rule.month_days):
        return [ordinal], 0
    day = date.fromordinal(ordinal)
    length = monthrange(day.year, day.month)[1]
    if rule.months and day.month not in rule.months:
        return [], length - day.day + 1
    if rule.month_days and day.day not in rule.month_days and day.day - length - 1 not in rule.month_days:
        return [], 0
    return [ordinal], 0


def _month(rule: Rule, first: date, begin: date) -> list[int]:
    if rule.months and begin.month not in rule.months:
        return []
    length = monthrange(begin.year, begin.month)[1]
    last = begin.toordinal() + length - 1
    if not (rule.month_days or rule.week_days):
        return [begin.toordinal() + first.day - 1] if first.day <= length else []
    wanted = _everything(begin.toordinal(), last)
    if rule.month_days:
        wanted &= _in_month(rule.month_days, begin.toordinal(), length)
    if rule.week_days:
        wanted &= _by_weekday(rule.week_days, begin.toordinal(), last)
    return sorted(wanted)


def _year(rule: Rule, first: date, begin: date) -> list[int]:
    year, start = begin.year, begin.toordinal()
    last = start + (366 if isleap(year) else 365) - 1
    by_day = bool(rule.week_days or rule.month_days or rule.year_days or rule.week_numbers)
    months = rule.months or (range(1, 13) if by_day else (first.month,))
    spans = [(date(year, month, 1).toordinal(), monthrange(year, month)[1]) for month in months]
    if not by_day:
        return [begins + first.day - 1 for begins, length in spans if first.day <= length]
    wanted = _everything(start, last)
    if rule.months:
        wanted &= {day for begins, length in spans for day in range(begins, begins + length)}
    if rule.month_days:
        wanted &= {day for begins, length in spans for day in _in_month(rule.month_days, begins, length)}
    if rule.year_days:
        wanted &= {start + day - 1 if day > 0 else last + day + 1 for day in rule.year_days}
    if rule.week_numbers:
        wanted &= _in_weeks(rule, year)
    if rule.week_days and rule.months:
        numbered = [_by_weekday(rule.week_days, begins, begins + length - 1) for begins, length in spans]
        wanted &= set().union(*numbered)
    elif rule.week_days:
        wanted &= _by_weekday(rule.week_days, start, last)
    elif rule.week_numbers and not (rule.month_days or rule.year_days):
        wanted &= _by_weekday(((0, first.weekday()),), start, last)
    return sorted(wanted)


def _everything(first: int, last: int) -> set[int]:
    return set(range(first, last + 1))


def _in_month(month_days: tuple[int, ...], begins: int, length: int) -> set[int]:
    return {begins + (day - 1 if day > 0 else length + day) for day in month_days if abs(day) <= length}


def _by_weekday(week_days: tuple[tuple[int, int], ...], first: int, last: int) -> set[int]:
    """Days in the span that are one of these weekdays; a number counts them from the span's begin or end."""
    found: set[int] = set()
    for number, weekday in week_days:
        day = first + (weekday - (first - 1)) % 7
        if number == 0:
            found.update(range(day, last + 1, 7))
            continue
        nth = day + 7 * (number - 1) if number > 0 else day + (last - day) // 7 * 7 + 7 * (number + 1)
        if first <= nth <= last:
            found.add(nth)
    return found


def _in_weeks(rule: Rule, year: int) -> set[int]:
    """The year's days in the wanted weeks. Week 1 is the first with four days in its year; it may begin in the old one.

    Days that the calendar counts to this year are taken, also where their week belongs to a neighbour.
    """
    first, last = date(year, 1, 1).toordinal(), date(year, 12, 31).toordinal()
    found: set[int] = set()
    for owner in (year - 1, year, year + 1):
        begins, after = _week_one(owner, rule.week_start), _week_one(owner + 1, rule.week_start)
        weeks = (after - begins) // 7
        for number in rule.week_numbers:
            if abs(number) <= weeks:
                monday = begins + 7 * (number - 1 if number > 0 else weeks + number)
                found.update(day for day in range(monday, monday + 7) if first <= day <= last)
    return found


def _week_one(year: int, week_start: int) -> int:
    fourth = date(year, 1, 4).toordinal()
    return fourth - ((fourth - 1) - week_start) % 7
