"""Our words → the text of a calendar item (RFC 5545, RFC 7986): what is written into a room's calendar.

Writing an entry and reading it back gives the same entry, so that the echo of our own hand is not taken for news.
Rules: no METHOD (that is for mails); nobody's calendar server may mail our invitees, so every address is marked
SCHEDULE-AGENT=CLIENT (RFC 6638 section 7.1); a time that the clocks show twice is written in UTC.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from icalendar.parser import Contentline, Contentlines, Parameters
from msgspec import Struct

from meetkeeper.core.errors import OurMistake
from meetkeeper.core.identity import fingerprint
from meetkeeper.core.words import CalendarItem, Entry, Meeting, Person
from meetkeeper.itemtext.lines import OURS, Unreadable
from meetkeeper.itemtext.rules import ordered_rule
from meetkeeper.itemtext.texts import NAME_CHARS_MAX, escaped, one_line, plain_description
from meetkeeper.itemtext.times import When
from meetkeeper.itemtext.zonetext import zone_lines

_Params = dict[str, str | list[str]]

PRODID = "-//meetkeeper//meetkeeper//EN"


class Conference(Struct, frozen=True, gc=False):
    """One way in: a URI (https, sip, tel), what it carries, and what people call it (RFC 7986 section 5.11)."""

    uri: str
    label: str = ""
    features: tuple[str, ...] = ("AUDIO", "VIDEO")


class Venue(Struct, frozen=True, kw_only=True, gc=False):
    """Where it is held. `rooms` by name and address (which may be empty); `join_block` is `core.invitation`'s."""

    rooms: tuple[Person, ...] = ()
    conference: tuple[Conference, ...] = ()
    join_block: str = ""


def item_of(meeting: Meeting) -> CalendarItem:
    """A meeting that does not repeat, as the calendar item it would be anywhere."""
    entry = entry_of(meeting)
    return CalendarItem(href="", uid=meeting.uid, fingerprint=fingerprint(entry, ()), master=entry)


def entry_of(meeting: Meeting) -> Entry:
    """The entry of one meeting: its start as a wall time in its own zone, whole days as dates."""
    zone = meeting.time_zone if _is_zone(meeting.time_zone) else "UTC"
    start = datetime.fromtimestamp(meeting.start_s, ZoneInfo(zone))
    seconds = meeting.end_s - meeting.start_s
    if meeting.all_day:
        end = datetime.fromtimestamp(meeting.end_s, ZoneInfo(zone))
        seconds = max(1, (end.date() - start.date()).days) * 86_400
        start, zone = start.replace(hour=0, minute=0, second=0, fold=0), ""
    elif start.fold:
        start, zone = start.astimezone(UTC), "UTC"
    return Entry(
        start=start.replace(tzinfo=None),
        duration_s=seconds,
        zone=zone,
        all_day=meeting.all_day,
        subject=one_line(meeting.subject, len(meeting.subject)),
        description=plain_description(meeting.description),
        organizer=meeting.organizer if meeting.organizer.email else None,
        attendees=meeting.invitees,
        private=meeting.private,
        sequence=meeting.sequence,
        modified_s=meeting.modified_s,
    )


def to_calendar(item: CalendarItem, venue: Venue) -> bytes:
    """The text of the item: its master and overrides, each held at this venue. One UID, never a METHOD.

    Raises `OurMistake` for a rule that is none, which `core.rrule` would have refused at the booking.
    """
    entries = ([item.master] if item.master is not None else []) + list(item.overrides)
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", f"PRODID:{PRODID}", "CALSCALE:GREGORIAN"]
    year = min((entry.start.year for entry in entries), default=1970)
    for zone in sorted({entry.zone for entry in entries} - {"", "UTC"}):
        lines += zone_lines(zone, year)
    for entry in entries:
        lines += _event(item.uid, entry, item.master, venue)
    lines.append("END:VCALENDAR")
    return Contentlines(map(Contentline, lines)).to_ical()  # type: ignore[no-untyped-call, no-any-return]


def _event(uid: str, entry: Entry, master: Entry | None, venue: Venue) -> Iterator[str]:
    yield "BEGIN:VEVENT"
    yield _line("UID", escaped(one_line(uid, len(uid))))
    stamp = datetime.fromtimestamp(entry.modified_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    yield f"DTSTAMP:{stamp}"
    yield f"LAST-MODIFIED:{stamp}"
    yield f"SEQUENCE:{entry.sequence}"
    yield _dates("DTSTART", [entry.start], entry)
    yield _end(entry)
    yield from _repeating(entry, master)
    yield from _texts(entry, venue)
    yield from _people(entry, venue.rooms)
    for way in venue.conference:
        params: _Params = {"VALUE": "URI", "FEATURE": list(way.features), "LABEL": _name(way.label)}
        yield _line("CONFERENCE", "".join(one_line(way.uri, len(way.uri)).split()), params)
    yield f"{OURS}:TRUE"
    yield "END:VEVENT"


def _repeating(entry: Entry, master: Entry | None) -> Iterator[str]:
    if entry.rrule:
        yield f"RRULE:{_rule(entry)}"
    if entry.rdates:
        yield _dates("RDATE", entry.rdates, entry)
    if entry.exdates:
        yield _dates("EXDATE", entry.exdates, entry)
    if entry.recurrence_id is not None:
        reach: _Params = {"RANGE": "THISANDFUTURE"} if entry.this_and_future else {}
        yield _dates("RECURRENCE-ID", [entry.recurrence_id], master or entry, reach)


def _rule(entry: Entry) -> str:
    try:
        return ordered_rule(entry.rrule, When(entry.start, entry.zone, entry.all_day))
    except Unreadable as unreadable:
        raise OurMistake(
            "item.rule", f"A series can't be written into a calendar. {unreadable} Report this."
        ) from None


def _texts(entry: Entry, venue: Venue) -> Iterator[str]:
    if entry.subject:
        yield _line("SUMMARY", escaped(one_line(entry.subject, len(entry.subject))))
    block = "" if entry.cancelled else venue.join_block.strip()
    description = "\n\n".join(part for part in (plain_description(entry.description), block) if part)
    if description:
        yield _line("DESCRIPTION", escaped(description))
    names = ", ".join(_name(room.name) or room.email for room in venue.rooms)
    if names:
        yield _line("LOCATION", escaped(names))
    yield "STATUS:CANCELLED" if entry.cancelled else "STATUS:CONFIRMED"
    if entry.private:
        yield "CLASS:PRIVATE"
    if entry.all_day:
        yield "X-MICROSOFT-CDO-ALLDAYEVENT:TRUE"


def _people(entry: Entry, rooms: Sequence[Person]) -> Iterator[str]:
    ours: _Params = {"SCHEDULE-AGENT": "CLIENT"}
    if entry.organizer is not None:
        yield _line("ORGANIZER", _mailto(entry.organizer), {"CN": _name(entry.organizer.name), **ours})
    for person in entry.attendees:
        yield _line("ATTENDEE", _mailto(person), {"CN": _name(person.name), "RSVP": "TRUE", **ours})
    for room in rooms:
        if room.email:
            params: _Params = {
                "CN": _name(room.name),
                "CUTYPE": "ROOM",
                "PARTSTAT": "ACCEPTED",
                "ROLE": "NON-PARTICIPANT",
                **ours,
            }
            yield _line("ATTENDEE", _mailto(room), params)


def _end(entry: Entry) -> str:
    """DTEND; where the clocks show the end twice, DURATION, which counts exact seconds (RFC 5545 section 3.8.2.5)."""
    length = timedelta(seconds=entry.duration_s)
    if entry.all_day or not entry.zone:
        return _dates("DTEND", [entry.start + length], entry)
    zone = ZoneInfo(entry.zone)
    end = (entry.start.replace(tzinfo=zone).astimezone(UTC) + length).astimezone(zone)
    if end.fold:
        return f"DURATION:PT{entry.duration_s}S"
    return _dates("DTEND", [end.replace(tzinfo=None)], entry)


def _dates(name: str, walls: Sequence[datetime], like: Entry, params: _Params | None = None) -> str:
    """Dates in the way and the zone of an entry: days, UTC, floating, or with its TZID."""
    more = dict(params or {})
    if like.all_day:
        more["VALUE"] = "DATE"
        return _line(name, ",".join(f"{wall:%Y%m%d}" for wall in walls), more)
    if like.zone not in ("", "UTC"):
        more["TZID"] = like.zone
    suffix = "Z" if like.zone == "UTC" else ""
    return _line(name, ",".join(f"{wall:%Y%m%dT%H%M%S}{suffix}" for wall in walls), more)


def _line(name: str, value: str, params: _Params | None = None) -> str:
    said = Parameters({key: one for key, one in (params or {}).items() if one})
    head = name + (";" + said.to_ical().decode() if said else "")
    return f"{head}:{value}"


def _name(text: str) -> str:
    return one_line(text, NAME_CHARS_MAX)


def _mailto(person: Person) -> str:
    return "mailto:" + quote("".join(person.email.split()), safe="@!$&'*+-/=^_`{|}~.")


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
