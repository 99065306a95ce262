"""A VTIMEZONE for an IANA zone (RFC 5545 section 3.6.5): two yearly rules where they hold, single dates where not."""

import calendar
import functools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

RULE_YEARS = 8
"""How many years a rule must hold to be written as one; single dates are written for as many."""
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


class _Shift(Struct, frozen=True, gc=False):
    """Clocks change at `wall` (read by the offset before) from `before_s` to `after_s` seconds east of UTC."""

    wall: datetime
    before_s: int
    after_s: int
    name: str


@functools.lru_cache(maxsize=1_000)
def zone_lines(zone: str, year: int) -> tuple[str, ...]:
    """The content lines of the zone's VTIMEZONE, good from the beginning of `year`."""
    info = ZoneInfo(zone)
    shifts = _shifts(info, year)
    lines = ["BEGIN:VTIMEZONE", f"TZID:{zone}"]
    begin = datetime(year, 1, 1, tzinfo=UTC).astimezone(info)
    base = _seconds(begin)
    lines += _observance(_Shift(datetime(year, 1, 1), base, base, begin.tzname() or ""), ())  # noqa: DTZ001 - wall
    for after_s in sorted({shift.after_s for shift in shifts}):
        alike = [shift for shift in shifts if shift.after_s == after_s]
        rule = _rule(alike)
        if rule is not None and len(alike) == RULE_YEARS:
            lines += _observance(alike[0], (f"RRULE:{rule}",))
        else:
            lines += [line for shift in alike for line in _observance(shift, ())]
    return (*lines, "END:VTIMEZONE")


def _observance(shift: _Shift, more: tuple[str, ...]) -> list[str]:
    kind = "DAYLIGHT" if shift.after_s > shift.before_s else "STANDARD"
    return [
        f"BEGIN:{kind}",
        f"DTSTART:{shift.wall:%Y%m%dT%H%M%S}",
        f"TZOFFSETFROM:{_offset(shift.before_s)}",
        f"TZOFFSETTO:{_offset(shift.after_s)}",
        *([f"TZNAME:{shift.name}"] if shift.name else []),
        *more,
        f"END:{kind}",
    ]


def _shifts(info: ZoneInfo, year: int) -> list[_Shift]:
    """Every change of clocks in `RULE_YEARS` years, to the second."""
    found = []
    at = datetime(year, 1, 1, tzinfo=UTC)
    end = datetime(year + RULE_YEARS, 1, 1, tzinfo=UTC)
    while at < end:
        then = at + timedelta(days=7)
        if _seconds(at.astimezone(info)) != _seconds(then.astimezone(info)):
            found.append(_shift_between(info, at, then))
        at = then
    return found


def _shift_between(info: ZoneInfo, low: datetime, high: datetime) -> _Shift:
    before = _seconds(low.astimezone(info))
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=1) // 2)
        if _seconds(middle.astimezone(info)) == before:
            low = middle
        else:
            high = middle
    after = high.astimezone(info)
    wall = (high + timedelta(seconds=before)).replace(tzinfo=None)
    return _Shift(wall, before, _seconds(after), after.tzname() or "")


def _rule(shifts: list[_Shift]) -> str | None:
    """The yearly rule all these shifts follow, if there is one."""
    first = shifts[0]
    same = {(one.wall.month, one.wall.weekday(), one.wall.time(), one.before_s) for one in shifts}
    if len(same) != 1 or len({one.wall.year for one in shifts}) != len(shifts):
        return None
    nths = {(one.wall.day - 1) // 7 + 1 for one in shifts}
    last = all(one.wall.day + 7 > calendar.monthrange(one.wall.year, one.wall.month)[1] for one in shifts)
    if not last and len(nths) != 1:
        return None
    nth = -1 if last else nths.pop()
    return f"FREQ=YEARLY;BYMONTH={first.wall.month};BYDAY={nth}{_WEEKDAYS[first.wall.weekday()]}"


def _seconds(moment: datetime) -> int:
    offset = moment.utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def _offset(seconds: int) -> str:
    minutes, rest = divmod(abs(seconds), 60)
    sign = "-" if seconds < 0 else "+"
    return f"{sign}{minutes // 60:02}{minutes % 60:02}" + (f"{rest:02}" if rest else "")
