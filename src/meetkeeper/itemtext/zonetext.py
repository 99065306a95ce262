"""VTIMEZONE components (RFC 5545 §3.6.5) spelled from the IANA zones this program itself reckons with. Pure.

A zone whose clocks change by one rule every year becomes two observances with a yearly rule, which is the only form
that every calendar program reads; what came before that rule, or a zone without one, gets its onsets listed. An onset
is written in the wall time before the change, as the RFC wants it (icalendar's own generator writes the one after).
"""

from calendar import monthrange
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from icalendar import Timezone, TimezoneDaylight, TimezoneStandard, vRecur
from msgspec import Struct

OPEN_YEARS = 10
"""How many years from now a series without an end must be right, in a zone that keeps no rule."""
YEARS = (1970, 2110)
"""First and last year that a component is reckoned for; before and after, its nearest rule is right enough."""
ERA_YEARS_MIN = 3
"""What holds for fewer years is listed instead of being called a rule."""
_STEP = timedelta(days=1)
_DAY_CODES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


class Onset(Struct, frozen=True, gc=False):
    """One change of clocks: the wall time before it, and the offsets from UTC on either side."""

    wall: datetime
    before: timedelta
    after: timedelta
    name: str


class Yearly(Struct, frozen=True, gc=False):
    """An onset that comes again every year by this RRULE."""

    onset: Onset
    rule: str


def vtimezone(zone: str, first: int, last: int) -> Timezone:
    """The component for an IANA zone, right from the year `first` to the year `last`, and beyond by its last rule."""
    low, high = YEARS
    return _vtimezone(zone, min(max(first, low), high), min(max(last, low), high))


@lru_cache(maxsize=1_000)
def zone_lines(zone: str, year: int) -> tuple[str, ...]:
    """The component's content lines, unfolded, good from the beginning of `year` on."""
    text = vtimezone(zone, year, year + OPEN_YEARS).to_ical().decode("utf-8")
    return tuple(text.replace("\r\n ", "").splitlines())


@lru_cache(maxsize=256)
def _vtimezone(zone: str, first: int, last: int) -> Timezone:
    tz = ZoneInfo(zone)
    component = Timezone()
    component.add("TZID", zone)
    start = datetime(first - 1, 1, 1, tzinfo=UTC)
    onsets = onsets_of(tz, start, datetime(last + 2, 1, 1, tzinfo=UTC))
    base = min((offset for onset in onsets for offset in (onset.before, onset.after)), default=timedelta())
    era = _last_era(onsets, range(first - 1, last + 2))
    before = [onset for onset in onsets if not era or onset.wall < era[0].onset.wall]
    if before or not era:
        component.add_component(_observance(_initial(tz, start), base))
    for same in _grouped(before):
        component.add_component(_observance(same[0], base, more=[onset.wall for onset in same[1:]]))
    for yearly in era:
        component.add_component(_observance(yearly.onset, base, rule=yearly.rule))
    return component


def onsets_of(tz: tzinfo, start: datetime, end: datetime) -> list[Onset]:
    """Every change of clocks in the zone between two instants (aware, UTC), to the second."""
    found = []
    moment, offset = start, _offset(tz, start)
    while moment < end:
        after = moment + _STEP
        if _offset(tz, after) != offset:
            turn = _turn(tz, moment, after)
            new = _offset(tz, turn)
            found.append(
                Onset((turn + offset).replace(tzinfo=None), offset, new, turn.astimezone(tz).tzname() or "")
            )
            offset = new
        moment = after
    return found


def _turn(tz: tzinfo, low: datetime, high: datetime) -> datetime:
    """The first second after `low` at which the zone's offset is no longer the one at `low`."""
    before = _offset(tz, low)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if _offset(tz, middle) == before:
            low = middle
        else:
            high = middle
    return high


def _offset(tz: tzinfo, moment: datetime) -> timedelta:
    return moment.astimezone(tz).utcoffset() or timedelta()


def _initial(tz: tzinfo, start: datetime) -> Onset:
    """What holds at the beginning, as an onset that changes nothing."""
    offset = _offset(tz, start)
    return Onset((start + offset).replace(tzinfo=None), offset, offset, start.astimezone(tz).tzname() or "")


def _last_era(onsets: Sequence[Onset], years: range) -> tuple[Yearly, ...]:
    """The rules that hold to the end of these years, by their first onset; none if they hold for too few of them."""
    era: tuple[Yearly, ...] = ()
    for first in reversed(years):
        rules = _yearly_rules(onsets, range(first, years.stop))
        if rules is None:
            break
        if years.stop - first >= ERA_YEARS_MIN:
            era = rules
    return era


def _yearly_rules(onsets: Sequence[Onset], years: range) -> tuple[Yearly, ...] | None:
    """The two onsets of the first year with their rule, if every year has the same two; else None."""
    by_year = [[onset for onset in onsets if onset.wall.year == year] for year in years]
    if any(len(of_year) != 2 for of_year in by_year):
        return None
    rules = []
    for column in zip(*by_year, strict=True):
        alike = {(o.before, o.after, o.name, o.wall.month, o.wall.weekday(), o.wall.time()) for o in column}
        places = set.intersection(*({_nth(o.wall), _nth_from_end(o.wall)} for o in column)) - {0}
        if len(alike) != 1 or not places:
            return None
        wall = column[0].wall
        place = -1 if -1 in places else max(places)
        rule = f"FREQ=YEARLY;BYMONTH={wall.month};BYDAY={place}{_DAY_CODES[wall.weekday()]}"
        rules.append(Yearly(column[0], rule))
    return tuple(rules)


def _nth(day: datetime) -> int:
    return (day.day - 1) // 7 + 1


def _nth_from_end(day: datetime) -> int:
    """-1 for the last such weekday of its month, else 0."""
    return -1 if day.day + 7 > monthrange(day.year, day.month)[1] else 0


def _grouped(onsets: Sequence[Onset]) -> list[list[Onset]]:
    groups: dict[tuple[timedelta, timedelta, str], list[Onset]] = {}
    for onset in onsets:
        groups.setdefault((onset.before, onset.after, onset.name), []).append(onset)
    return list(groups.values())


def _observance(
    onset: Onset, base: timedelta, *, rule: str = "", more: Sequence[datetime] = ()
) -> TimezoneStandard | TimezoneDaylight:
    """One STANDARD or DAYLIGHT: the smaller of a zone's offsets is its standard time, as Outlook reads it."""
    part = TimezoneStandard() if onset.after <= base or onset.before == onset.after else TimezoneDaylight()
    part.add("DTSTART", onset.wall)
    part.add("TZOFFSETFROM", onset.before)
    part.add("TZOFFSETTO", onset.after)
    if onset.name:
        part.add("TZNAME", onset.name)
    if rule:
        part.add("RRULE", vRecur.from_ical(rule))
    if more:
        part.add("RDATE", list(more))
    return part
