"""A VTIMEZONE's own offsets (RFC 5545 section 3.6.5), reckoned within bounds: which offset holds at a wall time.

Only the yearly rules that zones are made of are understood (`FREQ=YEARLY` with BYMONTH, BYDAY, BYMONTHDAY, UNTIL) and
dates given one by one; a zone with any other rule is not understood as a whole, so nobody expands a hostile one.
"""

import calendar
import re
from datetime import datetime

from msgspec import Struct

from meetkeeper.itemtext.lines import Component, Line, Unreadable
from meetkeeper.itemtext.times import read_stamp

OBSERVANCES_MAX = 64
ONSETS_MAX = 400
YEAR_MIN = 1600
"""Exchange lets its zones begin in 1601."""
_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})(\d{2})?", re.ASCII)
_BYDAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)", re.ASCII)
_WEEKDAYS = {"MO": 0, "TU": 1, "WE": 2, "TH": 3, "FR": 4, "SA": 5, "SU": 6}
_RULE_PARTS = frozenset({"FREQ", "BYMONTH", "BYDAY", "BYMONTHDAY", "UNTIL", "INTERVAL", "WKST"})


class Yearly(Struct, frozen=True, gc=False):
    """Once a year: the `nth` such weekday of the month (0: any), among `days` of the month (empty: all)."""

    month: int
    weekday: int | None
    nth: int
    days: tuple[int, ...]
    until: datetime | None


class Observance(Struct, frozen=True, gc=False):
    """From each onset on, `offset_s` seconds east of UTC; `before_s` held until then. `onsets` are wall times."""

    before_s: int
    offset_s: int
    onsets: tuple[datetime, ...]
    yearly: Yearly | None


def read_observances(zone: Component) -> tuple[Observance, ...] | None:
    """The observances of a VTIMEZONE, or None when one of them is not understood."""
    parts = [part for part in zone.parts if part.name in ("STANDARD", "DAYLIGHT")]
    if not parts or len(parts) > OBSERVANCES_MAX:
        return None
    try:
        return tuple(_observance(part) for part in parts)
    except Unreadable:
        return None


def offset_at(observances: tuple[Observance, ...], wall: datetime) -> int:
    """Seconds east of UTC at this wall time; the hour around a change of clocks is reckoned by the wall."""
    latest: tuple[datetime, int] | None = None
    for one in observances:
        for onset in _onsets_near(one, wall.year):
            if onset <= wall and (latest is None or onset >= latest[0]):
                latest = (onset, one.offset_s)
    if latest is not None:
        return latest[1]
    return min(observances, key=lambda one: one.onsets[0]).before_s


def _onsets_near(observance: Observance, year: int) -> list[datetime]:
    onsets = list(observance.onsets)
    rule = observance.yearly
    if rule is None:
        return onsets
    first = onsets[0]
    for one in (year - 1, year):
        onset = _onset(rule, one, first)
        if onset is not None and onset > first and (rule.until is None or onset <= rule.until):
            onsets.append(onset)
    if (
        rule.until is not None and rule.until.year < year - 1
    ):  # it ended long ago: its last onset still counts
        last = _onset(rule, rule.until.year, first)
        if last is not None and first < last <= rule.until:
            onsets.append(last)
    return onsets


def _onset(rule: Yearly, year: int, first: datetime) -> datetime | None:
    days = [
        day
        for day in range(1, calendar.monthrange(year, rule.month)[1] + 1)
        if (not rule.days or day in rule.days)
        and (rule.weekday is None or calendar.weekday(year, rule.month, day) == rule.weekday)
    ]
    if rule.weekday is None and not rule.days:
        days = [day for day in days if day == first.day]
    index = rule.nth - 1 if rule.nth > 0 else rule.nth
    if not -len(days) <= index < len(days):
        return None
    return first.replace(year=year, month=rule.month, day=days[index])


def _observance(part: Component) -> Observance:
    begin = read_stamp(_value(part, "DTSTART"), YEAR_MIN).wall
    onsets = [begin]
    for line in part.all("RDATE"):
        onsets += [read_stamp(text.partition("/")[0]).wall for text in line.value.split(",")]
        if len(onsets) > ONSETS_MAX:
            raise Unreadable("Its time zone changes too often.")
    rule = part.first("RRULE")
    return Observance(
        before_s=_offset(_value(part, "TZOFFSETFROM")),
        offset_s=_offset(_value(part, "TZOFFSETTO")),
        onsets=(begin, *sorted(onsets[1:])),
        yearly=None if rule is None else _yearly(rule, begin),
    )


def _value(part: Component, name: str) -> str:
    line = part.first(name)
    if line is None:
        raise Unreadable(f"Its time zone lacks {name}.")
    return line.value.strip()


def _offset(text: str) -> int:
    match = _OFFSET.fullmatch(text)
    if match is None or int(match[2]) > 23 or int(match[3]) > 59:
        raise Unreadable("Its time zone has an offset that can't be read.")
    seconds = int(match[2]) * 3600 + int(match[3]) * 60 + int(match[4] or 0)
    return -seconds if match[1] == "-" else seconds


def _yearly(line: Line, begin: datetime) -> Yearly:
    parts = dict(part.partition("=")[::2] for part in line.value.strip().upper().split(";") if part)
    if parts.get("FREQ") != "YEARLY" or parts.keys() - _RULE_PARTS or parts.get("INTERVAL", "1") != "1":
        raise Unreadable("Its time zone has a rule that is not yearly.")
    byday = _BYDAY.fullmatch(parts["BYDAY"]) if "BYDAY" in parts else None
    try:
        month = int(parts.get("BYMONTH", begin.month))
        days = tuple(int(day) for day in parts.get("BYMONTHDAY", "").split(",") if day)
    except ValueError:
        raise Unreadable("Its time zone has a rule that can't be read.") from None
    if ("BYDAY" in parts and byday is None) or not 1 <= month <= 12:
        raise Unreadable("Its time zone has a rule that can't be read.")
    return Yearly(
        month=month,
        weekday=None if byday is None else _WEEKDAYS[byday[2]],
        nth=int(byday[1] or 1) if byday is not None else 1,
        days=days,
        until=read_stamp(parts["UNTIL"]).wall if "UNTIL" in parts else None,
    )
