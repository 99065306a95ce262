"""Which zone is meant: from whatever a program calls it to an IANA name, and never silently to UTC.

Tried in order: the IANA name itself; a Windows name; the IANA name at the end of a path, as in
`/freeassociation.sourceforge.net/Europe/Oslo`; the VTIMEZONE's X-LIC-LOCATION; a known zone with the very offsets of
the VTIMEZONE; a city in the name. Then the wall time becomes UTC by the VTIMEZONE's own offsets, and without any the
time floats. Whatever had to be guessed is said in a remark.
"""

import functools
import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from msgspec import Struct
from tzlocal.windows_tz import win_tz

from meetkeeper.itemtext.lines import Component
from meetkeeper.itemtext.observances import Observance, offset_at, read_observances
from meetkeeper.itemtext.times import Stamp, When

TZID_CHARS_MAX = 255
_UTC_NAMES = frozenset({"z", "tzone://microsoft/utc", "(utc) coordinated universal time"})
_REGIONS = frozenset(
    {
        "Africa",
        "America",
        "Antarctica",
        "Arctic",
        "Asia",
        "Atlantic",
        "Australia",
        "Europe",
        "Indian",
        "Pacific",
    }
)
_FAMILIAR = (
    "Europe/London",
    "Europe/Berlin",
    "Europe/Helsinki",
    "Europe/Istanbul",
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "America/Sao_Paulo",
    "Asia/Dubai",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Asia/Tokyo",
    "Australia/Sydney",
    "Pacific/Auckland",
)
_WINDOWS = {name.casefold(): zone for name, zone in win_tz.items()}
_WORDS = re.compile(r"[^\W\d_]+(?:[ .'_-]+[^\W\d_]+)*")


class _Meant(Struct, frozen=True):
    """A zone's name, or the offsets to reckon with, or neither: then the time floats."""

    zone: str = ""
    offsets: tuple[Observance, ...] = ()


class ZoneBook:
    """The zones of one item. `remarks` collects what had to be guessed, a sentence each."""

    def __init__(self, calendar: Component) -> None:
        self.remarks: list[str] = []
        self._known: dict[str, _Meant] = {}
        self._definitions: dict[str, Component] = {}
        for part in calendar.inside("VTIMEZONE"):
            line = part.first("TZID")
            if line is not None:
                self._definitions.setdefault(line.value.strip(), part)

    def place(self, stamp: Stamp, tzid: str | None) -> When:
        """The stamp in the zone that is meant (RFC 5545 section 3.3.5: date, UTC, zoned, floating)."""
        if stamp.is_date:
            return When(stamp.wall, is_date=True)
        if stamp.utc:
            return When(stamp.wall, "UTC")
        name = (tzid or "").strip().strip('"').strip()
        if not name:
            return When(stamp.wall)
        meant = self._known.get(name)
        if meant is None:
            meant = self._known[name] = self._find(name, stamp.wall)
        if meant.offsets:
            return When(stamp.wall - timedelta(seconds=offset_at(meant.offsets, stamp.wall)), "UTC")
        return When(stamp.wall, meant.zone)

    def _find(self, name: str, wall: datetime) -> _Meant:
        definition = self._definitions.get(name)
        location = None if definition is None else definition.first("X-LIC-LOCATION")
        known = zone_of(name) or (None if location is None else zone_of(location.value.strip()))
        if known is not None:
            return _Meant(known)
        shown = f"The time zone “{name[:80]}” is not known"
        offsets = None if definition is None else read_observances(definition)
        cities = _cities_in(name)
        if offsets:
            alike = _zone_with(offsets, wall.year, cities)
            if alike is not None:
                self.remarks.append(f"{shown}; its offsets are those of {alike}, so that is taken.")
                return _Meant(alike)
            self.remarks.append(f"{shown} and no zone has its offsets; times were reckoned to UTC with them.")
            return _Meant(offsets=offsets)
        if cities:
            self.remarks.append(f"{shown}; by its name, {cities[0]} is taken.")
            return _Meant(cities[0])
        self.remarks.append(f"{shown} and not described; times are read in the room's own zone.")
        return _Meant()


@functools.lru_cache(maxsize=2_000)
def zone_of(name: str) -> str | None:
    """The IANA name this names by itself: as it is, from Windows, or at the end of a path. None when it doesn't."""
    if not name or len(name) > TZID_CHARS_MAX:
        return None
    if name.casefold() in _UTC_NAMES:
        return "UTC"
    exact = _iana(name) or _iana(_WINDOWS.get(name.casefold(), ""))
    if exact is not None:
        return exact
    parts = name.strip("/").split("/")
    for length in (3, 2):
        if len(parts) > length:
            found = _iana("/".join(parts[-length:]))
            if found is not None:
                return found
    return _iana(parts[-1]) if len(parts) > 1 else None


def _iana(name: str) -> str | None:
    known = _by_folded_name().get(name.casefold())
    if known is None:
        return None
    try:
        ZoneInfo(known)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    return known


@functools.cache
def _by_folded_name() -> dict[str, str]:
    return {name.casefold(): name for name in sorted(available_timezones())}


@functools.cache
def _by_city() -> dict[str, str]:
    """City in lower case → zone."""
    cities: dict[str, str] = {}
    for name in sorted(available_timezones()):
        region, _, city = name.rpartition("/")
        if region.partition("/")[0] in _REGIONS:
            cities.setdefault(city.replace("_", " ").casefold(), name)
    return cities


def _cities_in(name: str) -> tuple[str, ...]:
    """Zones named after a city in the text: `(UTC+01:00) Amsterdam, Berlin, Bern`."""
    words = (match.group().replace("_", " ").casefold() for match in _WORDS.finditer(name[:TZID_CHARS_MAX]))
    return tuple(_by_city()[word] for word in words if word in _by_city())


@functools.lru_cache(maxsize=500)
def _zone_with(offsets: tuple[Observance, ...], year: int, cities: tuple[str, ...]) -> str | None:
    """The first zone that has these offsets in every week of this year and the next."""
    start = datetime(year, 1, 4, 12)  # noqa: DTZ001 - wall times are compared
    weeks = [start + timedelta(weeks=week) for week in range(104)]
    wanted = [offset_at(offsets, wall) for wall in weeks]
    if len(set(wanted)) == 1 and wanted[0] % 3600 == 0 and not cities:
        return _fixed(wanted[0] // 3600)
    for name in (*cities, *_FAMILIAR, *sorted(set(win_tz.values()))):
        zone = ZoneInfo(name)
        if all(_offset_s(zone, wall) == offset for wall, offset in zip(weeks, wanted, strict=True)):
            return name
    return None


def _fixed(hours: int) -> str | None:
    """The zone that is always this far from UTC; its sign is the other way round (POSIX)."""
    if hours == 0:
        return "UTC"
    return _iana(f"Etc/GMT{-hours:+d}")


def _offset_s(zone: ZoneInfo, wall: datetime) -> float:
    offset = wall.replace(tzinfo=zone).utcoffset()
    return 0.0 if offset is None else offset.total_seconds()
