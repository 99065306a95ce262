"""What we write into a room's calendar by Graph, and how it is known again, pure.

Graph has no field for a UID of somebody else's making, and people named as attendees would be mailed. So a booking is
written without attendees, with our category for people to see and for delta queries to show, and with two properties of
our own: the UID, to find it by, and the whole item as iCalendar text. What comes back unchanged is that item; what a
person changed by hand is that item with the person's time, and newer.
"""

import zlib
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from meetkeeper.calendars.graph.mapping import Reader, moment_s
from meetkeeper.calendars.graph.patterns import recurrence_of
from meetkeeper.calendars.graph.wire import CATEGORY, Event
from meetkeeper.core.errors import OurMistake
from meetkeeper.core.identity import fingerprint
from meetkeeper.core.recurrence import expand
from meetkeeper.core.words import CalendarItem, Entry
from meetkeeper.itemtext.lines import Unreadable, parse
from meetkeeper.itemtext.reading import read_item
from meetkeeper.itemtext.texts import clean_text

_SET = "{9c1f6f3a-5b0e-4c55-9d0c-6a5f3b1d7e42}"
"""The set of our properties; any value does, as long as it never changes."""
UID_PROPERTY = f"String {_SET} Name meetkeeper-uid"
ITEM_PROPERTY = f"String {_SET} Name meetkeeper-item"
ITEM_BYTES_MAX = 1 << 20
BODY_CHARS_MAX = 36_000
_YEARS_COMPARED = 2


class Draft(Struct, frozen=True):
    """A booking to write: the JSON of the master, and what differs in single occurrences by their original start.

    `changes` maps the UTC start that the series gave an occurrence to its JSON, or to None where it is left out.
    """

    uid: str
    event: dict[str, Any]
    changes: dict[int, dict[str, Any] | None]


def draft_of(uid: str, calendar_text: bytes) -> Draft:
    """What to write for this iCalendar object. Raises `TheirMistake` for a rule that Graph does not have."""
    item = read_item("-", calendar_text)
    if not isinstance(item, CalendarItem) or item.master is None:
        raise OurMistake(
            "item.unreadable", "A booking can't be written into a calendar as it is; report this."
        )
    master = item.master
    body = _body(calendar_text)
    event = {
        **_facts(master, body),
        "categories": [CATEGORY],
        "isReminderOn": False,
        "responseRequested": False,
        "transactionId": sha256(calendar_text).hexdigest()[:32],
        "singleValueExtendedProperties": [
            {"id": UID_PROPERTY, "value": item.uid},
            {"id": ITEM_PROPERTY, "value": b64encode(zlib.compress(calendar_text)).decode()},
        ],
    }
    if master.rrule:
        event["recurrence"] = recurrence_of(master.rrule, master.start, master.zone)
    changes: dict[int, dict[str, Any] | None] = {_instant_s(wall, master): None for wall in master.exdates}
    for entry in item.overrides:
        if entry.recurrence_id is not None:
            original = _instant_s(entry.recurrence_id, master)
            changes[original] = None if entry.cancelled else _facts(entry, body)
    return Draft(uid, event, changes)


def echo_of(seen: CalendarItem, event: Event, reader: Reader) -> CalendarItem:
    """What an item of ours says: as it was written, or, where a person moved it, that with the person's facts."""
    values = {one.id: one.value or "" for one in event.properties or ()}
    told = _told(seen.href, values.get(ITEM_PROPERTY, ""), reader)
    if told is None or seen.master is None or told.master is None:
        return seen
    if _same(seen, told, reader):
        return replace(told, etag=seen.etag, remarks=seen.remarks)
    theirs = replace(
        seen.master,
        organizer=told.master.organizer,
        attendees=told.master.attendees,
        description=told.master.description,
        sequence=told.master.sequence,
        modified_s=max(told.master.modified_s + 1, moment_s(event.modified)),
    )
    overrides = tuple(
        replace(one, organizer=theirs.organizer, attendees=theirs.attendees, description=theirs.description)
        for one in seen.overrides
    )
    untimed = tuple(replace(one, modified_s=0) for one in overrides)
    marked = fingerprint(replace(theirs, modified_s=0), untimed)
    return replace(seen, uid=told.uid, master=theirs, overrides=overrides, fingerprint=marked)


def _told(href: str, packed: str, reader: Reader) -> CalendarItem | None:
    if not packed or len(packed) > ITEM_BYTES_MAX:
        return None
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(b64decode(packed, validate=True), ITEM_BYTES_MAX)
    except (ValueError, zlib.error):
        return None
    item = read_item(href, text, own_email=reader.own_email, room_emails=reader.room_emails)
    return item if isinstance(item, CalendarItem) else None


def _same(seen: CalendarItem, told: CalendarItem, reader: Reader) -> bool:
    """Both give the same meetings at the same times. Bodies are left out: mailboxes rewrite them."""
    assert seen.master is not None
    assert told.master is not None
    flags = [
        (one.master.subject, one.master.all_day, one.master.private) for one in (seen, told) if one.master
    ]
    if flags[0] != flags[1] or seen.master.cancelled or told.master.cancelled:
        return False
    first_s = _instant_s(told.master.start, told.master)
    until_s = first_s + _YEARS_COMPARED * 366 * 86_400
    zone = reader.zone
    times = [
        sorted(
            (at.original_start_s, at.start_s, at.end_s)
            for at in expand(one, zone, first_s, until_s).occurrences
        )
        for one in (seen, told)
    ]
    return times[0] == times[1]


def _facts(entry: Entry, body: str) -> dict[str, Any]:
    """Subject, body, time and whether it is private, as Graph wants them."""
    start = entry.start
    if entry.all_day or not entry.zone:
        end, zone = start + timedelta(seconds=entry.duration_s), "UTC"
    else:
        zone = entry.zone
        clock = ZoneInfo(zone)
        end_at = start.replace(tzinfo=clock).astimezone(UTC) + timedelta(seconds=entry.duration_s)
        end = end_at.astimezone(clock).replace(tzinfo=None)
        if end_at.astimezone(clock).fold:
            zone, end = "UTC", end_at.replace(tzinfo=None)
            start = start.replace(tzinfo=clock).astimezone(UTC).replace(tzinfo=None)
    return {
        "subject": entry.subject,
        "body": {"contentType": "text", "content": body[:BODY_CHARS_MAX]},
        "start": {"dateTime": f"{start:%Y-%m-%dT%H:%M:%S}", "timeZone": zone},
        "end": {"dateTime": f"{end:%Y-%m-%dT%H:%M:%S}", "timeZone": zone},
        "isAllDay": entry.all_day,
        "sensitivity": "private" if entry.private else "normal",
    }


def _body(calendar_text: bytes) -> str:
    """The description as it was written, the way to join included."""
    try:
        for event in parse(calendar_text).inside("VEVENT"):
            line = event.first("DESCRIPTION")
            if line is not None:
                lines = line.value.replace("\\n", "\n").replace("\\N", "\n").split("\n")
                return "\n".join(clean_text(one, BODY_CHARS_MAX) for one in lines)
    except Unreadable:
        pass
    return ""


def _instant_s(wall: datetime, like: Entry) -> int:
    zone = UTC if like.all_day or not like.zone else ZoneInfo(like.zone)
    return int(wall.replace(tzinfo=zone).timestamp())
