"""Our words → what is written into a room's mailbox: an iCalendar object as the fields of an EWS item. Pure.

Nobody is named as an attendee in the item: the mailbox could mail them, and our invitees are told by us. What EWS can't
hold (organizer, invitees, sequence) goes into our own property, as the iCalendar object itself.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from icalendar import Calendar
from msgspec import Struct
from tzlocal.windows_tz import tz_win

from meetkeeper.calendars.exchange.patterns import Tree, recurrence_of
from meetkeeper.core.errors import OurMistake, Refused
from meetkeeper.core.words import CalendarItem, Entry
from meetkeeper.itemtext.lines import Unreadable
from meetkeeper.itemtext.reading import read_item

SUBJECT_CHARS_MAX = 255
"""Exchange cuts longer subjects."""


class Draft(Struct, frozen=True):
    """An item to be written: fields in the order of Microsoft's schema, each with its FieldURI."""

    uid: str
    fields: tuple[tuple[str, Tree], ...]
    repeats: bool


def draft(uid: str, calendar_text: bytes, room_zone: str = "UTC") -> Draft:
    """The fields of an iCalendar object. Raises `Refused` for what Exchange can't hold."""
    item = read_item("", calendar_text)
    if not isinstance(item, CalendarItem) or item.master is None:
        raise OurMistake(
            "item.unreadable", "A meeting can't be written into the room's mailbox; report this."
        )
    if item.overrides or item.master.exdates or item.master.rdates:
        raise Refused(
            "calendar.series",
            "Exceptions of a series that was booked here can't be written into an Exchange mailbox; "
            "the room's calendar shows the series without them. Change it there by hand.",
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
    return Draft(uid, tuple(fields), bool(entry.rrule))


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
