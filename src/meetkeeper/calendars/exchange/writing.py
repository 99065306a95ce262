"""Our words → what is written into a room's mailbox: an iCalendar object as the fields of an EWS item. Pure.

Nobody is named as an attendee in the item: the mailbox could mail them, and our invitees are told by us. What EWS can't
hold (organizer, invitees, sequence) goes into our own property, as the iCalendar object itself.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from icalendar import Calendar
from msgspec import Struct
from msgspec.structs import replace
from tzlocal.windows_tz import tz_win

from meetkeeper.calendars.exchange.patterns import Tree, recurrence_of
from meetkeeper.core.errors import OurMistake, Refused
from meetkeeper.core.recurrence import STARTS_MAX, expand
from meetkeeper.core.words import CalendarItem, Entry
from meetkeeper.core.zones import DAY_S
from meetkeeper.itemtext.lines import Unreadable
from meetkeeper.itemtext.reading import read_item

SUBJECT_CHARS_MAX = 255
"""Exchange cuts longer subjects."""


class Draft(Struct, frozen=True):
    """An item to be written: fields in the order of Microsoft's schema, each with its FieldURI.

    `changes` are occurrences of a series by their number in its pattern, from 1: other fields, or None for one that is
    left out.
    """

    uid: str
    fields: tuple[tuple[str, Tree], ...]
    repeats: bool
    changes: tuple[tuple[int, tuple[tuple[str, Tree], ...] | None], ...] = ()


def draft(uid: str, calendar_text: bytes, room_zone: str = "UTC") -> Draft:
    """The fields of an iCalendar object. Raises `Refused` for what Exchange can't hold."""
    item = read_item("", calendar_text)
    if not isinstance(item, CalendarItem) or item.master is None:
        raise OurMistake(
            "item.unreadable", "A meeting can't be written into the room's mailbox; report this."
        )
    if item.master.rdates:
        raise Refused(
            "calendar.series",
            "Exchange has no series with single dates beside its pattern. Book those meetings by themselves.",
        )
    entry = item.master
    zone = entry.zone or room_zone
    start, end = _span(entry, zone)
    body, location = _texts(calendar_text)
    fields: list[tuple[str, Tree]] = [
        ("item:Subject", ("Subject", entry.subject[:SUBJECT_CHARS_MAX])),
        ("item:Sensitivity", ("Sensitivity", "Private" if entry.private else "Normal")),
        ("item:Body", ("Body", body)),
        ("item:ReminderIsSet", ("ReminderIsSet", "false")),
        ("calendar:Start", ("Start", start)),
        ("calendar:End", ("End", end)),
        ("calendar:IsAllDayEvent", ("IsAllDayEvent", "true" if entry.all_day else "false")),
        ("calendar:LegacyFreeBusyStatus", ("LegacyFreeBusyStatus", "Busy")),
        ("calendar:Location", ("Location", location[:SUBJECT_CHARS_MAX])),
    ]
    if entry.rrule:
        try:
            fields.append(("calendar:Recurrence", recurrence_of(entry.rrule, entry.start, zone)))
        except Unreadable as unreadable:
            raise Refused("calendar.series", f"{unreadable} Book it in another way.") from None
    name = tz_win.get(zone, "UTC")
    fields.append(("calendar:StartTimeZone", ("StartTimeZone", name)))
    fields.append(("calendar:EndTimeZone", ("EndTimeZone", name)))
    return Draft(uid, tuple(fields), bool(entry.rrule), _changes(item, zone, body, location))


def _changes(
    item: CalendarItem, zone: str, body: str, location: str
) -> tuple[tuple[int, tuple[tuple[str, Tree], ...] | None], ...]:
    """What differs from the pattern, by the numbers of its occurrences."""
    master = item.master
    assert master is not None
    wanted: dict[int, tuple[tuple[str, Tree], ...] | None] = {
        _instant_s(wall, zone): None for wall in master.exdates
    }
    for entry in item.overrides:
        if entry.recurrence_id is None:
            continue
        start, end = _span(entry, entry.zone or zone)
        fields: tuple[tuple[str, Tree], ...] = (
            ("item:Subject", ("Subject", (entry.subject or master.subject)[:SUBJECT_CHARS_MAX])),
            ("item:Body", ("Body", body)),
            ("calendar:Start", ("Start", start)),
            ("calendar:End", ("End", end)),
            ("calendar:Location", ("Location", location[:SUBJECT_CHARS_MAX])),
        )
        wanted[_instant_s(entry.recurrence_id, zone)] = None if entry.cancelled else fields
    if not wanted:
        return ()
    plain = replace(item, master=replace(master, exdates=()), overrides=())
    from_s, until_s = _instant_s(master.start, zone), max(wanted) + DAY_S
    starts: list[int] = []
    while from_s < until_s and len(starts) < STARTS_MAX:
        some = [one.original_start_s for one in expand(plain, zone, from_s, until_s).occurrences]
        some = [one for one in some if not starts or one > starts[-1]]
        if not some:
            break
        starts += some
        from_s = starts[-1]
    number = {start_s: index for index, start_s in enumerate(starts, 1)}
    if not wanted.keys() <= number.keys():
        raise Refused(
            "calendar.series",
            "An exception of the series lies where its pattern has no meeting, which Exchange can't hold. "
            "Book that meeting by itself.",
        )
    return tuple((number[start_s], wanted[start_s]) for start_s in sorted(wanted))


def _instant_s(wall: datetime, zone: str) -> int:
    return int(wall.replace(tzinfo=ZoneInfo(zone)).timestamp())


def _span(entry: Entry, zone: str) -> tuple[str, str]:
    """Start and end as instants in UTC."""
    begin = entry.start.replace(tzinfo=ZoneInfo(zone))
    if entry.all_day:
        finish = (entry.start + timedelta(seconds=entry.duration_s)).replace(tzinfo=ZoneInfo(zone))
        return _spelled(begin), _spelled(finish)
    return _spelled(begin), _spelled(begin.astimezone(UTC) + timedelta(seconds=entry.duration_s))


def _spelled(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _texts(calendar_text: bytes) -> tuple[str, str]:
    """Description with our block, and location."""
    event = next(iter(Calendar.from_ical(calendar_text).walk("VEVENT")))
    return str(event.get("DESCRIPTION", "")), str(event.get("LOCATION", ""))
