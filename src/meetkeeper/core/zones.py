"""Wall times and instants: the one place where a zone's clock is read.

A wall time is a naive `datetime`, or the same as a number: *wall seconds*, counted from 1970-01-01 00:00 on that wall.
Rules of this file (RFC 5545 §3.3.5): a time that the clock skips is read with the offset before the gap, a time that
occurs twice is the first of the two. Both are what `zoneinfo` does with `fold=0`.
"""

from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY_S = 86_400
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall time
_SECOND = timedelta(seconds=1)


@lru_cache(maxsize=2_048)
def find_zone(name: str) -> ZoneInfo | None:
    """The zone of an IANA name; None for a name nobody knows. Never raises, whatever stands in the name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def wall_s(wall: datetime) -> int:
    """A wall time as wall seconds; fractions are dropped."""
    return (wall - _EPOCH) // _SECOND


def wall_of(seconds: int) -> datetime:
    """Wall seconds as a wall time."""
    return _EPOCH + timedelta(seconds=seconds)


def to_instant(seconds: int, zone: tzinfo) -> int:
    """The instant (UTC seconds) at which the zone's wall shows these wall seconds."""
    offset = zone.utcoffset(_EPOCH + timedelta(seconds=seconds))
    assert offset is not None, "zones of this house know their offset"
    return seconds - offset.days * DAY_S - offset.seconds


def to_wall(instant_s: int, zone: tzinfo) -> int:
    """What the zone's wall shows at an instant, in wall seconds."""
    offset = datetime.fromtimestamp(instant_s, zone).utcoffset()
    assert offset is not None, "zones of this house know their offset"
    return instant_s + offset.days * DAY_S + offset.seconds
