"""DATE, DATE-TIME, DURATION and PERIOD as values (RFC 5545 section 3.3): wall times beside a zone's name.

Rules: a wall time is naive; the zone is an IANA name, "UTC", or "" for floating; a date is midnight with `is_date`.
"""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from meetkeeper.itemtext.lines import Unreadable

YEAR_MIN = 1900
YEAR_MAX = 2200
DURATION_S_MAX = 400 * 86_400
"""Longest duration read; longer is a mistake in the text, not a meeting."""

_STAMP = re.compile(
    r"(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2})?(?:\.\d{1,9})?(Z)?)?", re.ASCII | re.IGNORECASE
)
_DURATION = re.compile(
    r"([+-])?P(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,8})M)?(?:(\d{1,10})S)?)?",
    re.ASCII | re.IGNORECASE,
)


class When(Struct, frozen=True, gc=False):
    """A date, or a wall time in a zone ("" = floating)."""

    wall: datetime
    zone: str = ""
    is_date: bool = False


class Stamp(Struct, frozen=True, gc=False):
    """A DATE or DATE-TIME as written, before anybody asked which zone is meant."""

    wall: datetime
    utc: bool
    is_date: bool


class Length(Struct, frozen=True, gc=False):
    """A DURATION: whole days by the calendar, then exact seconds (RFC 5545 section 3.3.6)."""

    days: int
    seconds: int


def read_stamp(text: str, year_min: int = YEAR_MIN) -> Stamp:
    """`20261122`, `20261122T101500` or `20261122T101500Z`. Raises `Unreadable`."""
    match = _STAMP.fullmatch(text.strip())
    if match is None:
        raise Unreadable("One of its dates can't be read (RFC 5545 sections 3.3.4, 3.3.5).")
    year, month, day, hour, minute = (int(part or 0) for part in match.group(1, 2, 3, 4, 5))
    second = min(int(match[6] or 0), 59)  # a leap second is read as the one before it
    if not year_min <= year <= YEAR_MAX:
        raise Unreadable(f"One of its dates is outside the years {year_min} to {YEAR_MAX}.")
    try:
        wall = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - a wall time has no zone
    except ValueError:
        raise Unreadable("One of its dates does not exist.") from None
    return Stamp(wall, utc=match[7] is not None, is_date=match[4] is None)


def read_length(text: str) -> Length:
    """A DURATION. Raises `Unreadable` when it is none, negative, or longer than `DURATION_S_MAX`."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.group(2, 3, 4, 5, 6)):
        raise Unreadable("Its duration can't be read (RFC 5545 section 3.3.6).")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.group(2, 3, 4, 5, 6))
    length = Length(weeks * 7 + days, hours * 3600 + minutes * 60 + seconds)
    total = length.days * 86_400 + length.seconds
    if match[1] == "-" and total:
        raise Unreadable("Its duration is negative.")
    if total > DURATION_S_MAX:
        raise Unreadable("It lasts longer than a year.")
    return length


def seconds_between(start: When, end: When) -> int:
    """Exact seconds from start to end; wall seconds where no zone is known. A floating end is read in start's zone."""
    if not start.zone:
        return int((end.wall - start.wall).total_seconds())
    begin = start.wall.replace(tzinfo=ZoneInfo(start.zone)).timestamp()
    return int(end.wall.replace(tzinfo=ZoneInfo(end.zone or start.zone)).timestamp() - begin)


def seconds_of(length: Length, start: When) -> int:
    """Exact seconds of a duration that begins at `start`: a day by the calendar may have 23 or 25 hours."""
    return seconds_between(start, When(start.wall + timedelta(days=length.days), start.zone)) + length.seconds


def wall_in(when: When, zone: str) -> datetime:
    """The wall time in `zone` at this instant; where one of the two has no zone, the wall time as it stands."""
    if when.is_date or not zone or not when.zone or when.zone == zone:
        return when.wall
    return when.wall.replace(tzinfo=ZoneInfo(when.zone)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
