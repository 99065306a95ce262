"""Which zone an item's wall times are meant in: StartTimeZone of EWS → an IANA name, and never silently UTC. Pure.

By its id or name where Windows or IANA knows it; else its definition (periods and transitions) is turned into a
VTIMEZONE and compared with the offsets of known zones, as for any other calendar; else a city in its name.
"""

import re
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from meetkeeper.calendars.exchange.soap import Node
from meetkeeper.itemtext.lines import Unreadable, parse
from meetkeeper.itemtext.times import Stamp
from meetkeeper.itemtext.zones import ZoneBook, zone_of

_BIAS = re.compile(r"(-?)PT(?:(\d{1,2})H)?(?:(\d{1,2})M)?(?:[\d.]+S)?", re.ASCII)
_ORDER = {"Monday": "MO", "Tuesday": "TU", "Wednesday": "WE", "Thursday": "TH", "Friday": "FR"}
_ORDER |= {"Saturday": "SA", "Sunday": "SU"}


class Meant(Struct, frozen=True):
    """The zone's IANA name, and what had to be guessed, as sentences."""

    zone: str
    remarks: tuple[str, ...] = ()


def zone_in(item: Node) -> Meant:
    """The zone of an item; UTC with a remark when nothing tells it."""
    node = item.child("StartTimeZone") or item.child("EndTimeZone")
    words = [] if node is None else [node.attributes.get("Id", ""), node.attributes.get("Name", "")]
    words += [item.say("StartTimeZoneId"), item.say("TimeZone")]
    names = [word for word in words if word]
    for name in names:
        known = zone_of(name)
        if known is not None:
            return Meant(known)
    if not names:
        return Meant("UTC", ("It names no time zone; its times are reckoned in UTC.",))
    return _guessed(names[0], node)


def _guessed(name: str, node: Node | None) -> Meant:
    label = "".join(c for c in name[:80] if c.isprintable() and c != '"').strip()
    lines = ["BEGIN:VCALENDAR", *([] if node is None else _definition(node, label)), "END:VCALENDAR", ""]
    try:
        book = ZoneBook(parse("\r\n".join(lines).encode("utf-8", "replace")))
        moment = datetime(2026, 7, 1, 12)  # noqa: DTZ001 - any wall time: the zone is asked for
        when = book.place(Stamp(moment, utc=False, is_date=False), label)
    except Unreadable:
        return Meant("UTC", (f"The time zone “{label}” is not known; times were reckoned in UTC.",))
    if when.zone:
        return Meant(when.zone, tuple(book.remarks))
    return Meant("UTC", (f"The time zone “{label}” is not known; times were reckoned in UTC.",))


def _definition(node: Node, label: str) -> list[str]:
    """The zone's definition as a VTIMEZONE; nothing when it can't be read."""
    periods = node.child("Periods")
    offsets: dict[str, int] = {}
    for period in [] if periods is None else periods.all("Period"):
        match = _BIAS.fullmatch(period.attributes.get("Bias", ""))
        if match is not None:
            minutes = int(match[2] or 0) * 60 + int(match[3] or 0)
            offsets[period.attributes.get("Id", "")] = minutes if match[1] else -minutes
    groups = node.child("TransitionsGroups")
    group = None if groups is None else next(reversed(list(groups.all("TransitionsGroup"))), None)
    turns = [] if group is None else [_turn(one, offsets) for one in group.all("RecurringDayTransition")]
    known = [turn for turn in turns if turn is not None]
    lines = ["BEGIN:VTIMEZONE", f"TZID:{label}"]
    if not known:
        if not offsets:
            return []
        only = _offset(next(iter(offsets.values())))
        lines += ["BEGIN:STANDARD", "DTSTART:19700101T000000"]
        lines += [f"TZOFFSETFROM:{only}", f"TZOFFSETTO:{only}", "END:STANDARD"]
    for number, (minutes, rule, clock) in enumerate(known):
        before = known[number - 1][0]
        kind = "DAYLIGHT" if minutes > before else "STANDARD"
        lines += [f"BEGIN:{kind}", f"DTSTART:19700101T{clock}", f"RRULE:{rule}"]
        lines += [f"TZOFFSETFROM:{_offset(before)}", f"TZOFFSETTO:{_offset(minutes)}", f"END:{kind}"]
    return [*lines, "END:VTIMEZONE"]


def _turn(node: Node, offsets: dict[str, int]) -> tuple[int, str, str] | None:
    """(offset in minutes from then on, rule, clock time) of one yearly change of clocks."""
    minutes = offsets.get(node.say("To"))
    day = _ORDER.get(node.say("DayOfWeek"))
    match = _BIAS.fullmatch(node.say("TimeOffset"))
    month, week = node.say("Month"), node.say("Occurrence")
    if minutes is None or day is None or match is None:
        return None
    if not (month.isdigit() and 1 <= int(month) <= 12 and week in ("-1", "1", "2", "3", "4")):
        return None
    clock = f"{int(match[2] or 0) % 24:02d}{int(match[3] or 0) % 60:02d}00"
    return minutes, f"FREQ=YEARLY;BYMONTH={int(month)};BYDAY={week}{day}", clock


def _offset(minutes: int) -> str:
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02d}{rest:02d}"


def instant_of(text: str) -> datetime:
    """An EWS date: UTC where it says nothing else, with or without fractions. Raises `Unreadable`."""
    trimmed = text.strip()
    if len(trimmed) > 40:
        raise Unreadable("One of its dates can't be read.")
    whole, dot, rest = trimmed.partition(".")
    if dot:
        trimmed = whole + rest.lstrip("0123456789")
    try:
        moment = datetime.fromisoformat(trimmed)
    except ValueError:
        raise Unreadable("One of its dates can't be read.") from None
    if not 1900 <= moment.year <= 2200:
        raise Unreadable("One of its dates is outside the years 1900 to 2200.")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)


def day_of(wall: datetime) -> datetime:
    """The midnight nearest to a wall time: whole days begin there, whatever zone their server thought of."""
    return (wall + timedelta(hours=12)).replace(hour=0, minute=0, second=0, microsecond=0)
